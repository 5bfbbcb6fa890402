import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Say } from './say.ts';

const packageOfCommand = [
  ['dockerd', 'docker.io'],
  ['docker', 'docker.io'],
  ['debootstrap', 'debootstrap'],
  ['ssh', 'openssh-client'],
  ['ssh-keygen', 'openssh-client'],
  ['docker-registry', 'docker-registry'],
  ['iptables', 'iptables'],
  ['ip', 'iproute2'],
  // Images that are made of nothing else, and a second shell.
  ['busybox', 'busybox-static'],
] as const;

/** Installs what the testbed needs and the machine lacks. Starts no service: the testbed runs its own engine. */
export async function ensurePackages(say: Say): Promise<void> {
  if (process.platform !== 'linux') throw new Error(`test hosts need Linux, this is ${process.platform}`);
  if (process.getuid?.() !== 0)
    throw new Error('test hosts need root (they run a Docker Engine of their own): run this as root or with sudo');
  const wanted = missingPackages();
  if (wanted.length === 0) return;
  if (!hasCommand('apt-get'))
    throw new Error(`test hosts need ${wanted.join(', ')}, and there is no apt-get here to install them with`);
  say(`installing ${wanted.join(', ')}`);
  await apt(['update']);
  await apt(['install', '-y', '--no-install-recommends', ...wanted]);
  // From Debian 13 on the client is a package of its own.
  if (missingPackages().includes('docker.io')) await apt(['install', '-y', '--no-install-recommends', 'docker-cli']);
  const still = missingPackages();
  if (still.length > 0) throw new Error(`apt-get installed no ${still.join(', ')}`);
}

function missingPackages(): readonly string[] {
  const missing = packageOfCommand.filter(([command]) => !hasCommand(command)).map(([, name]) => name);
  return [...new Set(missing)];
}

function hasCommand(name: string): boolean {
  return ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) =>
    existsSync(join(folder, name)),
  );
}

async function apt(argv: readonly string[]): Promise<void> {
  // RUNLEVEL=1 keeps invoke-rc.d from starting the packages' services.
  await execa('apt-get', ['-q', ...argv], {
    env: { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    timeout: 600_000,
    stdin: 'ignore',
  });
}
