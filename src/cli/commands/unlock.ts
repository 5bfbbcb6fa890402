import { formatMoment } from '../../core/format.ts';
import { defineCommand } from '../command.ts';
import { holdResult } from '../hold-result.ts';

export const unlock = defineCommand({
  name: 'unlock',
  summary: 'lift the hold that `cu lock` left',
  args: [],
  flags: {},
  async run(context) {
    const { unlock: liftHold } = await import('../../app/hold.ts');
    return holdResult(await liftHold(context), ({ name, hold }) =>
      hold === undefined
        ? `${name} was not locked`
        : `${name} is unlocked: ${hold.who} had locked it since ${formatMoment(hold.since)}: ${hold.message}`,
    );
  },
});
