import { randomBytes } from 'node:crypto';
import { hmacSha256, sha256, stableHash } from '../config/hash.ts';
import type { Plan, PlanNode } from '../core/action.ts';
import { CuErrors } from '../core/error.ts';
import type { CuError } from '../core/error.ts';
import { Secret } from '../core/secret.ts';
import type { Desired, InstanceSpec, ObservedHost } from '../core/state.ts';
import type { BuildInputs } from '../build/inputs.ts';
import type { PlanInput, WantedImage } from '../plan/input.ts';
import { plan } from '../plan/plan.ts';
import { selectInstances } from '../plan/targets.ts';
import type { Context } from './context.ts';
import { readInputs, wantImages } from './images.ts';
import type { ImageOptions } from './images.ts';
import { readCertificates } from './certificates.ts';
import { maskBroker } from './mask-broker.ts';
import { openProject } from './project.ts';
import { hostsFor, observeAll, openSession } from './session.ts';
import type { Session } from './session.ts';

/** How this run rolls out, beyond what the config says. */
type RolloutChoices = Pick<PlanInput, 'pauseMs' | 'isDetached'>;

/** Everything that stands between a command line and its plan. */
export interface Prepared extends AsyncDisposable {
  readonly desired: Desired;
  readonly instances: readonly InstanceSpec[];
  readonly session: Session;
  readonly observed: readonly ObservedHost[];
  readonly unreachable: readonly CuError[];
  readonly images: ReadonlyMap<string, WantedImage>;
  readonly inputs: ReadonlyMap<string, BuildInputs>;
  readonly input: PlanInput;
}

/** Load, resolve, observe: read-only, up to the input of a plan. Targets are checked before any connection. */
export async function prepare(
  context: Context,
  targets: readonly string[],
  options: ImageOptions & Partial<RolloutChoices>,
): Promise<Prepared> {
  const { desired } = await openProject(context);
  const instances = selectInstances(desired, targets);
  const session = openSession(context, desired);
  try {
    context.emit({ type: 'phase', text: 'looking at the hosts' });
    const [certificates, inputs, snapshot] = await Promise.all([
      readCertificates(instances),
      options.version === undefined ? readInputs(context, desired, instances) : new Map<string, BuildInputs>(),
      observeAll(context, session, desired, hostsFor(desired, instances, { isWhole: targets.length === 0 })),
    ]);
    const images = await wantImages(
      context,
      { session, desired, instances, observed: snapshot.observed, inputs },
      options,
    );
    const isWhole = targets.length === 0;
    const input = planInput(context, {
      desired,
      instances,
      isWhole,
      hosts: snapshot.observed,
      images,
      rebuild: options.rebuild,
      pauseMs: options.pauseMs ?? 0,
      isDetached: options.isDetached ?? false,
      certificates,
    });
    return {
      desired,
      instances,
      session,
      ...snapshot,
      images,
      inputs,
      input,
      [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
    };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** The same for commands about what runs already: nothing is digested, nothing is built, images stay what they are. */
export async function prepareRunning(context: Context, targets: readonly string[]): Promise<Prepared> {
  const { desired } = await openProject(context);
  const instances = selectInstances(desired, targets);
  const session = openSession(context, desired);
  try {
    const snapshot = await observeAll(
      context,
      session,
      desired,
      hostsFor(desired, instances, { isWhole: targets.length === 0 }),
    );
    const images = new Map<string, WantedImage>(
      desired.images.map((source) => [
        source.name,
        source.type === 'ref'
          ? { type: 'ref', source }
          : { type: 'build', source, inputs: '', version: '', origin: undefined },
      ]),
    );
    const input = planInput(context, {
      desired,
      instances,
      isWhole: targets.length === 0,
      hosts: snapshot.observed,
      images,
      rebuild: false,
    });
    return {
      desired,
      instances,
      session,
      ...snapshot,
      images,
      inputs: new Map(),
      input,
      [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
    };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

type InputParts = Omit<PlanInput, 'hashing' | 'fresh' | 'certificates' | keyof RolloutChoices> &
  Partial<RolloutChoices & Pick<PlanInput, 'certificates'>>;

function planInput(context: Context, parts: InputParts): PlanInput {
  const brokerPassword = new Secret('broker-password', randomBytes(24).toString('base64url'));
  if (parts.desired.broker !== undefined) maskBroker(context, brokerPassword);
  return {
    pauseMs: 0,
    isDetached: false,
    certificates: new Map(),
    ...parts,
    hashing: { stable: stableHash, sha256, hmacSha256 },
    fresh: {
      specKey: new Secret('spec-key', randomBytes(32).toString('hex')),
      brokerPassword,
    },
  };
}

/** The plan, or every problem that stands in its way at once. */
export function planOrThrow(input: PlanInput): { readonly plan: Plan; readonly prunes: readonly PlanNode[] } {
  const planned = plan(input);
  if (planned.problems.length > 0) throw new CuErrors(planned.problems);
  return planned;
}
