import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hookFacts, runHooks, runHooksAfter, withoutSecrets, type HookFacts } from '../../../src/app/hooks.ts';
import type { PlanNode } from '../../../src/core/action.ts';
import { CuError } from '../../../src/core/error.ts';
import type { CuEvent } from '../../../src/core/event.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { HookMoment } from '../../../src/core/rollout.ts';
import { planInput } from '../plan/inputs.ts';

const FACTS: HookFacts = {
  versions: { app: 'r1' },
  commit: null,
  hosts: ['host1'],
  plan: ['host1/shop-dev-web-1/replace'],
  outcome: null,
  error: null,
};

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cu-hooks-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const NONE = { beforeDeploy: [], afterDeploy: [], onFailure: [] };

/** Runs commands as the hooks of a moment; what was said is collected. */
async function run(
  moment: HookMoment,
  commands: readonly (readonly string[])[],
  { signal = new AbortController().signal, env = {} }: { signal?: AbortSignal; env?: Record<string, string> } = {},
): Promise<readonly CuEvent[]> {
  const events: CuEvent[] = [];
  const context = {
    env: { ...process.env, ...env },
    username: 'ann',
    signal,
    emit: (event: CuEvent) => events.push(event),
  };
  const hooks = { commands: { ...NONE, [moment]: commands }, directory, withheld: [new Secret('TOKEN', 'hush')] };
  await runHooks(context, { project: 'shop', environment: 'dev', hooks }, moment, FACTS);
  return events;
}

test('a hook gets the facts as JSON, runs in the folder of the config, and what it says is passed on', async () => {
  const events = await run('beforeDeploy', [['sh', '-c', 'cat > facts.json; echo one; printf two >&2']]);

  expect(JSON.parse(await readFile(join(directory, 'facts.json'), 'utf8'))).toEqual({
    v: 1,
    moment: 'beforeDeploy',
    project: 'shop',
    environment: 'dev',
    who: 'ann',
    ...FACTS,
  });
  expect(events).toEqual([
    { type: 'hook-output', moment: 'beforeDeploy', text: 'one' },
    { type: 'hook-output', moment: 'beforeDeploy', text: 'two' },
  ]);
});

test('its environment is that of cu without the secrets, by name and by value', async () => {
  const events = await run('beforeDeploy', [['sh', '-c', 'echo "${TOKEN-none} ${COPY-none} $OTHER"']], {
    env: { TOKEN: 'old', COPY: 'hush', OTHER: 'kept' },
  });

  expect(events).toEqual([{ type: 'hook-output', moment: 'beforeDeploy', text: 'none none kept' }]);
  expect(withoutSecrets({ A: '1', TOKEN: 'x', B: undefined }, [new Secret('TOKEN', 'hush')])).toEqual({ A: '1' });
});

test('one that fails before the deploy ends it, and the next one does not run', async () => {
  const failing = run('beforeDeploy', [
    ['sh', '-c', 'echo closed; exit 3'],
    ['touch', 'next'],
  ]);

  await expect(failing).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    exitCode: 4,
    message: 'the beforeDeploy hook sh -c echo closed; exit 3 exited with code 3',
    detail: 'closed',
    hint: 'nothing was changed',
  });
  await expect(readFile(join(directory, 'next'))).rejects.toThrow('ENOENT');
});

test.each(['afterDeploy', 'onFailure'] as const)(
  'one that fails in %s is a warning, and the next one runs',
  async (moment) => {
    const events = await run(moment, [['./no-such-program'], ['echo', 'next']]);

    expect(events).toMatchObject([
      { type: 'warning', text: expect.stringContaining(`the ${moment} hook ./no-such-program could not be run`) },
      { type: 'hook-output', text: 'next' },
    ]);
  },
);

test('an interrupt ends the hook with all that it started', async () => {
  const controller = new AbortController();
  const startedAt = Date.now();
  const running = run('beforeDeploy', [['sh', '-c', 'trap "" TERM; sleep 30 & wait; sleep 30']], {
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(), 200);

  await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(Date.now() - startedAt).toBeLessThan(5000);
});

test('where nothing is built a hook is told the commit of the release, not what is checked out', async () => {
  const { desired } = planInput();
  const commands = { ...desired.hooks.commands, beforeDeploy: [['true']] };
  const hooks = { ...desired.hooks, commands, directory: import.meta.dirname };
  const commitFor = async (commit: string | undefined): Promise<string | null> => {
    const prepared = { desired: { ...desired, hooks }, images: new Map() };
    const { signal } = new AbortController();
    const facts = await hookFacts({ signal }, prepared, { plan: { nodes: [] }, pinned: { commit, isDirty: false } });
    return facts.commit;
  };

  expect(await commitFor('a1b2')).toBe('a1b2');
  expect(await commitFor(undefined)).toBeNull();
});

test('what failed is told without the secrets that a health check may have said', async () => {
  const hooks = { commands: { ...NONE, onFailure: [['sh', '-c', 'cat > failure.json']] }, directory, withheld: [] };
  const node: PlanNode = {
    id: 'host1/shop-dev-web-1/replace',
    host: 'host1',
    action: { type: 'create-network', name: 'shop-dev' },
    cause: 'image changed',
    after: [],
  };
  const error = new CuError('UNHEALTHY', 'did not become healthy: password hush-hush is wrong');
  const { signal } = new AbortController();
  const context = { env: process.env, username: 'ann', signal, emit: () => undefined };
  const outcome = { done: [], failed: [{ node, error }], skipped: [], cancelled: false };
  const secrets = [new Secret('SHORT', 'hush'), new Secret('LONG', 'hush-hush')];

  await runHooksAfter(context, { project: 'shop', environment: 'dev', hooks }, { outcome, facts: FACTS, secrets });

  expect(JSON.parse(await readFile(join(directory, 'failure.json'), 'utf8'))).toMatchObject({
    outcome: 'failed',
    error: 'host1/shop-dev-web-1/replace: did not become healthy: password [redacted] is wrong',
  });
});
