import { once } from 'node:events';
import { kill } from 'node:process';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLocal } from '../../../src/transport/local.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, eventually, hostOf, poolIn, targetOf, readAll } from './setup.ts';
import type { Home, Host } from './setup.ts';

const NEVER = new AbortController().signal;
/** Says its pid, then everything that it is told. */
const PARROT = ['sh', '-c', 'echo $$; exec cat'];

describe.each(['ssh2', 'openssh', 'local'] as const)('a conversation over %s', (client) => {
  let bed: Testbed;
  let home: Home;

  beforeAll(async () => {
    bed = await attachTestbed();
    home = await createHome();
  });

  afterAll(() => home[Symbol.asyncDispose]());

  async function open(): Promise<{ readonly host: Host; readonly close: () => Promise<void> }> {
    if (client === 'local') {
      const env = { ...process.env, DOCKER_HOST: `unix://${bed.engineSocket}` };
      const host = await openLocal(
        { name: 'here', dockerSocket: undefined },
        { env, home: home.path, username: 'root' },
      );
      return { host, close: async () => host[Symbol.asyncDispose]() };
    }
    const pool = poolIn(home);
    const host = await pool.open(targetOf(hostOf(bed, 'host1'), bed, { client }));
    return { host, close: async () => pool[Symbol.asyncDispose]() };
  }

  /** Asked beside the connection under test, which may be gone. */
  async function isAlive(pid: number): Promise<boolean> {
    if (client !== 'local') return (await bed.exec('host1', ['kill', '-0', String(pid)])).exitCode === 0;
    try {
      return kill(pid, 0);
    } catch {
      return false;
    }
  }

  async function expectEnd(pid: number): Promise<void> {
    await eventually(async () => expect(await isAlive(pid)).toBe(false));
  }

  test('what is written is answered while stdin stays open, and its end ends the command', async () => {
    const { host, close } = await open();
    const stream = await host.converse(PARROT, NEVER);
    const pid = Number(await nextLine(stream));
    for (const word of ['one', 'two']) {
      stream.write(`${word}\n`);
      expect(await nextLine(stream)).toBe(word);
    }
    expect(await isAlive(pid)).toBe(true);

    stream.end();

    await expectEnd(pid);
    await close();
  });

  test('a stream that is destroyed ends the command', async () => {
    const { host, close } = await open();
    const stream = await host.converse(PARROT, NEVER);
    const pid = Number(await nextLine(stream));

    stream.destroy();

    await expectEnd(pid);
    await close();
  });

  test('a command that ends by itself ends the stream', async () => {
    const { host, close } = await open();
    const stream = await host.converse(['sh', '-c', 'echo bye'], NEVER);
    const isEnded = once(stream, 'end');

    expect(await nextLine(stream)).toBe('bye');
    await isEnded;
    await close();
  });

  test('what a command said before it ended is there, however late it is read', async () => {
    const { host, close } = await open();
    const stream = await host.converse(['sh', '-c', 'echo $$; echo bye'], NEVER);
    // Long enough for it to have ended, whatever it is.
    await host.run(['sleep', '0.5']);

    const said = await readAll(stream);

    expect(said).toMatch(/^\d+\nbye\n$/);
    await close();
  });

  test.skipIf(client === 'local')('the end of the connection ends the command and the stream', async () => {
    const { host, close } = await open();
    const stream = await host.converse(PARROT, NEVER);
    const pid = Number(await nextLine(stream));
    // Not `once`: whether an error comes first is the client's own affair.
    const isClosed = new Promise((resolve) => stream.once('close', resolve));

    await close();

    await isClosed;
    await expectEnd(pid);
  });
});

async function nextLine(stream: Duplex): Promise<string> {
  let text = '';
  while (!text.includes('\n')) {
    const [chunk] = (await once(stream, 'data')) as [Uint8Array | string];
    text += String(chunk);
  }
  return text.trim();
}
