import type { FlagSpec } from './command.ts';

export function longName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export function writtenForms(key: string, spec: FlagSpec): readonly string[] {
  return spec.short === undefined ? [longName(key)] : [longName(key), `-${spec.short}`];
}
