import { CuError } from '../../core/error.ts';
import { defineCommand } from '../command.ts';
import { holdResult } from '../hold-result.ts';

export const lock = defineCommand({
  name: 'lock',
  summary: 'hold off every deploy until it is lifted',
  args: [],
  flags: { message: { type: 'text', value: 'WHY', short: 'm', summary: 'why, for whoever is held off by it' } },
  async run(context, _args, { message }) {
    const why = message?.trim() ?? '';
    if (why === '') throw new CuError('USAGE', 'say why, for whoever is held off by it', { hint: 'add -m WHY' });
    const { lock: leaveHold } = await import('../../app/hold.ts');
    return holdResult(await leaveHold(context, why), ({ name, hosts }) => `${name} is locked on ${hosts}: ${why}`);
  },
});
