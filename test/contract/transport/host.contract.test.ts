import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as fc from 'fast-check';
import { demultiplex } from '../../../src/transport/demultiplex.ts';
import { openLocal } from '../../../src/transport/local.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, eventually, failureOf, hostOf, poolIn, readAll, targetOf, timed } from './setup.ts';
import type { Home, Host } from './setup.ts';

const clients = ['ssh2', 'openssh', 'local'] as const;

describe.each(clients)('a host over %s', (client) => {
  let bed: Testbed;
  let home: Home;
  let host: Host;
  let opened: AsyncDisposable;

  beforeAll(async () => {
    bed = await attachTestbed();
    home = await createHome();
    if (client === 'local') {
      const env = { ...process.env, DOCKER_HOST: `unix://${bed.engineSocket}` };
      host = await openLocal({ name: 'here', dockerSocket: undefined }, { env, home: home.path, username: 'root' });
      opened = host;
    } else {
      const pool = poolIn(home);
      host = await pool.open(targetOf(hostOf(bed, 'host1'), bed, { client }));
      opened = pool;
    }
  });

  afterAll(async () => {
    await opened[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test('every argument arrives byte for byte', async () => {
    const word = fc.oneof(
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', '')),
      fc.stringMatching(/^[ '"\\$`!;&|<>()*?[\]{}~#\n\r\t-]{0,12}$/),
    );
    const property = fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 4 }), async (words) => {
      const script = 'for word; do printf %s "$word" | od -An -v -tx1 | tr -d " \\n"; echo; done';
      const { stdout, stderr, exitCode } = await host.run(['sh', '-c', script, 'sh', ...words]);

      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toBe(words.map((each) => `${Buffer.from(each).toString('hex')}\n`).join(''));
    });

    await fc.assert(property, { numRuns: 60 });
  });

  test('a non-zero exit is a result', async () => {
    const results = await Promise.all([0, 1, 42, 127].map((code) => host.run(['sh', '-c', `exit ${code}`])));

    expect(results.map(({ exitCode, signal }) => [exitCode, signal])).toEqual(
      [0, 1, 42, 127].map((code) => [code, undefined]),
    );
  });

  test('an exit with 255 is the command’s own, not a lost connection', async () => {
    const result = await host.run(['sh', '-c', 'echo out; echo err >&2; exit 255']);

    expect(result).toMatchObject({ exitCode: 255, stdout: 'out\n', stderr: 'err\n' });
  });

  test('a program that is missing exits 127', async () => {
    const result = await host.run(['/no/such/program']);

    expect(result.exitCode).toBe(127);
  });

  test.each(['TERM', 'KILL'])('a command killed by SIG%s is a failure that says so', async (name) => {
    const result = await host.run(['sh', '-c', `kill -${name} $$`]);

    expect(result.signal).toBe(`SIG${name}`);
    expect(result.exitCode).toBeGreaterThan(128);
  });

  test('stdin is sent and ended', async () => {
    const text = 'läuft\n'.repeat(20_000);

    const result = await host.run(['sh', '-c', 'cat; echo end'], { stdin: text });

    expect(result.stdout).toBe(`${text}end\n`);
  });

  test('without stdin a reading command ends at once', async () => {
    const result = await host.run(['cat'], { timeoutMs: 5000 });

    expect(result).toMatchObject({ exitCode: 0, stdout: '' });
  });

  test('large output arrives whole, on both streams, also as it comes', async () => {
    const seen = { stdout: 0, stderr: 0 };
    const script = 'head -c 8000000 /dev/zero | tr "\\0" a; head -c 3000000 /dev/zero | tr "\\0" b >&2';

    const result = await host.run(['sh', '-c', script], {
      onOutput: (stream, chunk) => void (seen[stream] += chunk.length),
    });

    expect([result.stdout.length, result.stderr.length]).toEqual([8_000_000, 3_000_000]);
    expect(seen).toEqual({ stdout: 8_000_000, stderr: 3_000_000 });
  });

  test('a command has a deadline', async () => {
    const took = await timed(async () => {
      const error = await failureOf(host.run(['sleep', '60'], { timeoutMs: 500 }));
      expect(error).toMatchObject({ code: 'TIMEOUT', message: 'sleep did not end within 1 s', host: host.name });
    });

    expect(took).toBeLessThan(2500);
  });

  test('a command that ran too long is ended with its children', async () => {
    const name = `cu-transport-${client}-late`;
    await failureOf(host.run(['sh', '-c', `sleep 60 & echo $! >/tmp/${name}; wait`], { timeoutMs: 300 }));

    await eventually(async () => {
      const { stdout } = await host.run(['sh', '-c', `kill -0 "$(cat /tmp/${name})" 2>/dev/null && echo alive; true`]);
      expect(stdout).toBe('');
    });
  });

  test('a command can be interrupted', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);

    const error = await failureOf(host.run(['sleep', '60'], { signal: controller.signal }));

    expect(error).toMatchObject({ code: 'CANCELLED', message: 'sleep was interrupted' });
  });

  test('60 commands at once all run', async () => {
    const results = await Promise.all(Array.from({ length: 60 }, (_, at) => host.run(['echo', `${at}`])));

    expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 60 }, (_, at) => `${at}\n`));
  });

  test('60 calls to the engine at once, and 60 commands between them, all succeed', async () => {
    const calls = Array.from({ length: 60 }, () => host.docker().json({ method: 'GET', path: '/version' }));
    const commands = Array.from({ length: 60 }, () => host.run(['true']));

    const [versions, results] = await Promise.all([Promise.all(calls), Promise.all(commands)]);

    expect(versions.every((each) => JSON.stringify(each).includes('ApiVersion'))).toBe(true);
    expect(results.every(({ exitCode }) => exitCode === 0)).toBe(true);
  });

  test('the engine answers, and calls and bytes are counted', async () => {
    const before = { ...host.docker().usage };

    await Promise.all(Array.from({ length: 12 }, () => host.docker().json({ method: 'GET', path: '/info' })));

    expect(host.docker().usage.calls - before.calls).toBe(12);
    expect(host.docker().usage.receivedBytes - before.receivedBytes).toBeGreaterThan(12 * 1000);
  });

  test('what the engine refuses is an error with its words and status', async () => {
    const request = { method: 'GET', path: '/containers/no-such-container/json' } as const;

    const error = await failureOf(host.docker().json(request));

    expect(error).toMatchObject({
      code: 'DOCKER_API',
      message: 'No such container: no-such-container',
      statusCode: 404,
      command: 'GET /containers/no-such-container/json',
      host: host.name,
    });
    expect(await host.docker().json({ ...request, allow: [404] })).toBeUndefined();
  });

  test('a query and a body reach the engine', async () => {
    const name = `cu-transport-${client}`;
    const docker = host.docker();
    await docker.json({ method: 'DELETE', path: `/volumes/${name}`, allow: [404] });

    await docker.json({
      method: 'POST',
      path: '/volumes/create',
      body: { Name: name, Labels: { 'cu.test': 'a b&c' } },
    });
    const filters = JSON.stringify({ label: ['cu.test=a b&c'], name: [name] });
    const found = await docker.json({ method: 'GET', path: '/volumes', query: { filters, unset: undefined } });
    await docker.json({ method: 'DELETE', path: `/volumes/${name}`, query: { force: true } });

    expect(JSON.stringify(found)).toContain(`"Name":"${name}"`);
    expect(docker.usage.sentBytes).toBeGreaterThan(0);
  });

  test('a call to the engine can be interrupted, and has a deadline', async () => {
    const events = { method: 'GET', path: '/events', query: { filters: '{"type":["no-such-type"]}' } } as const;
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);

    const cancelled = await failureOf(host.docker().json({ ...events, signal: controller.signal }));
    const late = await failureOf(host.docker().json({ ...events, timeoutMs: 300 }));

    expect(cancelled.code).toBe('CANCELLED');
    expect(late).toMatchObject({ code: 'TIMEOUT', command: 'GET /events' });
  });

  test('many calls under one signal warn of nothing', async () => {
    const warnings: string[] = [];
    const listen = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', listen);
    const { signal } = new AbortController();

    const calls = Array.from({ length: 30 }, () => host.docker().json({ method: 'GET', path: '/version', signal }));
    await Promise.all([...calls, ...Array.from({ length: 30 }, () => host.run(['true'], { signal }))]);

    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });

  test('a port of the host is listened on, and dialled', async () => {
    const listener = await host.listen(
      (stream) => void stream.on('data', (chunk: Buffer) => stream.end(`<${chunk.toString()}>`)),
    );
    const script = `exec 3<>/dev/tcp/127.0.0.1/${listener.port}; printf %s "$1" >&3; cat <&3`;

    const fromHost = await host.run(['bash', '-c', script, 'bash', 'hello']);
    const stream = await host.dial({ type: 'tcp', address: '127.0.0.1', port: listener.port });
    stream.write('from here');
    const dialled = await readAll(stream);
    await listener[Symbol.asyncDispose]();
    const after = await host.run(['bash', '-c', script, 'bash', 'hello']);

    expect(listener.port).toBeGreaterThan(0);
    expect(fromHost.stdout).toBe('<hello>');
    expect(dialled).toBe('<from here>');
    expect(after.exitCode).not.toBe(0);
  });

  test('a port that nobody listens on is said to be so', async () => {
    await expect(host.dial({ type: 'tcp', address: '127.0.0.1', port: 1 })).rejects.toThrow(/refused/i);
  });

  test('a socket of the host is dialled', async () => {
    const path = client === 'local' ? bed.engineSocket : '/var/run/docker.sock';

    const stream = await host.dial({ type: 'unix', path });
    stream.write('GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');

    expect(await readAll(stream)).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  test('a socket that does not exist cannot be dialled', async () => {
    await expect(host.dial({ type: 'unix', path: '/run/no-such.sock' })).rejects.toThrow();
  });

  test('an exec in a container takes stdin and gives both streams', async () => {
    const docker = host.docker();
    const id = await startSleeper(host, `cu-transport-${client}`);
    const exec = await docker.json({
      method: 'POST',
      path: `/containers/${id}/exec`,
      body: { AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: ['sh', '-c', 'echo oops >&2; cat'] },
    });

    const stream = await docker.hijack({
      method: 'POST',
      path: `/exec/${idOf(exec)}/start`,
      body: { Detach: false, Tty: false },
    });
    stream.end('through and back');
    const said = { stdout: '', stderr: '' };
    for await (const { stream: name, data } of demultiplex(stream)) said[name] += data.toString('utf8');
    await docker.json({ method: 'DELETE', path: `/containers/${id}`, query: { force: true } });

    expect(said).toEqual({ stdout: 'through and back', stderr: 'oops\n' });
  });
});

async function startSleeper(host: Host, name: string): Promise<string> {
  const docker = host.docker();
  await docker.json({ method: 'DELETE', path: `/containers/${name}`, query: { force: true }, allow: [404] });
  const pull = await docker.stream({
    method: 'POST',
    path: '/images/create',
    query: { fromImage: 'busybox', tag: 'latest' },
  });
  await readAll(pull.body);
  const body = { Image: 'busybox:latest', Cmd: ['sleep', '60'], HostConfig: { NetworkMode: 'none', Init: true } };
  const id = idOf(await docker.json({ method: 'POST', path: '/containers/create', query: { name }, body }));
  await docker.json({ method: 'POST', path: `/containers/${id}/start` });
  return id;
}

function idOf(value: unknown): string {
  return typeof value === 'object' && value !== null && 'Id' in value ? String(value.Id) : '';
}
