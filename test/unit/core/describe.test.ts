import { expect, test } from 'vitest';
import { describe, summarize } from '../../../src/core/describe.ts';
import { plan } from '../render/nodes.ts';

test('a plan is described by a line for each step: what, why, after what', () => {
  expect(describe(plan)).toEqual([
    'local/app/build                    code changed',
    'web-1/redis/pull                   not found',
    'web-1/shop-dev-broker/start        not found  after redis/pull',
    'web-2/shop-dev-worker-big/replace  image changed  after web-1/shop-dev-broker/start, local/app/build',
    'web-2/shop-dev-old/remove          no longer in the config  after shop-dev-worker-big/replace',
  ]);
});

test('the counts name what is to create, replace and remove, and on how many hosts', () => {
  expect(summarize(plan)).toBe('1 to create, 1 to replace, 1 to remove, 1 to build, 1 to pull across 2 hosts');
});

test('an empty plan is nothing to do', () => {
  expect(summarize({ nodes: [] })).toBe('nothing to do');
  expect(describe({ nodes: [] })).toEqual([]);
});
