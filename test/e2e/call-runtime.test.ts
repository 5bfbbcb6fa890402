import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { followCu, type CuLine } from '../support/follow.ts';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

/** What `call.test.ts` tries on a stand-in, here on the runtime itself: worker and webserver on different hosts. */
const PROJECT = 'e2e-call-runtime';
const TEMPLATE = fileURLToPath(new URL('../../templates/app', import.meta.url));
const CONFIG = `
secrets: { files: [.cu/secrets.env] }
users: { app: { uid: 1000, gid: 1000 } }
images:
  app:
    repository: ${PROJECT}
    build: { context: ., args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } }
storage: { root: "file:///mnt/shared" }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6551:6379"] }
  worker: { kind: worker, image: app, user: app, drain: 20s, on: [host2], health: { stable: 300ms } }
  site: { kind: webserver, image: app, user: app, secrets: [API_TOKEN], ports: ["127.0.0.1:8551:8123"], on: [host1], health: { stable: 300ms } }
`;
const TASKS = `"""Calls to be called."""
import time
from pathlib import Path

from cu import File, call, ctx


@call(public=True)
def repeat(text: str, times: int = 2) -> str:
    """A text several times.

    Args:
        text: what is repeated
        times: how often, 1 to 9
    """
    if not 1 <= times <= 9:
        raise ValueError(f"times is {times}; it has to be between 1 and 9")
    return text * times


@call(public=True)
def slow(name: str, steps: int = 4, seconds: float = 0.5) -> dict:
    """Take a while, and say so."""
    for step in range(steps):
        ctx.progress(step / steps, f"step {step + 1} of {steps}")
        time.sleep(seconds)
        ctx.log(f"{name} did step {step + 1}")
    return {"name": name, "steps": steps}


@call(public=True)
def backwards(file: File) -> File:
    """The bytes of a file the other way round."""
    path = Path("/tmp") / f"backwards-{file.sha256[:8]}"
    path.write_bytes(file.read_bytes()[::-1])
    return File.of(path)
`;

let scenario: Scenario;

beforeAll(async () => {
  const token = randomBytes(16).toString('hex');
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    template: TEMPLATE,
    files: { 'tasks.py': TASKS, '.cu/secrets.env': `API_TOKEN=${token}\n` },
    hosts: ['host1', 'host2'],
  });
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

afterAll(async () => {
  await scenario[Symbol.asyncDispose]();
  await scenario.testbed.exec('host1', ['rm', '-rf', `/mnt/shared/${PROJECT}-dev`]);
});

/** Lines of a log are told to those alone who listen already. */
function isUnderWay({ type }: CuLine): boolean {
  return type === 'job-log';
}

test('what can be called is told from signatures and docstrings', async () => {
  const list = await scenario.cu('call', '--list');
  const help = await scenario.cu('call', '--help', 'tasks.repeat');

  expect(list.exitCode, list.all).toBe(0);
  expect(list.stdout).toMatch(/^tasks\.repeat +text \[times\] +A text several times\.$/m);
  expect(help.stdout).toMatch(/^ +text +string +required +what is repeated$/m);
  expect(help.stdout).toMatch(/^ +times +integer +default 2 +how often, 1 to 9$/m);
});

test('a result is computed once, and then comes from the cache', async () => {
  const first = await scenario.cu('call', 'tasks.repeat', 'text=ab', 'times=3', '--wait', '--json');
  const second = await scenario.cu('call', 'tasks.repeat', 'times=3', 'text=ab', '--json');
  const other = await scenario.cu('call', 'tasks.repeat', 'text:="7"', '--wait');

  expect(first.exitCode, first.all).toBe(0);
  expect(JSON.parse(first.stdout.split('\n').at(-1) ?? '')).toMatchObject({ cached: false, value: 'ababab' });
  expect(JSON.parse(second.stdout)).toMatchObject({ cached: true, value: 'ababab' });
  expect(other.stdout).toBe('"77"');
});

