import { expect, test } from 'vitest';
import { defineCommand } from '../../../src/cli/command.ts';
import type { CommandEntry } from '../../../src/cli/commands.ts';
import { toGlobalOptions, toOutputFlags } from '../../../src/cli/global-flags.ts';
import { parseArguments } from '../../../src/cli/program.ts';

const deploy = defineCommand({
  name: 'deploy',
  summary: 'roll out',
  args: [{ name: '[target...]', summary: 'where' }],
  flags: {
    version: { type: 'text', value: 'V', summary: 'this version' },
    noBuild: { type: 'boolean', summary: 'build nothing' },
    wait: { type: 'duration', value: 'T', summary: 'how long' },
  },
  run: async () => ({}),
});

const exec = defineCommand({
  name: 'exec',
  summary: 'run a command',
  args: [
    { name: '<target>', summary: 'where' },
    { name: '<command...>', summary: 'what' },
  ],
  flags: {},
  run: async () => ({}),
});

const call = defineCommand({
  name: 'call',
  summary: 'call a method',
  args: [
    { name: '[method]', summary: 'which' },
    { name: '[argument...]', summary: 'with what' },
  ],
  flags: { help: { type: 'boolean', short: 'h', summary: 'show this help, or the one of METHOD' } },
  run: async () => ({}),
});

const TABLE: readonly CommandEntry[] = [
  { name: 'deploy', summary: 'roll out', load: async () => deploy },
  { name: 'exec', summary: 'run a command', load: async () => exec },
  { name: 'call', summary: 'call a method', load: async () => call },
  {
    name: 'status',
    summary: 'never chosen here',
    load: async () => {
      throw new Error('loaded though it was not chosen');
    },
  },
];

async function parse(line: string) {
  return parseArguments(
    line.split(' ').filter((word) => word !== ''),
    TABLE,
  );
}

test.each([
  '--env dev -c other.yaml --parallel 4 --timeout 1m30s --json -v --skip-unreachable --yes deploy',
  'deploy --env dev -c other.yaml --parallel 4 --timeout 1m30s --json -v --skip-unreachable --yes',
  '-e dev deploy --config=other.yaml --parallel=4 -y --timeout 90s -v --skip-unreachable --json',
])('global flags stand before or after the command: %s', async (line) => {
  const invocation = await parse(line);

  if (invocation.type !== 'run') throw new Error(invocation.type);
  expect(toGlobalOptions(invocation.globals, {})).toEqual({
    config: 'other.yaml',
    environment: 'dev',
    yes: true,
    parallel: 4,
    timeoutMs: 90_000,
    skipUnreachable: true,
    verbose: true,
    json: true,
  });
  expect(toOutputFlags(invocation.globals)).toMatchObject({ json: true, quiet: false, verbose: true });
});

test("a command's own flags are read by their type, --no-x as a flag of its own", async () => {
  expect(await parse('deploy host1 worker --version 3 --no-build --wait 2s')).toMatchObject({
    args: ['host1', 'worker'],
    flags: { version: '3', noBuild: true, wait: 2000 },
  });
  expect(await parse('deploy')).toMatchObject({ args: [], flags: {} });
});

test('a flag after -- belongs to the command that is run', async () => {
  expect(await parse('exec -e dev host1/worker -- ls -la --json')).toMatchObject({
    args: ['host1/worker', 'ls', '-la', '--json'],
    globals: { env: 'dev' },
  });
});

test('CU_YES=1 is --yes', () => {
  expect(toGlobalOptions({}, { CU_YES: '1' }).yes).toBe(true);
  expect(toGlobalOptions({}, { CU_YES: '0' }).yes).toBe(false);
});

test('--color and --no-color are told from neither', () => {
  expect(toOutputFlags({}).color).toBeUndefined();
  expect(toOutputFlags({ color: true }).color).toBe(true);
  expect(toOutputFlags({ noColor: true, color: true }).color).toBe(false);
});

test.each([
  ['deplyo', "unknown command 'deplyo'", 'did you mean deploy?'],
  ['deploy --jsno', "unknown option '--jsno'", 'did you mean --json?'],
  ['deploy --no-biuld', "unknown option '--no-biuld'", 'did you mean --no-build?'],
  [
    'deploy --parallel many',
    "option '--parallel <N>' argument 'many' is invalid. Give a whole number.",
    'run `cu deploy --help`',
  ],
  ['deploy --parallel 0', 'Give 1 or more.', 'run `cu deploy --help`'],
  ['--timeout 5 deploy', 'Give a time with its unit', 'run `cu deploy --help`'],
  ['deploy --env', "option '-e, --env <NAME>' argument missing", 'run `cu deploy --help`'],
  ['exec host1', "missing required argument 'command'", 'run `cu exec --help`'],
  ['exec host1 ls -la', "unknown option '-la'", 'put the command and its flags after --'],
])('"cu %s" is a usage error with a hint', async (line, message, hint) => {
  await expect(parse(line)).rejects.toMatchObject({
    code: 'USAGE',
    exitCode: 2,
    message: expect.stringContaining(message),
    hint: expect.stringContaining(hint),
  });
});

test('help lists the commands and loads none; without a command it is an error', async () => {
  const asked = await parse('--help');
  const bare = await parse('');

  expect(asked).toMatchObject({ type: 'help', exitCode: 0, text: expect.stringMatching(/status +never chosen here/) });
  expect(bare).toMatchObject({ type: 'help', exitCode: 2 });
});

test.each(['deploy --help', 'help deploy', '-e dev deploy -h'])(
  '"cu %s" shows the flags of that command',
  async (line) => {
    expect(await parse(line)).toMatchObject({
      type: 'help',
      exitCode: 0,
      text: expect.stringMatching(/--no-build +build nothing[\s\S]*Global options:[\s\S]*--skip-unreachable/),
    });
  },
);

test.each(['call --help', 'call -h', 'help call', '-e dev call --help'])(
  '"cu %s" shows the help of a command that has one for its arguments too',
  async (line) => {
    const text = expect.stringMatching(/Usage: cu call [\s\S]*-h, --help +show this help, or the one of METHOD/);
    expect(await parse(line)).toMatchObject({ type: 'help', exitCode: 0, text });
  },
);

test.each(['call --help tiles', 'call tiles -h', 'help call tiles'])(
  '"cu %s" leaves it to the command',
  async (line) => {
    expect(await parse(line)).toMatchObject({ type: 'run', args: ['tiles'], flags: { help: true } });
  },
);

test('--version alone is cu itself, after deploy it names a version', async () => {
  expect(await parse('--version')).toEqual({ type: 'version' });
  expect(await parse('-V')).toEqual({ type: 'version' });
  expect(await parse('deploy --version x')).toMatchObject({ type: 'run' });
});
