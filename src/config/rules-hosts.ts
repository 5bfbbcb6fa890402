import { show, type Complaint } from './problem.ts';
import { firstOf, wayBack } from './rules-names.ts';
import type { Rule, Subject } from './rule.ts';
import { own, type Config } from './schema.ts';

export const HOST_RULES: readonly Rule[] = [endingJumps, localIsLocal, localHasNoAddress];

function endingJumps({ config }: Subject): readonly Complaint[] {
  return Object.keys(config.hosts).flatMap((name) => {
    const way = wayBack(name, (host) => jumpsOf(config, host));
    return way === undefined || firstOf(way) !== name
      ? []
      : [{ path: ['hosts', name, 'proxyJump'], message: `jumps over itself: ${way.join(' -> ')}` }];
  });
}

/** The hops to a host; the jump that all hosts share is reached without itself. */
export function jumpsOf(config: Config, name: string): readonly string[] {
  const host = own(config.hosts, name);
  if (host === undefined || host.connection === 'local') return [];
  if (host.proxyJump !== undefined) return host.proxyJump;
  const shared = config.ssh.proxyJump ?? [];
  return shared.includes(name) ? [] : shared;
}

/** `build.on: local` means this machine, so a host of that name has to be it. */
function localIsLocal({ config }: Subject): readonly Complaint[] {
  return own(config.hosts, 'local')?.connection === 'ssh'
    ? [
        {
          path: ['hosts', 'local'],
          message: 'a host called "local" is this machine',
          hint: 'rename it, or add `connection: local`',
          isKey: true,
        },
      ]
    : [];
}

function localHasNoAddress({ config }: Subject): readonly Complaint[] {
  return Object.entries(config.hosts).flatMap(([name, host]) =>
    host.connection === 'local'
      ? (['address', 'port', 'user', 'identity', 'proxyJump'] as const)
          .filter((key) => host[key] !== undefined)
          .map((key) => ({
            path: ['hosts', name, key],
            message: `${show(key)} is not for connection local`,
            hint: 'take it out, or take `connection: local` out to use SSH',
            isKey: true,
          }))
      : [],
  );
}
