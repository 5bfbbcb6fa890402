import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { Duplex } from 'node:stream';

/** How long any answer may take before the client gives up. */
const PATIENCE_MS = 10_000;

export type Answer = { readonly ok: true; readonly version: string } | { readonly ok: false; readonly reason: string };

/** One request with no retry; anything but the whole right answer is a failure with its reason. */
export function ask(url: string, agent: http.Agent): Promise<Answer> {
  const id = randomBytes(4).toString('hex');
  const ms = 20 + Math.floor(Math.random() * 181);
  return get(`${url}/?ms=${ms}&id=${id}`, agent, (response) => readText(response, id));
}

/** What a download of the suites' own pattern must hash to; see `pattern` in web.py. */
export function download(url: string, megabytes: number, seconds: number): Promise<Answer> {
  const patience = PATIENCE_MS + seconds * 3000;
  return get(
    `${url}/big?mb=${megabytes}&seconds=${seconds}`,
    new http.Agent(),
    async (response) => {
      const size = Math.floor((megabytes * 1_000_000) / CHUNK.length) * CHUNK.length;
      const hash = createHash('sha256');
      let received = 0;
      for await (const chunk of response) {
        received += chunk.length;
        hash.update(chunk);
      }
      if (received !== size) return { ok: false, reason: `download: ${received} of ${size} bytes` };
      return hash.digest('hex') === patternHash(size)
        ? { ok: true, version: '' }
        : { ok: false, reason: 'download: wrong bytes' };
    },
    patience,
  );
}

const CHUNK = Buffer.from(Array.from({ length: 64 * 1024 }, (_, at) => at % 256));

function patternHash(size: number): string {
  const hash = createHash('sha256');
  for (let at = 0; at < size; at += CHUNK.length) hash.update(CHUNK);
  return hash.digest('hex');
}

async function readText(response: http.IncomingMessage, id: string): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  if (response.statusCode !== 200) return { ok: false, reason: `status ${response.statusCode}` };
  const [version = '', , echoed] = text.trim().split(' ');
  return echoed === id ? { ok: true, version } : { ok: false, reason: `wrong content: ${text.slice(0, 60)}` };
}

function get(
  url: string,
  agent: http.Agent,
  read: (response: http.IncomingMessage) => Promise<Answer>,
  patienceMs = PATIENCE_MS,
): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void => resolve({ ok: false, reason: error.code ?? error.message });
    const signal = AbortSignal.timeout(patienceMs);
    const request = http.get(url, { agent, signal }, (response) => {
      read(response).then(resolve, fail);
    });
    request.on('error', (error: NodeJS.ErrnoException) =>
      signal.aborted ? resolve({ ok: false, reason: `no answer in ${patienceMs / 1000} s` }) : fail(error),
    );
  });
}

/** Messages of at most 125 bytes, in frames of their own: all that the echo of web.py speaks. */
export interface EchoSocket {
  /** Sends `text` and waits for its echo. `gone` is a close that was announced: an invitation to connect again. */
  echo(text: string): Promise<'ok' | 'gone'>;
  close(): void;
}

/** RFC 6455 as far as an echo needs it; Node 20 has no WebSocket. */
export function openEcho(url: string): Promise<EchoSocket> {
  return new Promise((resolve, reject) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-version': '13',
    };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const request = http.get(`${url}/ws`, { headers, agent: false });
    signal.addEventListener('abort', () => request.destroy(new Error('no upgrade in time')));
    request.on('error', reject);
    request.on('response', (response) => reject(new Error(`no upgrade, status ${response.statusCode}`)));
    request.on('upgrade', (_response, socket, head) => resolve(echoOver(socket, head)));
  });
}

const CLOSE = 0x8;
const TEXT = 0x1;

/** Going away, service restart: what a server says that will be back at once. */
const COME_BACK_CODES = [1001, 1012];

function echoOver(socket: Duplex, head: Buffer): EchoSocket {
  let received = head;
  let cut: string | undefined;
  let wake = (): void => {};
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    wake();
  });
  for (const event of ['end', 'close', 'error'])
    socket.on(event, () => {
      cut ??= event;
      wake();
    });
  const nextFrame = async (): Promise<{ readonly opcode: number; readonly payload: Buffer }> => {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const length = (received[1] ?? 0) & 0x7f;
      if (received.length >= 2 + length) {
        const frame = { opcode: (received[0] ?? 0) & 0x0f, payload: received.subarray(2, 2 + length) };
        received = received.subarray(2 + length);
        return frame;
      }
      if (cut !== undefined) throw new Error(`websocket cut without a close (${cut})`);
      if (Date.now() > deadline) throw new Error('websocket: no echo in time');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  return {
    echo: async (text) => {
      socket.write(maskedFrame(TEXT, Buffer.from(text)));
      const { opcode, payload } = await nextFrame();
      if (opcode !== CLOSE) {
        if (!payload.toString('utf8').endsWith(` ${text}`))
          throw new Error(`websocket: wrong echo ${payload.toString()}`);
        return 'ok';
      }
      socket.end(maskedFrame(CLOSE, payload));
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (!COME_BACK_CODES.includes(code)) throw new Error(`websocket closed with ${code}`);
      return 'gone';
    },
    close: () => void socket.destroy(),
  };
}

function maskedFrame(opcode: number, payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const body = payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, body]);
}
