import type { ContainerSpec } from '../core/container.ts';
import { LABELS } from '../core/state.ts';
import type { Desired } from '../core/state.ts';

/** The role of containers that run one command of a plan and go. */
export const TASK_ROLE = 'task';

const NO_HEALTH = { type: 'none', intervalMs: 0, timeoutMs: 0, retries: 0, startPeriodMs: 0, stableMs: 0 } as const;

/**
 * A container with all that a service's has, for one command: nobody reaches it (no ports, no name on the network, no
 * labels of the user's that a proxy might read), nothing restarts it, and it is no instance.
 */
export function oneOffSpec(
  spec: ContainerSpec,
  desired: Pick<Desired, 'project' | 'environment'>,
  { instance, command }: { readonly instance: string; readonly command: readonly string[] },
): ContainerSpec {
  const { NetworkingConfig: _aliases, ExposedPorts: _ports, ...body } = spec.body;
  const hostConfig = typeof body['HostConfig'] === 'object' ? { ...body['HostConfig'] } : {};
  return {
    ...spec,
    name: `${desired.project}-${desired.environment}-${instance}`,
    instance,
    env: { ...spec.env, CU_INSTANCE: instance },
    labels: {
      [LABELS.project]: desired.project,
      [LABELS.environment]: desired.environment,
      [LABELS.role]: TASK_ROLE,
    },
    body: {
      ...body,
      Cmd: command,
      Healthcheck: { Test: ['NONE'] },
      HostConfig: { ...hostConfig, PortBindings: {}, RestartPolicy: { Name: 'no' } },
    },
    health: NO_HEALTH,
    probeSecret: undefined,
    drainMs: 0,
  };
}
