import { hmacSha256 } from '../config/hash.ts';
import type { Secret } from '../core/secret.ts';
import { brokerSecrets } from '../plan/broker-password.ts';
import type { Prepared } from './prepare.ts';

/** Shorter values stand in too many words by chance. */
const SHORTEST_SECRET = 4;

/** `text` without the values of secrets: what an engine or a health check said may hold anything. */
export function redact(text: string, secrets: readonly Secret[]): string {
  const values = secrets.flatMap((secret) => secret.reveal().split(/\r?\n/));
  // The longest first: one secret may stand within another.
  return values
    .filter((value) => value.length >= SHORTEST_SECRET)
    .toSorted((one, other) => other.length - one.length)
    .reduce((rest, value) => rest.replaceAll(value, '[redacted]'), text);
}

/** All secrets that a run has to do with: those of the config, and the broker's password where cu has made it. */
export function secretsOf({
  secrets,
  observed,
  input,
}: Pick<Prepared, 'secrets' | 'observed' | 'input'>): readonly Secret[] {
  const kept = observed.flatMap(({ state }) => state?.brokerPassword ?? []);
  const passwords = [...kept, input.fresh.brokerPassword];
  return [...secrets.all(), ...passwords.flatMap((password) => brokerSecrets(password, { hmacSha256 }))];
}
