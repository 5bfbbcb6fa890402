import { loadConfig } from '../config/load.ts';
import { placements } from '../config/placements.ts';
import type { Context } from './context.ts';

/** What can be typed as an environment or a TARGET, from the config alone: a completion never waits for a host. */
export async function listNames(
  context: Context,
): Promise<{ readonly environments: readonly string[]; readonly targets: readonly string[] }> {
  const loaded = await loadConfig({ cwd: context.cwd, config: context.options.config, env: context.env });
  const environments = loaded.environments.map((environment) => environment.name);
  const chosen =
    loaded.environments.find((each) => each.name === context.options.environment) ??
    loaded.environments.find((each) => each.isDefault) ??
    loaded.environments[0];
  if (chosen === undefined) return { environments, targets: [] };
  const { config, name } = chosen;
  const targets = placements(config, name).flatMap(({ host, service, instance }) => [
    host,
    service,
    `${host}/${service}`,
    `${host}/${service}/${instance}`,
  ]);
  return { environments, targets: [...new Set(targets)].toSorted() };
}
