import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import { initState } from '../../../src/execute/resources.ts';
import { readHistory, writeRelease } from '../../../src/history/history.ts';
import { writeHold } from '../../../src/history/hold.ts';
import { openRecorder } from '../../../src/history/recorder.ts';
import { readState, stateName } from '../../../src/observe/state.ts';
import { putFiles } from '../../../src/transport/archive.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { release as sample } from '../../support/releases.ts';
import { createHome, hostOf, poolIn, targetOf } from '../transport/setup.ts';
import type { Home, Host } from '../transport/setup.ts';

const OWNER = { project: 'contract-history', environment: 'dev' };
const VOLUME = stateName(OWNER);
const { signal } = new AbortController();

let bed: Testbed;
let home: Home;
let pool: ReturnType<typeof poolIn>;
let host: Host;

const release: typeof sample = (sequence, overrides) => sample(sequence, { ...OWNER, ...overrides });

beforeAll(async () => {
  bed = await attachTestbed();
  home = await createHome();
  pool = poolIn(home);
  host = await pool.open(targetOf(hostOf(bed, 'host1'), bed));
});

beforeEach(wipe);

afterAll(async () => {
  await wipe();
  await pool[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

async function wipe(): Promise<void> {
  await bed.exec('host1', ['docker', 'rm', '-f', VOLUME]);
  await bed.exec('host1', ['docker', 'volume', 'rm', '-f', VOLUME]);
}

async function prepare(): Promise<void> {
  const state = { volume: VOLUME, specKey: new Secret('spec-key', 'k'), brokerPassword: new Secret('p', 'pass') };
  await initState(host, state, OWNER, signal);
}

async function put(path: string, content: string): Promise<void> {
  await putFiles(
    host.docker(),
    { container: VOLUME, folder: '/state' },
    { files: [{ path, mode: 0o600, content }], signal },
  );
}

test('where nothing was deployed there is no history, and nothing is written', async () => {
  expect(await readHistory(host, OWNER, signal)).toEqual([]);
  expect(await writeRelease(host, release(1), signal)).toBe(false);
  expect(await readState(host.docker(), OWNER, signal)).toBeUndefined();
});

test('of forty releases the newest 32 are remembered', async () => {
  await prepare();
  for (let sequence = 1; sequence <= 40; sequence += 1) await writeRelease(host, release(sequence), signal);

  const history = await readHistory(host, OWNER, signal);

  expect(history.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 32 }, (_, index) => index + 9));
  expect(history.at(-1)).toEqual(release(40));
});

test('a slot that a write was cut off in, and what is no slot, are left out', async () => {
  await prepare();
  for (const sequence of [1, 2, 3]) await writeRelease(host, release(sequence), signal);
  await put('history/02.json', JSON.stringify(release(2)).slice(0, 100));
  await put('history/notes.txt', 'by hand');

  expect((await readHistory(host, OWNER, signal)).map(({ sequence }) => sequence)).toEqual([1, 3]);
});

test('what is kept of the past is not read with the state, and both survive a pruned container', async () => {
  await prepare();
  await writeRelease(host, release(1), signal);
  await bed.exec('host1', ['docker', 'rm', '-f', VOLUME]);

  await prepare();

  const state = await readState(host.docker(), OWNER, signal);
  expect(state?.specKey.reveal()).toBe('k');
  expect(state?.brokerPassword?.reveal()).toBe('pass');
  expect(await readHistory(host, OWNER, signal)).toEqual([release(1)]);
});

test('a volume of another layout has no state until it is made', async () => {
  await prepare();
  await wipe();
  await bed.exec('host1', ['docker', 'create', '--name', VOLUME, '-v', `${VOLUME}:/state`, 'cu-state:1', 'none']);
  expect(await readState(host.docker(), OWNER, signal)).toBeUndefined();

  await prepare();

  expect((await readState(host.docker(), OWNER, signal))?.specKey.reveal()).toBe('k');
});

test('a hold is left and lifted', async () => {
  await prepare();
  const hold = { message: 'measuring\nuntil six', who: 'ana@laptop', since: 1 };

  await writeHold(host, OWNER, { hold, signal });
  const held = await readState(host.docker(), OWNER, signal);
  await writeHold(host, OWNER, { hold: undefined, signal });
  const lifted = await readState(host.docker(), OWNER, signal);

  expect(held).toMatchObject({ hold });
  expect(lifted?.hold).toBeUndefined();
  expect(lifted?.specKey.reveal()).toBe('k');
});

test('a recorder writes the end over the beginning, also after an interrupt, and a gone host is a warning', async () => {
  await prepare();
  const closing = poolIn(home);
  const gone = await closing.open(targetOf(hostOf(bed, 'host2'), bed));
  await closing[Symbol.asyncDispose]();
  const controller = new AbortController();
  const warnings: string[] = [];
  const recorder = openRecorder([host, gone], release(5, { outcome: undefined, endedAt: undefined }), {
    now: () => 42,
    signal: controller.signal,
    warn: (name) => void warnings.push(name),
  });

  await recorder.begin();
  const begun = await readHistory(host, OWNER, signal);
  controller.abort();
  await recorder.end('interrupted', 'stopped by SIGINT');

  expect(begun).toMatchObject([{ sequence: 5, outcome: undefined }]);
  expect(await readHistory(host, OWNER, signal)).toMatchObject([
    { sequence: 5, outcome: 'interrupted', reason: 'stopped by SIGINT', endedAt: 42 },
  ]);
  expect(warnings).toEqual(['host2', 'host2']);
});
