import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, SMALL_APP, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';

/** What hosts remember of releases, and the ways back and forth between them. */
const PROJECT = 'e2e-releases';
const CONFIG = `
environments: { dev: { default: true }, stable: { services: { site: { ports: ["*:8582"] } } } }
storage: none
images: { app: { repository: ${PROJECT}, build: { context: . }, keep: 5 } }
services:
  site: { kind: webserver, image: app, command: [sh, /app.sh], env: { COLOUR: red }, on: [host1, host2], ports: ["*:8581"], drain: 2s, health: { type: http, path: /healthz, stable: 300ms, timeout: 5s } }
  loop: { kind: container, image: app, on: [host3] }
`;

interface Recorded {
  readonly id: string;
  readonly kind: string;
  readonly outcome: string;
  readonly reason?: string;
  readonly commit?: string;
  readonly versions: readonly string[];
}

let scenario: Scenario;

beforeAll(async () => {
  scenario = await startScenario({ project: PROJECT, config: CONFIG, files: SMALL_APP });
  await release('one');
});

afterAll(() => scenario[Symbol.asyncDispose]());

async function release(version: string): Promise<void> {
  await scenario.write('app.sh', (SMALL_APP['app.sh'] ?? '').replace('VERSION=one', `VERSION=${version}`));
  const deployed = await scenario.cu('deploy');
  expect(deployed.exitCode, deployed.all).toBe(0);
}

/** What lies in the project's folder becomes a commit, which is returned. */
async function commit(): Promise<string> {
  const git = async (...argv: readonly string[]): Promise<string> => {
    const who = ['-c', 'user.name=ana', '-c', 'user.email=ana@example.org'];
    return (await execa('git', [...who, ...argv], { cwd: scenario.directory })).stdout.trim();
  };
  await git('init', '--quiet');
  await git('add', '--all');
  await git('commit', '--quiet', '--allow-empty', '--message', 'work');
  return git('rev-parse', 'HEAD');
}

async function history(environment = 'dev'): Promise<readonly Recorded[]> {
  const { stdout } = await scenario.cu('history', '--json', '--env', environment);
  return JSON.parse(stdout).releases;
}

async function answers(port = 8581): Promise<readonly string[]> {
  const hosts = scenario.testbed.hosts.filter(({ name }) => name === 'host1' || name === 'host2');
  return eventually(() =>
    Promise.all(
      hosts.map(async ({ address }) =>
        (await (await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(3000) })).text()).trim(),
      ),
    ),
  );
}

async function colourOn(host: string): Promise<string> {
  return scenario.docker(host, 'exec', `${PROJECT}-dev-site-1`, 'sh', '-c', 'echo $COLOUR');
}

/** As if somebody else changed the environment on a host meanwhile. */
async function whileLocked<T>(host: string, work: () => Promise<T>): Promise<T> {
  const find = `case $(ls -ld /run/lock/) in d???????w*) dir=/run/lock ;; *) dir=/tmp ;; esac; lock=$dir/cu-${PROJECT}-dev.lock`;
  const sh = (script: string): ReturnType<Scenario['testbed']['exec']> =>
    scenario.testbed.exec(host, ['sh', '-c', `${find}; ${script}`]);
  const holding = sh('exec 9<$lock; flock 9; until [ -e $lock.end ]; do sleep 0.1; done; rm $lock.end');
  try {
    await eventually(async () => expect((await sh('flock -n $lock true')).exitCode).not.toBe(0));
    return await work();
  } finally {
    await sh('touch $lock.end');
    await holding;
  }
}

test('a deploy is recorded with what it did, one without changes is not', async () => {
  const before = await history();
  expect(before).toMatchObject([{ kind: 'deploy', outcome: 'done' }]);
  expect((await scenario.cu('history')).stdout).toContain(`  ${before[0]?.id}  `);

  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });

  expect(await history()).toHaveLength(1);
});

