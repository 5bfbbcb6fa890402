import { Readable } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { Docker, DockerRequest } from '../transport/docker.ts';

/** One line of what the engine says while it builds, loads, pushes or pulls. */
export interface EngineMessage {
  readonly stream: string | undefined;
  readonly status: string | undefined;
  /** The layer that a status is about. */
  readonly id: string | undefined;
  readonly current: number | undefined;
  readonly total: number | undefined;
  readonly error: string | undefined;
  readonly aux: Readonly<Record<string, unknown>> | undefined;
}

export interface ExchangeOptions extends Pick<DockerRequest, 'path' | 'query' | 'headers' | 'body'> {
  /** For messages: what is being done, such as `load of rasters:r5`. */
  readonly what: string;
  readonly host: string;
  readonly signal?: AbortSignal | undefined;
  /** How long the engine may say nothing once it has all of the body. */
  readonly silenceMs: number;
  readonly onSent?: ((bytes: number) => void) | undefined;
}

const STALL_MS = 120_000;

/** Sends a request and yields what the engine answers, line by line; a transfer that stands still is given up. */
export async function* exchange(docker: Docker, options: ExchangeOptions): AsyncGenerator<EngineMessage> {
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const watch = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(stallError(options, ms)), ms);
  };
  const signal = options.signal === undefined ? stalled.signal : AbortSignal.any([options.signal, stalled.signal]);
  const { body } = options;
  const source = body instanceof Readable ? body : undefined;
  const state: { sourceError: unknown } = { sourceError: undefined };
  source?.on('error', (error) => (state.sourceError ??= error));
  const metered =
    source === undefined ? undefined : Readable.from(meter(source, options, watch), { objectMode: false });
  // When the engine answers before it has read everything, the rest of the body may fail unseen.
  metered?.on('error', () => undefined);
  watch(source === undefined ? options.silenceMs : STALL_MS);
  try {
    const response = await docker.stream({
      method: 'POST',
      path: options.path,
      signal,
      timeoutMs: 2 ** 31 - 1,
      ...(options.query === undefined ? {} : { query: options.query }),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(metered === undefined ? (body === undefined ? {} : { body }) : { body: metered }),
    });
    for await (const message of readMessages(response.body)) {
      watch(options.silenceMs);
      yield message;
    }
    signal.throwIfAborted();
  } catch (error) {
    if (options.signal?.aborted === true) throw interrupted(options, error);
    if (stalled.signal.aborted) throw stalled.signal.reason;
    // A file that could not be read is the cause, the broken request only its consequence.
    if (state.sourceError instanceof CuError) throw state.sourceError;
    throw error instanceof CuError ? error : lost(options, error);
  } finally {
    clearTimeout(timer);
    metered?.destroy();
    source?.destroy();
  }
}

async function* meter(source: Readable, options: ExchangeOptions, watch: (ms: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    watch(STALL_MS);
    options.onSent?.(bytes.length);
    yield bytes;
  }
  watch(options.silenceMs);
}

function interrupted({ what, host }: ExchangeOptions, cause: unknown): CuError {
  return cause instanceof CuError && cause.code === 'CANCELLED'
    ? cause
    : new CuError('CANCELLED', `${host}: ${what} was interrupted`, { host, cause });
}

function lost({ what, host }: ExchangeOptions, cause: unknown): CuError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new CuError('CONNECTION_LOST', `${host}: the connection broke during the ${what}`, {
    host,
    detail,
    hint: 'run the same command again',
    cause,
  });
}

function stallError(options: ExchangeOptions, ms: number): CuError {
  return new CuError('TIMEOUT', `${options.host}: ${options.what}: nothing moved for ${Math.round(ms / 1000)} s`, {
    host: options.host,
    hint: 'check the connection and the load of the host, then run the same command again',
  });
}

export async function* readMessages(body: AsyncIterable<unknown>): AsyncGenerator<EngineMessage> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += chunk instanceof Uint8Array ? decoder.decode(chunk, { stream: true }) : String(chunk);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield parseMessage(line);
  }
  if (rest.trim() !== '') yield parseMessage(rest);
}

function parseMessage(line: string): EngineMessage {
  const value = parseObject(line) ?? { stream: line };
  const detail = asObject(value['progressDetail']);
  const error = asObject(value['errorDetail']);
  return {
    stream: asText(value['stream']),
    status: asText(value['status']),
    id: asText(value['id']),
    current: asNumber(detail?.['current']),
    total: asNumber(detail?.['total']),
    error: asText(value['error']) ?? asText(error?.['message']),
    aux: asObject(value['aux']),
  };
}

export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return asObject(value);
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function asTexts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
