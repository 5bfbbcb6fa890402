import { initState } from '../execute/resources.ts';
import { stateName } from '../observe/state.ts';
import type { Context } from './context.ts';
import { lockFurther } from './locks.ts';
import type { Prepared } from './prepare.ts';

/**
 * `docker container prune` takes the container through which the state volume is read. It is made anew before
 * planning, so that what the volume holds (the key of secrets' digests, the broker's password) counts again.
 */
export async function repairState(context: Context, prepared: Prepared): Promise<boolean> {
  const { desired, observed, session, input } = prepared;
  const volume = stateName(desired);
  const broken = observed.filter(
    (host) => host.state === undefined && host.volumes.some((each) => each.name === volume),
  );
  await lockFurther(
    prepared,
    broken.map(({ name }) => name),
  );
  for (const { name } of broken) {
    const host = session.hosts.get(name);
    if (host === undefined) continue;
    context.emit({
      type: 'warning',
      host: name,
      text: `the container of volume ${volume} was removed by hand: made anew`,
    });
    await initState(host, { volume, specKey: input.fresh.specKey, brokerPassword: undefined }, desired, context.signal);
  }
  return broken.length > 0;
}
