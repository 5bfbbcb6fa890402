import { maximumHosts, mirrorUrl } from './testbed/addresses.ts';
import { createBridge, emptyEngine, removeBridges, startDockerd, stopDockerd } from './testbed/engine.ts';
import { faultsOf } from './testbed/faults.ts';
import { ensureIdentity, writeKnownHosts, writeResolvConf } from './testbed/files.ts';
import { createHostNetwork, removeHosts, startHost, waitForHost } from './testbed/host-container.ts';
import { ensureHostImage, forgetStandIns, makeStandIns, standInsAreStale } from './testbed/images.ts';
import { ensurePackages } from './testbed/packages.ts';
import { cachePaths, paths } from './testbed/paths.ts';
import { dockerHubAnswers, startRegistry, stopRegistry } from './testbed/registry.ts';
import type { Say } from './testbed/say.ts';
import {
  forgetState,
  lockTestbed,
  readState,
  TestbedBusyError,
  writeState,
  type TestbedState,
} from './testbed/state.ts';
import type { EngineOnly, Testbed } from './testbed/testbed.ts';

export type { EngineOnly, TestHost, Testbed } from './testbed/testbed.ts';
export { TestbedBusyError } from './testbed/state.ts';

export interface TestbedOptions {
  readonly say?: Say;
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts `count` hosts, each with sshd and an empty Docker Engine. Disposing the result stops them. */
export async function startTestbed(count: number, options: TestbedOptions = {}): Promise<Testbed> {
  const { say = () => {}, env = process.env } = options;
  if (!Number.isInteger(count) || count < 1 || count > maximumHosts)
    throw new Error(`the number of hosts must be 1 to ${maximumHosts}, got ${count}`);
  await ensurePackages(say);
  using _lock = lockTestbed();
  const running = readState();
  if (running !== undefined && running.hosts.length > 0) throw new TestbedBusyError(describeRunning(running));
  const cache = cachePaths(env);
  const engine = running ?? (await startEngineLocked({ say, env }));
  await removeHosts();
  const image = await ensureHostImage(cache, say);
  say(`starting ${count} ${count === 1 ? 'host' : 'hosts'}`);
  await createHostNetwork();
  writeResolvConf();
  const indexes = Array.from({ length: count }, (_, at) => at + 1);
  for (const index of indexes) await startHost(index, image, { cache, mirror: engine.mirror !== null });
  const hosts = await Promise.all(indexes.map((index) => waitForHost(index)));
  writeKnownHosts(hosts);
  const state = { ...engine, hosts, startedAt: new Date().toISOString() };
  writeState(state);
  return { ...testbedOf(state), [Symbol.asyncDispose]: () => stopTestbed(options) };
}

/**
 * The testbed that another process started; disposing the result leaves it running. Under `CU_TEST_FLEET=2` host4, host5
 * and host6 are host1, host2 and host3, so that what freezes and cuts hosts goes on beside what must not notice it.
 */
export async function attachTestbed({ env = process.env }: Pick<TestbedOptions, 'env'> = {}): Promise<Testbed> {
  const state = readState();
  if (state === undefined || state.hosts.length === 0)
    throw new Error('no test hosts are up; start them with `npm run hosts -- up 3`');
  const fleet = env['CU_TEST_FLEET'];
  if (fleet === undefined) return Promise.resolve(testbedOf(state));
  const before = (Number(fleet) - 1) * FLEET;
  const hosts = state.hosts.slice(before, before + FLEET).map((host, at) => ({ ...host, name: `host${at + 1}` }));
  if (hosts.length === 0)
    throw new Error(`there is no second fleet; start it with \`npm run hosts -- up ${before + FLEET}\``);
  return Promise.resolve(testbedOf({ ...state, hosts }));
}

/** Tests use three hosts at the most. */
const FLEET = 3;

/** Stops hosts, registry and engine and removes what they made but the caches. Does nothing when nothing runs. */
export async function stopTestbed(options: TestbedOptions = {}): Promise<void> {
  await ensurePackages(options.say ?? (() => {}));
  using _lock = lockTestbed();
  if (readState() !== undefined) await removeHosts();
  forgetState();
  await stopDockerd();
  await stopRegistry();
  await removeBridges();
}

/** Starts the testbed's engine, with the stand-ins for Docker Hub where that does not answer, and no hosts. */
export async function startEngine(options: TestbedOptions = {}): Promise<EngineOnly> {
  const { say = () => {}, env = process.env } = options;
  await ensurePackages(say);
  using _lock = lockTestbed();
  const state = readState() ?? (await startEngineLocked({ say, env }));
  return { socket: paths.socket, mirror: state.mirror ?? undefined };
}

async function startEngineLocked({ say, env }: Required<TestbedOptions>): Promise<TestbedState> {
  const cache = cachePaths(env);
  // Whatever an earlier run that was killed left behind goes first.
  forgetState();
  await stopDockerd();
  await stopRegistry();
  await createBridge();
  await ensureIdentity(cache);
  const mirror = !(await dockerHubAnswers());
  const stale = mirror && standInsAreStale(cache);
  if (stale) forgetStandIns(cache);
  if (mirror) await startRegistry(cache);
  say('starting the testbed engine');
  const enginePid = await startDockerd(cache, { mirror });
  await emptyEngine();
  if (stale) await makeStandIns(cache, say);
  const state = {
    enginePid,
    startedAt: new Date().toISOString(),
    identity: cache.identity,
    mirror: mirror ? mirrorUrl() : null,
    hosts: [],
  };
  writeState(state);
  return state;
}

function testbedOf(state: TestbedState): Testbed {
  return {
    hosts: state.hosts,
    identity: state.identity,
    engineSocket: paths.socket,
    knownHostsFile: paths.knownHosts,
    mirror: state.mirror ?? undefined,
    ...faultsOf(state.hosts),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function describeRunning(state: TestbedState): string {
  const since = new Date(state.startedAt).toTimeString().slice(0, 5);
  const hosts = `${state.hosts.length} ${state.hosts.length === 1 ? 'host' : 'hosts'}`;
  return `test hosts are already up (${hosts}, since ${since}, pid ${state.enginePid}); use them, or run \`npm run hosts -- down\``;
}
