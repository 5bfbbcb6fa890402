import { expect, test } from 'vitest';
import { historyText, historyWire } from '../../../src/render/history-text.ts';
import { plainTheme } from '../../../src/render/theme.ts';
import { release } from '../../support/releases.ts';

const AT = new Date(2026, 10, 23, 10, 12).getTime();

test('a history is a line for each release', () => {
  const releases = [
    release(4, { startedAt: AT, outcome: undefined, isDirty: true }),
    release(3, { startedAt: AT, outcome: 'rolled-back', reason: 'host2: unhealthy', targets: ['host1/web', 'host2'] }),
    release(2, { startedAt: AT, kind: 'rollback', commit: undefined, images: {} }),
  ];

  expect(historyText(releases, 'shop dev', plainTheme).split('\n')).toEqual([
    'when              id                    version  commit              who         what                    outcome',
    '2026-11-23 10:12  20261123-101204-00ab  r4       a1b2c3d4e5 changed  ana@laptop  deploy                  under way, or cut off',
    '2026-11-23 10:12  20261123-101203-00ab  r3       a1b2c3d4e5          ana@laptop  deploy host1/web host2  rolled back: host2: unhealthy',
    '2026-11-23 10:12  20261123-101202-00ab  -        -                   ana@laptop  rollback                done',
  ]);
});

test('without a release it says so', () => {
  expect(historyText([], 'shop dev', plainTheme)).toBe('no release of shop dev is known');
});

test('the JSON of a release has neither its config nor its hosts', () => {
  const wire = historyWire(release(2, { config: 'H4sI', targets: ['host1'] }));

  expect(wire).toMatchObject({
    sequence: 2,
    versions: ['r2'],
    targets: ['host1'],
    startedAt: '1970-01-01T00:02:00.000Z',
  });
  expect(Object.keys(wire)).not.toContain('config');
  expect(Object.keys(wire)).not.toContain('hosts');
});
