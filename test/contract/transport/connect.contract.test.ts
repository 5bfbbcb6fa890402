import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { readFile, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHash } from 'node:crypto';
import { attachTestbed } from '../../support/hosts.ts';
import type { TestHost, Testbed } from '../../support/hosts.ts';
import { createHome, eventually, execute, failureOf, hostOf, poolIn, startSshd, targetOf, timed } from './setup.ts';
import type { ExtraSshd, Home } from './setup.ts';

const version = { method: 'GET', path: '/version' } as const;

let bed: Testbed;
let host: TestHost;
let sshd: ExtraSshd;

beforeAll(async () => {
  bed = await attachTestbed();
  host = hostOf(bed, 'host2');
  sshd = await startSshd(bed, host, { port: 2201 });
});

afterAll(() => sshd[Symbol.asyncDispose]());

/** Settings of a target at the sshd that is these tests' own. */
const atOwnSshd = (): { readonly port: number; readonly knownHosts: readonly string[] } => ({
  port: sshd.port,
  knownHosts: sshd.hostKeyLines,
});

describe.each(['ssh2', 'openssh'] as const)('connecting by %s', (client) => {
  test('one TCP connection carries everything, and is closed at the end', async () => {
    await using home = await createHome();
    const pool = poolIn(home);
    const target = targetOf(host, bed, { client, ...atOwnSshd() });

    const [first, second] = await Promise.all([pool.open(target), pool.open(target)]);
    const calls = Array.from({ length: 12 }, () => first.docker().json(version));
    await Promise.all([...calls, ...Array.from({ length: 12 }, () => second.run(['true']))]);
    const during = await sshd.connections();
    const took = await timed(() => Promise.resolve(pool[Symbol.asyncDispose]()));

    expect(during).toBe(1);
    expect(took).toBeLessThan(1000);
    await eventually(async () => expect(await sshd.connections()).toBe(0));
  });

  test('nothing of ours is left in the temporary folder', async () => {
    await using home = await createHome();
    const ours = async (): Promise<readonly string[]> =>
      (await readdir(tmpdir())).filter((name) => name.startsWith('cu-ssh-'));
    const before = await ours();
    {
      await using pool = poolIn(home);
      await pool.open(targetOf(host, bed, { client }));
    }

    const after = await ours();

    expect(after.filter((name) => !before.includes(name))).toEqual([]);
  });

  test('an unknown key is refused where nobody can be asked, with what to add', async () => {
    await using home = await createHome();
    await using pool = poolIn(home);

    const error = await failureOf(pool.open(targetOf(host, bed, { client, knownHosts: [] })));

    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', host: 'host2', exitCode: 3 });
    expect(error.detail).toContain(fingerprintOf(host, 'ssh-ed25519'));
    expect(error.hint).toContain('ssh.knownHosts');
  });

  test('an unknown key is asked for on a terminal, and remembered once trusted', async () => {
    await using home = await createHome();
    const questions: string[] = [];
    const confirm = (question: string): Promise<boolean> => Promise.resolve(questions.push(question) > 0);
    const target = targetOf(host, bed, { client, knownHosts: [] });
    {
      await using pool = poolIn(home, { interactive: true, confirm });
      await pool.open(target);
    }

    await using again = poolIn(home);
    const opened = await again.open(target);

    expect(questions).toHaveLength(1);
    expect(questions[0]).toContain(fingerprintOf(host, 'ssh-ed25519'));
    expect(opened.name).toBe('host2');
    const mode = (await stat(`${home.path}/.ssh/known_hosts`)).mode & 0o777;
    expect(mode).toBe(0o600);
  });

  test('an unknown key that is not trusted ends the connection and is not remembered', async () => {
    await using home = await createHome();
    await using pool = poolIn(home, { interactive: true, confirm: () => Promise.resolve(false) });

    const error = await failureOf(pool.open(targetOf(host, bed, { client, knownHosts: [] })));

    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    await expect(readFile(`${home.path}/.ssh/known_hosts`, 'utf8')).rejects.toThrow(/ENOENT/);
  });

  test('a changed key is refused with both fingerprints and the place of the old one', async () => {
    await using home = await createHome();
    const other = await otherKey(home);
    const file = await home.write('known_hosts', `# a comment\n${host.address} ${other}\n`);
    await using pool = poolIn(home, { interactive: true });

    const error = await failureOf(pool.open(targetOf(host, bed, { client, knownHosts: [] })));

    expect(error).toMatchObject({ code: 'HOST_KEY_CHANGED', exitCode: 3 });
    expect(error.detail).toContain(`${file}:2`);
    expect(error.detail).toContain(fingerprint(other));
    expect(error.detail).toContain(fingerprintOf(host, 'ssh-ed25519'));
    expect(error.hint).toContain(`ssh-keygen -R '${host.address}'`);
  });

  test('a revoked key is refused though it is also known', async () => {
    await using home = await createHome();
    const lines = host.hostKeyLines.flatMap((line) => [line, `@revoked ${line.replace(host.address, '*')}`]);
    await home.write('known_hosts', lines.join('\n'));
    await using pool = poolIn(home);

    const error = await failureOf(pool.open(targetOf(host, bed, { client, knownHosts: [] })));

    expect(error).toMatchObject({ code: 'HOST_KEY_REVOKED', exitCode: 3 });
  });

  test('hashed names, ports and a host known by one type of key only are understood', async () => {
    await using home = await createHome();
    const file = await home.write('known_hosts', sshd.hostKeyLines.filter((line) => line.includes('ecdsa')).join('\n'));
    await execute('ssh-keygen', ['-q', '-H', '-f', file]);
    await using pool = poolIn(home);

    const opened = await pool.open(targetOf(host, bed, { client, port: sshd.port, knownHosts: [] }));

    expect(await readFile(file, 'utf8')).toMatch(/^\|1\|/);
    expect((await opened.run(['true'])).exitCode).toBe(0);
  });

  test('a key that the host does not accept is an error that names it', async () => {
    await using home = await createHome();
    await execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', `${home.path}/.ssh/wrong`]);
    await using pool = poolIn(home);

    const error = await failureOf(pool.open(targetOf(host, bed, { client, identity: `${home.path}/.ssh/wrong` })));

    expect(error).toMatchObject({ code: 'SSH_AUTHENTICATION', exitCode: 3 });
    expect(error.detail).toContain(`${home.path}/.ssh/wrong`);
  });

  test('an encrypted key where nobody can be asked is a clear error that names ssh-agent', async () => {
    await using home = await createHome();
    const identity = await home.copyKey(bed.identity, 'locked', 'secret');
    await using pool = poolIn(home);

    const error = await failureOf(pool.open(targetOf(host, bed, { client, identity })));

    expect(error).toMatchObject({ code: 'SSH_AUTHENTICATION', exitCode: 3 });
    expect(`${error.detail} ${error.hint}`).toContain(identity);
    expect(`${error.detail} ${error.hint}`).toContain('ssh-agent');
  });

  test('an encrypted key is opened with the passphrase that is asked for, hidden', async () => {
    await using home = await createHome();
    const identity = await home.copyKey(bed.identity, 'locked', 'secret');
    const questions: { readonly question: string; readonly hidden: boolean }[] = [];
    await using pool = poolIn(home, {
      interactive: true,
      ask: (question, { hidden }) => {
        questions.push({ question, hidden });
        return Promise.resolve(questions.length === 1 ? 'wrong' : 'secret');
      },
    });

    const opened = await pool.open(targetOf(host, bed, { client, identity }));

    expect((await opened.run(['true'])).exitCode).toBe(0);
    expect(questions.map(({ hidden }) => hidden)).toEqual([true, true]);
    expect(questions[0]?.question).toContain(identity);
  });

  test('the agent’s keys are used, and only the chosen one under IdentitiesOnly', async () => {
    await using home = await createHome();
    await using agent = await startAgent(home);
    await execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', `${home.path}/.ssh/other`]);
    await agent.add(bed.identity);
    await agent.add(`${home.path}/.ssh/other`);
    const target = targetOf(host, bed, { client, identity: undefined });
    const env = { PATH: process.env['PATH'], HOME: home.path, SSH_AUTH_SOCK: agent.socket };
    await using any = poolIn(home, { env });

    expect((await (await any.open(target)).run(['true'])).exitCode).toBe(0);

    await home.write('config', `Host *\n  IdentitiesOnly yes\n  IdentityFile ~/.ssh/other\n`);
    await using chosen = poolIn(home, { env });
    const error = await failureOf(chosen.open(target));
    expect(error.code).toBe('SSH_AUTHENTICATION');
  });

  test('~/.ssh/config gives an alias its address, port, user and key', async () => {
    await using home = await createHome();
    await home.copyKey(bed.identity, 'lab key');
    await home.write('included', `Host lab*\n  HostName ${host.address}\n  Port ${sshd.port}\n`);
    await home.write('config', `Include included\nHost lab3\n  User second\n  IdentityFile "%d/.ssh/lab key"\n`);
    await using pool = poolIn(home);
    const settings = { client, address: 'lab3', port: undefined, user: undefined, identity: undefined };

    const opened = await pool.open(targetOf(host, bed, { ...settings, knownHosts: sshd.hostKeyLines }));

    expect((await opened.run(['id', '-un'])).stdout).toBe('second\n');
    expect(opened.description).toBe(`second@${host.address}:${sshd.port}`);
  });

  test('a host behind another is reached through its one connection, the keys of both checked', async () => {
    await using home = await createHome();
    const [first, second] = [hostOf(bed, 'host1'), hostOf(bed, 'host2')];
    const bastion = targetOf(host, bed, { client, name: 'bastion', ...atOwnSshd() });
    const targets = [first, second].map((each) => targetOf(each, bed, { client, proxyJump: ['bastion'] }));
    await using pool = poolIn(home, { targets: [...targets, bastion] });

    const hosts = await Promise.all(targets.map((target) => pool.open(target)));
    const names = await Promise.all(hosts.map((each) => each.run(['hostname'])));
    const versions = await Promise.all(hosts.map((each) => each.docker().json(version)));

    expect(names.map(({ stdout }) => stdout)).toEqual(['host1\n', 'host2\n']);
    expect(versions).toHaveLength(2);
    expect(await sshd.connections()).toBe(1);
    const blind = { ...bastion, knownHosts: [] };
    await using strict = poolIn(home, { targets: [blind] });
    const error = await failureOf(strict.open(targetOf(second, bed, { client, proxyJump: ['bastion'] })));
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', host: 'bastion' });
  });

  test('jumps in a circle are refused at once', async () => {
    await using home = await createHome();
    const one = targetOf(hostOf(bed, 'host1'), bed, { client, proxyJump: ['host2'] });
    const two = targetOf(hostOf(bed, 'host2'), bed, { client, proxyJump: ['host1'] });
    await using pool = poolIn(home, { targets: [one, two] });

    const error = await failureOf(pool.open(one));

    expect(error).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 2 });
    expect(error.message).toContain('circle');
  });

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

    const [command, call] = await Promise.all([
      failureOf(opened.run(['true'], { timeoutMs: 800 })),
      failureOf(opened.docker().json({ ...version, timeoutMs: 800 })),
    ]);
    const took = await timed(() => Promise.resolve(pool[Symbol.asyncDispose]()));

    expect([command.code, call.code]).toEqual(['TIMEOUT', 'TIMEOUT']);
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