test('its progress and its log are seen while it is waited for', async () => {
  const result = await scenario.cu('call', 'tasks.slow', 'name=seen', '--wait', '--json');

  expect(result.exitCode, result.all).toBe(0);
  const lines = result.stdout.split('\n').map((line): Record<string, unknown> => JSON.parse(line));
  expect(lines).toContainEqual(expect.objectContaining({ type: 'job-log', text: 'seen did step 2' }));
  expect(lines).toContainEqual(expect.objectContaining({ type: 'job', progress: 0.5, message: 'step 3 of 4' }));
  expect(lines.at(-1)).toMatchObject({ type: 'result', state: 'done', value: { name: 'seen', steps: 4 } });
});

test('a large file goes up once and its result comes down to a file', async () => {
  const content = randomBytes(20_000_000);
  await writeFile(join(scenario.directory, 'large.bin'), content);

  const first = await scenario.cu('call', 'tasks.backwards', 'file=@large.bin', '-o', 'out.bin');
  const second = await scenario.cu('call', 'tasks.backwards', 'file=@large.bin', '-o', 'again.bin', '-v');

  expect(first.exitCode, first.all).toBe(0);
  expect(first.stderr).toContain('sent large.bin (20.0 MB)');
  expect(second.stderr).toContain('large.bin is in the storage already: not sent again');
  const expected = createHash('sha256').update(content.toReversed()).digest('hex');
  for (const name of ['out.bin', 'again.bin']) {
    const bytes = await readFile(join(scenario.directory, name));
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(expected);
  }
});

test.each([
  [
    ['tasks.repeat', 'text=a', 'times=12', '--wait'],
    4,
    'tasks.repeat failed: ValueError: times is 12; it has to be between 1 and 9',
  ],
  [['tasks.repeat', 'text=12'], 2, 'tasks.repeat: argument text:'],
  [['tasks.repeat', 'txt=a'], 2, 'txt: tasks.repeat has no such argument'],
  [['tasks.repaet', 'text=a'], 2, 'did you mean tasks.repeat?'],
  [['--job', 'f'.repeat(32)], 4, 'there is no such job'],
])('%j: exit %i, and why', async (argv, exitCode, message) => {
  const result = await scenario.cu('call', ...argv);

  expect(result, result.all).toMatchObject({ exitCode, stdout: '' });
  expect(result.stderr).toContain(message);
});

test('after Ctrl-C the job goes on, and its result is fetched by its id', async () => {
  const running = followCu(scenario, {}, 'call', 'tasks.slow', 'name=left', 'steps=8', '--wait');
  await running.until(isUnderWay);

  running.kill('SIGINT');

  const { exitCode, all } = await running.ended;
  expect(exitCode, all).toBe(130);
  const [, id = ''] = /cu call --job ([0-9a-f]{32}) --wait/.exec(running.stderr()) ?? [];
  const early = await scenario.cu('call', '--job', id);
  expect(early).toMatchObject({ exitCode: 4, stdout: '' });
  expect(early.stderr).toContain(`job ${id} is running`);
  const fetched = await scenario.cu('call', '--job', id, '--wait');
  expect(fetched, fetched.all).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('"left"') });
});

test('a call that is waited for comes to its end while its webserver is replaced', async () => {
  const running = followCu(scenario, {}, 'call', 'tasks.slow', 'name=through', 'steps=40', '--wait');
  await running.until(isUnderWay);
  const before = (await scenario.containers('host1')).find(({ name }) => name.endsWith('-site-1'))?.id;
  const config = await scenario.read('cu.config.yaml');
  await scenario.write('cu.config.yaml', config.replace('kind: webserver,', 'kind: webserver, env: { CHANGED: "1" },'));

  const deployed = await scenario.cu('deploy', 'site');

  expect(deployed.exitCode, deployed.all).toBe(0);
  await eventually(async () => {
    const after = (await scenario.containers('host1')).find(({ name }) => name.endsWith('-site-1'))?.id;
    expect(after).not.toBe(before);
  });
  const { exitCode, all } = await running.ended;
  expect(exitCode, all).toBe(0);
  expect(running.lines.at(-1)).toMatchObject({ type: 'result', state: 'done', value: { name: 'through', steps: 40 } });
});

test('where the webserver is stopped it says how to start it', async () => {
  await scenario.docker('host1', 'stop', '-t', '1', `${PROJECT}-dev-site-1`);

  const result = await scenario.cu('call', 'tasks.repeat', 'text=a');

  expect(result).toMatchObject({ exitCode: 4, stdout: '' });
  expect(result.stderr).toContain('`cu deploy` starts it');
});
