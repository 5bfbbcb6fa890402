import { expect, test } from 'vitest';
import { restoreText, storagePurgeText, trashText } from '../../../src/render/purge-storage-text.ts';
import { plainTheme } from '../../../src/render/theme.ts';

const PLAN = {
  id: '20261123T100000-0a1b2c3d',
  count: 71,
  bytes: 71_800_000,
  reasons: { unused: { count: 52, bytes: 138_000 }, unreferenced: { count: 19, bytes: 71_662_000 } },
  oldest: '2026-10-14T05:47:32Z',
  share: 0.123,
  needsConfirm: false,
};
const ROW = { host: 'web-1', scope: 'cache', plan: PLAN, moved: undefined };

function lines(row: Parameters<typeof storagePurgeText>[0]): readonly string[] {
  return storagePurgeText(row, plainTheme).split('\n');
}

test('a plan tells how much would go, why, and what part of all that is', () => {
  expect(lines(ROW)).toEqual([
    'web-1  71 files, 71.8 MB, 12% of the cache, the oldest last used 2026-10-14T05:47:32Z',
    '',
    'why           files     size',
    'unused           52   138 kB',
    'unreferenced     19  71.7 MB',
    '',
    'nothing was moved; the same command with `--yes` moves it to the trash',
  ]);
});

test('a plan that is much of all asks for its number', () => {
  expect(lines({ ...ROW, plan: { ...PLAN, needsConfirm: true } }).at(-1)).toContain('`--yes --confirm 71`');
});

test('what was moved can be brought back, and what stayed is said', () => {
  expect(lines({ ...ROW, moved: { count: 70, bytes: 71_000_000, left: 1 } }).slice(-2)).toEqual([
    'moved 70 files to the trash, 71.0 MB; 1 stayed, because they were used or changed meanwhile',
    '`cu purge cache --restore 20261123T100000-0a1b2c3d` brings them back, `cu purge cache --empty --yes` frees their space',
  ]);
});

test('where nothing can go it says so', () => {
  expect(lines({ ...ROW, scope: 'uploads', plan: { ...PLAN, count: 0 } })).toEqual(['nothing of the uploads can go']);
});

test('what came back, and what could not', () => {
  expect(restoreText({ count: 3, bytes: 10, left: 0 })).toBe('brought back 3 files, 10 B');
  expect(restoreText({ count: 3, bytes: 10, left: 2 })).toContain('2 stay in the trash');
});

test('the trash is listed, and emptied only of what lay there for long', () => {
  const trash = [{ id: PLAN.id, count: 3, bytes: 4_000_000, time: '2026-11-23T10:00:00Z' }];
  const olderThanMs = 7 * 86_400_000;
  const text = (removed: Parameters<typeof trashText>[0]['removed'], all = trash): string =>
    trashText({ trash: all, removed, olderThanMs }, plainTheme);

  expect(text(undefined).split('\n')).toEqual([
    'plan                      moved there           files    size',
    '20261123T100000-0a1b2c3d  2026-11-23T10:00:00Z      3  4.0 MB',
    '',
    'nothing was removed; `--yes` removes for good what has lain there for more than 7d',
  ]);
  expect(text({ count: 3, bytes: 4_000_000, left: 0 })).toBe('removed 3 files for good, 4.0 MB');
  expect(text({ count: 3, bytes: 4_000_000, left: 1 })).toContain('1 were needed after all and came back');
  expect(text(undefined, [])).toBe('the trash is empty');
});
