import { expect, test } from 'vitest';
import { chooseOutput, type OutputSituation } from '../../../src/render/choose.ts';

const AT_TERMINAL: OutputSituation = {
  json: false,
  quiet: false,
  color: undefined,
  isStdinTty: true,
  isStdoutTty: true,
  isStderrTty: true,
  columns: 100,
  env: { TERM: 'xterm' },
};

function choose(change: Partial<OutputSituation>) {
  return chooseOutput({ ...AT_TERMINAL, ...change });
}

test('at a terminal lines are redrawn, coloured, and questions asked', () => {
  expect(choose({})).toEqual({
    renderer: 'tty',
    stdoutColor: true,
    stderrColor: true,
    interactive: true,
    isGithub: false,
  });
});

test.each([
  ['stderr is no terminal', { isStderrTty: false }],
  ['CI is set', { env: { CI: 'true' } }],
  ['the terminal is dumb', { env: { TERM: 'dumb' } }],
  ['the terminal is narrow', { columns: 30 }],
])('lines are plain when %s', (_when, change) => {
  expect(choose(change).renderer).toBe('plain');
});

test('--json goes before --quiet, and neither colours nor asks', () => {
  expect(choose({ json: true, quiet: true })).toMatchObject({
    renderer: 'json',
    stdoutColor: false,
    interactive: false,
  });
  expect(choose({ quiet: true }).renderer).toBe('quiet');
});

test('nothing is asked without a terminal on stdin, or in CI', () => {
  expect(choose({ isStdinTty: false }).interactive).toBe(false);
  expect(choose({ env: { CI: '1' } }).interactive).toBe(false);
  expect(choose({ env: { CI: 'false' } }).interactive).toBe(true);
});

test.each([
  ['--color goes before NO_COLOR', { color: true, env: { NO_COLOR: '1' }, isStdoutTty: false }, true],
  ['--no-color goes before FORCE_COLOR', { color: false, env: { FORCE_COLOR: '1' } }, false],
  ['NO_COLOR goes before FORCE_COLOR', { env: { NO_COLOR: '1', FORCE_COLOR: '1' } }, false],
  ['an empty NO_COLOR is none', { env: { NO_COLOR: '' } }, true],
  ['FORCE_COLOR colours a pipe', { env: { FORCE_COLOR: '1' }, isStdoutTty: false }, true],
  ['FORCE_COLOR=0 colours nothing', { env: { FORCE_COLOR: '0' } }, false],
  ['a pipe has no colour', { isStdoutTty: false }, false],
])('%s', (_rule, change, isColoured) => {
  expect(choose(change).stdoutColor).toBe(isColoured);
});

test('GitHub Actions gets its own lines, but not with --json', () => {
  expect(choose({ env: { GITHUB_ACTIONS: 'true', CI: 'true' } })).toMatchObject({ renderer: 'plain', isGithub: true });
  expect(choose({ env: { GITHUB_ACTIONS: 'true' }, json: true }).isGithub).toBe(false);
});
