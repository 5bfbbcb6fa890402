import { expect, test } from 'vitest';
import { readMessages } from '../../../src/ship/engine-stream.ts';
import { readConfig, readManifest } from '../../../src/ship/image.ts';
import { chainIds } from '../../../src/ship/inventory.ts';
import { splitReference } from '../../../src/ship/pull.ts';
import { authHeaders } from '../../../src/ship/registry.ts';
import { Secret } from '../../../src/core/secret.ts';

test('a chain id stands for a layer and all below it', () => {
  const first = `sha256:${'1'.repeat(64)}`;
  const second = `sha256:${'2'.repeat(64)}`;

  expect(chainIds([])).toEqual([]);
  expect(chainIds([first])).toEqual([first]);
  expect(chainIds([first, second])).toEqual([
    first,
    'sha256:9932074217c35353d2e03a3f5a86549f7c67bfeb0ba53e23d69f4d4c8f7958f5',
  ]);
});

test('what the engine says is read line by line, however it is cut', async () => {
  const text =
    '{"stream":"a"}\r\n{"status":"Pushed","id":"x","progressDetail":{"current":1,"total":2}}\r\n{"errorDetail":{"message":"bé"},"error":"bé"}';
  const bytes = Buffer.from(text);
  async function* byteByByte(): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte);
  }

  const messages = [];
  for await (const message of readMessages(byteByByte())) messages.push(message);

  expect(messages.map(({ stream, status, error, current, total }) => [stream, status, error, current, total])).toEqual([
    ['a', undefined, undefined, undefined, undefined],
    [undefined, 'Pushed', undefined, 1, 2],
    [undefined, undefined, 'bé', undefined, undefined],
  ]);
});

test.each([
  ['redis', 'redis', 'latest'],
  ['redis:8', 'redis', '8'],
  ['registry:5000/redis', 'registry:5000/redis', 'latest'],
  ['registry:5000/redis:8', 'registry:5000/redis', '8'],
  ['redis@sha256:abc', 'redis', 'sha256:abc'],
])('%s is %s at %s', (reference, name, tag) => {
  expect(splitReference(reference)).toEqual({ name, tag });
});

test('a manifest with anything odd in it is not taken', () => {
  const layer = { digest: 'sha256:2', size: 2, mediaType: 'm' };

  expect(readManifest(Buffer.from('[]'))).toBeUndefined();
  expect(
    readManifest(Buffer.from(JSON.stringify({ config: { digest: 'sha256:1', size: 1 }, layers: [layer, {}] }))),
  ).toBeUndefined();
  expect(
    readManifest(Buffer.from(JSON.stringify({ config: { digest: 'sha256:1', size: 1 }, layers: [layer] })))?.layers,
  ).toEqual([{ digest: 'sha256:2', sizeBytes: 2, mediaType: 'm' }]);
  expect(() => readConfig(Buffer.from('{}'))).toThrow('readable config');
});

test('credentials are in the one header and nowhere else', () => {
  const auth = { host: 'registry.example.org', username: 'ci', password: new Secret('P', 'pw') };

  expect(Buffer.from(authHeaders(auth)['X-Registry-Auth'] ?? '', 'base64url').toString()).toBe(
    '{"username":"ci","password":"pw","serveraddress":"registry.example.org"}',
  );
  expect(JSON.stringify(auth)).not.toContain('pw');
});
