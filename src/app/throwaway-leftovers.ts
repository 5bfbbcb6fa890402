import { randomBytes } from 'node:crypto';
import { z } from 'zod/mini';
import { LABELS } from '../core/state.ts';
import { removeContainer } from '../execute/engine.ts';
import { removeNetwork, removeVolume } from '../execute/resources.ts';
import { wordsOf } from '../transport/errors.ts';
import type { Host } from '../transport/host.ts';
import type { Context } from './context.ts';

export const TEST_ROLE = 'test';

/** A run that has no broker yet is just beginning, or was killed while it began. */
const BEGINNING_MS = 10 * 60_000;
const REMOVE_MS = 30_000;

const labels = z.nullish(z.record(z.string(), z.string()));
const containers = z.array(
  z.object({ Id: z.string(), Names: z.nullish(z.array(z.string())), State: z.string(), Labels: labels }),
);
const networks = z.array(z.object({ Id: z.string(), Name: z.string(), Labels: labels }));
const volumes = z.object({ Volumes: z.nullish(z.array(z.object({ Name: z.string(), Labels: labels }))) });

/** What throwaway runs have made on a host. */
interface Things {
  readonly containers: readonly {
    readonly id: string;
    readonly run: string;
    readonly isBroker: boolean;
    readonly state: string;
  }[];
  readonly networks: readonly { readonly id: string; readonly run: string }[];
  readonly volumes: readonly { readonly name: string; readonly run: string }[];
}

/** The name of a run; it begins with when that was. */
export function newRun(now: number): string {
  return `${now.toString(36)}-${randomBytes(3).toString('hex')}`;
}

/** Takes away what runs left that were killed; one that lives has a broker that runs, and is left alone. */
export async function removeLeftovers(context: Context, host: Host, project: string): Promise<void> {
  const things = await listThings(host, { project, signal: context.signal });
  const runs = new Set([...things.containers, ...things.networks, ...things.volumes].map(({ run }) => run));
  for (const run of runs) {
    if (!isOver(run, things, context.now())) continue;
    context.emit({
      type: 'debug',
      host: host.name,
      text: `removing what the \`cu test\` ${run} left, which was killed`,
    });
    await removeRun(context, host, { project, run });
  }
}

export function isOver(run: string, things: Pick<Things, 'containers'>, now: number): boolean {
  const broker = things.containers.find((container) => container.run === run && container.isBroker);
  if (broker !== undefined && broker.state !== 'created') return broker.state !== 'running';
  const began = Number.parseInt(run.split('-')[0] ?? '', 36);
  return !(now - began < BEGINNING_MS);
}

/** Everything of one run, whatever else is being interrupted; what cannot be removed is said, and found next time. */
export async function removeRun(
  context: Context,
  host: Host,
  { project, run }: { readonly project: string; readonly run: string },
): Promise<void> {
  const signal = AbortSignal.timeout(REMOVE_MS);
  try {
    const found = await listThings(host, { project, run, signal });
    await Promise.all(found.containers.map(({ id }) => removeContainer(host, id, signal)));
    for (const { id } of found.networks) await removeNetwork(host, id, signal);
    for (const { name } of found.volumes) await removeVolume(host, name, signal);
  } catch (error) {
    const text = `could not remove all that this test run made: ${wordsOf(error)}; the next \`cu test\` does`;
    context.emit({ type: 'warning', host: host.name, text });
  }
}

async function listThings(
  host: Host,
  { project, run, signal }: { readonly project: string; readonly run?: string; readonly signal: AbortSignal },
): Promise<Things> {
  const label = [`${LABELS.project}=${project}`, `${LABELS.role}=${TEST_ROLE}`];
  const filters = JSON.stringify({ label: run === undefined ? label : [...label, `${LABELS.run}=${run}`] });
  const get = (path: string, query: Readonly<Record<string, boolean>> = {}): Promise<unknown> =>
    host.docker().json({ method: 'GET', path, query: { ...query, filters }, signal });
  const [listed, nets, vols] = await Promise.all([
    get('/containers/json', { all: true }),
    get('/networks'),
    get('/volumes'),
  ]);
  const runOf = (own: z.infer<typeof labels>): string => own?.[LABELS.run] ?? '';
  return {
    containers: containers.parse(listed).map(({ Id: id, Names, State: state, Labels }) => ({
      id,
      run: runOf(Labels),
      isBroker: (Names ?? []).some((name) => name.endsWith('-broker')),
      state,
    })),
    networks: networks.parse(nets).map(({ Id: id, Labels }) => ({ id, run: runOf(Labels) })),
    volumes: (volumes.parse(vols).Volumes ?? []).map(({ Name: name, Labels }) => ({ name, run: runOf(Labels) })),
  };
}
