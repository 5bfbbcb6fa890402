import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const CONFIG = `
storage: none
images: { app: { repository: e2e-fail-broken, build: { context: . } } }
services:
  jobs: { kind: container, image: app, command: [sh, /jobs.sh], on: [host1, host2], drain: 2s }
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], rollout: recreate, ports: ["*:8601"], drain: 2s, health: { stable: 300ms, type: http, path: /healthz, timeout: 4s } }
`;

const DOCKERFILE = 'FROM busybox\nCOPY app.sh jobs.sh /\nCMD ["sh", "/app.sh"]\n';
const APP = SMALL_APP['app.sh'] ?? '';
const FILES = {
  Dockerfile: DOCKERFILE,
  '.dockerignore': '*\n!app.sh\n!jobs.sh\n!Dockerfile\n',
  'app.sh': APP,
  'jobs.sh': "trap 'exit 0' TERM INT\necho jobs one\nwhile true; do sleep 1 & wait $!; done\n",
};

let scenario: Scenario;
let config: string;

beforeAll(async () => {
  scenario = await startScenario({ project: 'e2e-fail-broken', config: CONFIG, files: FILES });
  config = await scenario.read('cu.config.yaml');
  const first = await scenario.cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function snapshot(): Promise<string> {
  const found = await Promise.all(['host1', 'host2'].map((host) => scenario.containers(host)));
  return found
    .flat()
    .map(({ id, name, state }) => `${name} ${id.slice(0, 12)} ${state}`)
    .toSorted()
    .join('\n');
}

async function siteAnswer(): Promise<string> {
  const [host1] = scenario.testbed.hosts;
  return (await (await fetch(`http://${host1?.address}:8601/`, { signal: AbortSignal.timeout(3000) })).text()).trim();
}

test('a container that crashes at its start gives its port back to the old one', async () => {
  const before = await snapshot();
  await scenario.write('app.sh', 'echo "cannot find the model file"; exit 7\n');

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  // The jobs' script is another file of the same image, so they were replaced before the site failed.
  expect(await eventually(siteAnswer)).toBe('one');
  expect(siteLine(await snapshot())).toBe(siteLine(before));
  expect(await snapshot()).not.toMatch(/-(new|old) /);
  expect(result.all).toContain('cannot find the model file');
  expect(result.all).toContain('exit code 7');
  expect(result.all).toMatch(/old container was put back and runs/);
});

test('a server that never listens leaves the old one serving, after its own timeout', async () => {
  const before = siteLine(await snapshot());
  await scenario.write(
    'app.sh',
    "trap 'exit 0' TERM INT\necho listening on nothing at all\nwhile true; do sleep 1 & wait $!; done\n",
  );

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await eventually(siteAnswer)).toBe('one');
  expect(siteLine(await snapshot())).toBe(before);
  expect(result.all).toContain('listening on nothing at all');
  expect(result.all).toMatch(/not healthy after 4 s/);
});

test('a server that answers 500 leaves the old one serving, and the status is told', async () => {
  const before = siteLine(await snapshot());
  const answer = 'printf "HTTP/1.0 500 Oops\\r\\nContent-Length: 0\\r\\n\\r\\n"';
  await scenario.write(
    'app.sh',
    `trap 'exit 0' TERM INT\necho the database is away\nnc -ll -p $CU_PORT -e sh -c 'read line; ${answer}' &\nwhile true; do sleep 1 & wait $!; done\n`,
  );

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await eventually(siteAnswer)).toBe('one');
  expect(siteLine(await snapshot())).toBe(before);
  expect(result.all).toContain('the database is away');
  expect(result.all).toContain('answers 500');
});

test('a command that the image lacks leaves the old ones serving, with and without a fixed port', async () => {
  await scenario.write('app.sh', APP);
  expect((await scenario.cu('deploy')).exitCode).toBe(0);
  const before = await snapshot();
  await scenario.write('cu.config.yaml', config.replace('command: [sh, /jobs.sh]', 'command: [celeryy, worker]'));

  const jobs = await scenario.cu('deploy');

  expect(jobs.exitCode, jobs.all).toBe(4);
  expect(await snapshot()).toBe(before);
  expect(jobs.all).toContain('celeryy');

  await scenario.write(
    'cu.config.yaml',
    config.replace('image: app, command: [sh, /app.sh]', 'image: app, command: [gunicornn]'),
  );
  const site = await scenario.cu('deploy');

  expect(site.exitCode, site.all).toBe(4);
  expect(await snapshot()).toBe(before);
  expect(await eventually(siteAnswer)).toBe('one');
  expect(site.all).toContain('gunicornn');
});

test('a start-first container that crashes leaves the old ones untouched on every host', async () => {
  await scenario.write('cu.config.yaml', config);
  const before = await snapshot();
  await scenario.write('jobs.sh', 'echo "no queue to listen to"; exit 3\n');

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await snapshot()).toBe(before);
  expect(result.all).toContain('no queue to listen to');
});

test('a failing build leaves every host as it was and shows the step that failed', async () => {
  const before = await snapshot();
  const images = await scenario.docker('host1', 'images', '-q', 'e2e-fail-broken');
  await scenario.write(
    'Dockerfile',
    `${DOCKERFILE}RUN echo compiling the parser; echo missing semicolon >&2; exit 9\n`,
  );

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(4);
  expect(await snapshot()).toBe(before);
  expect((await scenario.docker('host1', 'images', '-q', 'e2e-fail-broken')).split('\n').toSorted()).toEqual(
    (await scenario.docker('host1', 'images', '-q', 'e2e-fail-broken'))
      .split('\n')
      .filter((id) => images.includes(id))
      .toSorted(),
  );
  expect(result.all).toContain('missing semicolon');
  expect(result.all).toMatch(/RUN echo compiling the parser/);
});

test('the next good deploy converges and takes what failed for done with', async () => {
  await scenario.write('Dockerfile', DOCKERFILE);
  await scenario.write('jobs.sh', `${FILES['jobs.sh']}# mended\n`);
  await scenario.write('app.sh', APP.replace('VERSION=one', 'VERSION=mended'));

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  expect(await eventually(siteAnswer)).toBe('mended');
  expect((await snapshot()).split('\n').map((line) => line.replace(/ \S+ /, ' '))).toEqual([
    'e2e-fail-broken-dev-jobs-1 running',
    'e2e-fail-broken-dev-jobs-1 running',
    'e2e-fail-broken-dev-site-1 running',
  ]);
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
});

function siteLine(lines: string): string | undefined {
  return lines.split('\n').find((line) => line.includes('-site-'));
}
