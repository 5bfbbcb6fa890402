import { CuError } from '../../core/error.ts';
import { defineCommand } from '../command.ts';
import { TARGETS } from '../targets.ts';
import { parseMoment } from '../values.ts';

export const logs = defineCommand({
  name: 'logs',
  summary: 'show the logs of all hosts in one stream',
  args: [TARGETS],
  flags: {
    follow: { type: 'boolean', short: 'f', summary: 'go on as new lines come' },
    since: { type: 'text', value: 'WHEN', summary: 'from then on: 10m ago, or 2026-11-23T10:00:00Z' },
    until: { type: 'text', value: 'WHEN', summary: 'up to then' },
    tail: { type: 'number', value: 'N', summary: 'only the last N lines of each instance' },
    grep: { type: 'text', value: 'RE', summary: 'only lines that match a regular expression' },
    timestamps: { type: 'boolean', short: 't', summary: 'show the time of each line' },
    access: { type: 'boolean', summary: 'the requests that reached them, as their proxies saw them' },
    collect: { type: 'text', value: 'DIR', summary: 'write a file for each instance instead' },
  },
  async run(context, targets, { since, until, grep, ...flags }) {
    const { logs: readLogs } = await import('../../app/logs.ts');
    const now = context.now();
    const { files } = await readLogs(context, targets, {
      ...flags,
      since: momentOf('since', since, now),
      until: momentOf('until', until, now),
      grep: patternOf(grep),
    });
    return { text: files.map((file) => `wrote ${file}`).join('\n'), json: { files } };
  },
});

function momentOf(flag: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const moment = parseMoment(text, now);
  if (moment === undefined)
    throw new CuError('USAGE', `--${flag} ${text} is no time`, {
      hint: 'give 10m for ten minutes ago, or a date such as 2026-11-23T10:00:00Z',
    });
  return moment;
}

function patternOf(text: string | undefined): RegExp | undefined {
  if (text === undefined) return undefined;
  try {
    return new RegExp(text);
  } catch (error) {
    throw new CuError(
      'USAGE',
      `--grep ${text} is no regular expression: ${error instanceof Error ? error.message : ''}`,
    );
  }
}
