import type { Context } from '../../app/context.ts';
import { wireError } from '../../render/wire.ts';
import { purgeText } from '../../render/purge-text.ts';
import { restoreText, storagePurgeText, trashText } from '../../render/purge-storage-text.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import { parsePurge, ON_HOSTS, IN_STORAGE, type PurgeRequest } from '../purge-request.ts';

export const purge = defineCommand({
  name: 'purge',
  summary: 'free space that old versions and results hold',
  args: [
    {
      name: '[what...]',
      summary: `${ON_HOSTS.join(', ')} (default: both), or one of ${IN_STORAGE.join(', ')}`,
    },
  ],
  flags: {
    unusedFor: { type: 'duration', value: 'T', summary: 'cache, uploads: what was not used for so long, as 30d' },
    maxSize: { type: 'text', value: 'SIZE', summary: 'cache: the least used beyond that, as 10g' },
    oldCode: { type: 'boolean', summary: 'cache: results of code that has changed since' },
    confirm: { type: 'number', value: 'N', summary: 'the number of files, where it is much of all' },
    restore: { type: 'text', value: 'PLAN', summary: 'bring back what a purge moved to the trash' },
    empty: { type: 'boolean', summary: 'show the trash; with --yes remove it for good' },
    olderThan: { type: 'duration', value: 'T', summary: 'for --empty: what lies there for longer (7d)' },
  },
  async run(context, words, flags) {
    return purgeResult(context, parsePurge(words, { ...flags, yes: context.options.yes }));
  },
});

async function purgeResult(context: Context, request: PurgeRequest): Promise<CommandResult> {
  switch (request.type) {
    case 'hosts': {
      const { purge: purgeHosts } = await import('../../app/purge.ts');
      const { items, isRemoved, failures } = await purgeHosts(context, request.what);
      return {
        text: (theme) => purgeText({ items, isRemoved }, theme),
        json: { items, removed: isRemoved },
        ...failures,
      };
    }
    case 'storage': {
      const { purgeStorage } = await import('../../app/purge-storage.ts');
      const { error, ...found } = await purgeStorage(context, request.scope, request);
      const { host, scope, plan, moved } = found;
      return {
        text: (theme) => storagePurgeText(found, theme),
        json: { host, scope, plan, removed: moved !== undefined, moved, error: error && wireError(error) },
        ...(error === undefined ? {} : { error, exitCode: error.exitCode }),
      };
    }
    case 'restore': {
      const { restoreStorage } = await import('../../app/purge-storage.ts');
      const restored = await restoreStorage(context, request.plan);
      return { text: restoreText(restored), json: { plan: request.plan, restored } };
    }
    case 'empty': {
      const { emptyStorage } = await import('../../app/purge-storage.ts');
      const { olderThanMs } = request;
      const { host, trash, removed } = await emptyStorage(context, olderThanMs);
      return {
        text: (theme) => trashText({ trash, removed, olderThanMs }, theme),
        json: { host, trash, removed: removed !== undefined, emptied: removed },
      };
    }
  }
}
