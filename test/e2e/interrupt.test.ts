import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execa } from 'execa';
import { followCu } from '../support/follow.ts';
import type { FollowedCu } from '../support/follow.ts';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-fail-stop';
const CONFIG = `
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . } } }
services:
  jobs: { kind: container, image: app, command: [sh, /app.sh], on: [host2], rollout: start-first, drain: 20s }
  site: { kind: webserver, image: app, command: [sh, /app.sh], on: [host1], rollout: recreate, ports: ["*:8611"], drain: 20s, health: { stable: 300ms, type: http, path: /healthz } }
`;

/** Slow to start and slow to stop, so that there is a moment to be interrupted in. */
const APP = `trap 'sleep 1; exit 0' TERM INT
if [ -n "$CU_PORT" ]; then sleep 1; mkdir -p /tmp/www; echo ok > /tmp/www/healthz; echo VERSION > /tmp/www/index.html; httpd -f -p $CU_PORT -h /tmp/www & fi
while true; do sleep 1 & wait $!; done
`;
const DOCKERFILE = 'FROM busybox\nCOPY blob /blob\nCOPY app.sh /app.sh\nCMD ["sh", "/app.sh"]\n';

let scenario: Scenario;

beforeAll(async () => {
  const files = {
    Dockerfile: DOCKERFILE,
    '.dockerignore': '*\n!app.sh\n!blob\n!Dockerfile\n',
    'app.sh': APP,
    blob: '',
  };
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files, hosts: ['host1', 'host2'] });
  await changeCode();
  const first = await scenario.cu('deploy');
  expect(first.exitCode, first.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

/** A version that no host and no earlier run of these tests has seen. */
async function changeCode(): Promise<string> {
  await scenario.write('Dockerfile', DOCKERFILE);
  await scenario.write('blob', '');
  const version = randomBytes(6).toString('hex');
  await scenario.write('app.sh', APP.replace('VERSION', version));
  return version;
}

interface Moment {
  readonly name: string;
  prepare?(): Promise<void>;
  reached(running: FollowedCu): Promise<void>;
}

const isProgress = (text: string) => (line: { type: string; text?: string }) =>
  line.type === 'step-progress' && line.text?.includes(text) === true;

const MOMENTS: readonly Moment[] = [
  {
    name: 'during the build',
    prepare: () =>
      scenario.write('Dockerfile', `${DOCKERFILE}RUN echo compiling ${randomBytes(4).toString('hex')} && sleep 2\n`),
    reached: (running) =>
      running.until((line) => line.type === 'step-output' && line.text?.includes('compiling') === true),
  },
  {
    name: 'while this machine exports the image',
    prepare: () => scenario.write('blob', randomBytes(24_000_000).toString('base64')),
    reached: (running) => running.until((line) => line.type === 'step-started' && line.action === 'ship-image'),
  },
  {
    name: 'during the transfer',
    prepare: () => scenario.write('blob', randomBytes(24_000_000).toString('base64')),
    reached: (running) => running.until((line) => line.type === 'step-progress' && line.action === 'ship-image'),
  },
  {
    name: 'while the old one is being stopped',
    reached: (running) => running.until(isProgress('stopping the old one')),
  },
  {
    name: 'right after the old one was stopped',
    reached: async (running) => {
      await running.until(isProgress('stopping the old one'));
      await eventually(async () => expect(await stateOf('host1', `${PROJECT}-dev-site-1`)).toBe('exited'));
    },
  },
  { name: 'while the new one is not healthy yet', reached: (running) => running.until(isProgress('port 8611')) },
  { name: 'while the old one is drained', reached: (running) => running.until(isProgress('draining the old one')) },
];

async function stateOf(host: string, name: string): Promise<string | undefined> {
  return (await scenario.containers(host)).find((each) => each.name === name)?.state;
}

describe.each(MOMENTS)('$name', (moment) => {
  test('Ctrl-C ends within 7 s with 130 and the service serves, and the next deploy converges', async () => {
    const old = await siteAnswer();
    const version = await changeCode();
    await moment.prepare?.();
    const running = followCu(scenario, {}, 'deploy');
    await moment.reached(running);

    const stoppedAt = performance.now();
    running.kill('SIGINT');
    const { exitCode, all } = await running.ended;

    expect(exitCode, all).toBe(130);
    expect(performance.now() - stoppedAt).toBeLessThan(7000);
    expect(await allContainers()).not.toMatch(/-new /);
    expect(await stateOf('host1', `${PROJECT}-dev-site-1`)).toBe('running');
    expect(await stateOf('host2', `${PROJECT}-dev-jobs-1`)).toBe('running');
    expect([old, version]).toContain(await eventually(siteAnswer));
    // A stop that was interrupted would end the old one a moment later.
    const wait = await scenario.testbed.exec('host1', ['timeout', '2', 'docker', 'wait', `${PROJECT}-dev-site-1`]);
    expect(wait, 'the site stays up').toMatchObject({ exitCode: 124 });
    await expectToConverge(version);
  });

  test('after SIGKILL the next deploy converges and leaves nothing behind', async () => {
    const version = await changeCode();
    await moment.prepare?.();
    const running = followCu(scenario, {}, 'deploy');
    await moment.reached(running);

    running.kill('SIGKILL');
    await running.ended;

    await expectToConverge(version);
  });
});

test('a second Ctrl-C leaves at once and names the hosts in hand, and the next deploy converges', async () => {
  const version = await changeCode();
  const running = followCu(scenario, {}, 'deploy');
  // Putting back waits for the old one to have stopped: long enough for a person to lose patience.
  await running.until(isProgress('stopping the old one'));
  running.kill('SIGINT');
  await eventually(() => expect(running.stderr()).toContain('once more leaves at once'));
  // A signal that npm passes on as well comes twice within 300 ms and counts once.
  const ended = await eventually(async () => {
    running.kill('SIGINT');
    expect(running.stderr()).toContain('left at once');
    return running.ended;
  });

  expect(ended.exitCode, ended.all).toBe(130);
  expect(ended.all).toMatch(/left at once; maybe half done: host1/);
  await expectToConverge(version);
});

async function expectToConverge(version: string): Promise<void> {
  const next = await scenario.cu('deploy');

  expect(next.exitCode, next.all).toBe(0);
  expect(await eventually(siteAnswer)).toBe(version);
  expect(await allContainers()).toBe(
    ['host1 site-1 running', 'host2 jobs-1 running'].map((text) => text.replace(' ', ` ${PROJECT}-dev-`)).join('\n'),
  );
  for (const host of ['host1', 'host2']) {
    expect(
      await scenario.docker(host, 'network', 'ls', '--filter', `label=cu.project=${PROJECT}`, '--format', '{{.Name}}'),
    ).toBe(`${PROJECT}-dev`);
    expect(
      temporaryTags(await scenario.docker(host, 'images', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')),
    ).toEqual([]);
  }
  expect(temporaryTags(await localDocker('images', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}'))).toEqual([]);
  expect(await localDocker('ps', '-a', '--filter', `label=cu.project=${PROJECT}`, '--format', '{{.Names}}')).toBe('');
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
}

/** Of this project alone: others use the same engines at the same time. */
function temporaryTags(images: string): readonly string[] {
  const lines = images.split('\n');
  const own = new Set(lines.filter((line) => line.startsWith(`${PROJECT}:`)).map((line) => line.split(' ')[1]));
  return lines.filter((line) => /^(127\.0\.0\.1:|cu-load:)/.test(line) && own.has(line.split(' ')[1]));
}

async function localDocker(...argv: readonly string[]): Promise<string> {
  return (await execa('docker', ['-H', `unix://${scenario.testbed.engineSocket}`, ...argv])).stdout;
}

async function allContainers(): Promise<string> {
  const found = await Promise.all(
    ['host1', 'host2'].map(async (host) =>
      (await scenario.containers(host)).map(({ name, state }) => `${host} ${name} ${state}`),
    ),
  );
  return found.flat().toSorted().join('\n');
}

async function siteAnswer(): Promise<string> {
  const [host1] = scenario.testbed.hosts;
  return (await (await fetch(`http://${host1?.address}:8611/`, { signal: AbortSignal.timeout(3000) })).text()).trim();
}
