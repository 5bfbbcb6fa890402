import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { eventually, startScenario } from '../support/scenario.ts';
import type { Scenario } from '../support/scenario.ts';
import type { Target } from './load.ts';
import { startTasks } from './tasks.ts';
import type { TaskFlow } from './tasks.ts';

const APP = fileURLToPath(new URL('app', import.meta.url));
const TOKEN = 'faults-token-0123456789abcdef';

/** Three test hosts: `CU_HOSTS=host4,host5,host6` lets a second run of the suite go on beside the first. */
export const HOSTS: readonly string[] = (process.env['CU_HOSTS'] ?? 'host1,host2,host3').split(',');

/** Has the broker and the API. */
export const FIRST = HOSTS[0] ?? '';

export const SECOND = HOSTS[1] ?? '';

/** The last host of a rollout and not the broker's: what befalls it must not touch the others. */
export const VICTIM = HOSTS[2] ?? '';

/** New with each version, so that a transfer takes long enough to be hit in. */
const BALLAST_BYTES = 3_000_000;

export interface SceneOptions {
  readonly project: string;
  /** Of the web service; the API and Redis take the next two. */
  readonly port: number;
  /** Beside the web service: workers on these hosts, and the API that accepts tasks for them. */
  readonly workers?: readonly string[];
  readonly webDrain?: string;
  readonly workerDrain?: string;
}

/** A project on three hosts: a web service under load, Redis, and workers where they are asked for. */
export interface Scene extends AsyncDisposable {
  readonly scenario: Scenario;
  readonly hosts: readonly string[];
  readonly targets: readonly Target[];
  readonly workers: readonly string[];
  /** Code that no host and no earlier run has seen; returns its version. */
  nextVersion(): Promise<string>;
  /** Lines of the config to be changed: what decides how long a new one is watched, and what a failure does. */
  configure(settings: SceneSettings): Promise<void>;
  /** `VERSION HOST KNOB`; see web.py. */
  setKnob(line: string): Promise<void>;
  clearKnobs(): Promise<void>;
  /** The version that answers on each host. */
  versions(): Promise<readonly string[]>;
  startTasks(seconds?: () => number, everyMs?: number): TaskFlow | undefined;
}

export interface SceneSettings {
  readonly stable?: string;
  readonly onFailure?: 'rollback' | 'stop' | 'continue';
  /** Another socket of the engine, on every host. */
  readonly dockerSocket?: string;
}

export async function openScene(options: SceneOptions): Promise<Scene> {
  const { project, workers = [] } = options;
  const folders = ['knobs', 'marks'].map((name) => `/mnt/shared/${project}-${name}`);
  const scenario = await startScenario({
    project,
    config: '',
    template: APP,
    files: { '.cu/secrets.env': `API_TOKEN=${TOKEN}\n` },
    hosts: HOSTS,
  });
  const head = await scenario.read('cu.config.yaml');
  const write = (settings: SceneSettings): Promise<void> =>
    scenario.write('cu.config.yaml', configText(head, options, settings));
  await write({});
  await scenario.testbed.exec(FIRST, ['mkdir', '-p', '-m', '1777', ...folders]);
  const knobs = `${folders[0]}/knobs`;
  const targets = HOSTS.map((host) => ({ host, url: `http://${addressOf(scenario, host)}:${options.port}` }));
  return {
    scenario,
    hosts: HOSTS,
    targets,
    workers,
    nextVersion: async () => {
      const version = randomBytes(6).toString('hex');
      await scenario.write('web/version.txt', `${version}\n`);
      await scenario.write('web/ballast', randomBytes(BALLAST_BYTES).toString('base64'));
      // The API's code as well: a plan without workers would not show that tasks survive.
      await scenario.write('tasks/version.txt', `${version}\n`);
      return version;
    },
    configure: write,
    setKnob: (line) => shell(scenario, FIRST, `echo '${line}' >> ${knobs}`),
    clearKnobs: () => shell(scenario, FIRST, `rm -f ${knobs}`),
    versions: () => Promise.all(targets.map(({ url }) => versionAt(url))),
    startTasks: (seconds, everyMs) =>
      workers.length === 0
        ? undefined
        : startTasks({
            url: `http://${addressOf(scenario, FIRST)}:${options.port + 1}`,
            token: TOKEN,
            readMarks: () => readMarks(scenario, `${folders[1]}/marks`),
            ...(seconds === undefined ? {} : { seconds }),
            ...(everyMs === undefined ? {} : { everyMs }),
          }),
    [Symbol.asyncDispose]: async () => {
      await scenario[Symbol.asyncDispose]();
      await scenario.testbed.exec(FIRST, ['rm', '-rf', ...folders, `/mnt/shared/${project}-dev`]);
    },
  };
}

