import type { ContainerSpec } from '../core/container.ts';
import { CuError } from '../core/error.ts';
import { inspectContainer } from '../observe/observe.ts';
import { within } from '../transport/abort.ts';
import type { Host } from '../transport/host.ts';
import { renameContainer, stopContainer } from './engine.ts';
import { waitHealthy } from './gate.ts';
import type { GateOptions } from './gate.ts';

interface NamingStep extends GateOptions {
  readonly host: Host;
  readonly grace: AbortSignal;
  readonly spec: ContainerSpec;
}

/** A name that is half given is worse than a moment's wait, so an interrupt does not cut it off at once. */
const RENAME_MS = 6000;

/** A name is tried for so often with one that crashes and comes back. */
const NAMING_TRIES = 3;

/** Gives the proven one its name. The engine cannot rename one that crashes just now: the gate then says why. */
export async function takeName(step: NamingStep, id: string): Promise<void> {
  const { host, spec, grace } = step;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await renameContainer(host, id, spec.name, within(RENAME_MS, grace));
    } catch (error) {
      if (attempt === NAMING_TRIES || !isMidCrash(error)) throw error;
      await waitHealthy(host, id, spec, step);
    }
  }
}

/**
 * An old one that crashes over and over has to be stopped before the engine can rename it; one that is well is left
 * alone whatever the engine says, for example that its disk is full.
 */
export async function moveAside(
  { host, spec, signal, grace }: NamingStep,
  id: string,
  name: string,
  onStopping: () => void = () => undefined,
): Promise<void> {
  try {
    await renameContainer(host, id, name, within(RENAME_MS, grace));
  } catch (error) {
    if (!isMidCrash(error)) throw error;
    const { observed } = (await inspectContainer(host, id, signal)) ?? {};
    if (observed?.state === 'running' && (observed.restartCount ?? 0) === 0) throw error;
    onStopping();
    await stopContainer(host, id, spec.drainMs, signal);
    await renameContainer(host, id, name, within(RENAME_MS, grace));
  }
}

function isMidCrash(error: unknown): boolean {
  return error instanceof CuError && error.statusCode === 500;
}

export async function giveNameBack(
  { host, grace }: { readonly host: Host; readonly grace: AbortSignal },
  id: string,
  name: string,
): Promise<void> {
  const finish = within(RENAME_MS, grace);
  const found = await inspectContainer(host, id, finish).catch(() => undefined);
  // One that cannot be renamed now is recognized as it is, and renamed, by the next deploy.
  if (found !== undefined && found.observed.name !== name)
    await renameContainer(host, id, name, finish).catch(() => undefined);
}
