import { request } from 'node:http';
import type { Agent, IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CuError } from '../core/error.ts';
import { createAgent } from './docker.ts';
import { wordsOf } from './errors.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew when the request has to be sent again. */
  readonly body?: string | (() => Readable);
  readonly signal: AbortSignal;
  /** The longest silence: until the answer begins, while a body is sent, and within the answer. Default 60 s. */
  readonly silenceMs?: number;
}

export interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** To be read to its end, or closed. */
  readonly body: AsyncIterable<Uint8Array>;
  text(): Promise<string>;
  close(): void;
}

/** HTTP over streams that something else opens, kept open from one request to the next. */
export interface HttpClient {
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): void;
}

export interface HttpOptions {
  /** For messages: `the webserver on host1`. */
  readonly peer: string;
  readonly host: string;
  readonly open: () => Promise<Duplex>;
}

const DEFAULT_SILENCE_MS = 60_000;

export function createHttpClient({ peer, host, open }: HttpOptions): HttpClient {
  const agent = createAgent(async () => {
    const stream = await open();
    // A channel of an SSH connection stays half open, and a kept one would be used again though nobody answers on it.
    stream.once('end', () => stream.destroy());
    return stream;
  });
  const explain = (error: unknown, asked: HttpRequest): CuError => {
    const reason: unknown = asked.signal.aborted ? asked.signal.reason : error;
    if (reason instanceof CuError) return reason;
    if (asked.signal.aborted) return new CuError('CANCELLED', 'interrupted', { host, cause: error });
    return new CuError('CONNECTION_LOST', `the connection to ${peer} was lost: ${wordsOf(error)}`, {
      host,
      command: `${asked.method} ${asked.path}`,
      hint: 'run the command again; `cu status` shows whether it is up',
      cause: error,
    });
  };
  const silent = (asked: HttpRequest): CuError =>
    new CuError('TIMEOUT', `${peer} gave no answer within ${Math.round(silenceOf(asked) / 1000)} s`, {
      host,
      command: `${asked.method} ${asked.path}`,
      hint: '`cu logs` of the webserver may say why; `cu restart` starts it anew',
    });
  const send = async (asked: HttpRequest): Promise<HttpAnswer> => {
    try {
      return await toAnswer(await exchange(agent, asked, () => silent(asked)), {
        silenceMs: silenceOf(asked),
        signal: asked.signal,
        explain: (error) => explain(error, asked),
        silent: () => silent(asked),
      });
    } catch (error) {
      // The other side may have closed a kept connection just when it was used again.
      if (error instanceof StaleConnection && !asked.signal.aborted) return send(asked);
      throw explain(error, asked);
    }
  };
  return { send, close: () => agent.destroy() };
}

class StaleConnection extends Error {}

function silenceOf(asked: HttpRequest): number {
  return asked.silenceMs ?? DEFAULT_SILENCE_MS;
}

function exchange(agent: Agent, asked: HttpRequest, silent: () => CuError): Promise<IncomingMessage> {
  const { method, path, headers, body, signal } = asked;
  return new Promise((resolve, reject) => {
    const sending = request({ agent, method, path, headers: { host: 'localhost', ...headers }, signal });
    const timer = setTimeout(() => sending.destroy(silent()), silenceOf(asked));
    sending.once('response', (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
    let unreadable: Error | undefined;
    // Also heard after the answer: one that refuses a body early need not read the rest of it.
    sending.on('error', (error) => {
      clearTimeout(timer);
      const isStale = unreadable === undefined && sending.reusedSocket && isReset(error);
      reject(isStale ? new StaleConnection(error.message, { cause: error }) : (unreadable ?? error));
    });
    if (body === undefined || typeof body === 'string') return void sending.end(body);
    const content = body();
    content.on('data', () => timer.refresh());
    // A body that fails here ends the request, which then knows nothing but that it was cut off.
    content.once('error', (error) => (unreadable = error));
    pipeline(content, sending).catch(() => undefined);
  });
}

function isReset(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE';
}

interface Reading {
  readonly silenceMs: number;
  readonly signal: AbortSignal;
  readonly explain: (error: unknown) => CuError;
  readonly silent: () => CuError;
}

function toAnswer(message: IncomingMessage, reading: Reading): HttpAnswer {
  // What nobody reads any more may fail unheard.
  message.on('error', () => undefined);
  const body = readChunks(message, reading);
  return {
    statusCode: message.statusCode ?? 0,
    headers: message.headers,
    body,
    text: async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks).toString('utf8');
    },
    close: () => message.destroy(),
  };
}

/** Only the wait for the next bytes is timed: a reader may be as slow as it likes. */
async function* readChunks(
  message: IncomingMessage,
  { silenceMs, explain, silent }: Reading,
): AsyncGenerator<Uint8Array> {
  const chunks: AsyncIterator<unknown> = message[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(() => message.destroy(silent()), silenceMs);
      const next = await chunks.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      if (next.value instanceof Uint8Array) yield next.value;
    }
  } catch (error) {
    throw explain(error);
  } finally {
    if (!message.complete) message.destroy();
  }
}
