import path from 'node:path';
import { CuError } from '../core/error.ts';

/** `~/x` is below the home folder; any other relative path starts at the config's folder. */
export function expandPath(text: string, directory: string, home: string | undefined): string {
  if (text !== '~' && !text.startsWith('~/')) return path.resolve(directory, text);
  if (home === undefined || home === '') {
    throw new CuError('CONFIG_INVALID', `${text} needs HOME, which is not set`, { hint: 'write the whole path' });
  }
  return path.join(home, text.slice(1));
}
