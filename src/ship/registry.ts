import { CuError } from '../core/error.ts';
import type { Registry } from '../core/state.ts';
import type { Docker } from '../transport/docker.ts';
import { nameImage } from './engine-image.ts';
import { asText, exchange } from './engine-stream.ts';

export interface PushOptions {
  readonly docker: Docker;
  readonly hostName: string;
  readonly imageId: string;
  /** Without the tag, such as `registry.example.org/team/rasters`. */
  readonly repository: string;
  readonly tags: readonly string[];
  readonly auth: Registry | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** Names the image and pushes it under each tag; returns the digest that hosts pull. */
export async function pushImage(options: PushOptions): Promise<string> {
  const { docker, repository, tags } = options;
  await nameImage(
    docker,
    options.imageId,
    tags.map((tag) => `${repository}:${tag}`),
  );
  let digest: string | undefined;
  for (const tag of tags) digest = await pushTag(options, tag);
  if (digest === undefined) throw pushError(options, 'the engine did not say what it pushed');
  return digest;
}

async function pushTag(options: PushOptions, tag: string): Promise<string | undefined> {
  const messages = exchange(options.docker, {
    path: `/images/${options.repository}/push`,
    query: { tag },
    headers: authHeaders(options.auth),
    what: `push of ${options.repository}:${tag}`,
    host: options.hostName,
    signal: options.signal,
    silenceMs: 600_000,
  });
  let digest: string | undefined;
  for await (const message of messages) {
    if (message.error !== undefined) throw pushError(options, message.error);
    digest = asText(message.aux?.['Digest']) ?? digest;
    if (message.status === 'Pushed' || message.status === 'Layer already exists')
      options.onProgress?.(`${message.id ?? ''} ${message.status.toLowerCase()}`);
  }
  return digest;
}

/** Credentials go into this one header of one request; the API wants it on every push, empty or not. */
export function authHeaders(auth: Registry | undefined): Readonly<Record<string, string>> {
  const value =
    auth === undefined ? {} : { username: auth.username, password: auth.password.reveal(), serveraddress: auth.host };
  return { 'X-Registry-Auth': encode(value) };
}

/** URL-safe and padded: engines before 23 take a header without padding for none at all. */
function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** What a build may need to pull its base images, by registry. */
export function authConfigHeaders(registries: readonly Registry[]): Readonly<Record<string, string>> {
  if (registries.length === 0) return {};
  const entries = registries.map((registry) => [
    authKey(registry.host),
    { username: registry.username, password: registry.password.reveal() },
  ]);
  return { 'X-Registry-Config': encode(Object.fromEntries(entries)) };
}

/** Docker Hub's credentials have been filed under this address since its first version. */
export function authKey(host: string): string {
  return ['docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(host) ? 'https://index.docker.io/v1/' : host;
}

function pushError({ hostName, repository, auth }: PushOptions, message: string): CuError {
  const isRefused = /unauthorized|denied|authentication required|no basic auth/i.test(message);
  const name = repository.split('/')[0] ?? repository;
  const refusedHint =
    auth === undefined ? `add ${name} under registries` : `check username and password of registries.${auth.host}`;
  return new CuError('SHIP_FAILED', `${hostName}: cannot push ${repository}`, {
    host: hostName,
    detail: message,
    hint: isRefused ? refusedHint : `check that ${name} answers from the machine that builds`,
  });
}
