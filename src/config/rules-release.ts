import type { InstanceSpec } from '../core/state.ts';
import { didYouMean } from './issues.ts';
import type { Complaint } from './problem.ts';
import { show } from './problem.ts';
import type { Rule, Subject } from './rule.ts';
import { own, type Config } from './schema.ts';

export const RELEASE_RULES: readonly Rule[] = [tasksHaveService, taskNamesAreFree];

/** The service whose settings a task has that names none: the first webserver, else worker, else one that is built. */
export function defaultTaskService(
  { images }: Pick<Config, 'images'>,
  users: readonly (Pick<InstanceSpec, 'service' | 'kind'> & { readonly image: string | undefined })[],
): string | undefined {
  const isBuilt = (image: string | undefined): boolean =>
    image !== undefined && own(images, image)?.build !== undefined;
  const found =
    users.find(({ kind }) => kind === 'webserver') ??
    users.find(({ kind }) => kind === 'worker') ??
    users.find(({ image }) => isBuilt(image));
  return found?.service;
}

function tasksHaveService({ config, placements }: Subject): readonly Complaint[] {
  const services = Object.keys(config.services);
  const [onlyImage] = Object.keys(config.images);
  const users = placements.map(({ service, kind, settings }) => ({
    service,
    kind,
    image: settings.image ?? (kind === 'redis' ? undefined : onlyImage),
  }));
  return config.tasks.beforeSwitch.flatMap(({ service }, index): readonly Complaint[] => {
    const path = ['tasks', 'beforeSwitch', index];
    if (service === undefined) {
      if (defaultTaskService(config, users) !== undefined) return [];
      const message = 'names no service, and there is no webserver, no worker and no image that is built';
      return [{ path, message, hint: 'write { service: NAME, command: [...] }' }];
    }
    if (services.includes(service)) return [];
    const hint = didYouMean(service, services) ?? `known are ${services.slice(0, 10).join(', ')}`;
    return [{ path: [...path, 'service'], message: `no service is called ${show(service)}`, hint }];
  });
}

/** A service called `task` would have containers of the names that tasks have. */
function taskNamesAreFree({ config }: Subject): readonly Complaint[] {
  if (config.tasks.beforeSwitch.length === 0 || own(config.services, 'task') === undefined) return [];
  const message = 'beside `tasks`, no service can be called "task": their containers would have the same names';
  return [{ path: ['services', 'task'], message, hint: 'rename the service', isKey: true }];
}
