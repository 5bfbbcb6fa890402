import { hmacSha256 } from '../config/hash.ts';
import type { Secret } from '../core/secret.ts';
import { brokerSecrets } from '../plan/broker-password.ts';
import type { Context } from './context.ts';

/** Hides the broker's password from all that cu prints, and those of its other users, which are made from it. */
export function maskBroker(context: Context, password: Secret | undefined): void {
  if (password !== undefined) context.mask(brokerSecrets(password, { hmacSha256 }));
}
