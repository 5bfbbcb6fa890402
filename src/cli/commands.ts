import type { Command } from './command.ts';

/** Name and summary stand here so that `cu --help` loads no command. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'init',
    summary: 'write a config and an example app',
    load: async () => (await import('./commands/init.ts')).init,
  },
  {
    name: 'validate',
    summary: 'check the config, every environment',
    load: async () => (await import('./commands/validate.ts')).validate,
  },
  {
    name: 'config',
    summary: 'print the resolved config, secrets hidden',
    load: async () => (await import('./commands/config.ts')).config,
  },
  {
    name: 'schema',
    summary: 'print the JSON Schema of the config',
    load: async () => (await import('./commands/schema.ts')).schema,
  },
  { name: 'build', summary: 'build the images', load: async () => (await import('./commands/build.ts')).build },
  {
    name: 'push',
    summary: 'build and ship the images, restart nothing',
    load: async () => (await import('./commands/push.ts')).push,
  },
  {
    name: 'plan',
    summary: 'show what a deploy would do, and why',
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  {
    name: 'deploy',
    summary: 'build, ship and roll out',
    load: async () => (await import('./commands/deploy.ts')).deploy,
  },
  {
    name: 'rollback',
    summary: 'go back to the last healthy release, or to a version',
    load: async () => (await import('./commands/rollback.ts')).rollback,
  },
  {
    name: 'promote',
    summary: 'give the version that runs in one environment to another',
    load: async () => (await import('./commands/promote.ts')).promote,
  },
  {
    name: 'status',
    summary: 'show what runs where, and drift',
    load: async () => (await import('./commands/status.ts')).status,
  },
  { name: 'start', summary: 'start what is stopped', load: async () => (await import('./commands/start.ts')).start },
  {
    name: 'stop',
    summary: 'stop instances, after they drained',
    load: async () => (await import('./commands/stop.ts')).stop,
  },
  {
    name: 'restart',
    summary: 'restart instances in order',
    load: async () => (await import('./commands/restart.ts')).restart,
  },
  {
    name: 'logs',
    summary: 'show the logs of all hosts in one stream',
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  {
    name: 'exec',
    summary: 'run a command in a running instance',
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  {
    name: 'shell',
    summary: 'open a shell in a running instance',
    load: async () => (await import('./commands/shell.ts')).shell,
  },
  {
    name: 'test',
    summary: "run the project's own tests in its image",
    load: async () => (await import('./commands/test.ts')).test,
  },
  {
    name: 'call',
    summary: 'call a method of the web API',
    load: async () => (await import('./commands/call.ts')).call,
  },
  {
    name: 'history',
    summary: 'show who deployed what, when, from which commit',
    load: async () => (await import('./commands/history.ts')).history,
  },
  {
    name: 'lock',
    summary: 'hold off every deploy until it is lifted',
    load: async () => (await import('./commands/lock.ts')).lock,
  },
  {
    name: 'unlock',
    summary: 'lift the hold that `cu lock` left',
    load: async () => (await import('./commands/unlock.ts')).unlock,
  },
  {
    name: 'purge',
    summary: 'free space that old versions and results hold',
    load: async () => (await import('./commands/purge.ts')).purge,
  },
  {
    name: 'remove',
    summary: 'take the project off its hosts',
    load: async () => (await import('./commands/remove.ts')).remove,
  },
  {
    name: 'completion',
    summary: 'print a completion script for a shell',
    load: async () => (await import('./commands/completion.ts')).completion,
  },
];
