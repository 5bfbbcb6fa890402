import { expect, test } from 'vitest';
import { CuError } from '../../../src/core/error.ts';
import type { Plan, PlanNode } from '../../../src/core/action.ts';
import type { FailurePolicy } from '../../../src/core/rollout.ts';
import { execute } from '../../../src/execute/execute.ts';
import { bindAll } from '../../../src/plan/plan.ts';
import { planUndo } from '../../../src/plan/undo.ts';
import { instance, planInput } from '../plan/inputs.ts';

function routes(host: string, after: readonly string[], isFarewell = false): PlanNode {
  const part = { project: 'shop', environment: 'dev', routes: [] };
  const action = { type: 'apply-routes', part, previous: part, certificates: [], socketGid: 1, isFarewell } as const;
  return { id: `${host}/shop-dev/routes`, host, action, cause: 'new routes', after };
}

function stop(host: string): PlanNode {
  const action = { type: 'stop-container', name: 'web', id: 'web', drainMs: 0 } as const;
  return { id: `${host}/web/stop`, host, action, cause: 'asked to', after: [] };
}

function create(host: string): PlanNode {
  const [bound] = bindAll(planInput({ instances: [instance()] })).bound;
  if (bound === undefined) throw new Error('there is nothing to create');
  const action = { type: 'create-container', spec: bound.spec } as const;
  return { id: `${host}/web/create`, host, action, cause: 'not found', after: [] };
}

async function doneOf(plan: Plan, onFailure: FailurePolicy, failing: string): Promise<readonly string[]> {
  const { done } = await execute(plan, {
    run: ({ id, host }) =>
      id === failing ? Promise.reject(new CuError('STEP_FAILED', 'no', { host })) : Promise.resolve(undefined),
    emit: () => undefined,
    now: () => 0,
    signal: new AbortController().signal,
    parallel: 4,
    onFailure,
  });
  return done.map(({ id }) => id);
}

test('with `continue` the routes of a host that is well are applied although another host failed', async () => {
  const nodes = [stop('a'), stop('b'), routes('a', ['a/web/stop']), routes('b', ['b/web/stop'])];

  expect(await doneOf({ nodes }, 'continue', 'b/web/stop')).toEqual(['a/web/stop', 'a/shop-dev/routes']);
});

test('with `continue` routes that only go stay where what was to answer instead has failed', async () => {
  const nodes = [stop('a'), stop('b'), routes('a', ['a/web/stop', 'b/web/stop'], true)];

  expect(await doneOf({ nodes }, 'continue', 'b/web/stop')).toEqual(['a/web/stop']);
});

test('a host whose routes cannot be put back keeps no other from it', async () => {
  const undo = planUndo([create('a'), create('b'), routes('a', []), routes('b', [])]);

  const done = await doneOf(undo, 'continue', 'a/shop-dev/undo');

  expect(done).toEqual(['b/shop-dev/undo', 'b/shop-dev-web-1/undo']);
});

test('a step that was interrupted says what to do next', async () => {
  const controller = new AbortController();
  const { failed } = await execute(
    { nodes: [stop('a')] },
    {
      run: () => {
        controller.abort();
        return Promise.reject(new CuError('CANCELLED', 'cut', { hint: 'the old one runs' }));
      },
      emit: () => undefined,
      now: () => 0,
      signal: controller.signal,
      parallel: 1,
    },
  );

  expect(failed[0]?.error).toMatchObject({
    code: 'CANCELLED',
    host: 'a',
    hint: 'the old one runs; the same command again goes on from there',
  });
});