test('rollback brings back the images and the settings of the release before, and rollback again goes on back', async () => {
  const config = await scenario.read('cu.config.yaml');
  await scenario.write('cu.config.yaml', config.replace('COLOUR: red', 'COLOUR: blue'));
  const built = await commit();
  await release('two');
  expect(await commit()).not.toBe(built);
  await scenario.write('cu.config.yaml', config.replace('COLOUR: red', 'COLOUR: green'));
  await release('three');
  expect(await answers()).toEqual(['three', 'three']);
  // The image of a release is enough: nothing of its containers is left.
  const shown = await scenario.cu('rollback', '--dry-run');
  expect(shown.stdout).toContain('replace');

  const first = await scenario.cu('rollback');

  expect(first.exitCode, first.all).toBe(0);
  expect(first.all).not.toContain('built');
  expect(await answers()).toEqual(['two', 'two']);
  expect(await colourOn('host2')).toBe('blue');
  expect((await history())[0]).toMatchObject({ kind: 'rollback', commit: built });

  const second = await scenario.cu('rollback');

  expect(second.exitCode, second.all).toBe(0);
  expect(await answers()).toEqual(['one', 'one']);
  expect(await colourOn('host1')).toBe('red');
  expect((await history()).slice(0, 2)).toMatchObject([
    { kind: 'rollback', outcome: 'done' },
    { kind: 'rollback', outcome: 'done' },
  ]);
  await scenario.write('cu.config.yaml', config);
});

test('a version by name comes back, an unknown one is refused with those that are known', async () => {
  const known = (await history()).find(({ kind }) => kind === 'deploy');
  const version = known?.versions[0] ?? '';

  const unknown = await scenario.cu('rollback', 'r9.d20200101.habcdef0');
  expect(unknown).toMatchObject({ exitCode: 2 });
  expect(unknown.stderr).toContain(version);

  const named = await scenario.cu('rollback', version);
  expect(named.exitCode, named.all).toBe(0);
  expect(await answers()).toEqual(['three', 'three']);
});

test('a version that never gets well puts all hosts back and is recorded as that', async () => {
  const before = await answers();
  await scenario.write('app.sh', (SMALL_APP['app.sh'] ?? '').replace('echo ok > /tmp/www/healthz', 'true'));

  const failed = await scenario.cu('deploy');

  expect(failed.exitCode, failed.all).toBe(4);
  expect(await answers()).toEqual(before);
  const [newest] = await history();
  expect(newest?.outcome === 'rolled-back' || newest?.outcome === 'failed').toBe(true);
  expect(newest?.reason).toContain('did not become healthy');
});

test('promote gives the same bytes to another environment, and refuses what is not well', async () => {
  const refused = await scenario.cu('promote', 'dev', 'stable');
  expect(refused.exitCode).toBe(4);
  expect(refused.stderr).toContain('dev is not healthy: its last deploy');
  await release('four');

  const promoted = await scenario.cu('promote', 'dev', 'stable');

  expect(promoted.exitCode, promoted.all).toBe(0);
  expect(promoted.all).not.toContain('built');
  expect(await answers(8582)).toEqual(['four', 'four']);
  const [dev, stable] = await Promise.all(
    ['dev', 'stable'].map((environment) =>
      scenario.docker('host1', 'inspect', '--format', '{{.Image}}', `${PROJECT}-${environment}-site-1`),
    ),
  );
  expect(stable).toBe(dev);
  const [newest] = await history();
  expect(newest?.commit).toMatch(/^[0-9a-f]{40}$/);
  expect(await history('stable')).toMatchObject([{ kind: 'promote', outcome: 'done', commit: newest?.commit }]);
});

test('a rollback undoes a rebuild of the same files, byte for byte', async () => {
  const imageIds = (): Promise<readonly string[]> =>
    Promise.all(
      ['host1', 'host2'].map((host) =>
        scenario.docker(host, 'inspect', '--format', '{{.Image}}', `${PROJECT}-dev-site-1`),
      ),
    );
  const before = await imageIds();
  const rebuilt = await scenario.cu('deploy', '--rebuild');
  expect(rebuilt.exitCode, rebuilt.all).toBe(0);
  for (const id of await imageIds()) expect(before).not.toContain(id);

  const back = await scenario.cu('rollback');

  expect(back.exitCode, back.all).toBe(0);
  expect(await imageIds()).toEqual(before);
});

