import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod/mini';
import { stableHash } from '../config/hash.ts';
import type { Plan, PlanNode } from '../core/action.ts';
import { CuError } from '../core/error.ts';
import { LABELS } from '../core/state.ts';
import type { Context } from './context.ts';
import type { PlanChoices } from './plan-choices.ts';
import type { Prepared } from './prepare.ts';

const saved = z.object({
  v: z.literal(2),
  choices: z.object({
    targets: z.array(z.string()),
    version: z.optional(z.string()),
    noBuild: z.boolean(),
    pauseMs: z.number(),
    isDetached: z.boolean(),
  }),
  plan: z.string(),
  hosts: z.record(z.string(), z.string()),
});

/** A plan as it was shown: how it was asked for, and digests of it and of the hosts. */
export interface SavedPlan {
  readonly file: string;
  readonly choices: PlanChoices;
  readonly plan: string;
  readonly hosts: Readonly<Record<string, string>>;
}

interface Planned {
  readonly plan: Plan;
  readonly prepared: Prepared;
}

/** Writes what the plan is made of as digests: it is made again from the same config, and must come out the same. */
export async function savePlan(
  context: Context,
  file: string,
  { plan, prepared, choices }: Planned & { readonly choices: PlanChoices },
): Promise<void> {
  const steps = plan.nodes.map(({ id, cause, after }) => ({ id, cause, after }));
  const text = JSON.stringify(
    { v: 2, choices, plan: planDigest(plan), hosts: hostDigests(prepared), steps },
    undefined,
    2,
  );
  try {
    await writeFile(resolve(context.cwd, file), `${text}\n`, { mode: 0o600 });
  } catch (error) {
    throw new CuError('USAGE', `cannot write ${file}`, { hint: 'choose another place with --out', cause: error });
  }
}

export async function readSavedPlan(context: Context, file: string): Promise<SavedPlan> {
  try {
    const { choices, ...found } = saved.parse(JSON.parse(await readFile(resolve(context.cwd, file), 'utf8')));
    return { ...found, file, choices: { ...choices, version: choices.version } };
  } catch (error) {
    throw new CuError('USAGE', `${file} is not a plan that this cu saved`, {
      hint: '`cu plan --out FILE` writes one',
      cause: error,
    });
  }
}

/** Refuses a saved plan when the hosts or the config are no longer what they were. */
export function checkSavedPlan({ file, ...found }: SavedPlan, planned: Planned): void {
  const hosts = hostDigests(planned.prepared);
  const changed = Object.keys({ ...hosts, ...found.hosts }).filter((name) => hosts[name] !== found.hosts[name]);
  if (changed.length > 0) {
    throw new CuError('PLAN_STALE', `${changed.join(', ')} changed since ${file} was made`, {
      hint: 'look at a new one: `cu plan --out FILE`',
    });
  }
  if (planDigest(planned.plan) !== found.plan) {
    throw new CuError('PLAN_STALE', `the config or its inputs changed since ${file} was made`, {
      hint: 'look at a new one: `cu plan --out FILE`',
    });
  }
}

function planDigest(plan: Plan): string {
  return stableHash(plan.nodes.map((node) => [node.id, node.cause, node.after, labelsOf(node)]));
}

/** What a container is to be, as its labels say it; a first deploy's key of secrets differs from run to run. */
function labelsOf({ action }: PlanNode): Readonly<Record<string, string>> {
  if (action.type === 'run-task') return { command: action.name };
  if (!('spec' in action)) return {};
  const { labels } = action.spec;
  return { ...labels, [LABELS.spec]: (labels[LABELS.spec] ?? '').replace(/ secrets=\S*/, '') };
}

/** What is of this project: that somebody else's container came or went changes no plan of ours. */
function hostDigests({ observed, desired }: Prepared): Readonly<Record<string, string>> {
  const isOwn = ({ labels }: { readonly labels: Readonly<Record<string, string>> }): boolean =>
    labels[LABELS.project] === desired.project;
  return Object.fromEntries(
    observed.map((host) => [
      host.name,
      // The engine lists things in an order that changes from call to call.
      stableHash({
        containers: Object.fromEntries(
          host.containers
            .filter(isOwn)
            .map(({ id, name, state, imageId, labels, limits }) => [id, [name, state, imageId, labels, limits]]),
        ),
        images: Object.fromEntries(host.images.filter(isOwn).map(({ id, tags }) => [id, tags.toSorted()])),
        networks: host.networks
          .filter(isOwn)
          .map((network) => network.name)
          .toSorted(),
        volumes: host.volumes
          .filter(isOwn)
          .map((volume) => volume.name)
          .toSorted(),
      }),
    ]),
  );
}
