import { createHash, createHmac } from 'node:crypto';
import { Secret } from '../core/secret.ts';

/**
 * SHA-256 in hex over JSON with sorted keys; keys without a value do not count.
 * A secret counts as HMAC-SHA256 of its value; without a key, only its name does.
 */
export function stableHash(value: unknown, secretKey?: string): string {
  return sha256(stableText(value, secretKey));
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function hmacSha256(key: string, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex');
}

function stableText(value: unknown, secretKey: string | undefined): string {
  if (value instanceof Secret) {
    const digest = secretKey === undefined ? '' : hmacSha256(secretKey, value.reveal());
    return JSON.stringify(secretKey === undefined ? ['secret', value.name] : ['secret', digest]);
  }
  if (Array.isArray(value)) return `[${value.map((item: unknown) => stableText(item, secretKey)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const parts = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
    .map(([key, inner]) => `${JSON.stringify(key)}:${stableText(inner, secretKey)}`);
  return `{${parts.join(',')}}`;
}
