import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Registry } from '../core/state.ts';
import { asObject, parseObject } from '../ship/engine-stream.ts';
import { authKey } from '../ship/registry.ts';

/** The user's docker config plus our registries, for one run of the client; undefined when there is nothing to add. */
export async function writeDockerConfig(
  folder: string,
  registries: readonly Registry[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (registries.length === 0) return undefined;
  const original = env['DOCKER_CONFIG'] ?? path.join(env['HOME'] ?? homedir(), '.docker');
  const config = path.join(folder, 'docker');
  await mkdir(config, { mode: 0o700 });
  for (const name of await readdir(original).catch(() => [])) {
    // Plugins and contexts stay what they are.
    if (name !== 'config.json') await symlink(path.join(original, name), path.join(config, name));
  }
  const text = await readFile(path.join(original, 'config.json'), 'utf8').catch(() => '{}');
  const merged = mergeAuths(parseObject(text) ?? {}, registries);
  await writeFile(path.join(config, 'config.json'), JSON.stringify(merged), { mode: 0o600 });
  return config;
}

export function mergeAuths(
  config: Readonly<Record<string, unknown>>,
  registries: readonly Registry[],
): Readonly<Record<string, unknown>> {
  const auths = registries.map((registry) => [
    authKey(registry.host),
    { auth: Buffer.from(`${registry.username}:${registry.password.reveal()}`).toString('base64') },
  ]);
  // An empty helper says: look into this file, whatever credential store the user has.
  const helpers = registries.map((registry) => [authKey(registry.host), '']);
  return {
    ...config,
    auths: { ...asObject(config['auths']), ...Object.fromEntries(auths) },
    credHelpers: { ...asObject(config['credHelpers']), ...Object.fromEntries(helpers) },
  };
}
