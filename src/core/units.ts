const BYTES: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const BYTES_PATTERN = String.raw`^\d{1,9}(\.\d{1,3})?[bkmgt]$`;

export const DURATION_PATTERN = String.raw`^(\d{1,9}(\.\d{1,3})?(ms|s|m|h|d))+$`;

export const SHARE_PATTERN = String.raw`^\d{1,3}(\.\d{1,3})?%$`;

/** `512m`, `2g`, `1.5g` in bytes, powers of 1024 as Docker has them; undefined when it is none. */
export function parseBytes(text: string): number | undefined {
  if (!new RegExp(BYTES_PATTERN).test(text)) return undefined;
  return Math.round(Number(text.slice(0, -1)) * (BYTES[text.slice(-1)] ?? 0));
}

/** `500ms`, `30s`, `1h30m` in milliseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 40 || !new RegExp(DURATION_PATTERN).test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  return Math.round(parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (MILLISECONDS[unit] ?? 0), 0));
}

/** `70%` as 0.7; undefined when it is none, or more than the whole. */
export function parseShare(text: string): number | undefined {
  if (!new RegExp(SHARE_PATTERN).test(text)) return undefined;
  const share = Number(text.slice(0, -1)) / 100;
  return share > 0 && share <= 1 ? share : undefined;
}

/** Beyond this the timers of JavaScript end at once (2^31 ms). */
export const LONGEST_MS = 24 * 86_400_000;
