import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attachTestbed } from '../../support/hosts.ts';
import type { TestHost, Testbed } from '../../support/hosts.ts';
import { createHome, execute, failureOf, hostOf, poolIn, startSshd, targetOf } from './setup.ts';
import type { ExtraSshd, Home } from './setup.ts';

let bed: Testbed;
let host: TestHost;
let sshd: ExtraSshd;

beforeAll(async () => {
  bed = await attachTestbed();
  host = hostOf(bed, 'host2');
  sshd = await startSshd(bed, host, { port: 2203 });
});

afterAll(() => sshd[Symbol.asyncDispose]());

describe.each(['ssh2', 'openssh'] as const)('trust and identity by %s', (client) => {
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
    const { mode } = await stat(`${home.path}/.ssh/known_hosts`);
    expect(mode & 0o022).toBe(0);
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
});

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
