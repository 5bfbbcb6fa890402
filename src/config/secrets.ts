import { CuError } from '../core/error.ts';
import { Secret } from '../core/secret.ts';
import { didYouMean } from './issues.ts';
import type { EnvironmentConfig } from './parse.ts';
import { placements, settingPath, type Placement } from './placements.ts';
import type { Path } from './problem.ts';
import type { Config } from './schema.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export interface SecretFile {
  /** As the config names it. */
  readonly name: string;
  /** undefined: there is no such file. */
  readonly values: ReadonlyMap<string, string> | undefined;
}

/** Where the values of secrets come from. */
export interface SecretStore {
  readonly find: (name: string) => Secret | undefined;
  /** Every secret that could be shown by accident: all of the files, and what the config asks for. */
  readonly all: () => readonly Secret[];
  /** Where it was looked, for the error about a missing one. */
  readonly searched: string;
}

/** The password's secret when the broker names none; without a value, cu makes a password. */
export const BROKER_PASSWORD = 'BROKER_PASSWORD';

export function createSecretStore(files: readonly SecretFile[], env: Env, needed: readonly Needed[]): SecretStore {
  const find = (name: string): Secret | undefined => {
    const fromEnv = Object.hasOwn(env, name) ? env[name] : undefined;
    const value = files.map((file) => file.values?.get(name)).find((each) => each !== undefined) ?? fromEnv;
    return value === undefined || value === '' ? undefined : new Secret(name, value);
  };
  const names = new Set([
    ...files.flatMap((file) => [...(file.values?.keys() ?? [])]),
    ...needed.map(({ name }) => name),
    BROKER_PASSWORD,
  ]);
  const looked = files.map((file) => (file.values === undefined ? `${file.name} (no such file)` : file.name));
  return {
    find,
    all: () => [...names].flatMap((name) => find(name) ?? []),
    searched: [...looked, 'the environment'].join(', then '),
  };
}

/** A secret that the config asks for, and where it does. */
export interface Needed {
  readonly name: string;
  readonly path: Path;
}

/** Every secret that an environment needs and nothing gives, each once, with the place that asks for it. */
export function missingSecrets(environment: EnvironmentConfig, store: SecretStore): readonly CuError[] {
  const { config, locate } = environment;
  const [file] = config.secrets.files;
  const known = store.all().map((secret) => secret.name);
  const missing = new Map<string, Needed>();
  for (const needed of neededSecrets(config)) {
    if (store.find(needed.name) === undefined && !missing.has(needed.name)) missing.set(needed.name, needed);
  }
  return [...missing.values()].map(({ name, path }) => {
    const place = locate({ path, message: '' });
    const remedy =
      file === undefined
        ? `set ${name} in the environment`
        : `put ${name}=... into ${file}, or set it in the environment`;
    return new CuError(
      'SECRET_MISSING',
      `${place.file}:${place.line}:${place.column} ${place.path}: the secret ${name} is missing: looked in ${store.searched}`,
      {
        hint: didYouMean(name, known) ?? remedy,
      },
    );
  });
}

export function neededSecrets(config: Config): readonly Needed[] {
  const list = (names: readonly string[], path: Path): readonly Needed[] =>
    names.map((name, index) => ({ name, path: [...path, index] }));
  const all = placements(config, '');
  const { storage } = config;
  return [
    ...list(config.secrets.required, ['secrets', 'required']),
    ...all.flatMap((placement) => list(placement.settings.secrets, settingPath(config, placement, 'secrets'))),
    ...all.flatMap((placement) => brokerPassword(placement)),
    ...Object.entries(config.images).flatMap(([name, image]) =>
      list(image.build?.secrets ?? [], ['images', name, 'build', 'secrets']),
    ),
    ...Object.entries(config.registries).map(([host, registry]) => ({
      name: registry.password.secret,
      path: ['registries', host, 'password', 'secret'],
    })),
    ...(storage === undefined || storage === 'none' ? [] : list(storage.secrets, ['storage', 'secrets'])),
  ];
}

function brokerPassword({ service, traits }: Placement): readonly Needed[] {
  const name = traits.broker?.password;
  return name === undefined ? [] : [{ name, path: ['services', service, 'password', 'secret'] }];
}
