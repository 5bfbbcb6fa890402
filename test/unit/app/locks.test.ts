import { expect, test } from 'vitest';
import { changedHosts } from '../../../src/app/locks.ts';
import type { Action, PlanNode } from '../../../src/core/action.ts';

function node(host: string, action: Action): PlanNode {
  return { id: `${host}/${action.type}`, host, action, cause: 'not found', after: [] };
}

test('a host from which something goes is changed, one that only builds is not', () => {
  const nodes = [
    node('builder', { type: 'build-image', image: 'app', version: 'r1', inputs: 'i1' }),
    node('builder', { type: 'push-image', image: 'app', version: 'r1' }),
    node('host1', { type: 'ship-image', image: 'app', version: 'r1', from: 'builder' }),
    node('host1', { type: 'create-network', name: 'shop-dev' }),
    node('idle', { type: 'remove-network', name: 'shop-dev' }),
  ];

  expect(changedHosts({ nodes })).toEqual(['host1', 'idle']);
});
