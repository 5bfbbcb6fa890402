import { chooseEnvironment, loadConfig, loadSecrets } from '../config/load.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { EnvironmentConfig } from '../config/parse.ts';
import { resolveConfig } from '../config/resolve.ts';
import type { SecretStore } from '../config/secrets.ts';
import type { Desired } from '../core/state.ts';
import type { Context } from './context.ts';
import { maskBroker } from './mask-broker.ts';

export interface Project {
  readonly loaded: LoadedConfig;
  readonly environment: EnvironmentConfig;
  readonly desired: Desired;
  readonly secrets: SecretStore;
}

/** The chosen environment of the config, resolved; no host is contacted. */
export async function openProject(context: Context): Promise<Project> {
  const loaded = await loadConfig({ cwd: context.cwd, config: context.options.config, env: context.env });
  const environment = chooseEnvironment(loaded, context.options.environment);
  const store = await loadSecrets(loaded, environment, context.env);
  context.mask(store.all());
  const desired = resolveConfig(environment, { directory: loaded.directory, home: context.home, store });
  maskBroker(context, desired.broker?.password);
  return { loaded, environment, desired, secrets: store };
}