test('20 hosts behind one sshd connect without meeting MaxStartups', async () => {
  await using home = await createHome();
  await using pool = poolIn(home);
  const targets = Array.from({ length: 20 }, (_, at) => targetOf(host, bed, { name: `alias${at}`, ...atOwnSshd() }));

  const hosts = await Promise.all(targets.map((target) => pool.open(target)));

  expect(hosts).toHaveLength(20);
});

test('settings that ssh2 lacks bring in the system’s ssh by themselves', async () => {
  await using home = await createHome();
  await home.write('config', 'Host *\n  ProxyCommand bash -c "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3"\n');
  const said: string[] = [];
  await using pool = poolIn(home, { emit: (event) => void (event.type === 'debug' && said.push(event.text)) });

  const opened = await pool.open(targetOf(host, bed, { client: 'auto' }));

  expect((await opened.run(['hostname'])).stdout).toBe('host2\n');
  expect(said.join()).toContain('by the system\u2019s ssh (ProxyCommand)'.replace('\u2019', "'"));
});

test('without an ssh on this machine ~/.ssh/config is read all the same', async () => {
  await using home = await createHome();
  await home.copyKey(bed.identity, 'lab');
  await home.write(
    'hosts.d',
    `Host lab3\n  HostName ${host.address}\n  Port ${sshd.port}\n  IdentityFile ~/.ssh/lab\n`,
  );
  await home.write('config', 'Include hosts.*\nHost *\n  User second\n');
  await using pool = poolIn(home, { env: { PATH: '/nonexistent', HOME: home.path } });
  const settings = { address: 'lab3', port: undefined, user: undefined, identity: undefined };

  const opened = await pool.open(targetOf(host, bed, { client: 'auto', ...settings, knownHosts: sshd.hostKeyLines }));

  expect((await opened.run(['id', '-un'])).stdout).toBe('second\n');
});

