import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { HostTarget } from '../core/state.ts';
import { globMatches } from './glob.ts';
import type { SshEnvironment, SshValues } from './ssh-environment.ts';

/** As deep as OpenSSH itself follows Include. */
const MAX_DEPTH = 16;

/** What ~/.ssh/config says, for machines that have no ssh to ask. */
export async function readConfigFile(target: HostTarget, { home }: SshEnvironment): Promise<SshValues> {
  const text = await readWithIncludes(`${home}/.ssh/config`, { home, depth: 0 });
  if (text.trim() === '') return new Map();
  const { default: SSHConfig } = await import('ssh-config');
  const computed = SSHConfig.parse(text).compute(target.address, { ignoreCase: true });
  return new Map(
    Object.entries(computed).map(([key, value]) => [key.toLowerCase(), Array.isArray(value) ? value : [value]]),
  );
}

/** The library knows no Include: the text of the files takes the line's place. */
async function readWithIncludes(path: string, at: { readonly home: string; readonly depth: number }): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (at.depth >= MAX_DEPTH) return text;
  const lines = await Promise.all(
    text.split(/\r?\n/).map(async (line) => {
      const patterns = /^\s*Include[\s=]+(.+)$/i.exec(line)?.[1]?.trim().split(/\s+/);
      if (patterns === undefined) return line;
      const files = (await Promise.all(patterns.map((pattern) => filesOf(pattern, at.home)))).flat();
      const texts = await Promise.all(files.map((file) => readWithIncludes(file, { ...at, depth: at.depth + 1 })));
      return texts.join('\n');
    }),
  );
  return lines.join('\n');
}

/** Relative patterns are below ~/.ssh; wildcards are understood in the file's name. */
async function filesOf(pattern: string, home: string): Promise<readonly string[]> {
  const plain = pattern.replace(/^"(.*)"$/, '$1').replace(/^~(?=\/)/, home);
  const path = isAbsolute(plain) ? plain : join(home, '.ssh', plain);
  if (!/[*?]/.test(basename(path))) return [path];
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => globMatches(basename(path), name))
    .toSorted()
    .map((name) => join(dirname(path), name));
}
