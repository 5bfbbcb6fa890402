import { PassThrough } from 'node:stream';
import type { Context } from '../../../src/app/context.ts';
import type { WebApi, WebRequest } from '../../../src/app/web-api.ts';
import type { CuEvent } from '../../../src/core/event.ts';
import type { HttpAnswer } from '../../../src/transport/http.ts';

export interface FakeContext extends Context {
  readonly events: readonly CuEvent[];
  readonly printed: () => string;
}

/** What calls need of the outside world; a clock that stands unless it is told otherwise. */
export function fakeContext(changes: {
  readonly cwd?: string;
  readonly now?: () => number;
  readonly stdin?: string;
  readonly isStdoutTty?: boolean;
  readonly json?: boolean;
  readonly signal?: AbortSignal;
}): FakeContext {
  const { cwd = '/', now = () => 0, stdin = '', isStdoutTty = false, json = false } = changes;
  const events: CuEvent[] = [];
  const [input, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  input.end(stdin);
  let printed = '';
  stdout.on('data', (chunk: Buffer) => (printed += chunk.toString('latin1')));
  const nobody = (): never => {
    throw new Error('not for a test');
  };
  return {
    events,
    printed: () => printed,
    cwd,
    home: cwd,
    tmp: cwd,
    cacheDir: cwd,
    username: 'somebody',
    machine: 'laptop',
    pid: 4711,
    isRunning: () => true,
    env: {},
    packageRoot: cwd,
    now,
    emit: (event) => void events.push(event),
    signal: changes.signal ?? new AbortController().signal,
    interactive: false,
    confirm: nobody,
    ask: nobody,
    output: nobody,
    mask: () => undefined,
    options: {
      config: undefined,
      environment: undefined,
      yes: false,
      parallel: undefined,
      timeoutMs: undefined,
      skipUnreachable: false,
      lockWaitMs: undefined,
      verbose: false,
      json,
    },
    terminal: {
      stdin: input,
      stdout,
      stderr,
      isTty: false,
      isStdoutTty,
      columns: 80,
      rows: 24,
      onResize: () => () => undefined,
      setRawMode: () => undefined,
    },
  };
}

export interface FakeWeb extends WebApi {
  /** `GET /v1/...` for each request, and `reset`. */
  readonly asked: readonly string[];
}

/** Answers by the first entry that is left for `METHOD PATH`; the last one answers for good. */
export function fakeWeb(answers: Readonly<Record<string, readonly (HttpAnswer | Error)[]>>): FakeWeb {
  const asked: string[] = [];
  const left = new Map(Object.entries(answers).map(([key, list]) => [key, [...list]]));
  return {
    asked,
    send: async ({ method, path, body }: WebRequest) => {
      const key = `${method} ${path}`;
      asked.push(key);
      if (typeof body === 'function') for await (const _chunk of body());
      const list = left.get(key) ?? [];
      const next = list.length > 1 ? list.shift() : list[0];
      if (next === undefined) throw new Error(`nothing answers ${key}`);
      if (next instanceof Error) throw next;
      return next;
    },
    reset: async () => void asked.push('reset'),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

export function answerOf(
  body: string | Uint8Array | AsyncIterable<Uint8Array>,
  { type = 'application/json', statusCode = 200 }: { readonly type?: string; readonly statusCode?: number } = {},
): HttpAnswer {
  const chunks =
    typeof body === 'string' || body instanceof Uint8Array
      ? (async function* (): AsyncGenerator<Uint8Array> {
          yield typeof body === 'string' ? Buffer.from(body) : body;
        })()
      : body;
  return {
    statusCode,
    headers: { 'content-type': type },
    body: chunks,
    text: async () => {
      const all: Uint8Array[] = [];
      for await (const chunk of chunks) all.push(chunk);
      return Buffer.concat(all).toString('utf8');
    },
    close: () => undefined,
  };
}