test('settings that ssh itself does not understand are an error that quotes it', async () => {
  await using home = await createHome();
  await home.write('config', 'Hots *\n');
  await using pool = poolIn(home);

  const error = await failureOf(pool.open(targetOf(host, bed)));

  expect(error).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 2 });
  expect(error.detail).toContain('line 1');
});

async function readToEnd(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const chunk of stream) void chunk;
}

function fingerprint(typeAndKey: string): string {
  const key = Buffer.from(typeAndKey.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

function fingerprintOf(known: TestHost, type: string): string {
  const line = known.hostKeyLines.find((each) => each.includes(type)) ?? '';
  return fingerprint(line.split(' ').slice(1).join(' '));
}

/** Another ed25519 key, as `type base64`. */
async function otherKey(home: Home): Promise<string> {
  const file = `${home.path}/.ssh/other-host-key`;
  await execute('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  return (await readFile(`${file}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
}

async function startSilentServer(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}

async function startAgent(
  home: Home,
): Promise<AsyncDisposable & { readonly socket: string; add(key: string): Promise<void> }> {
  const socket = `${home.path}/agent.sock`;
  const { stdout } = await execute('ssh-agent', ['-a', socket, '-s']);
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1]);
  return {
    socket,
    add: async (key) =>
      void (await execute('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket } })),
    [Symbol.asyncDispose]: async () => void process.kill(pid),
  };
}
