import { CuError } from '../core/error.ts';
import type { HostTarget } from '../core/state.ts';

/** The last jump before a host, reached through the ones before it: a host of the config by name, else `[user@]address[:port]`. */
export function jumpTarget(behind: HostTarget, jumps: readonly string[], targets: readonly HostTarget[]): HostTarget {
  const jump = jumps.at(-1) ?? '';
  const before = jumps.slice(0, -1);
  const named = targets.find((target) => target.name === jump);
  if (named !== undefined) return before.length === 0 ? named : { ...named, name: jumps.join(','), proxyJump: before };
  const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(jump);
  if (match?.[2] === undefined) {
    throw new CuError('CONFIG_INVALID', `proxyJump ${JSON.stringify(jump)} is not [user@]address[:port]`, {
      host: behind.name,
    });
  }
  return {
    ...behind,
    name: jumps.join(','),
    connection: 'ssh',
    address: match[2].replace(/^\[|\]$/g, ''),
    user: match[1],
    port: match[3] === undefined ? undefined : Number(match[3]),
    proxyJump: before,
    dockerSocket: undefined,
  };
}
