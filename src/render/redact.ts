import type { Secret } from '../core/secret.ts';

const SHORTEST = 4;

/** The last line of defence: values that must not be printed are hidden wherever they turn up in cu's own text. */
export class Redactor {
  readonly #values = new Set<string>();

  add(secrets: readonly Secret[]): readonly string[] {
    const found = secrets.flatMap((secret) => secret.reveal().split(/\r?\n/)).filter((line) => line.length >= SHORTEST);
    const fresh = found.filter((value) => !this.#values.has(value));
    for (const value of fresh) this.#values.add(value).add(JSON.stringify(value).slice(1, -1));
    return fresh;
  }

  clean(text: string): string {
    let result = text;
    for (const value of this.#values) result = result.replaceAll(value, '[redacted]');
    return result;
  }
}
