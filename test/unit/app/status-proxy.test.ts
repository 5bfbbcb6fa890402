import { expect, test } from 'vitest';
import { isBehindProxy } from '../../../src/app/status-proxy.ts';
import { LABELS } from '../../../src/core/state.ts';
import type { InstanceSpec, ObservedHost } from '../../../src/core/state.ts';
import { container, instance, observedHost, planInput } from '../plan/inputs.ts';

const WEB = instance({ kind: 'webserver', rollout: 'proxy', ports: [{ bind: '*', port: 80, containerPort: 8000 }] });
const JOBS = instance({ service: 'jobs', kind: 'worker' });

function asks(instances: readonly InstanceSpec[], host: ObservedHost, isWhole = true): boolean {
  return isBehindProxy(host, planInput({ instances, hosts: [host], isWhole }));
}

function withSlot(project: string): ObservedHost {
  const labels = {
    [LABELS.project]: project,
    [LABELS.environment]: 'dev',
    [LABELS.service]: 'web',
    [LABELS.instance]: '1',
    [LABELS.slot]: 'a',
  };
  return observedHost({ containers: [container({ labels })] });
}

test('a host shows its proxy when an instance there is to stand behind it', () => {
  expect(asks([WEB], observedHost())).toBe(true);
  expect(asks([WEB], observedHost({ name: 'web-2' }))).toBe(false);
  expect(asks([JOBS], observedHost())).toBe(false);
});

test('what stands behind it still counts, where all is asked about and not for another project', () => {
  expect(asks([JOBS], withSlot('shop'))).toBe(true);
  expect(asks([JOBS], withSlot('shop'), false)).toBe(false);
  expect(asks([JOBS], withSlot('other'))).toBe(false);
});
