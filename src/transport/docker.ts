import { Agent, IncomingMessage } from 'node:http';
import { Readable, Transform, finished } from 'node:stream';
import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import { onAbort, orAborted } from './abort.ts';
import { startCall } from './docker-call.ts';
import type { Call } from './docker-call.ts';
import { dialEngine, hidden, loadModem } from './docker-modem.ts';
import type { Modem } from './docker-modem.ts';
import { createSemaphore } from './semaphore.ts';
import type { Semaphore } from './semaphore.ts';

export interface DockerRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  /** Without the version, such as `/containers/json`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** An object is sent as JSON, bytes and streams as `application/x-tar`. */
  readonly body?: object | Uint8Array | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Until the answer's headers are there; for `json`, until all of it is. Default 60 s. */
  readonly timeoutMs?: number;
}

export interface DockerResponse {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** The Docker API of one host. A status of 400 or more is a CuError('DOCKER_API') with `statusCode` unless listed in `allow`. */
export interface Docker {
  /** The whole answer, parsed; undefined when it is empty or its status is in `allow`. */
  json(request: DockerRequest & { readonly allow?: readonly number[] }): Promise<unknown>;
  /** The answer as it comes, for logs, archives, builds and loads. */
  stream(request: DockerRequest & { readonly allow?: readonly number[] }): Promise<DockerResponse>;
  /** A raw two-way stream after `101 Switching Protocols`, for exec with stdin. */
  hijack(request: DockerRequest): Promise<Duplex>;
  /** API calls made and bytes sent and received so far, for `npm run bench` and `-v`. */
  readonly usage: { readonly calls: number; readonly sentBytes: number; readonly receivedBytes: number };
}

export interface DockerOptions {
  readonly host: string;
  /** Opens one byte stream to the engine; called once a socket of the pool. */
  readonly open: () => Promise<Duplex>;
  /** Sockets at once, more calls wait; a function where only a first look at the host can tell. */
  readonly maxSockets: number | (() => Promise<number>);
  /** Maps what went wrong on the way to the engine to an error that a person understands. */
  readonly explain: (error: unknown, command: string) => CuError | Promise<CuError>;
}

/**
 * The Docker API over whatever carries a byte stream, on docker-modem (35 ms to load next to ssh2).
 * Paths are sent without a version: every engine from 20.10 on answers them with its newest API, which costs no
 * round trip to negotiate; all that cu reads has had the same shape since 1.41, and Engine 29 refuses a fixed 1.41.
 */
export function createDocker(options: DockerOptions): Docker & { close(): void } {
  const usage = { calls: 0, sentBytes: 0, receivedBytes: 0 };
  const agent = createAgent(options.open);
  let modem: Promise<Modem> | undefined;
  let places: Promise<Semaphore> | undefined;

  const begin = (request: DockerRequest): Call =>
    startCall({
      host: options.host,
      command: commandOf(request),
      timeoutMs: request.timeoutMs,
      signal: request.signal,
      upload: request.body instanceof Readable ? request.body : undefined,
      explain: options.explain,
    });
  const send = async (request: DockerRequest, call: Call, isUpgrade: boolean): Promise<IncomingMessage | Duplex> => {
    usage.calls += 1;
    modem ??= loadModem(agent, options.host);
    // Node does not count sockets that are still being opened, so the limit has to be ours.
    places ??= placesFor(options.maxSockets).catch((error: unknown) => {
      // The engine may be there at the next call.
      places = undefined;
      throw error;
    });
    const limit = await orAborted(places, call.signal);
    const release = isUpgrade ? () => undefined : await limit.acquire(call.signal);
    try {
      call.signal.throwIfAborted();
      // A channel to a frozen host never closes, so neither an error nor an end can be waited for.
      const answer = await orAborted(dialEngine(await modem, request, { call, isUpgrade, usage }), call.signal);
      if (answer instanceof IncomingMessage) finished(answer, release);
      onAbort(call.signal, release);
      return answer;
    } catch (error) {
      release();
      throw error;
    }
  };

  const open = async (request: Allowing, call: Call): Promise<DockerResponse> => {
    try {
      const answer = await send(request, call, false);
      if (!(answer instanceof IncomingMessage)) throw new Error('the engine upgraded a plain request');
      const statusCode = answer.statusCode ?? 0;
      if (statusCode < 400 || request.allow?.includes(statusCode) === true) {
        const body = readBody(answer, { usage, call });
        finished(body, () => call.end());
        return { statusCode, headers: answer.headers, body };
      }
      const refused = await apiError(answer, request, options.host);
      call.end(refused);
      throw refused;
    } catch (error) {
      const explained = await call.explain(error);
      call.end(explained);
      throw explained;
    }
  };

  return {
    usage,
    stream: async (request) => {
      const call = begin(request);
      const response = await open(request, call);
      call.stopTimer();
      return response;
    },
    json: async (request) => {
      const call = begin(request);
      const { statusCode, body } = await open(request, call);
      const text = await collect(body);
      if (statusCode >= 400 || text.trim() === '') return undefined;
      try {
        return JSON.parse(text);
      } catch (error) {
        throw await options.explain(error, commandOf(request));
      }
    },
    hijack: async (request) => {
      const call = begin(request);
      try {
        const answer = await send(request, call, true);
        if (answer instanceof IncomingMessage) throw await apiError(answer, request, options.host);
        onAbort(call.signal, (reason) => answer.destroy(reason));
        finished(answer, () => call.end());
        return answer;
      } catch (error) {
        throw await call.explain(error);
      } finally {
        call.stopTimer();
      }
    },
    close: () => agent.destroy(),
  };
}

type Allowing = DockerRequest & { readonly allow?: readonly number[] };

/** An agent of node:http whose connections are streams that `open` makes. */
export function createAgent(open: () => Promise<Duplex>): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
  // Assigned, not overridden: @types/node does not know the asynchronous form that node:http supports.
  Object.assign(agent, {
    createConnection: (_options: unknown, done: (error: Error | null, stream?: Duplex) => void) => {
      open().then(
        (stream) => done(null, asSocket(stream)),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
  return hidden(agent);
}

async function placesFor(size: DockerOptions['maxSockets']): Promise<Semaphore> {
  return createSemaphore(typeof size === 'number' ? size : await size());
}

/** The answer's bytes, counted; what cuts them short is an error that a person understands. */
function readBody(
  answer: IncomingMessage,
  { usage, call }: { readonly usage: { receivedBytes: number }; readonly call: Call },
): Readable {
  const body = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      usage.receivedBytes += chunk.length;
      done(null, chunk);
    },
  });
  const fail = async (error: Error): Promise<void> => void body.destroy(await call.explain(error));
  // The reader may have gone away already; to nobody an error is not worth the process.
  body.on('error', () => undefined);
  answer.on('error', (error) => void fail(error));
  onAbort(call.signal, (reason) => body.destroy(reason));
  body.on('close', () => answer.destroy());
  return answer.pipe(body);
}

async function apiError(answer: IncomingMessage, request: DockerRequest, host: string): Promise<CuError> {
  const text = (await collect(answer)).slice(0, 4000).trim();
  return new CuError('DOCKER_API', messageIn(text), {
    host,
    command: commandOf(request),
    statusCode: answer.statusCode ?? 0,
  });
}

function messageIn(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) return String(parsed.message);
  } catch {
    // Not JSON: a proxy between us and the engine answered, its words are all there is.
  }
  return text === '' ? 'the engine gave no reason' : text;
}

function commandOf(request: DockerRequest): string {
  return `${request.method} ${request.path}`;
}

async function collect(body: AsyncIterable<unknown>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** node:http calls a few methods of net.Socket that a channel of an SSH connection lacks. */
export function asSocket(stream: Duplex): Duplex {
  const noop = (): Duplex => stream;
  const missing = ['setTimeout', 'setNoDelay', 'setKeepAlive', 'ref', 'unref'].filter((name) => !(name in stream));
  return Object.assign(stream, Object.fromEntries(missing.map((name) => [name, noop])));
}
