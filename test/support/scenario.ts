import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { attachTestbed } from './hosts.ts';
import type { Testbed } from './hosts.ts';

/** One project in a folder of its own, deployed by `bin/cu.js` as a process to the real test hosts. */
export interface Scenario extends AsyncDisposable {
  readonly testbed: Testbed;
  readonly directory: string;
  readonly project: string;
  /** Runs cu and waits for its end; never throws for an exit code. */
  cu(...argv: readonly string[]): Promise<CuResult>;
  cuWith(options: CuOptions, ...argv: readonly string[]): Promise<CuResult>;
  /** Starts cu and leaves it running, for signals and follows. */
  start(options: CuOptions, ...argv: readonly string[]): RunningCu;
  write(path: string, text: string): Promise<void>;
  read(path: string): Promise<string>;
  /** Containers of this project on a host, by name, as `docker ps -a` has them. */
  containers(host: string): Promise<readonly Container[]>;
  /** Runs the docker CLI inside a host. */
  docker(host: string, ...argv: readonly string[]): Promise<string>;
}

export interface CuOptions {
  readonly env?: Readonly<Record<string, string>>;
}

export interface CuResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order they came. */
  readonly all: string;
}

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly state: string;
}

export interface ScenarioOptions {
  readonly project: string;
  /** The config but for `project`, `ssh` and `hosts`. */
  readonly config: string;
  readonly files?: Readonly<Record<string, string>>;
  /** A folder that is copied first, such as the template. */
  readonly template?: string;
  readonly user?: string;
  readonly hosts?: readonly string[];
}

const CU = fileURLToPath(new URL('../../bin/cu.js', import.meta.url));

/** A small image that answers HTTP on CU_PORT and stops at once; `app.sh` is what tests change. */
export const SMALL_APP: Readonly<Record<string, string>> = {
  Dockerfile: 'FROM busybox\nCOPY app.sh /app.sh\nCMD ["sh", "/app.sh"]\n',
  '.dockerignore': '*\n!app.sh\n!Dockerfile\n',
  'app.sh': [
    "trap 'exit 0' TERM INT",
    'VERSION=one',
    'echo "started $CU_SERVICE/$CU_INSTANCE on $CU_HOST, version $VERSION"',
    'if [ -n "$CU_PORT" ]; then mkdir -p /tmp/www; echo ok > /tmp/www/healthz; echo $VERSION > /tmp/www/index.html; httpd -f -p $CU_PORT -h /tmp/www & fi',
    'while true; do sleep 1 & wait $!; done',
    '',
  ].join('\n'),
};

export async function startScenario(options: ScenarioOptions): Promise<Scenario> {
  const testbed = await attachTestbed();
  const directory = await mkdtemp(join(tmpdir(), `cu-e2e-${options.project}-`));
  if (options.template !== undefined) await cp(options.template, directory, { recursive: true });
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(directory, path, '..'), { recursive: true });
    await writeFile(join(directory, path), text);
  };
  for (const [path, text] of Object.entries(options.files ?? {})) await write(path, text);
  await write('cu.config.yaml', configText(options, testbed));
  const env = (extra: CuOptions): Record<string, string> => ({
    PATH: process.env['PATH'] ?? '',
    HOME: directory,
    CI: 'true',
    DOCKER_HOST: `unix://${testbed.engineSocket}`,
    XDG_CACHE_HOME: join(tmpdir(), 'cu-e2e-cache'),
    ...extra.env,
  });
  const cuWith = async (extra: CuOptions, ...argv: readonly string[]): Promise<CuResult> => {
    const result = await execa('node', [CU, ...argv], {
      cwd: directory,
      env: env(extra),
      extendEnv: false,
      reject: false,
      all: true,
      stdin: 'ignore',
      timeout: 240_000,
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr, all: result.all };
  };
  const docker = async (host: string, ...argv: readonly string[]): Promise<string> => {
    const result = await testbed.exec(host, ['docker', ...argv]);
    if (result.exitCode !== 0) throw new Error(`docker ${argv.join(' ')} on ${host}: ${result.stderr}`);
    return result.stdout;
  };
  return {
    testbed,
    directory,
    project: options.project,
    cu: (...argv) => cuWith({}, ...argv),
    cuWith,
    start: (extra, ...argv) => startCu(directory, env(extra), argv),
    write,
    read: (path) => readFile(join(directory, path), 'utf8'),
    docker,
    containers: async (host) => {
      const text = await docker(
        host,
        'ps',
        '-a',
        '--no-trunc',
        '--filter',
        `label=cu.project=${options.project}`,
        '--filter',
        'label=cu.service',
        '--format',
        '{{.ID}} {{.Names}} {{.State}}',
      );
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const [id = '', name = '', state = ''] = line.split(' ');
          return { id, name, state };
        });
    },
    [Symbol.asyncDispose]: async () => {
      for (const host of testbed.hosts) await wipe(testbed, host.name, options.project);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export type RunningCu = ReturnType<typeof startCu>;

function startCu(cwd: string, env: Readonly<Record<string, string>>, argv: readonly string[]) {
  return execa('node', [CU, ...argv], {
    cwd,
    env: { ...env },
    extendEnv: false,
    reject: false,
    all: true,
    stdin: 'ignore',
  });
}

/** Asks again until it holds; the last failure is what the test fails with. */
export async function eventually<T>(check: () => Promise<T> | T, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

function configText({ project, config, user = 'deploy', hosts }: ScenarioOptions, testbed: Testbed): string {
  const used = testbed.hosts.filter((host) => hosts === undefined || hosts.includes(host.name));
  const lines = used.map(
    (host) => `  ${host.name}: { address: ${host.address}, port: ${host.port}, advertise: ${host.address} }`,
  );
  const known = JSON.stringify(used.flatMap((host) => host.hostKeyLines));
  return [
    `project: ${project}`,
    `ssh: { user: ${user}, identity: ${testbed.identity}, knownHosts: ${known} }`,
    'hosts:',
    ...lines,
    config,
    '',
  ].join('\n');
}

/** Everything of a project off a host, whatever state a test left it in. */
async function wipe(testbed: Testbed, host: string, project: string): Promise<void> {
  const label = `label=cu.project=${project}`;
  const script = [
    // With the last route goes the proxy; a config that still has the others' is made anew by the next of them. Others
    // may be at it just now.
    // The folder of cu's locks is /run/lock where everybody may write there.
    `case $(ls -ld /run/lock/) in d???????w*) lock=/run/lock/cu-proxy.lock ;; *) lock=/tmp/cu-proxy.lock ;; esac`,
    `[ -e $lock ] || (umask 0; : >$lock)`,
    `exec 9<$lock; flock -w 60 9`,
    `docker exec cu-proxy sh -c 'rm -f /etc/cu-proxy/routes/${project}-*.json' 2>/dev/null`,
    `[ -n "$(docker exec cu-proxy sh -c 'ls /etc/cu-proxy/routes/*.json' 2>/dev/null)" ] || { docker rm -fv cu-proxy; docker volume rm cu-proxy; } 2>/dev/null`,
    `exec 9<&-`,
    `docker ps -aq --filter ${label} | xargs -r docker rm -fv`,
    `docker network ls -q --filter ${label} | xargs -r docker network rm`,
    `docker volume ls -q --filter ${label} | xargs -r docker volume rm`,
    `docker images -q --filter ${label} | sort -u | xargs -r docker rmi -f`,
  ].join('; ');
  await testbed.exec(host, ['sh', '-c', script]);
}
