import { z } from 'zod/mini';
import type { Plan } from '../core/action.ts';
import type { CuError } from '../core/error.ts';
import { readPaths } from '../observe/mounts.ts';
import type { Planned } from '../plan/plan.ts';
import { findings, mountedPaths } from '../plan/preflight.ts';
import type { PreflightFacts } from '../plan/preflight.ts';
import { engineSocket } from '../transport/local.ts';
import type { Context } from './context.ts';
import type { Prepared } from './prepare.ts';

const image = z.object({ Architecture: z.string() });

/** All that stands in the way of this plan or would go wrong with it; hosts are asked only for what it is about. */
export async function findingsOf(
  context: Context,
  prepared: Prepared,
  planned: Pick<Planned, 'plan' | 'problems'>,
): Promise<readonly CuError[]> {
  const [paths, architectures] = await Promise.all([
    readMounts(context, prepared, planned.plan),
    readArchitectures(context, prepared, planned.plan),
  ]);
  return findings(prepared.input, planned, { paths, architectures });
}

async function readMounts(
  context: Context,
  { input, session, desired }: Prepared,
  plan: Plan,
): Promise<PreflightFacts['paths']> {
  const found = await Promise.all(
    [...mountedPaths(input, plan)].map(async ([name, paths]) => {
      const host = session.hosts.get(name);
      const target = desired.hosts.find((each) => each.name === name);
      // An engine at a TCP address keeps its files on another machine than commands run on.
      const isHere = target === undefined || (await engineSocket(target, context)) !== undefined;
      const facts = host === undefined || !isHere ? new Map() : await readPaths(host, paths, context.signal);
      return [name, facts] as const;
    }),
  );
  return new Map(found);
}

/** Of the images that are to be shipped and are built already, asked where they are. */
async function readArchitectures(
  { signal }: Context,
  { images, session, desired }: Prepared,
  plan: Plan,
): Promise<PreflightFacts['architectures']> {
  const shipped = new Set(plan.nodes.flatMap(({ action }) => (action.type === 'ship-image' ? [action.image] : [])));
  const found = await Promise.all(
    [...shipped].map(async (name): Promise<readonly (readonly [string, string])[]> => {
      const wanted = images.get(name);
      if (wanted?.type !== 'build' || wanted.origin?.isBuilt !== true) return [];
      const { host: at, imageId } = wanted.origin;
      const target = desired.hosts.find((each) => each.name === at);
      const host = target === undefined ? await session.openLocal() : await session.open(target);
      const path = `/images/${imageId}/json`;
      const answer = await host.docker().json({ method: 'GET', path, signal, allow: [404] });
      return answer === undefined ? [] : [[name, image.parse(answer).Architecture]];
    }),
  );
  return new Map(found.flat());
}
