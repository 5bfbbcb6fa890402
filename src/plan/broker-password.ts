import type { Secret } from '../core/secret.ts';
import type { BrokerUser } from '../core/state.ts';
import type { Hashing } from './input.ts';

/**
 * The password of one of the broker's users. The admin's is the broker's own; the others' are made from it, so that
 * nothing more has to be kept, and neither of them gives away another.
 */
export function brokerPasswordOf(
  user: BrokerUser,
  password: Secret,
  { hmacSha256 }: Pick<Hashing, 'hmacSha256'>,
): Secret {
  return user === 'admin' ? password : password.map((key) => hmacSha256(key, `cu-redis-user:${user}`));
}

/** Every form of it that could be shown by accident. */
export function brokerSecrets(password: Secret, hashing: Pick<Hashing, 'hmacSha256'>): readonly Secret[] {
  const derived = (['web', 'worker'] as const).map((user) => brokerPasswordOf(user, password, hashing));
  return [password, password.map(encodeURIComponent), ...derived];
}
