import { Secret } from '../core/secret.ts';
import type { Desired } from '../core/state.ts';

/** What `cu config` prints: all that an environment comes to, as plain data, each secret by its name only. */
export function resolvedConfig(desired: Desired): Readonly<Record<string, unknown>> {
  return plainEntries(desired);
}

function plainEntries(value: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, plain(inner)]])),
  );
}

function plain(value: unknown): unknown {
  if (value instanceof Secret) return { secret: value.name };
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === 'object' && value !== null ? plainEntries(value) : value;
}
