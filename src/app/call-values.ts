import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { CuError } from '../core/error.ts';
import { wordsOf } from '../transport/errors.ts';
import type { Context } from './context.ts';
import { startTransfer } from './transfer.ts';
import type { WebApi } from './web-api.ts';

/** One argument of a call. JSON stays the text that was written: a number loses no digit, and 3.0 is not 3. */
export type CallArgument =
  | { readonly name: string; readonly type: 'json'; readonly text: string }
  | { readonly name: string; readonly type: 'file'; readonly path: string }
  | { readonly name: string; readonly type: 'stdin' };

/** The same, everything read that is here; files are known by their content. */
export type CallValue =
  | { readonly name: string; readonly type: 'json'; readonly text: string }
  | { readonly name: string; readonly type: 'file'; readonly file: LocalFile };

interface LocalFile {
  readonly path: string;
  /** As the user wrote it. */
  readonly shown: string;
  readonly sha256: string;
  readonly size: number;
}

/** Reads stdin and the files, before anything is contacted. */
export async function readValues(context: Context, given: readonly CallArgument[]): Promise<readonly CallValue[]> {
  const values: CallValue[] = [];
  for (const argument of given) {
    const { name } = argument;
    switch (argument.type) {
      case 'json':
        values.push(argument);
        break;
      case 'stdin':
        values.push({ name, type: 'json', text: await readStdin(context, name) });
        break;
      case 'file':
        values.push({ name, type: 'file', file: await readFileFacts(context, argument) });
        break;
    }
  }
  return values;
}

/** The body of `POST /v1/call/METHOD`. */
export function callBody(values: readonly CallValue[]): string {
  const members = values.map((value) => {
    const text =
      value.type === 'json'
        ? value.text
        : JSON.stringify({ $file: value.file.sha256, size: value.file.size, name: basename(value.file.path) });
    return `${JSON.stringify(value.name)}:${text}`;
  });
  return `{${members.join(',')}}`;
}

/** Sends the files that the storage does not have yet, each once. */
export async function uploadFiles(context: Context, web: WebApi, values: readonly CallValue[]): Promise<void> {
  const files = new Map(values.flatMap((value) => (value.type === 'file' ? [[value.file.sha256, value.file]] : [])));
  for (const file of files.values()) await uploadFile(context, web, file);
}

async function uploadFile(context: Context, web: WebApi, file: LocalFile): Promise<void> {
  const { sha256, size, shown } = file;
  const what = `upload of ${shown}`;
  const path = `/v1/files/${sha256}`;
  const known = await web.send({ method: 'HEAD', path, what }, [404]);
  await known.text();
  if (known.statusCode === 200) {
    context.emit({ type: 'debug', host: undefined, text: `${shown} is in the storage already: not sent again` });
    return;
  }
  const transfer = startTransfer(context, { direction: 'up', name: shown, totalBytes: size });
  const answer = await web.send({
    method: 'PUT',
    path,
    what,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
    body: () => Readable.from(transfer.count(readUnchanged(file)), { objectMode: false }),
  });
  await answer.text();
  transfer.end();
}

async function* readUnchanged({ path, shown, size }: LocalFile): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of readChunks(path, shown)) {
    bytes += chunk.length;
    // What was announced is what may be sent.
    if (bytes > size) break;
    yield chunk;
  }
  if (bytes !== size)
    throw new CuError('STEP_FAILED', `${shown} changed while it was being sent`, {
      hint: 'run the command again once nothing writes to it',
    });
}

async function readFileFacts(
  { cwd, signal }: Context,
  { name, path: shown }: { readonly name: string; readonly path: string },
): Promise<LocalFile> {
  const path = resolve(cwd, shown);
  const facts = await stat(path).catch((error: unknown) => {
    throw unreadable(`${name}=@${shown}`, error);
  });
  if (!facts.isFile())
    throw new CuError('USAGE', `${name}=@${shown} is no regular file`, {
      hint: 'name a file; what comes from elsewhere is saved as one first',
    });
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of readChunks(path, `${name}=@${shown}`)) {
    signal.throwIfAborted();
    hash.update(chunk);
    size += chunk.length;
  }
  return { path, shown, sha256: hash.digest('hex'), size };
}

async function* readChunks(path: string, shown: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 }))
      if (chunk instanceof Uint8Array) yield chunk;
  } catch (error) {
    throw unreadable(shown, error);
  }
}

function unreadable(shown: string, cause: unknown): CuError {
  const why = wordsOf(cause).replace(/^(E[A-Z]+): ([^,]*),.*$/, '$2');
  return new CuError('USAGE', `cannot read ${shown}: ${why}`, {
    hint: 'the path counts from the folder in which cu was started',
    cause,
  });
}

async function readStdin({ terminal, signal }: Context, name: string): Promise<string> {
  if (terminal.isTty)
    throw new CuError('USAGE', `${name}=- reads stdin, which is this terminal`, {
      hint: `pipe JSON into it: echo '[1, 2]' | cu call ... ${name}=-`,
    });
  const chunks: Uint8Array[] = [];
  for await (const chunk of terminal.stdin) {
    signal.throwIfAborted();
    chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8').trim();
  try {
    JSON.parse(text);
  } catch (error) {
    throw new CuError('USAGE', `what stdin gives for ${name} is not JSON: ${wordsOf(error)}`, {
      hint: `a file that is no JSON is passed with ${name}=@FILE`,
    });
  }
  return text;
}
