import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setInterval } from 'node:timers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execa } from 'execa';
import { SMALL_APP, startScenario } from '../support/scenario.ts';
import type { CuResult, Scenario } from '../support/scenario.ts';

const PROJECT = 'e2e-fail-secret';
/** Only this machine's engine takes this registry without TLS: the push works, the hosts' pulls say why they do not. */
const REGISTRY = '10.213.0.1:5055';
const CONFIG = `
storage: none
secrets: { files: [.cu/secrets.env] }
environments:
  dev: { default: true }
  published:
    images: { app: { repository: "${REGISTRY}/${PROJECT}" } }
    services: { broker: { ports: ["eth0:6632:6379"] } }
registries: { "${REGISTRY}": { username: ci, password: { secret: REGISTRY_TOKEN } } }
images: { app: { repository: ${PROJECT}, build: { context: ., secrets: [BUILD_TOKEN] } } }
services:
  broker: { kind: redis, on: [host1], ports: ["eth0:6631:6379"] }
  worker: { kind: worker, image: app, command: [sh, /app.sh], drain: 1s, on: [host1, host2], secrets: [API_TOKEN], health: { stable: 300ms } }
  other: { kind: container, image: app, command: [sh, /app.sh], drain: 1s, on: [host2] }
`;
const DOCKERFILE = `FROM busybox
RUN --mount=type=secret,id=BUILD_TOKEN wc -c /run/secrets/BUILD_TOKEN && echo ${randomBytes(6).toString('hex')}
COPY app.sh /app.sh
`;
const HOSTS = ['host1', 'host2'];
const NAMES = ['API_TOKEN', 'BROKER_PASSWORD', 'BUILD_TOKEN', 'REGISTRY_TOKEN'] as const;

const values = Object.fromEntries(
  NAMES.map((name) => [name, `${name.toLowerCase()}${randomBytes(12).toString('hex')}`]),
);
const everything: string[] = [];
let scenario: Scenario;
let first: CuResult;
let pushed: CuResult;

beforeAll(async () => {
  scenario = await startScenario({
    project: PROJECT,
    config: CONFIG,
    files: { ...SMALL_APP, Dockerfile: DOCKERFILE },
    hosts: HOSTS,
  });
  await writeSecrets(values);
  const samples = sampleProcesses();
  first = await scenario.cu('deploy', '-v', '--log-file', 'cu.log');
  pushed = await scenario.cu('push', '--env', 'published', '-v', '--log-file', 'cu.log');
  everything.push(...(await samples.stop()));
  expect(first.exitCode, first.all).toBe(0);
  expect(pushed.all).toMatch(/pushed app/);
  expect(pushed.all).toContain('cannot pull');
});

afterAll(async () => {
  await scenario[Symbol.asyncDispose]();
  const { tags } = (await (await fetch(`http://${REGISTRY}/v2/${PROJECT}/tags/list`)).json()) as {
    tags: readonly string[] | null;
  };
  for (const tag of tags ?? []) {
    const manifest = `http://${REGISTRY}/v2/${PROJECT}/manifests/`;
    const found = await fetch(manifest + tag, {
      headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' },
    });
    await fetch(manifest + (found.headers.get('docker-content-digest') ?? ''), { method: 'DELETE' });
  }
});

function writeSecrets(secrets: Readonly<Record<string, string>>): Promise<void> {
  return scenario.write(
    '.cu/secrets.env',
    Object.entries(secrets)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
}

/** Names of the secrets whose values stand in a text; also in Base64, as registries get them. */
function leaksIn(text: string): readonly string[] {
  const encoded = [
    text,
    ...(text.match(/[A-Za-z0-9+/_-]{24,}={0,2}/g) ?? []).map((word) => Buffer.from(word, 'base64').toString('latin1')),
  ];
  return NAMES.filter((name) => encoded.some((each) => each.includes(values[name] ?? '')));
}

/** Command lines on this machine and, as `ps` shows them, in the hosts, again and again until stopped. */
function sampleProcesses(): { stop(): Promise<readonly string[]> } {
  const seen = new Set<string>();
  const timer = setInterval(() => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) seen.add(commandLine(pid));
  }, 40);
  const stopFile = `/tmp/stop-${randomBytes(6).toString('hex')}`;
  const script = `for i in $(seq 600); do [ -e ${stopFile} ] && break; ps auxww; sleep 0.1; done; rm -f ${stopFile}`;
  const onHosts = HOSTS.map((host) => scenario.testbed.exec(host, ['sh', '-c', script]));
  return {
    stop: async () => {
      clearInterval(timer);
      for (const host of HOSTS) await scenario.testbed.exec(host, ['touch', stopFile]);
      const lists = await Promise.all(onHosts);
      return [...seen, ...lists.map((list) => list.stdout)];
    },
  };
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

