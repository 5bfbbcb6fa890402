import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const CU = fileURLToPath(new URL('../../../bin/cu.js', import.meta.url));

function cu(...args: readonly string[]) {
  const env = { PATH: process.env['PATH'], HOME: tmpdir() };
  const { status, stdout, stderr } = spawnSync(process.execPath, [CU, ...args], { encoding: 'utf8', env, cwd: '/' });
  return { status, stdout, stderr };
}

test('help and version go to stdout', () => {
  expect(cu('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('Usage: cu'), stderr: '' });
  expect(cu('-V')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: '' });
});

test('no command: help on stderr, exit 2', () => {
  expect(cu()).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('Usage: cu') });
});

test('an unknown command: exit 2 with a suggestion on stderr', () => {
  expect(cu('depoly')).toEqual({
    status: 2,
    stdout: '',
    stderr: "cu: unknown command 'depoly'\n  hint: did you mean deploy?\n",
  });
});

test('with --json an error is the last line of stdout too', () => {
  const { status, stdout } = cu('plan', '--chekc', '--json');

  expect(status).toBe(2);
  expect(JSON.parse(stdout)).toEqual({
    v: 1,
    type: 'result',
    exitCode: 2,
    error: { code: 'USAGE', exitCode: 2, message: "unknown option '--chekc'", hint: 'did you mean --check?' },
  });
});

test('a log file that cannot be written is a usage error', () => {
  expect(cu('schema', '--log-file', '/proc/nowhere/x.log')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('/proc/nowhere/x.log'),
  });
});

test('completion prints a script, and words without a config', () => {
  expect(cu('completion', 'bash')).toMatchObject({ status: 0, stdout: expect.stringContaining('complete -F _cu cu') });
  expect(cu('completion', '--words', '--', 'de')).toMatchObject({ status: 0, stdout: 'deploy\n' });
  expect(cu('completion', '--words', '--', 'deploy', '--dr')).toMatchObject({ status: 0, stdout: '--dry-run\n' });
  expect(cu('completion', '--words', '--', 'deploy', 'ho')).toMatchObject({ status: 0, stdout: '' });
  expect(cu('completion', 'tcsh')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('bash|zsh|fish|powershell'),
  });
});
