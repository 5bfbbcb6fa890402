import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BlobCache, Blob } from './blobs.ts';

export interface Manifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** A registry on this machine's loopback, for as long as a deploy lasts: engines push into the cache and pull out of it. */
export interface Receiver extends AsyncDisposable {
  readonly port: number;
  /** Of layers and configs that engines pushed. */
  readonly receivedBytes: number;
  /** Serves a connection that came through a tunnel; `onSent` counts the blobs that went out over it. */
  accept(connection: Duplex, onSent?: (bytes: number) => void): void;
  /** A manifest that was pushed or offered, by digest. */
  manifest(digest: string): Manifest | undefined;
  /** Lets engines pull it by digest. */
  offer(manifest: Manifest): void;
}

/** The only repository there is: one name for all images lets an engine remember what it pushed before. */
export const REPOSITORY = 'cu';

const MAX_MANIFEST_BYTES = 4 * 2 ** 20;

/**
 * Takes the port of the last run where it is free, because an engine remembers what it pushed by `127.0.0.1:PORT/cu`
 * and compresses and sends everything again under another name.
 */
export async function startReceiver(blobs: BlobCache): Promise<Receiver> {
  const state: State = { blobs, manifests: new Map(), uploads: new Map(), meters: new WeakMap(), receivedBytes: 0 };
  const server = createServer((request, response) => {
    answer(state, request, response).catch(() => {
      // A client that went away is no error of ours; the engine tries again or reports it.
      if (response.headersSent) response.destroy();
      else send(response, 500);
    });
  });
  const last = await blobs.recall('receiver', 'port');
  const port = await listen(server, typeof last === 'number' ? last : 0);
  if (port !== last) await blobs.remember('receiver', 'port', port);

  return {
    port,
    get receivedBytes() {
      return state.receivedBytes;
    },
    accept(connection, onSent) {
      if (onSent !== undefined) state.meters.set(connection, onSent);
      server.emit('connection', connection);
    },
    manifest: (digest) => state.manifests.get(digest),
    offer: (manifest) => void state.manifests.set(manifest.digest, manifest),
    async [Symbol.asyncDispose]() {
      for (const upload of state.uploads.values()) upload.body.destroy();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Upload {
  readonly body: PassThrough;
  readonly stored: Promise<Blob>;
  receivedBytes: number;
}

interface State {
  readonly blobs: BlobCache;
  readonly manifests: Map<string, Manifest>;
  readonly uploads: Map<string, Upload>;
  readonly meters: WeakMap<Duplex, (bytes: number) => void>;
  receivedBytes: number;
}

async function listen(server: Server, port: number): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    if (port !== 0) return listen(server, 0);
    throw error;
  }
  return portOf(server.address());
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answer(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://receiver');
  if (url.pathname === '/v2/' || url.pathname === '/v2') return send(response, 200, {}, '{}');
  const prefix = `/v2/${REPOSITORY}/`;
  if (!url.pathname.startsWith(prefix)) return refuse(response, 404, 'NAME_UNKNOWN');
  const [kind = '', ...rest] = url.pathname.slice(prefix.length).split('/');
  const name = rest.join('/');
  const method = request.method ?? 'GET';
  if (kind === 'manifests')
    return method === 'PUT'
      ? takeManifest(state, request, response, name)
      : giveManifest(state, method, response, name);
  if (kind !== 'blobs') return refuse(response, 404, 'UNSUPPORTED');
  if (rest[0] === 'uploads') return upload(state, request, response, { url, id: rest[1] ?? '' });
  if (method === 'GET' || method === 'HEAD') return giveBlob(state, request, response, name);
  return refuse(response, 405, 'UNSUPPORTED');
}

async function giveBlob(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  digest: string,
): Promise<void> {
  const size = await state.blobs.sizeOf(digest);
  if (size === undefined) return refuse(response, 404, 'BLOB_UNKNOWN');
  const headers = {
    'content-length': String(size),
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
  };
  response.writeHead(200, headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const onSent = state.meters.get(request.socket);
  const blob = state.blobs.stream(digest).on('data', (chunk) => onSent?.(chunk.length));
  await pipeline(blob, response);
}

function giveManifest(state: State, method: string, response: ServerResponse, reference: string): void {
  // By digest only: whoever else is on this machine cannot ask for what they do not know.
  const manifest = state.manifests.get(reference);
  if (manifest === undefined) return refuse(response, 404, 'MANIFEST_UNKNOWN');
  const headers = {
    'content-type': manifest.mediaType,
    'content-length': String(manifest.bytes.length),
    'docker-content-digest': manifest.digest,
  };
  send(response, 200, headers, method === 'HEAD' ? undefined : manifest.bytes);
}

async function takeManifest(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  reference: string,
): Promise<void> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_MANIFEST_BYTES) return refuse(response, 413, 'SIZE_INVALID');
    chunks.push(bytes);
  }
  const bytes = Buffer.concat(chunks);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  state.manifests.set(digest, { digest, mediaType: request.headers['content-type'] ?? 'application/json', bytes });
  send(response, 201, { location: `/v2/${REPOSITORY}/manifests/${reference}`, 'docker-content-digest': digest });
}

