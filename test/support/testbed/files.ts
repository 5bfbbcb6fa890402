import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { paths, type CachePaths } from './paths.ts';
import type { TestHost } from './testbed.ts';

/** The key that every test host accepts; made once. */
export async function ensureIdentity(cache: CachePaths): Promise<void> {
  mkdirSync(cache.root, { recursive: true, mode: 0o700 });
  if (existsSync(cache.identity) && existsSync(`${cache.identity}.pub`)) return;
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'cu-testbed', '-f', cache.identity], {
    input: 'y\n',
  });
}

/** The machine's name servers without loopback ones, which mean nothing inside a container. */
export function writeResolvConf(): void {
  const sources = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'].filter((file) => existsSync(file));
  const lines = sources.flatMap((file) => readFileSync(file, 'utf8').split('\n'));
  const servers = lines.filter((line) => /^nameserver\s/.test(line) && !/\s(127\.|::1)/.test(line));
  writeFileSync(paths.resolvConf, `${[...new Set(servers)].join('\n')}\n`);
}

export function writeKnownHosts(hosts: readonly TestHost[]): void {
  const forwarded = (host: TestHost): readonly string[] =>
    host.hostKeyLines.map((line) => line.replace(/^\S+/, `[127.0.0.1]:${host.forwardedPort}`));
  writeFileSync(
    paths.knownHosts,
    `${hosts.flatMap((host) => [...host.hostKeyLines, ...forwarded(host)]).join('\n')}\n`,
  );
}
