import { open, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { CuError } from '../core/error.ts';
import { parseDotenv } from './dotenv.ts';
import { expandPath } from './expand-path.ts';
import { didYouMean } from './issues.ts';
import { parseConfig, type EnvironmentConfig, type ParsedConfig } from './parse.ts';
import { ConfigError } from './problem.ts';
import { LARGEST_BYTES } from './read-yaml.ts';
import { createSecretStore, neededSecrets, type Env, type SecretFile, type SecretStore } from './secrets.ts';

const CONFIG_FILE = 'cu.config.yaml';

export interface LoadOptions {
  readonly cwd: string;
  /** `--config`; else the file is looked for here and in the folders above. */
  readonly config: string | undefined;
  readonly env: Env;
}

export interface LoadedConfig extends ParsedConfig {
  /** What relative paths in the config start from. */
  readonly directory: string;
}

/** Finds, reads and checks the config; all that is wrong with it is one ConfigError. */
export async function loadConfig({ cwd, config }: LoadOptions): Promise<LoadedConfig> {
  const found = config === undefined ? await findConfig(cwd) : path.resolve(cwd, config);
  const shown = shortPath(found, cwd);
  const text = await readText(found, shown);
  if (text === undefined)
    throw new CuError('CONFIG_INVALID', `${shown} does not exist`, { hint: '`cu init` writes one' });
  const result = parseConfig(text, shown);
  if (result.type === 'invalid') throw new ConfigError(result.problems);
  return { ...result.parsed, directory: path.dirname(found) };
}

/** The secrets of an environment: its files in their order, then cu's environment. */
export async function loadSecrets(
  { directory }: Pick<LoadedConfig, 'directory'>,
  { config }: EnvironmentConfig,
  env: Env,
): Promise<SecretStore> {
  const files: SecretFile[] = [];
  for (const name of config.secrets.files) {
    const text = await readText(expandPath(name, directory, env['HOME']), name);
    files.push({ name, values: text === undefined ? undefined : secretValues(text, name) });
  }
  return createSecretStore(files, env, neededSecrets(config));
}

/** The environment that `--env` names; else the only one, or the one marked `default: true`. */
export function chooseEnvironment(parsed: ParsedConfig, name: string | undefined): EnvironmentConfig {
  const { environments, file } = parsed;
  const names = environments.map((environment) => environment.name);
  if (name !== undefined) {
    const named = environments.find((environment) => environment.name === name);
    if (named !== undefined) return named;
    throw new CuError('USAGE', `${file} has no environment called ${JSON.stringify(name)}`, {
      hint: didYouMean(name, names) ?? `it has ${names.join(', ')}`,
    });
  }
  const chosen =
    environments.length === 1 ? environments[0] : environments.find((environment) => environment.isDefault);
  if (chosen !== undefined) return chosen;
  throw new CuError('USAGE', `which environment? ${file} has ${names.join(', ')}`, {
    hint: `name one with --env ${names[0] ?? 'NAME'}, or mark one with \`default: true\``,
  });
}

async function findConfig(cwd: string): Promise<string> {
  for (let folder = cwd; ; folder = path.dirname(folder)) {
    const file = path.join(folder, CONFIG_FILE);
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined) return file;
    if (path.dirname(folder) === folder) break;
  }
  throw new CuError('CONFIG_INVALID', `no ${CONFIG_FILE} in ${cwd} or a folder above`, {
    hint: '`cu init` writes one, `--config FILE` names another',
  });
}

function secretValues(text: string, name: string): ReadonlyMap<string, string> {
  const result = parseDotenv(text);
  if (result.type === 'values') return result.values;
  throw new CuError('CONFIG_INVALID', `${name}:${result.error.line} ${result.error.message}`, {
    hint: 'a secrets file has lines of NAME=value; quote a value that has spaces around it or goes over several lines',
  });
}

/** undefined: there is no such file. */
async function readText(file: string, shown: string): Promise<string | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    const bytes = await readBounded(handle, shown);
    return decode(bytes, shown);
  } catch (error) {
    if (error instanceof CuError) throw error;
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    const why = code === 'EISDIR' ? 'it is a directory' : code === 'EACCES' ? 'permission denied' : code;
    throw new CuError('CONFIG_INVALID', `${shown} cannot be read: ${why}`, { cause: error });
  } finally {
    await handle?.close();
  }
}

async function readBounded(handle: FileHandle, shown: string): Promise<Buffer> {
  const { size } = await handle.stat();
  const tooLarge = (bytes: string): CuError =>
    new CuError('CONFIG_INVALID', `${shown} has ${bytes}: at most ${LARGEST_BYTES / 1024 / 1024} MiB is read`, {
      hint: 'is it the right file?',
    });
  if (size > LARGEST_BYTES) throw tooLarge(`${(size / 1024 / 1024).toFixed(1)} MiB`);
  // A pipe or a device has no size: it is read as far as it may go.
  const buffer = Buffer.alloc(LARGEST_BYTES + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
  }
  throw tooLarge('no end');
}

function decode(bytes: Buffer, shown: string): string {
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  try {
    if (!isUtf16) return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CuError('CONFIG_INVALID', `${shown} is not UTF-8 text`, {
      hint: 'save it as UTF-8; or is it the wrong file?',
      cause: error,
    });
  }
  throw new CuError('CONFIG_INVALID', `${shown} is UTF-16 text`, { hint: 'save it as UTF-8' });
}

function shortPath(file: string, cwd: string): string {
  const short = path.relative(cwd, file);
  return short === '' || short.startsWith(path.join('..', '..')) ? file : short;
}

function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
