import { assert, dictionary, jsonValue, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { releaseId, releaseSteps, withKnownIds } from '../../../src/core/release.ts';
import { packDocument, unpackDocument } from '../../../src/history/document.ts';
import { parseRelease } from '../../../src/history/parse-release.ts';
import { release } from '../../support/releases.ts';

const FULL = release(1, {
  endedAt: undefined,
  outcome: undefined,
  commit: undefined,
  origin: '20261122-000000-0000',
  images: {
    app: { type: 'build', version: 'r1', inputs: 'i1', repository: 'shop', ids: { host1: 'sha256:2' } },
    redis: { type: 'ref', reference: 'redis:8', ids: { host1: 'sha256:1' } },
  },
  hosts: [
    {
      name: 'host1',
      connection: 'ssh',
      address: '192.0.2.11',
      user: undefined,
      port: 2222,
      identity: '/home/ana/.ssh/id',
      proxyJump: ['bastion'],
      client: 'auto',
      dockerSocket: undefined,
    },
  ],
});

test('a release reads as it was written', () => {
  expect(parseRelease(JSON.stringify(FULL))).toEqual(FULL);
  expect(parseRelease(JSON.stringify(release(2)))).toEqual(release(2));
});

test('a build in a release of an earlier cu has no ids', () => {
  const build = { type: 'build', version: 'r1', inputs: 'i1', repository: 'shop' };

  expect(parseRelease(JSON.stringify({ ...FULL, images: { app: build } }))?.images).toEqual({
    app: { ...build, ids: {} },
  });
});

test('what the same bytes are called on a further host is known from an earlier release', () => {
  const image = { type: 'build', version: 'r1', inputs: 'i1', repository: 'shop' } as const;
  const past = [
    release(1, { images: { app: { ...image, ids: { host1: 'sha256:0', host3: 'sha256:z' } } } }),
    release(2, { images: { app: { ...image, ids: { host1: 'sha256:1', host3: 'sha256:c' } } } }),
    release(3, { images: {} }),
  ];

  const known = withKnownIds({ app: { ...image, ids: { host1: 'sha256:1' } } }, past);

  expect(known).toEqual({ app: { ...image, ids: { host1: 'sha256:1', host3: 'sha256:c' } } });
});

test('a release that a write was cut off in, or one of a later cu, is none', () => {
  const text = JSON.stringify(FULL);

  for (let length = 0; length < text.length; length += 7) expect(parseRelease(text.slice(0, length))).toBeUndefined();
  expect(parseRelease(JSON.stringify({ ...FULL, v: 2 }))).toBeUndefined();
  expect(parseRelease('null')).toBeUndefined();
});

test('a document comes out of its package as it went in', () => {
  assert(
    property(dictionary(string(), jsonValue()), (document) => {
      const plain: unknown = JSON.parse(JSON.stringify(document));
      expect(unpackDocument(packDocument(document))).toEqual(plain);
    }),
  );
  expect(unpackDocument('')).toBeUndefined();
  expect(unpackDocument('bm90IGd6aXA=')).toBeUndefined();
});

test('ids sort by time', () => {
  expect(releaseId(Date.UTC(2026, 10, 23, 9, 5, 7), '0a1b')).toBe('20261123-090507-0a1b');
});

test('the steps of a huge plan are cut, and it says so', () => {
  const nodes = Array.from({ length: 250 }, (_, index) => ({
    id: `host${index}/shop/network`,
    host: `host${index}`,
    action: { type: 'create-network', name: 'shop' } as const,
    cause: 'not found',
    after: [],
  }));

  expect(releaseSteps({ nodes: nodes.slice(0, 200) })).toHaveLength(200);
  expect(releaseSteps({ nodes })).toHaveLength(200);
  expect(releaseSteps({ nodes })[0]).toBe('host0/shop/network: not found');
  expect(releaseSteps({ nodes }).at(-1)).toBe('and 51 more');
});