test('a host that left the config is found again, and what ran there goes when somebody says so', async () => {
  const config = await scenario.read('cu.config.yaml');
  await scenario.write(
    'cu.config.yaml',
    config
      .split('\n')
      .filter((line) => !/^ {2}(host3|loop):/.test(line))
      .join('\n'),
  );
  expect(await scenario.containers('host3')).not.toEqual([]);

  const asked = await scenario.cu('deploy');
  expect(asked.exitCode, asked.all).toBe(2);
  expect(asked.stderr).toContain(`${PROJECT}-dev-loop-1 on host3`);

  const held = await whileLocked('host3', () => scenario.cu('deploy', '--prune'));
  expect(held.exitCode, held.all).toBe(5);
  expect(await scenario.containers('host3')).toHaveLength(2);

  const pruned = await scenario.cu('deploy', '--prune');

  expect(pruned.exitCode, pruned.all).toBe(0);
  expect((await scenario.containers('host3')).map(({ name }) => name)).toEqual([`${PROJECT}-stable-loop-1`]);
  for (const what of ['network', 'volume']) {
    const names = await scenario.docker('host3', what, 'ls', '--format', '{{.Name}}');
    expect(names.split('\n').filter((name) => name.startsWith(`${PROJECT}-dev`))).toEqual([]);
  }
  const script = `docker cp ${PROJECT}-dev-state:/state/now/hosts - | tar -xO`;
  const { stdout: remembered } = await scenario.testbed.exec('host1', ['sh', '-c', script]);
  expect(remembered).toContain('host2');
  expect(remembered).not.toContain('host3');
  expect(await scenario.cu('deploy')).toMatchObject({ exitCode: 0, stdout: 'nothing to do' });
  await scenario.write('cu.config.yaml', config);
});

test('two who deploy at once: one goes on, the other is told who it is', async () => {
  await scenario.write('app.sh', (SMALL_APP['app.sh'] ?? '').replace('VERSION=one', 'VERSION=five'));
  const results = await Promise.all([scenario.cu('deploy'), scenario.cu('deploy')]);

  const codes = results.map(({ exitCode }) => exitCode).toSorted((a, b) => a - b);
  expect(codes, results.map(({ all }) => all).join('\n')).toEqual([0, 5]);
  expect(results.find(({ exitCode }) => exitCode === 5)?.stderr).toMatch(
    /is being changed by \S+@\S+ since .*cu deploy/,
  );
  expect(await answers()).toEqual(['five', 'five']);
});

test('the status says how the proxy sees each instance, at its public port', async () => {
  const { stdout } = await scenario.cu('status', '--json');
  const rows: { service: string; proxy?: string; ports: string[] }[] = JSON.parse(
    stdout.split('\n').at(-1) ?? '',
  ).instances;

  const sites = rows.filter(({ service }) => service === 'site');
  expect(sites).toHaveLength(2);
  for (const { proxy, ports } of sites) {
    expect(proxy).toMatch(/^UP\b.*, \d+ requests?$/);
    expect(ports).toEqual(['0.0.0.0:8581']);
  }
});

test('what is taken away whole is taken from a host that left the config as well', async () => {
  const config = await scenario.read('cu.config.yaml');
  expect((await scenario.cu('deploy')).exitCode).toBe(0);
  const onHost3 = async (): Promise<readonly string[]> =>
    (await scenario.containers('host3')).map(({ name }) => name).filter((name) => name.includes('-dev-'));
  expect(await onHost3()).toEqual([`${PROJECT}-dev-loop-1`]);
  const without = config.split('\n').filter((line) => !/^ {2}(host3|loop):/.test(line));
  await scenario.write('cu.config.yaml', without.join('\n'));

  const removed = await scenario.cu('remove', '--yes');

  expect(removed.exitCode, removed.all).toBe(0);
  expect(await onHost3()).toEqual([]);
  await scenario.write('cu.config.yaml', config);
});
