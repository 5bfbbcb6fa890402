import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attachTestbed } from '../../support/hosts.ts';
import type { TestHost, Testbed } from '../../support/hosts.ts';
import { createHome, eventually, failureOf, hostOf, poolIn, startSshd, targetOf, timed } from './setup.ts';
import type { ExtraSshd } from './setup.ts';

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

  test('a command that was interrupted does not outlive the connection', async () => {
    await using home = await createHome();
    const pool = poolIn(home);
    const opened = await pool.open(targetOf(host, bed, { client }));
    const controller = new AbortController();
    const running = opened.run(['sleep', `77${client.length}`], { signal: controller.signal }).catch(() => undefined);
    const find = (): Promise<{ readonly exitCode: number }> =>
      bed.exec(host.name, ['pgrep', '-f', `^sleep 77${client.length}$`]);
    await eventually(async () => expect((await find()).exitCode).toBe(0));

    controller.abort();
    await pool[Symbol.asyncDispose]();
    await running;

    await eventually(async () => expect((await find()).exitCode).toBe(1));
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

  test('a host behind another is reached through its one connection, the keys of both checked', async () => {
    await using home = await createHome();
    const [first, second] = [hostOf(bed, 'host1'), hostOf(bed, 'host2')];
    const bastion = targetOf(host, bed, { client, name: 'bastion', ...atOwnSshd() });
    const targets = [first, second].map((each) => targetOf(each, bed, { client, proxyJump: ['bastion'] }));
    await using pool = poolIn(home, { targets: [...targets, bastion] });

    const hosts = await Promise.all(targets.map((target) => pool.open(target)));
    const names = await Promise.all(hosts.map((each) => each.run(['hostname'])));
    const versions = await Promise.all(hosts.map((each) => each.docker().json(version)));

    expect(names.map(({ stdout }) => stdout)).toEqual([first, second].map(hostnameOf));
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

  expect((await opened.run(['hostname'])).stdout).toBe(hostnameOf(host));
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

/** What `hostname` says there: in another fleet it is not what tests call it. */
function hostnameOf({ container }: TestHost): string {
  return `${container.replace('cu-tb-', '')}\n`;
}
