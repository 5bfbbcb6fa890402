import { z } from 'zod';
import { CuError } from '../core/error.ts';
import { parseConfig } from './parse.ts';
import type { ConfigDocument, EnvironmentConfig } from './parse.ts';
import { ConfigError } from './problem.ts';

/** What belongs to the world of today, whatever release is wanted: how hosts are reached, and what may be known. */
const OF_TODAY = ['hosts', 'ssh', 'secrets', 'registries'] as const;

/** All else of a document has passed the schema already. */
const placed = z.object({
  services: z.record(
    z.string(),
    z.object({ on: z.union([z.array(z.string()), z.record(z.string(), z.unknown())]).optional() }),
  ),
});

/** The part of an environment's config that a release keeps. */
export function documentToStore({ document }: Pick<EnvironmentConfig, 'document'>): ConfigDocument {
  const ofToday: readonly string[] = OF_TODAY;
  return Object.fromEntries(Object.entries(document).filter(([key]) => !ofToday.includes(key)));
}

/** An environment as it was stored, with the hosts and the secrets that it has today; `name` is for messages. */
export function parseStoredEnvironment(stored: unknown, current: EnvironmentConfig, name: string): EnvironmentConfig {
  const { data, success } = z.record(z.string(), z.unknown()).safeParse(stored);
  const { data: places } = placed.safeParse(stored);
  if (!success || places === undefined) throw new CuError('USAGE', `the config of ${name} cannot be read`);
  const gone = goneHosts(places, current);
  if (gone.length > 0) {
    throw new CuError('CONFIG_INVALID', `${name} needs what the config no longer has: ${gone.join(', ')}`, {
      hint: 'add it again; `cu deploy --version V` brings back the images alone, with the config of today',
    });
  }
  const today = OF_TODAY.flatMap((key) => (key in current.document ? [[key, current.document[key]]] : []));
  const environments = { [current.name]: { tag: current.tag, default: current.isDefault } };
  const document = { ...data, ...Object.fromEntries(today), environments };
  // JSON is YAML, so the one way that a config is read and checked serves here too.
  const text = JSON.stringify(document, undefined, 1).replaceAll('\x7f', String.raw`\u007f`);
  const result = parseConfig(text, name);
  if (result.type === 'invalid') throw new ConfigError(result.problems);
  const [environment] = result.parsed.environments;
  if (environment === undefined) throw new Error('a valid config has an environment');
  return environment;
}

/** `host3 (of web)`. */
function goneHosts(places: z.output<typeof placed>, { config }: EnvironmentConfig): readonly string[] {
  const services = new Map<string, string[]>();
  for (const [service, { on = [] }] of Object.entries(places.services)) {
    for (const host of Array.isArray(on) ? on : Object.keys(on)) {
      if (!Object.hasOwn(config.hosts, host)) services.set(host, [...(services.get(host) ?? []), service]);
    }
  }
  return [...services].map(([host, names]) => `host ${host} (of ${names.join(', ')})`);
}