function configText(head: string, options: SceneOptions, settings: SceneSettings): string {
  const { project, port, workers = [], webDrain = '5s', workerDrain = '15s' } = options;
  const { stable = '500ms', onFailure, dockerSocket } = settings;
  const hasWorkers = workers.length > 0;
  const images = [`web: { repository: ${project}-web, build: { context: web } }`];
  const broker = `{ kind: redis, on: [${FIRST}], ports: ["eth0:${port + 2}:6379"] }`;
  const services = [
    `broker: ${broker}`,
    `web: { kind: webserver, image: web, command: [python, /app/web.py], on: [${HOSTS.join(', ')}], ports: ["*:${port}"], drain: ${webDrain}, ` +
      `mounts: ["/mnt/shared/${project}-knobs:/knobs:ro"], health: { type: http, path: /healthz, interval: 200ms, timeout: 15s, stable: ${stable} } }`,
  ];
  if (hasWorkers) {
    images.push(
      `tasks: { repository: ${project}-tasks, build: { context: tasks, args: { PIP_INDEX_URL: null, PIP_EXTRA_INDEX_URL: null, PIP_TRUSTED_HOST: null } } }`,
    );
    services.push(
      `worker: { kind: worker, image: tasks, drain: ${workerDrain}, concurrency: 2, env: { CU_LEASE: "3", CU_MAX_LOST: "50" }, ` +
        `mounts: ["/mnt/shared/${project}-marks:/marks"], on: [${workers.join(', ')}] }`,
      `api: { kind: webserver, image: tasks, secrets: [API_TOKEN], on: [${FIRST}], ports: ["*:${port + 1}"] }`,
    );
  }
  const hosts =
    dockerSocket === undefined ? head : head.replaceAll(/^( {2}host\d: \{)/gm, `$1 dockerSocket: ${dockerSocket},`);
  return [
    hosts.trimEnd(),
    ...(onFailure === undefined ? [] : [`onFailure: ${onFailure}`]),
    `storage: ${hasWorkers ? '{ root: "file:///mnt/shared" }' : 'none'}`,
    ...(hasWorkers ? ['secrets: { files: [.cu/secrets.env], required: [API_TOKEN] }'] : []),
    'images:',
    ...images.map((line) => `  ${line}`),
    'services:',
    ...services.map((line) => `  ${line}`),
    '',
  ].join('\n');
}

function addressOf({ testbed }: Scenario, name: string): string {
  const host = testbed.hosts.find((each) => each.name === name);
  if (host === undefined) throw new Error(`the fault suites need ${HOSTS.join(', ')}; ${name} is not up`);
  return host.address;
}

async function versionAt(url: string): Promise<string> {
  return eventually(async () => {
    const response = await fetch(url, { signal: AbortSignal.timeout(3000) });
    if (response.status !== 200) throw new Error(`${url} answers ${response.status}`);
    return (await response.text()).split(' ')[0] ?? '';
  }, 15_000);
}

async function readMarks(scenario: Scenario, file: string): Promise<readonly string[]> {
  const { stdout } = await scenario.testbed.exec(FIRST, ['sh', '-c', `cat ${file} 2>/dev/null || true`]);
  return stdout.split('\n');
}

async function shell({ testbed }: Scenario, host: string, script: string): Promise<void> {
  const { exitCode, stderr } = await testbed.exec(host, ['sh', '-c', script]);
  if (exitCode !== 0) throw new Error(`${script} on ${host}: ${stderr}`);
}
