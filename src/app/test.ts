import { randomBytes } from 'node:crypto';
import type { PlanNode } from '../core/action.ts';
import { CuError, CuErrors } from '../core/error.ts';
import type { Desired } from '../core/state.ts';
import { registryIn } from '../execute/images.ts';
import { imageOnHost } from '../plan/images.ts';
import { parseImages } from '../observe/parse.ts';
import type { Host } from '../transport/host.ts';
import { buildImages } from './build.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { runTests } from './run-tests.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';
import { brokerReference, testedImage } from './test-image.ts';
import type { Tested } from './test-image.ts';
import { openThrowaway } from './throwaway.ts';
import { removeLeftovers } from './throwaway-leftovers.ts';

export interface TestResult {
  readonly image: string;
  readonly version: string;
  readonly host: string;
  /** Of the tests, as it is. */
  readonly exitCode: number;
}

/** Builds the image and runs a command in it, beside a broker and a storage that nothing else has. */
export async function test(
  context: Context,
  command: readonly string[],
  options: { readonly image: string | undefined },
): Promise<TestResult> {
  const { desired } = await openProject(context);
  const tested = testedImage(desired, options.image);
  await using session = openSession(context, desired);
  const { host, imageId, version } = await buildTested(context, { session, desired, tested });
  await removeLeftovers(context, host, desired.project);
  const brokerImage = brokerReference(desired);
  await ensureImage(context, host, { desired, reference: brokerImage });
  await using throwaway = await openThrowaway(context, host, { project: desired.project, brokerImage });
  const token = randomBytes(24).toString('hex');
  const exitCode = await runTests(context, {
    host,
    throwaway,
    desired,
    tested,
    imageId,
    version,
    command,
    token,
  }).catch((error: unknown) => {
    if (!context.signal.aborted) throw error;
    const hint = 'what they ran in is removed again';
    throw new CuError('CANCELLED', 'the tests were stopped', { hint, cause: error });
  });
  return { image: tested.source.name, version, host: host.name, exitCode };
}

interface Built {
  readonly host: Host;
  readonly imageId: string;
  readonly version: string;
}

async function buildTested(
  context: Context,
  { session, desired, tested }: { readonly session: Session; readonly desired: Desired; readonly tested: Tested },
): Promise<Built> {
  const { name, on } = tested.source;
  const uses = [{ image: name, host: on }];
  const { outcome, images } = await buildImages(context, { session, desired, uses }, { rebuild: false, pull: false });
  const failed = outcome.failed.map(({ error }) => error);
  if (failed.length > 0) throw new CuErrors(failed);
  context.signal.throwIfAborted();
  const wanted = images.get(name);
  if (wanted?.type !== 'build' || wanted.origin === undefined) throw new Error(`image ${name} was not resolved`);
  const { origin, version } = wanted;
  const target = desired.hosts.find((each) => each.name === origin.host);
  const host = target === undefined ? await session.openLocal() : await session.open(target);
  if (origin.isBuilt) return { host, imageId: origin.imageId, version };
  const listed = await host.docker().json({ method: 'GET', path: '/images/json', signal: context.signal });
  const built = imageOnHost({ images: parseImages(listed) }, wanted);
  if (built === undefined)
    throw new CuError('STEP_FAILED', `image ${name} is gone just after it was built`, {
      host: host.name,
      hint: 'does something else remove images there? run `cu test` again',
    });
  return { host, imageId: built.id, version };
}

async function ensureImage(
  { emit, now, signal }: Context,
  host: Host,
  { desired, reference }: { readonly desired: Desired; readonly reference: string },
): Promise<void> {
  const docker = host.docker();
  if ((await docker.json({ method: 'GET', path: `/images/${reference}/json`, allow: [404], signal })) !== undefined)
    return;
  const node: PlanNode = {
    id: `${host.name}/broker/pull`,
    host: host.name,
    action: { type: 'pull-image', image: 'broker', reference },
    cause: 'for the throwaway broker',
    after: [],
  };
  const startedAt = now();
  emit({ type: 'step-started', node });
  const { pullReference } = await import('../ship/pull.ts');
  await pullReference({
    docker,
    hostName: host.name,
    reference,
    auth: desired.registries.find((registry) => registry.host === registryIn(reference)),
    signal,
    onProgress: (text) => emit({ type: 'step-progress', node, text }),
  });
  emit({ type: 'step-done', node, ms: now() - startedAt, note: undefined });
}
