import { IncomingMessage } from 'node:http';
import type { Agent } from 'node:http';
import { Duplex, Readable } from 'node:stream';
import { inspect } from 'node:util';
import { CuError } from '../core/error.ts';
import type { Call } from './docker-call.ts';
import { wordsOf } from './errors.ts';

/** The parts of a DockerRequest that go over the wire. */
export interface ModemRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Modem {
  dial(options: object, done: (error: Error | null, answer: unknown) => void): void;
}

export async function loadModem(agent: Agent, host: string): Promise<Modem> {
  const { default: DockerModem } = await import('docker-modem');
  try {
    return new DockerModem({ protocol: 'http', host: 'http://docker', agent });
  } catch (error) {
    throw new CuError('USAGE', `DOCKER_HOST or DOCKER_CERT_PATH in the environment is not usable: ${wordsOf(error)}`, {
      host,
      cause: error,
    });
  }
}

/** Every status is let through: docker-modem's own errors lose the engine's JSON of a streamed answer. */
const ANY_STATUS = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [100 + at, true]));

export function dialEngine(
  modem: Modem,
  request: ModemRequest,
  {
    call,
    isUpgrade,
    usage,
  }: { readonly call: Call; readonly isUpgrade: boolean; readonly usage: { sentBytes: number } },
): Promise<IncomingMessage | Duplex> {
  const { body, query } = request;
  const parameters = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  const payload =
    body === undefined || body instanceof Readable || body instanceof Uint8Array ? body : JSON.stringify(body);
  const bytes = payload === undefined || payload instanceof Readable ? undefined : Buffer.from(payload);
  const type = typeof payload === 'string' ? 'application/json' : 'application/x-tar';
  const headers = { ...(payload === undefined ? {} : { 'Content-Type': type }), ...request.headers };
  return new Promise((resolve, reject) => {
    // docker-modem appends the query to a path that ends with `?`, and takes `_body: {}` for no body at all.
    const dialled = {
      path: `${request.path}?`,
      method: request.method,
      options: { _query: Object.fromEntries(parameters), _body: {} },
      headers: hidden(headers),
      file: bytes ?? payload,
      isStream: true,
      hijack: isUpgrade,
      statusCodes: ANY_STATUS,
      abortSignal: hidden(call.signal),
    };
    usage.sentBytes += bytes?.length ?? 0;
    if (payload instanceof Readable) {
      payload.on('data', (chunk: Uint8Array) => {
        usage.sentBytes += chunk.length;
        call.touch();
      });
    }
    modem.dial(parameters.length > 0 ? dialled : { ...dialled, path: request.path }, (error, answer) => {
      if (error !== null) reject(error);
      else if (answer instanceof IncomingMessage || answer instanceof Duplex) resolve(answer);
      else reject(new Error('docker-modem gave neither an answer nor a stream'));
    });
  });
}

/** docker-modem inspects each request to any depth for its debug line: slow for what holds sockets, a leak for credentials. */
export function hidden<T extends object>(value: T): T {
  return Object.defineProperty(value, inspect.custom, { value: () => '[hidden]' });
}
