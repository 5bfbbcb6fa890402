import { expect, test } from 'vitest';
import { hmacSha256, sha256 } from '../../../src/config/hash.ts';
import type { ContainerSpec } from '../../../src/core/container.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { BrokerSpec, BrokerUser, InstanceSpec } from '../../../src/core/state.ts';
import { brokerSecrets } from '../../../src/plan/broker-password.ts';
import { bindAll } from '../../../src/plan/plan.ts';
import { Redactor } from '../../../src/render/redact.ts';
import { instance, planInput } from './inputs.ts';

const PASSWORD = 'p@ss/w:rd';
/** What Python's `hmac` makes of it. */
const WEB = 'b7b534c9c032d89d135d3c386e7f4b88fa0b8a84a99f4dcafe45ca7ba3d488e4';
const WORKER = 'f7f0660b1ab4076b4e196713f7e1ae44b065cb213ae6b6318579a164c9817c0b';

const broker: BrokerSpec = {
  host: 'web-1',
  service: 'broker',
  containerPort: 6379,
  published: undefined,
  password: new Secret('BROKER_PASSWORD', PASSWORD),
};

function specOf(overrides: Partial<InstanceSpec>): ContainerSpec {
  const [bound] = bindAll(planInput({ instances: [instance(overrides)], broker })).bound;
  if (bound === undefined) throw new Error('nothing was bound');
  return bound.spec;
}

/** As the container gets it. */
function textOf(value: ContainerSpec['env'][string] | undefined): string {
  const parts = value === undefined ? [] : Array.isArray(value) ? value : [value];
  return parts.map((part) => (part instanceof Secret ? part.reveal() : part)).join('');
}

function urlFor(brokerUser: BrokerUser | undefined): string {
  return textOf(specOf({ brokerUser }).env['CU_BROKER_URL']);
}

test('each user has a password of its own in the URL, made from that of the broker', () => {
  expect(urlFor('admin')).toBe('redis://admin:p%40ss%2Fw%3Ard@broker:6379/0');
  expect(urlFor('web')).toBe(`redis://web:${WEB}@broker:6379/0`);
  expect(urlFor('worker')).toBe(`redis://worker:${WORKER}@broker:6379/0`);
  expect(urlFor(undefined)).toBe('');
});

test('a file that proves a password carries its digest, not the password', () => {
  const { files } = specOf({
    files: [{ path: '/conf', mode: 0o444, content: ['#', { type: 'broker-password-sha256', user: 'web' }] }],
  });

  expect(textOf(files[0]?.content)).toBe(`#${sha256(WEB)}`);
});

test('whatever form of them turns up in what cu prints is hidden', () => {
  const redactor = new Redactor();
  redactor.add(brokerSecrets(new Secret('BROKER_PASSWORD', PASSWORD), { hmacSha256 }));

  const said = redactor.clean([PASSWORD, urlFor('admin'), urlFor('web'), urlFor('worker')].join(' '));

  expect(said).toBe(
    '[redacted] redis://admin:[redacted]@broker:6379/0 redis://web:[redacted]@broker:6379/0 redis://worker:[redacted]@broker:6379/0',
  );
});
