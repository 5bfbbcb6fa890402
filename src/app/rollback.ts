import { resolveConfig } from '../config/resolve.ts';
import { CuError } from '../core/error.ts';
import { commitOf, previousHealthy } from '../plan/releases.ts';
import { carryOut } from './carry-out.ts';
import type { DeployResult } from './carry-out.ts';
import type { Context } from './context.ts';
import { readReleases } from './history.ts';
import { lockFurther } from './locks.ts';
import { open, prepare } from './prepare.ts';
import { releaseConfig } from './release.ts';
import { hostsFor } from './session.ts';

export interface RollbackOptions {
  /** A version or the id of a release; undefined: the last one that was healthy. */
  readonly version: string | undefined;
  readonly dryRun: boolean;
  readonly prune: boolean;
  readonly pauseMs: number;
  readonly isDetached: boolean;
}

/** Back to an earlier release: its settings and its images, on the hosts and with the secrets of today. */
export async function rollback(context: Context, options: RollbackOptions): Promise<DeployResult> {
  const opened = await open(context, [], options.dryRun ? undefined : 'rollback');
  try {
    const { project, session } = opened;
    const releases = await readReleases(context, session, project.desired);
    const release = previousHealthy(releases, { version: options.version });
    if (release instanceof CuError) throw release;
    context.emit({ type: 'phase', text: `going back to release ${release.id}` });
    const environment = releaseConfig(release, project.environment);
    const { directory } = project.loaded;
    const desired = resolveConfig(environment, { directory, home: context.home, store: project.secrets });
    // All that answer were opened to read what they remember.
    await lockFurther(opened, hostsFor(desired, desired.instances, { isWhole: true }).used);
    const then = { ...opened, project: { ...project, environment, desired } };
    const { pauseMs, isDetached } = options;
    const request = { version: undefined, noBuild: true, rebuild: false, pinned: release.images, opened: then };
    await using prepared = await prepare(context, [], { ...request, pauseMs, isDetached });
    // `version` names the release here, not what every image is to have.
    return await carryOut(context, prepared, {
      kind: 'rollback',
      targets: [],
      origin: release.id,
      commit: commitOf(release, releases),
      dryRun: options.dryRun,
      prune: options.prune,
    });
  } finally {
    await opened[Symbol.asyncDispose]();
  }
}
