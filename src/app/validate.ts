import { loadConfig, loadSecrets } from '../config/load.ts';
import { missingSecrets } from '../config/secrets.ts';
import { CuErrors } from '../core/error.ts';
import type { Context } from './context.ts';

/** Checks the file and, for every environment or the chosen one, that its secrets are there. No host is contacted. */
export async function validate(
  context: Context,
): Promise<{ readonly file: string; readonly environments: readonly string[] }> {
  const loaded = await loadConfig({ cwd: context.cwd, config: context.options.config, env: context.env });
  const missing = await Promise.all(
    loaded.environments.map(async (environment) =>
      missingSecrets(environment, await loadSecrets(loaded, environment, context.env)),
    ),
  );
  const unique = new Map(missing.flat().map((error) => [error.message, error]));
  if (unique.size > 0) throw new CuErrors([...unique.values()]);
  return { file: loaded.file, environments: loaded.environments.map((environment) => environment.name) };
}