test('the secrets arrive where they are wanted', async () => {
  const env = await scenario.docker(
    'host2',
    'exec',
    `${PROJECT}-dev-worker-1`,
    'sh',
    '-c',
    'cat /run/secrets/API_TOKEN; echo; echo $API_TOKEN; echo $CU_BROKER_URL',
  );

  expect(env.split('\n').slice(0, 2)).toEqual([values['API_TOKEN'], values['API_TOKEN']]);
  expect(env).toContain(values['BROKER_PASSWORD']);
  expect(await scenario.docker('host2', 'exec', `${PROJECT}-dev-other-1`, 'env')).not.toContain(values['API_TOKEN']);
});

test('no secret is on a process list, here or on the hosts, at any time of a deploy', () => {
  expect(everything.join('\n')).toContain('dockerd');
  expect(leaksIn(everything.join('\n'))).toEqual([]);
});

test('no secret is in the output at the highest verbosity, nor in the log file', async () => {
  expect(first.all).toContain('BUILD_TOKEN');
  expect(leaksIn(first.all)).toEqual([]);
  expect(leaksIn(pushed.all)).toEqual([]);
  expect(leaksIn(await scenario.read('cu.log'))).toEqual([]);
});

test('no secret is in the plan, the saved plan, or anything else that cu says', async () => {
  await writeSecrets({ ...values, API_TOKEN: `${values['API_TOKEN']}x` });

  const said = [
    await scenario.cu('plan', '--json', '-v', '--out', 'plan.json'),
    await scenario.cu('deploy', '--dry-run', '--json', '-v'),
    await scenario.cu('config'),
    await scenario.cu('config', '--json'),
    await scenario.cu('validate', '--json'),
    await scenario.cu('status', '--json', '-v'),
  ];

  await writeSecrets(values);
  expect(said.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0, 0, 0]);
  expect(said[0]?.stdout).toContain('secrets changed');
  expect(leaksIn(said.map(({ all }) => all).join('\n'))).toEqual([]);
  expect(leaksIn(await scenario.read('plan.json'))).toEqual([]);
});

test('no secret is in labels, commands, images or their history', async () => {
  for (const host of HOSTS) {
    const format =
      '{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Args}} {{json .Config.Healthcheck}}';
    const ids = (await scenario.docker(host, 'ps', '-aq', '--filter', `label=cu.project=${PROJECT}`)).split('\n');
    expect(leaksIn(await scenario.docker(host, 'inspect', '--format', format, ...ids))).toEqual([]);
    expect(leaksIn(await scenario.docker(host, 'volume', 'inspect', `${PROJECT}-dev-state`))).toEqual([]);
  }
  const local = async (...argv: readonly string[]): Promise<string> =>
    (await execa('docker', ['-H', `unix://${scenario.testbed.engineSocket}`, ...argv])).stdout;
  const image = (await scenario.docker('host2', 'images', '-q', PROJECT)).split('\n')[0] ?? '';
  expect(leaksIn(await local('history', '--no-trunc', image))).toEqual([]);
  expect(leaksIn(await local('inspect', image))).toEqual([]);
  const layers = await scenario.testbed.exec('host2', [
    'sh',
    '-c',
    `docker save ${image} | grep -a -c -e ${NAMES.map((name) => values[name]).join(' -e ')}`,
  ]);
  expect(layers.stdout.trim()).toBe('0');
});

test('a changed secret restarts those who use it and nothing else', async () => {
  const before = await containers();
  await writeSecrets({ ...values, API_TOKEN: `api_token${randomBytes(12).toString('hex')}` });

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(0);
  const after = await containers();
  expect([...after.keys()].filter((id) => !before.has(id)).map((id) => after.get(id))).toEqual([
    `host1 ${PROJECT}-dev-worker-1`,
    `host2 ${PROJECT}-dev-worker-1`,
  ]);
  expect(result.all).toContain('secrets changed');
  await writeSecrets(values);
});

test('a missing secret is found before anything changes, and where it was looked for is told', async () => {
  const before = await containers();
  const { API_TOKEN: _missing, ...rest } = values;
  await writeSecrets(rest);

  const result = await scenario.cu('deploy');

  expect(result.exitCode, result.all).toBe(2);
  expect(await containers()).toEqual(before);
  expect(result.stderr).toMatch(/the secret API_TOKEN is missing: looked in \.cu\/secrets\.env, then the environment/);
  expect(leaksIn(result.all)).toEqual([]);
});

async function containers(): Promise<ReadonlyMap<string, string>> {
  const found = await Promise.all(
    HOSTS.map(async (host) =>
      (await scenario.containers(host)).map(({ id, name }) => [id, `${host} ${name}`] as const),
    ),
  );
  return new Map(found.flat().toSorted(([, a], [, b]) => a.localeCompare(b)));
}
