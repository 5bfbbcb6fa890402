import { randomBytes } from 'node:crypto';
import { hmacSha256, sha256, stableHash } from '../config/hash.ts';
import type { CuError } from '../core/error.ts';
import { Secret } from '../core/secret.ts';
import type { InstanceSpec, ObservedHost } from '../core/state.ts';
import type { BuildInputs } from '../build/inputs.ts';
import type { Locks } from '../execute/lock.ts';
import type { PlanInput, WantedImage } from '../plan/input.ts';
import { selectInstances } from '../plan/targets.ts';
import { readCertificates } from './certificates.ts';
import type { Context } from './context.ts';
import { observeForgotten, unseenHosts } from './forgotten.ts';
import type { Forgotten } from './forgotten.ts';
import { readInputs, wantImages } from './images.ts';
import type { ImageOptions } from './images.ts';
import { takeLocks } from './locks.ts';
import { maskBroker } from './mask-broker.ts';
import { openProject } from './project.ts';
import type { Project } from './project.ts';
import { hostsFor, observeAll, openSession } from './session.ts';
import type { Session } from './session.ts';

/** How this run rolls out, beyond what the config says. */
type RolloutChoices = Pick<PlanInput, 'pauseMs' | 'isDetached'>;

export interface PrepareOptions extends ImageOptions, Partial<RolloutChoices> {
  /** What is run, for whoever finds the locks taken. Without it nothing is locked, because nothing is to change. */
  readonly command?: string;
  /** What is open already, such as the project as an earlier release had it. */
  readonly opened?: Opened;
}

/** A project, the connections to its hosts, and their locks where something is to change. */
export interface Opened extends AsyncDisposable {
  readonly project: Project;
  readonly session: Session;
  readonly locks: Locks | undefined;
}

/** Everything that stands between a command line and its plan. */
export interface Prepared extends AsyncDisposable, Pick<Project, 'desired' | 'environment' | 'secrets'> {
  readonly instances: readonly InstanceSpec[];
  readonly session: Session;
  readonly locks: Locks | undefined;
  readonly observed: readonly ObservedHost[];
  readonly unreachable: readonly CuError[];
  readonly images: ReadonlyMap<string, WantedImage>;
  readonly inputs: ReadonlyMap<string, BuildInputs>;
  readonly input: PlanInput;
  /** Hosts of an earlier deploy that the config no longer has, and that may still run something. */
  readonly forgotten: readonly Forgotten[];
}

/** Opens the project, and with a command takes the lock of every host that the targets concern. */
export async function open(context: Context, targets: readonly string[], command: string | undefined): Promise<Opened> {
  const project = await openProject(context);
  // Unknown targets are refused before any connection.
  const instances = selectInstances(project.desired, targets);
  const session = openSession(context, project.desired);
  try {
    const { used } = hostsFor(project.desired, instances, { isWhole: targets.length === 0 });
    const locks =
      command === undefined ? undefined : await takeLocks(context, { project, session, hosts: used, command });
    return {
      project,
      session,
      locks,
      [Symbol.asyncDispose]: async () => {
        await locks?.[Symbol.asyncDispose]();
        await session[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** Load, resolve, lock, observe: up to the input of a plan. Nothing on a host is changed. */
export async function prepare(
  context: Context,
  targets: readonly string[],
  options: PrepareOptions,
): Promise<Prepared> {
  context.emit({ type: 'phase', text: 'looking at the hosts' });
  const opened = options.opened ?? (await open(context, targets, options.command));
  const { project, session } = opened;
  const { desired } = project;
  const isWhole = targets.length === 0;
  try {
    const instances = selectInstances(desired, targets);
    const isPinned = options.version !== undefined || options.pinned !== undefined;
    const [certificates, inputs, snapshot] = await Promise.all([
      readCertificates(instances),
      isPinned ? new Map<string, BuildInputs>() : readInputs(context, desired, instances),
      observeAll(context, session, desired, hostsFor(desired, instances, { isWhole })),
    ]);
    const at = { session, desired, instances, observed: snapshot.observed, inputs };
    const [images, forgotten] = await Promise.all([
      wantImages(context, at, options),
      isWhole || instances.some(({ singleton }) => singleton)
        ? observeForgotten(context, session, { desired, observed: snapshot.observed })
        : [],
    ]);
    const observed = [...snapshot.observed, ...forgotten.flatMap((each) => each.observed ?? [])];
    const input = planInput(context, {
      desired,
      instances,
      isWhole,
      hosts: observed,
      // Who leaves hosts out says that nothing there is to be waited for.
      unseen: context.options.skipUnreachable ? [] : unseenHosts(desired, observed, forgotten),
      images,
      rebuild: options.rebuild,
      pauseMs: options.pauseMs ?? 0,
      isDetached: options.isDetached ?? false,
      certificates,
    });
    return {
      ...opened,
      ...project,
      instances,
      observed,
      unreachable: snapshot.unreachable,
      images,
      inputs,
      input,
      forgotten,
    };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** The same for commands about what runs already: nothing is digested, nothing is built, images stay what they are. */
export async function prepareRunning(
  context: Context,
  targets: readonly string[],
  command?: string,
): Promise<Prepared> {
  const opened = await open(context, targets, command);
  const { project, session } = opened;
  const { desired } = project;
  const isWhole = targets.length === 0;
  try {
    const instances = selectInstances(desired, targets);
    const snapshot = await observeAll(context, session, desired, hostsFor(desired, instances, { isWhole }));
    const images = new Map<string, WantedImage>(
      desired.images.map((source) => [
        source.name,
        source.type === 'ref'
          ? { type: 'ref', source }
          : { type: 'build', source, inputs: '', version: '', origin: undefined },
      ]),
    );
    const parts = { desired, instances, isWhole, hosts: snapshot.observed, images, rebuild: false };
    const input = planInput(context, parts);
    return { ...opened, ...project, instances, ...snapshot, images, inputs: new Map(), input, forgotten: [] };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

type InputParts = Omit<PlanInput, 'hashing' | 'fresh' | 'certificates' | 'unseen' | keyof RolloutChoices> &
  Partial<RolloutChoices & Pick<PlanInput, 'certificates' | 'unseen'>>;

function planInput(context: Context, parts: InputParts): PlanInput {
  const brokerPassword = new Secret('broker-password', randomBytes(24).toString('base64url'));
  if (parts.desired.broker !== undefined) maskBroker(context, brokerPassword);
  return {
    pauseMs: 0,
    isDetached: false,
    certificates: new Map(),
    unseen: [],
    ...parts,
    hashing: { stable: stableHash, sha256, hmacSha256 },
    fresh: {
      specKey: new Secret('spec-key', randomBytes(32).toString('hex')),
      brokerPassword,
    },
  };
}
