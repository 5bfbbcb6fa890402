import { describe, expect, test } from 'vitest';
import { hostsToRemember } from '../../../src/app/forgotten.ts';
import type { Forgotten } from '../../../src/app/forgotten.ts';
import type { KnownHost } from '../../../src/core/state.ts';
import { observedHost } from '../plan/inputs.ts';

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
  const used = [host('host1')];
  const cleared: Forgotten = { host: host('host2', '192.0.2.12'), observed: observedHost({ name: 'host2' }) };
  const away: Forgotten = { host: host('host3', '192.0.2.13'), observed: undefined };
  const names = (isAgreed: boolean): readonly string[] =>
    hostsToRemember(used, { forgotten: [cleared, away], isAgreed }).map(({ name }) => name);

  test('is forgotten once what ran there is gone, and not while it does not answer', () => {
    expect(names(true)).toEqual(['host1', 'host3']);
  });

  test('is remembered while somebody wants to keep what runs there', () => {
    expect(names(false)).toEqual(['host1', 'host2', 'host3']);
  });
});
