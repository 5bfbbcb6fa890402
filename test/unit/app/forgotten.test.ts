import { describe, expect, test } from 'vitest';
import { hostsToRemember } from '../../../src/app/forgotten.ts';
import type { Forgotten } from '../../../src/app/forgotten.ts';
import type { PlanNode } from '../../../src/core/action.ts';
import type { KnownHost, ObservedHost } from '../../../src/core/state.ts';
import { bindAll } from '../../../src/plan/plan.ts';
import { container, instance, observedHost, planInput } from '../plan/inputs.ts';

function host(name: string, address = '192.0.2.11'): KnownHost {
  return {
    name,
    connection: 'ssh',
    address,
    user: undefined,
    port: undefined,
    identity: undefined,
    proxyJump: [],
    client: 'auto',
    dockerSocket: undefined,
  };
}

describe('a host that left the config', () => {
  const { desired } = planInput({ instances: [instance({ host: 'host1' })] });
  const config = { ...desired, hosts: [{ ...host('host1'), knownHosts: [], advertise: undefined }] };
  const [bound] = bindAll(planInput({ instances: [instance()] })).bound;
  const containers = [container({ id: 'c', name: 'shop-dev-web-1', labels: { ...bound?.spec.labels } })];
  const left: Forgotten = { host: host('host2', '192.0.2.12'), observed: observedHost({ name: 'host2', containers }) };
  const away: Forgotten = { host: host('host3', '192.0.2.13'), observed: undefined };
  const action = { type: 'remove-container', name: 'shop-dev-web-1', id: 'c', drainMs: 0 } as const;
  const removal: PlanNode = { id: 'host2/shop-dev-web-1/remove', host: 'host2', action, cause: '', after: [] };
  const names = (done: readonly PlanNode[]): readonly string[] =>
    hostsToRemember({ desired: config, observed: [], forgotten: [left, away] }, done).map(({ name }) => name);

  test('is forgotten once what ran there is gone, and not while it does not answer', () => {
    expect(names([removal])).toEqual(['host1', 'host3']);
  });

  test('is remembered already while the config has it and nothing is to run there any more', () => {
    const [only] = config.hosts;
    if (only === undefined) throw new Error('the config has no host');
    const emptied = { ...config, hosts: [only, { ...only, ...host('host2', '192.0.2.12') }] };
    const known = (observed: readonly ObservedHost[], done: readonly PlanNode[]): readonly string[] =>
      hostsToRemember({ desired: emptied, observed, forgotten: [] }, done).map(({ name }) => name);
    const [there] = [left.observed].flatMap((each) => each ?? []);
    if (there === undefined) throw new Error('nothing was left');

    expect(known([there], [])).toEqual(['host1', 'host2']);
    expect(known([there], [removal])).toEqual(['host1']);
    expect(known([observedHost({ name: 'host2' })], [])).toEqual(['host1']);
  });

  test('is remembered for as long as something runs there, whyever it was left', () => {
    expect(names([])).toEqual(['host1', 'host2', 'host3']);
  });
});
