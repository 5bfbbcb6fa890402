import { afterAll, beforeAll, expect, test } from 'vitest';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

const CONFIG = `
secrets: { files: [.cu/secrets.env] }
users: { app: { uid: 1234, gid: 2345 }, me: host }
images: { app: { repository: e2e-main-feat, build: { context: ., args: { COLOUR: blue, FROM_OUTSIDE: null } } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6530:6379"] }
  full:
    kind: container
    image: app
    user: app
    env: { MODE: fast, PORT: 7 }
    secrets: [API_TOKEN]
    memory: 10%
    cpus: 0.5
    shm: 32m
    pids: 64
    ulimits: { nofile: 512 }
    mounts: ["data:/data", "/etc:/host-etc:ro"]
    readOnly: true
    labels: { team: maps }
    stopSignal: SIGINT
    restart: on-failure
    logs: { maxSize: 1m, maxFiles: 2 }
    on: [host1]
  mine: { kind: container, image: app, user: me, on: [host1] }
`;

const FILES = {
  ...SMALL_APP,
  Dockerfile:
    'FROM busybox\nARG COLOUR\nARG FROM_OUTSIDE\nRUN echo "$COLOUR $FROM_OUTSIDE" > /args\nCOPY app.sh /app.sh\nCMD ["sh", "/app.sh"]\n',
  '.cu/secrets.env': "API_TOKEN='s3cret-token'\n",
};

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: 'e2e-main-feat', config: CONFIG, files: FILES, hosts: ['host1'] });
  const deployed = await scenario.cuWith({ env: { FROM_OUTSIDE: 'outside' } }, 'deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
});

afterAll(() => scenario[Symbol.asyncDispose]());

test('every limit and option reaches the engine', async () => {
  const shown: unknown = JSON.parse(await scenario.docker('host1', 'inspect', 'e2e-main-feat-dev-full-1'));

  const memory = Math.floor(0.1 * Number(await scenario.docker('host1', 'info', '-f', '{{.MemTotal}}')));
  expect(shown).toMatchObject([
    {
      Config: { User: '1234:2345', StopSignal: 'SIGINT', Labels: { team: 'maps', 'cu.project': 'e2e-main-feat' } },
      HostConfig: {
        Memory: memory,
        NanoCpus: 5e8,
        ShmSize: 32 * 1024 ** 2,
        PidsLimit: 64,
        Ulimits: [{ Name: 'nofile', Soft: 512, Hard: 512 }],
        ReadonlyRootfs: true,
        RestartPolicy: { Name: 'on-failure' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': `${1024 ** 2}`, 'max-file': '2' } },
      },
    },
  ]);
});

test('the container finds its settings, its secrets and its mounts', async () => {
  const script =
    'env | grep -E "^(CU_|MODE|PORT|API_TOKEN)" | sort; cat /run/secrets/API_TOKEN; echo; stat -c "%a %u %g" /run/secrets/API_TOKEN; touch /host-etc/x 2>&1; cat /args; ls -d /data';
  const { stdout } = await scenario.cu('exec', 'full', '--', 'sh', '-c', script);

  const broker = scenario.testbed.hosts[0]?.name === 'host1' ? 'broker:6379' : '';
  expect(stdout).toMatch(new RegExp(`^CU_BROKER_URL=redis://admin:[^@]+@${broker}/0$`, 'm'));
  expect(stdout).toContain('CU_HOST=host1\nCU_INSTANCE=1\nCU_PROJECT=e2e-main-feat');
  expect(stdout).toContain('API_TOKEN=s3cret-token');
  expect(stdout).toContain('s3cret-token\n400 1234 2345');
  expect(stdout).toContain('Read-only file system');
  expect(stdout).toContain('blue outside');
});

test('`user: host` is the uid and gid that the SSH user has there', async () => {
  const { stdout } = await scenario.cu('exec', 'mine', '--', 'id');

  expect(stdout).toContain('uid=1001 gid=1001');
});

test('a second person on the same host sees nothing to do, and deploys without losing the broker', async () => {
  const broker = (await scenario.containers('host1')).find((each) => each.name.includes('broker'));
  const text = await scenario.read('cu.config.yaml');
  await scenario.write(
    'cu.config.yaml',
    text.replace('user: deploy', 'user: second').replace('users: {', 'users: {').replace('user: me', 'user: app'),
  );

  expect((await scenario.cu('deploy')).exitCode).toBe(0);

  expect((await scenario.containers('host1')).find((each) => each.name.includes('broker'))).toEqual(broker);
  expect((await scenario.cu('deploy')).stdout).toBe('nothing to do');
});

test('a saved plan is done as it was shown, and refused once the hosts have changed', async () => {
  await scenario.write('app.sh', `${await scenario.read('app.sh')}# another\n`);
  expect((await scenario.cu('plan', '--out', 'plan.json')).exitCode).toBe(0);
  expect(await scenario.read('plan.json')).not.toContain('s3cret');
  await scenario.docker('host1', 'stop', '-t', '1', 'e2e-main-feat-dev-mine-1');

  const stale = await scenario.cu('deploy', '--plan', 'plan.json');
  expect(stale).toMatchObject({ exitCode: 4, stdout: '' });
  expect(stale.stderr).toContain('host1 changed since plan.json was made');

  expect((await scenario.cu('plan', '--out', 'plan.json')).exitCode).toBe(0);
  const done = await scenario.cu('deploy', '--plan', 'plan.json');
  expect(done.exitCode, done.all).toBe(0);
});

test('an older version comes back without a build', async () => {
  const versions = (await scenario.docker('host1', 'images', '--format', '{{.Tag}}', 'e2e-main-feat')).split('\n');
  const current = await scenario.docker(
    'host1',
    'inspect',
    '-f',
    '{{index .Config.Labels "cu.version"}}',
    'e2e-main-feat-dev-mine-1',
  );
  const older = versions.find((tag) => tag !== 'dev' && tag !== current) ?? '';

  const result = await scenario.cu('deploy', '--version', older);

  expect(result.exitCode, result.all).toBe(0);
  expect(result.stderr).not.toContain('build app');
  expect(
    await scenario.docker(
      'host1',
      'inspect',
      '-f',
      '{{index .Config.Labels "cu.version"}}',
      'e2e-main-feat-dev-mine-1',
    ),
  ).toBe(older);
  const unknown = await scenario.cu('deploy', '--version', 'r0.nope');
  expect(unknown.exitCode).toBe(2);
  expect(unknown.stderr).toContain(older);
});

test('push brings the image and restarts nothing', async () => {
  await scenario.write('app.sh', `${await scenario.read('app.sh')}# pushed\n`);
  const before = await scenario.containers('host1');
  const images = (await scenario.docker('host1', 'images', '-q', 'e2e-main-feat')).split('\n').length;

  const result = await scenario.cu('push');

  expect(result.exitCode, result.all).toBe(0);
  expect(await scenario.containers('host1')).toEqual(before);
  expect((await scenario.docker('host1', 'images', '-q', 'e2e-main-feat')).split('\n').length).toBeGreaterThan(images);
});