async function upload(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  { url, id }: { url: URL; id: string },
): Promise<void> {
  if (request.method === 'POST') return startUpload(state, response, url);
  const found = state.uploads.get(id);
  if (found === undefined) return refuse(response, 404, 'BLOB_UPLOAD_UNKNOWN');
  try {
    for await (const chunk of request) {
      found.receivedBytes += Buffer.byteLength(chunk);
      state.receivedBytes += Buffer.byteLength(chunk);
      if (!found.body.write(chunk))
        await new Promise((resolve) => found.body.once('drain', resolve).once('close', resolve));
    }
    if (request.method === 'PATCH' || request.method === 'GET') return progress(response, id, found);
    state.uploads.delete(id);
    found.body.end();
    const blob = await found.stored;
    if (blob.digest !== url.searchParams.get('digest')) return refuse(response, 400, 'DIGEST_INVALID');
    send(response, 201, { location: `/v2/${REPOSITORY}/blobs/${blob.digest}`, 'docker-content-digest': blob.digest });
  } catch (error) {
    state.uploads.delete(id);
    found.body.destroy();
    throw error;
  }
}

async function startUpload(state: State, response: ServerResponse, url: URL): Promise<void> {
  const mount = url.searchParams.get('mount');
  if (mount !== null && (await state.blobs.sizeOf(mount)) !== undefined) {
    return send(response, 201, { location: `/v2/${REPOSITORY}/blobs/${mount}`, 'docker-content-digest': mount });
  }
  const id = randomUUID();
  const body = new PassThrough({ highWaterMark: 1 << 20 });
  const stored = state.blobs.write(body);
  // Awaited when the upload ends; one that is cut off before must not end the process.
  stored.catch(() => undefined);
  const started: Upload = { body, stored, receivedBytes: 0 };
  state.uploads.set(id, started);
  progress(response, id, started);
}

function progress(response: ServerResponse, id: string, { receivedBytes }: Upload): void {
  const range = `0-${Math.max(0, receivedBytes - 1)}`;
  send(response, 202, { location: `/v2/${REPOSITORY}/blobs/uploads/${id}`, 'docker-upload-uuid': id, range });
}

function refuse(response: ServerResponse, status: number, code: string): void {
  send(response, status, { 'content-type': 'application/json' }, JSON.stringify({ errors: [{ code, message: code }] }));
}

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body?: string | Buffer,
): void {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const none = body === undefined && headers['content-length'] === undefined ? { 'content-length': '0' } : {};
  response.writeHead(status, { 'docker-distribution-api-version': 'registry/2.0', ...none, ...length, ...headers });
  response.end(body);
}
