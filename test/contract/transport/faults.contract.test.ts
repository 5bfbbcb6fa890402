import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { attachTestbed } from '../../support/hosts.ts';
import type { TestHost, Testbed } from '../../support/hosts.ts';
import { createHome, failureOf, hostOf, poolIn, startSshd, targetOf, timed } from './setup.ts';

const version = { method: 'GET', path: '/version' } as const;

let bed: Testbed;
let host: TestHost;

beforeAll(async () => {
  bed = await attachTestbed();
  host = hostOf(bed, 'host2');
});

describe.each(['ssh2', 'openssh'] as const)('what goes wrong by %s', (client) => {
  test('a refused connection says so, after a few tries, and is remembered', async () => {
    await using home = await createHome();
    await using pool = poolIn(home);
    const target = targetOf(host, bed, { client, port: 2299 });

    const took = await timed(async () => {
      const error = await failureOf(pool.open(target));
      expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', exitCode: 3, host: 'host2' });
      expect(error.message).toBe(`deploy@${host.address}:2299 cannot be reached: nothing listens there`);
    });

    expect(took).toBeGreaterThan(300);
    expect(took).toBeLessThan(5000);
    expect(await timed(() => failureOf(pool.open(target)))).toBeLessThan(20);
  });

  test('a name that nobody knows says so', async () => {
    await using home = await createHome();
    await using pool = poolIn(home);

    const error = await failureOf(pool.open(targetOf(host, bed, { client, address: 'no-such-host.invalid' })));

    expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', exitCode: 3 });
    expect(error.message).toMatch(/its name (is not known|could not be looked up)/);
  });

  test('a port that takes the connection and says nothing is given up in time', async () => {
    await using home = await createHome();
    await using silent = await startSilentServer();
    await using pool = poolIn(home, { connectTimeoutMs: 1000 });

    const took = await timed(async () => {
      const error = await failureOf(
        pool.open(targetOf(host, bed, { client, address: '127.0.0.1', port: silent.port })),
      );
      expect(error).toMatchObject({ code: 'HOST_UNREACHABLE' });
      expect(error.message).toContain('no answer within 1 s');
    });

    expect(took).toBeLessThan(2500);
  });

  test('connecting can be interrupted', async () => {
    await using home = await createHome();
    await using silent = await startSilentServer();
    const controller = new AbortController();
    await using pool = poolIn(home, { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);

    const took = await timed(async () => {
      const error = await failureOf(
        pool.open(targetOf(host, bed, { client, address: '127.0.0.1', port: silent.port })),
      );
      expect(error.code).toBe('CANCELLED');
    });

    expect(took).toBeLessThan(1500);
  });

  test('a host that freezes bounds every call and can be left in a second', async () => {
    await using home = await createHome();
    await using own = await startSshd(bed, host, { port: client === 'ssh2' ? 2211 : 2212 });
    const pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, port: own.port, knownHosts: own.hostKeyLines }));
    await opened.docker().json(version);
    await own.signal('STOP');

    const startedAt = performance.now();
    const [command, call] = await Promise.all([
      failureOf(opened.run(['true'], { timeoutMs: 800 })),
      failureOf(opened.docker().json({ ...version, timeoutMs: 800 })),
    ]);
    const waited = performance.now() - startedAt;
    const took = await timed(() => Promise.resolve(pool[Symbol.asyncDispose]()));

    expect([command.code, call.code]).toEqual(['TIMEOUT', 'TIMEOUT']);
    expect(waited).toBeLessThan(2000);
    expect(took).toBeLessThan(1000);
  });

  test('a connection that is cut fails what runs, as a lost connection', async () => {
    await using home = await createHome();
    const own = await startSshd(bed, host, { port: client === 'ssh2' ? 2213 : 2214 });
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, port: own.port, knownHosts: own.hostKeyLines }));
    await opened.docker().json(version);
    const events = await opened.docker().stream({ method: 'GET', path: '/events' });
    const running = failureOf(opened.run(['sleep', '30']));
    const reading = failureOf(readToEnd(events.body));
    await opened.run(['true']);

    await own[Symbol.asyncDispose]();

    expect((await running).code).toBe('CONNECTION_LOST');
    expect((await reading).code).toBe('CONNECTION_LOST');
    expect((await failureOf(opened.run(['true']))).code).toBe('CONNECTION_LOST');
    expect((await failureOf(opened.docker().json(version))).code).toBe('CONNECTION_LOST');
  });

  test('a call that comes after the connection was cut fails at once, though a socket was kept for it', async () => {
    await using home = await createHome();
    const own = await startSshd(bed, host, { port: client === 'ssh2' ? 2231 : 2232 });
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, port: own.port, knownHosts: own.hostKeyLines }));
    await opened.docker().json(version);

    await own[Symbol.asyncDispose]();
    const took = await timed(async () => {
      expect((await failureOf(opened.docker().json(version))).code).toBe('CONNECTION_LOST');
    });

    expect(took).toBeLessThan(5000);
  });

  test('where sshd forwards no sockets, the engine is reached by dial-stdio', async () => {
    await using home = await createHome();
    const settings = ['AllowStreamLocalForwarding=no'];
    await using own = await startSshd(bed, host, { port: client === 'ssh2' ? 2215 : 2216, settings });
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, port: own.port, knownHosts: own.hostKeyLines }));

    const calls = Array.from({ length: 60 }, () => opened.docker().json(version));
    const commands = Array.from({ length: 20 }, () => opened.run(['true']));
    const [versions, results] = await Promise.all([Promise.all(calls), Promise.all(commands)]);

    expect(versions.every((each) => JSON.stringify(each).includes('ApiVersion'))).toBe(true);
    expect(results.every(({ exitCode }) => exitCode === 0)).toBe(true);
    expect(await own.connections()).toBe(1);
  });

  test('few sessions are enough', async () => {
    await using home = await createHome();
    await using own = await startSshd(bed, host, {
      port: client === 'ssh2' ? 2217 : 2218,
      settings: ['MaxSessions=2'],
    });
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, port: own.port, knownHosts: own.hostKeyLines }));

    const results = await Promise.all(Array.from({ length: 20 }, () => opened.run(['true'])));

    expect(results.every(({ exitCode }) => exitCode === 0)).toBe(true);
  });

  test('a user who may not use Docker is told how to be allowed to', async () => {
    await using home = await createHome();
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client, user: 'plain' }));

    const error = await failureOf(opened.docker().json(version));

    expect(error).toMatchObject({ code: 'DOCKER_DENIED', exitCode: 3, host: 'host2' });
    expect(error.message).toContain('plain may not use Docker');
    expect(error.hint).toContain('usermod -aG docker plain');
  });

  test('a missing engine and a dead one are told apart', async () => {
    await using home = await createHome();
    const deadSocket = `/tmp/cu-dead-${client}.sock`;
    const script = `rm -f ${deadSocket}; timeout 1 busybox nc -l -U ${deadSocket} || python3 -c pass || true`;
    await bed.exec(host.name, [
      'sh',
      '-c',
      `${script}; [ -S ${deadSocket} ] || touch ${deadSocket}; chmod 666 ${deadSocket}`,
    ]);
    await using pool = poolIn(home);
    const missing = await pool.open(targetOf(host, bed, { client, name: 'a', dockerSocket: '/run/no-such.sock' }));
    const dead = await pool.open(targetOf(host, bed, { client, name: 'b', dockerSocket: deadSocket }));

    const errors = [await failureOf(missing.docker().json(version)), await failureOf(dead.docker().json(version))];

    expect(errors.map(({ code }) => code)).toEqual(['DOCKER_UNAVAILABLE', 'DOCKER_UNAVAILABLE']);
    expect(errors[0]?.message).toContain('there is no /run/no-such.sock');
    expect(errors[1]?.message).toContain('does not answer');
  });
});

async function readToEnd(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const chunk of stream) void chunk;
}

async function startSilentServer(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}
