import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import type { Registry } from '../../../src/core/state.ts';
import { openBlobs, type BlobCache } from '../../../src/ship/blobs.ts';
import { shipImage } from '../../../src/ship/partial-load.ts';
import { pullByDigest, pullReference } from '../../../src/ship/pull.ts';
import { startReceiver, type Receiver } from '../../../src/ship/receiver.ts';
import { pushImage } from '../../../src/ship/registry.ts';
import { startEngine, type TestEngine } from './engines.ts';
import { imagesOn, layerTar, makeImage } from './images.ts';

let engine: TestEngine;
let other: TestEngine;
let folder: string;
let blobs: BlobCache;
let receiver: Receiver;
let registry: Server;
let name: string;
let auth: Registry;

/** A registry that wants a name and a password, in front of our own receiver. */
beforeAll(async () => {
  [engine, other] = await Promise.all([startEngine('builder'), startEngine('puller')]);
  folder = await mkdtemp(path.join(tmpdir(), 'cu-registry-'));
  blobs = await openBlobs(folder);
  receiver = await startReceiver(blobs);
  const wanted = `Basic ${Buffer.from('ci:s3cret').toString('base64')}`;
  registry = createServer((asked, answer) => {
    if (asked.headers.authorization !== wanted) {
      answer.writeHead(401, { 'www-authenticate': 'Basic realm="test"', 'content-type': 'application/json' });
      answer.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return;
    }
    const passed = request(
      { port: receiver.port, host: '127.0.0.1', method: asked.method, path: asked.url, headers: asked.headers },
      (given) => {
        answer.writeHead(given.statusCode ?? 500, given.headers);
        given.pipe(answer);
      },
    );
    asked.pipe(passed);
  });
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  const address = registry.address();
  name = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  auth = { host: name, username: 'ci', password: new Secret('REGISTRY_TOKEN', 's3cret') };
});

afterAll(async () => {
  registry.closeAllConnections();
  registry.close();
  await receiver[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test('an image is pushed once and pulled by its digest elsewhere, under the same id', async () => {
  const image = await makeImage(blobs, [await layerTar('a', randomBytes(100_000))], 'one');
  await shipImage({
    image,
    host: engine.host,
    imageStore: 'classic',
    architecture: 'x86_64',
    freeBytes: undefined,
    tags: ['rasters:v1'],
    blobs,
    receiver,
  });
  const push = {
    docker: engine.host.docker(),
    hostName: 'builder',
    imageId: image.imageId,
    repository: `${name}/cu`,
    tags: ['v1', 'dev'],
    auth,
  };

  await expect(pushImage({ ...push, auth: undefined })).rejects.toMatchObject({
    code: 'SHIP_FAILED',
    hint: `add ${name} under registries`,
  });
  const digest = await pushImage(push);
  const pull = { docker: other.host.docker(), hostName: 'puller', repository: `${name}/cu`, digest };

  await expect(
    pullByDigest({ ...pull, auth: { ...auth, password: new Secret('REGISTRY_TOKEN', 'wrong') } }),
  ).rejects.toMatchObject({ code: 'SHIP_FAILED', hint: `check username and password of registries.${name}` });
  expect(await pullByDigest({ ...pull, auth })).toBe(image.imageId);
  expect((await imagesOn(other.host)).map((line) => line.split(' ')[1])).toEqual([image.imageId]);
});

test('an image that is not there is said to be not there', async () => {
  const reference = `127.0.0.1:${receiver.port}/cu:nope`;

  await expect(pullReference({ docker: other.host.docker(), hostName: 'puller', reference })).rejects.toMatchObject({
    code: 'SHIP_FAILED',
    message: `puller: cannot pull ${reference}: there is no such image`,
  });
});

test('a registry that does not answer is named', async () => {
  await expect(
    pullReference({ docker: other.host.docker(), hostName: 'puller', reference: '127.0.0.1:1/x:1' }),
  ).rejects.toMatchObject({
    code: 'SHIP_FAILED',
    message: 'puller: cannot pull 127.0.0.1:1/x:1: the host does not reach the registry',
  });
});
