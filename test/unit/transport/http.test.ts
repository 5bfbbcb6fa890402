import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import { createHttpClient } from '../../../src/transport/http.ts';
import type { HttpClient } from '../../../src/transport/http.ts';

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Served {
  readonly client: HttpClient;
  readonly connections: () => number;
}

async function serve(listener: RequestListener): Promise<Served> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let connections = 0;
  const client = createHttpClient({
    peer: 'site on host1',
    host: 'host1',
    open: async () => {
      connections += 1;
      return connect(port, '127.0.0.1');
    },
  });
  closers.push(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, connections: () => connections };
}

const { signal } = new AbortController();

test('one connection carries one request after the other', async () => {
  const { client, connections } = await serve((asked, answer) => answer.end(`${asked.method} ${asked.url}`));

  const texts = [];
  for (const path of ['/a', '/b', '/c']) texts.push(await (await client.send({ method: 'GET', path, signal })).text());

  expect(texts).toEqual(['GET /a', 'GET /b', 'GET /c']);
  expect(connections()).toBe(1);
});

test('a body that is refused early is not sent to its end', async () => {
  const { client } = await serve((_asked, answer) => {
    answer.writeHead(413, { connection: 'close' });
    answer.end('too large');
  });
  let sent = 0;
  const body = (): Readable =>
    Readable.from(
      (function* () {
        for (; sent < 2000; sent += 1) yield Buffer.alloc(64 * 1024);
      })(),
      { objectMode: false },
    );

  const answer = await client.send({ method: 'PUT', path: '/', body, signal });

  expect(answer.statusCode).toBe(413);
  expect(await answer.text()).toBe('too large');
  expect(sent).toBeLessThan(2000);
});

test('what a body fails with is what the request fails with, and it is not sent again', async () => {
  const { client, connections } = await serve((asked, answer) =>
    asked.method === 'GET' ? answer.end() : asked.resume(),
  );
  await (await client.send({ method: 'GET', path: '/', signal })).text();
  const body = (): Readable =>
    Readable.from(
      (function* () {
        yield Buffer.from('half');
        throw new CuError('STEP_FAILED', 'the disk is gone');
      })(),
      { objectMode: false },
    );

  const sending = client.send({ method: 'PUT', path: '/', headers: { 'content-length': '8' }, body, signal });

  await expect(sending).rejects.toMatchObject({ message: 'the disk is gone' });
  expect(connections()).toBe(1);
});

test('silence before the answer is a timeout that names the webserver', async () => {
  const { client } = await serve(() => undefined);

  const sending = client.send({ method: 'GET', path: '/slow', signal, silenceMs: 100 });

  await expect(sending).rejects.toMatchObject({
    code: 'TIMEOUT',
    host: 'host1',
    command: 'GET /slow',
    message: expect.stringContaining('site on host1 gave no answer'),
  });
});

test('silence within the answer is one too', async () => {
  const { client } = await serve((_asked, answer) => void answer.write('half'));

  const answer = await client.send({ method: 'GET', path: '/', signal, silenceMs: 100 });

  await expect(answer.text()).rejects.toMatchObject({ code: 'TIMEOUT' });
});

test('a connection that breaks within the answer is an error and no end', async () => {
  const { client } = await serve((_asked, answer) => {
    answer.writeHead(200, { 'content-length': '100' });
    answer.write('half', () => answer.socket?.destroy());
  });

  const answer = await client.send({ method: 'GET', path: '/', signal });

  await expect(answer.text()).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
});

test('a kept connection that the webserver closed meanwhile is opened anew', async () => {
  let count = 0;
  const { client, connections } = await serve((asked, answer) => {
    count += 1;
    if (count === 2) asked.socket.destroy();
    else answer.end('ok');
  });

  await (await client.send({ method: 'GET', path: '/', signal })).text();
  const second = await client.send({ method: 'GET', path: '/', signal });

  expect(await second.text()).toBe('ok');
  expect(connections()).toBe(2);
});

test('an interrupted request ends with what interrupted it', async () => {
  const { client } = await serve(() => undefined);
  const controller = new AbortController();

  const sending = client.send({ method: 'GET', path: '/', signal: controller.signal });
  setTimeout(() => controller.abort(new Error('Ctrl-C')), 50);

  await expect(sending).rejects.toMatchObject({ code: 'CANCELLED' });
});
