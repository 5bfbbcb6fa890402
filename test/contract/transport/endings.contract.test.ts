import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLocal } from '../../../src/transport/local.ts';
import { attachTestbed } from '../../support/hosts.ts';
import type { Testbed } from '../../support/hosts.ts';
import { createHome, eventually, failureOf, hostOf, poolIn, startSshd, targetOf } from './setup.ts';
import type { Home, Host } from './setup.ts';

const clients = ['ssh2', 'openssh', 'local'] as const;

let bed: Testbed;

beforeAll(async () => {
  bed = await attachTestbed();
});

describe.each(clients)('how things end over %s', (client) => {
  let home: Home;
  let host: Host;
  let opened: AsyncDisposable;

  beforeAll(async () => {
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

  test('a command that ran too long and ignores SIGTERM is killed', async () => {
    const file = `/tmp/cu-transport-${client}-stubborn`;
    const script = `trap "" TERM; echo $$ >${file}; for i in $(seq 200); do sleep 0.1; done`;
    const error = await failureOf(host.run(['sh', '-c', script], { timeoutMs: 400 }));

    await eventually(async () => {
      const { stdout } = await host.run(['sh', '-c', `kill -0 "$(cat ${file})" 2>/dev/null && echo alive; true`]);
      expect(stdout).toBe('');
    });
    await host.run(['rm', file]);
    expect(error.code).toBe('TIMEOUT');
  });

  test('ending one command leaves another alone', async () => {
    const other = host.run(['sh', '-c', 'sleep 3; echo done']);
    await failureOf(host.run(['sleep', '60'], { timeoutMs: 300 }));

    expect(await other).toMatchObject({ exitCode: 0, stdout: 'done\n' });
  });

  test('who ends its side of a connection still gets the answer', async () => {
    const listener = await host.listen((stream) => {
      let asked = '';
      stream.on('data', (chunk: Buffer) => (asked += chunk.toString()));
      stream.on('end', () => void sleep(50).then(() => stream.end(`<${asked}>`)));
    });
    const script = `use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0);
      connect($s, sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die $!;
      syswrite($s, "hello"); shutdown($s, 1); sysread($s, my $answer, 99); print $answer;`;

    const result = await host.run(['perl', '-e', script, `${listener.port}`]);
    await listener[Symbol.asyncDispose]();

    expect(result).toMatchObject({ exitCode: 0, stdout: '<hello>' });
  });

  test('a port and a name that lead nowhere are told apart', async () => {
    const reasonOf = (address: string, port: number): Promise<string> =>
      host.dial({ type: 'tcp', address, port }).then(
        () => 'connected',
        (error: unknown) => String(error),
      );

    const [shut, unknown] = await Promise.all([reasonOf('127.0.0.1', 1), reasonOf('no-such-host.invalid', 80)]);

    expect(shut).toMatch(/connection refused|ECONNREFUSED/i);
    expect(unknown).toMatch(/not known|name resolution|ENOTFOUND|EAI_AGAIN/i);
  });
});

describe.each(['ssh2', 'openssh'] as const)('what sshd or the command line forbids, by %s', (client) => {
  test('a forwarding that sshd forbids says which setting allows it, and commands and the engine go on', async () => {
    await using home = await createHome();
    const settings = ['AllowTcpForwarding=no'];
    const port = client === 'ssh2' ? 2221 : 2222;
    await using own = await startSshd(bed, hostOf(bed, 'host2'), { port, settings });
    await using pool = poolIn(home);
    const target = targetOf(hostOf(bed, 'host2'), bed, { client, port, knownHosts: own.hostKeyLines });
    const opened = await pool.open(target);

    const dialled = await failureOf(opened.dial({ type: 'tcp', address: '127.0.0.1', port: 22 }));
    const listened = await failureOf(opened.listen(() => undefined));

    expect(dialled).toMatchObject({ code: 'COMMAND_FAILED', host: 'host2' });
    expect(dialled.message).toContain('its sshd forbids it');
    expect(dialled.hint).toContain('AllowTcpForwarding');
    expect(listened.hint).toContain('AllowTcpForwarding');
    expect((await opened.run(['true'])).exitCode).toBe(0);
    await opened.docker().json({ method: 'GET', path: '/version' });
  });

  test('a NUL byte in a command is refused as such, not as a lost connection', async () => {
    await using home = await createHome();
    await using pool = poolIn(home);
    const opened = await pool.open(targetOf(hostOf(bed, 'host2'), bed, { client }));

    const error = await failureOf(opened.run(['echo', 'a\0b']));

    expect(error).toMatchObject({ code: 'USAGE', message: 'a command cannot carry a NUL byte' });
  });
});

test.each([
  ['long', 'd', 100],
  ['long in bytes only', '日', 60],
])('a temporary folder whose path is %s does not break the sockets of the system’s ssh', async (_, letter, length) => {
  await using home = await createHome();
  const tmp = `${home.path}/`.padEnd(length, letter);
  await mkdir(tmp);
  await using pool = poolIn(home, { tmp });

  const opened = await pool.open(targetOf(hostOf(bed, 'host1'), bed, { client: 'openssh' }));

  expect((await opened.run(['true'])).exitCode).toBe(0);
});
