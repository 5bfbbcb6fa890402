import { historyText, historyWire } from '../../render/history-text.ts';
import { defineCommand } from '../command.ts';

const DEFAULT_LIMIT = 20;

export const history = defineCommand({
  name: 'history',
  summary: 'show who deployed what, when, from which commit',
  args: [],
  flags: {
    limit: { type: 'number', value: 'N', summary: `the newest N releases (default: ${DEFAULT_LIMIT})`, least: 1 },
  },
  async run(context, _args, { limit = DEFAULT_LIMIT }) {
    const { history: readHistory } = await import('../../app/history.ts');
    const { project, environment, releases } = await readHistory(context, { limit });
    return {
      text: (theme) => historyText(releases, `${project} ${environment}`, theme),
      json: { project, environment, releases: releases.map(historyWire) },
    };
  },
});
