import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CuError } from '../core/error.ts';
import { formatBytes } from '../core/format.ts';
import { wordsOf } from '../transport/errors.ts';
import type { HttpAnswer } from '../transport/http.ts';
import type { Context } from './context.ts';
import { startTransfer } from './transfer.ts';

/** Where the result of a call went. */
export type Taken =
  /** The text as it came, and what it says. */
  | { readonly type: 'value'; readonly text: string; readonly value: unknown }
  | { readonly type: 'file'; readonly file: string; readonly bytes: number }
  /** Bytes, on stdout already. */
  | { readonly type: 'written' };

/** A file that a result goes to: seen to be possible before the work is asked for. */
export interface Target {
  /** As the user wrote it. */
  readonly shown: string;
  readonly path: string;
}

export async function checkTarget({ cwd }: Context, shown: string): Promise<Target> {
  const path = resolve(cwd, shown);
  const isFolder = async (place: string): Promise<boolean | undefined> =>
    stat(place).then(
      (facts) => facts.isDirectory(),
      () => undefined,
    );
  if ((await isFolder(path)) === true)
    throw new CuError('USAGE', `cannot write ${shown}: it is a folder`, { hint: 'name a file in it' });
  if ((await isFolder(dirname(path))) !== true)
    throw new CuError('USAGE', `cannot write ${shown}: there is no folder ${dirname(shown)}`, {
      hint: 'make it first',
    });
  return { shown, path };
}

/** Headers by which a result comes as the bytes that it is, where it is to be a file. */
export function acceptFor(target: Target | undefined): Readonly<Record<string, string>> {
  return target === undefined ? {} : { accept: 'application/octet-stream, */*' };
}

export async function takeResult(
  context: Context,
  answer: HttpAnswer,
  { target, name }: { readonly target: Target | undefined; readonly name: string },
): Promise<Taken> {
  const type = String(answer.headers['content-type'] ?? '');
  const size = Number(answer.headers['content-length'] ?? Number.NaN);
  const totalBytes = Number.isNaN(size) ? undefined : size;
  if (target !== undefined) return saveResult(context, answer, { target, name, totalBytes });
  const isJson = /^application\/([\w.-]+\+)?json\b/.test(type);
  const { terminal, options } = context;
  if (!options.json && !terminal.isStdoutTty) {
    await pipeline(isJson ? endedLine(answer.body) : answer.body, terminal.stdout, { end: false });
    return { type: 'written' };
  }
  if (isJson || type.startsWith('text/')) {
    const text = await answer.text();
    return { type: 'value', text, value: isJson ? parse(text) : text };
  }
  answer.close();
  const what = `the result of ${name} is ${totalBytes === undefined ? '' : `${formatBytes(totalBytes)} of `}${type || 'bytes'}`;
  throw new CuError('USAGE', `${what}, which is nothing for ${options.json ? 'a line of JSON' : 'a terminal'}`, {
    hint: 'write it to a file with -o FILE',
  });
}

/** JSON is a line of its own; other bytes are nothing but themselves. */
async function* endedLine(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let last: number | undefined;
  for await (const chunk of chunks) {
    last = chunk.at(-1) ?? last;
    yield chunk;
  }
  if (last !== 0x0a) yield Buffer.from('\n');
}

interface Saving {
  readonly target: Target;
  readonly name: string;
  readonly totalBytes: number | undefined;
}

/** Under another name until all of it is there, so that the file is never half a result. */
async function saveResult(
  context: Context,
  answer: HttpAnswer,
  { target: { path, shown }, name, totalBytes }: Saving,
): Promise<Taken> {
  const part = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.part`);
  const transfer = startTransfer(context, { direction: 'down', name, totalBytes });
  try {
    await pipeline(transfer.count(answer.body), createWriteStream(part, { flags: 'wx' }));
    await rename(part, path);
  } catch (error) {
    answer.close();
    await rm(part, { force: true });
    if (error instanceof CuError) throw error;
    throw new CuError('STEP_FAILED', `cannot write ${shown}: ${wordsOf(error)}`, {
      hint: 'choose another place with -o',
      cause: error,
    });
  }
  transfer.end();
  return { type: 'file', file: shown, bytes: transfer.bytes() };
}

/** A result that says it is JSON and is not is shown as the text that it is. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
