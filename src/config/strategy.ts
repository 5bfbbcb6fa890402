import type { RolloutStrategy } from '../core/state.ts';
import type { Placement } from './placements.ts';
import { own, type Config } from './schema.ts';

/**
 * How an instance is replaced, unless its ports or the host forbid it. On this machine's own engine a proxy is for who
 * asks for one: a laptop needs no further image for it, and an engine in a virtual machine cannot be given one.
 */
export function strategyOf(config: Pick<Config, 'hosts'>, { host, settings, traits }: Placement): RolloutStrategy {
  const isLocal = own(config.hosts, host)?.connection === 'local';
  const preset = traits.rollout === 'proxy' && isLocal ? 'recreate' : traits.rollout;
  return settings.rollout?.strategy ?? preset;
}
