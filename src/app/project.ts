import { chooseEnvironment, loadConfig, loadSecrets } from '../config/load.ts';
import type { LoadedConfig } from '../config/load.ts';
import { resolveConfig } from '../config/resolve.ts';
import type { Desired } from '../core/state.ts';
import type { Context } from './context.ts';

export interface Project {
  readonly loaded: LoadedConfig;
  readonly desired: Desired;
}

/** The chosen environment of the config, resolved; no host is contacted. */
export async function openProject(context: Context): Promise<Project> {
  const loaded = await loadConfig({ cwd: context.cwd, config: context.options.config, env: context.env });
  const environment = chooseEnvironment(loaded, context.options.environment);
  const store = await loadSecrets(loaded, environment, context.env);
  context.mask(store.all());
  const desired = resolveConfig(environment, { directory: loaded.directory, home: context.home, store });
  return { loaded, desired };
}
