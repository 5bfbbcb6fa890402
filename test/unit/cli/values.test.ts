import { expect, test } from 'vitest';
import { completionScript, SHELLS } from '../../../src/cli/completion-scripts.ts';
import { outcomeResult } from '../../../src/cli/outcome-result.ts';
import { planResult } from '../../../src/cli/plan-result.ts';
import { parseMoment, parseWholeNumber } from '../../../src/cli/values.ts';
import { CuError, type ErrorCode } from '../../../src/core/error.ts';
import { start } from '../render/nodes.ts';

const NOW = Date.parse('2026-11-23T10:00:00Z');

test.each([
  ['10m', '2026-11-23T09:50:00.000Z'],
  ['1h30m', '2026-11-23T08:30:00.000Z'],
  ['2026-11-22', '2026-11-22T00:00:00.000Z'],
  ['2026-11-22T12:00:00+01:00', '2026-11-22T11:00:00.000Z'],
])('%s is a point in time', (text, iso) => {
  expect(new Date(parseMoment(text, NOW) ?? 0).toISOString()).toBe(iso);
});

test.each(['yesterday', '10', '2026', '', '2026-99-99'])('"%s" is none', (text) => {
  expect(parseMoment(text, NOW)).toBeUndefined();
});

test('a whole number has no sign and no fraction', () => {
  expect(parseWholeNumber('12')).toBe(12);
  for (const text of ['-1', '1.5', '1e3', '', 'x', '9'.repeat(12)]) expect(parseWholeNumber(text)).toBeUndefined();
});

test.each([
  [[], 0],
  [['UNHEALTHY'], 4],
  [['UNHEALTHY', 'CONNECTION_LOST'], 3],
  [['CONNECTION_LOST', 'BUG'], 1],
] as const)('steps that failed with %j exit with %d', (codes: readonly ErrorCode[], exitCode) => {
  const failed = codes.map((code) => ({ node: start, error: new CuError(code, 'x') }));

  expect(outcomeResult({ outcome: { done: [], failed, skipped: [], cancelled: false } }).exitCode).toBe(exitCode);
});

test('a host that was left out is exit 3 though all else was done, an interrupt 130', () => {
  const outcome = { done: [start], failed: [], skipped: [], cancelled: false };
  const unreachable = [new CuError('HOST_UNREACHABLE', 'no answer', { host: 'web-3' })];

  expect(outcomeResult({ outcome, unreachable }).exitCode).toBe(3);
  expect(outcomeResult({ outcome: { ...outcome, cancelled: true } }).exitCode).toBe(130);
});

test('a plan is shown beside what stands in its way, and exits as the deploy would', () => {
  const findings = [new CuError('HOST_MISMATCH', 'port 80 for web is taken', { host: 'web-1' })];
  const unreachable = [new CuError('HOST_UNREACHABLE', 'no answer', { host: 'web-3' })];
  const planned = { plan: { nodes: [start] }, findings: [], unreachable: [], usage: {} };
  const code = (result: { readonly findings?: readonly CuError[] }, check = false): number | undefined =>
    planResult({ ...planned, ...result }, { check }).exitCode;

  expect(code({})).toBe(0);
  expect(code({}, true)).toBe(6);
  expect(code({ findings }, true)).toBe(2);
  expect(planResult({ ...planned, findings, unreachable }, { check: false })).toMatchObject({
    exitCode: 3,
    error: { errors: [...findings, ...unreachable] },
    json: { steps: [{ step: start.id }], error: { code: 'HOST_MISMATCH', message: 'port 80 for web is taken' } },
  });
});

test.each(SHELLS)('the script for %s asks cu for the words', (shell) => {
  expect(completionScript(shell)).toContain('cu completion --words --');
});
