import type { CallResult } from '../../app/call.ts';
import { CuError } from '../../core/error.ts';
import { formatBytes } from '../../core/format.ts';
import { clean } from '../../render/clean.ts';
import { methodsText, methodText } from '../../render/methods-text.ts';
import { wireError } from '../../render/wire.ts';
import { parseCallArguments } from '../call-arguments.ts';
import { defineCommand, type CommandResult } from '../command.ts';

export const call = defineCommand({
  name: 'call',
  summary: 'call a method of the web API',
  args: [
    { name: '[method]', summary: 'as `cu call --list` shows it' },
    {
      name: '[argument...]',
      summary: 'NAME=VALUE (JSON, else text), NAME:=JSON, NAME=@FILE, or NAME=- for JSON from stdin',
    },
  ],
  flags: {
    wait: { type: 'boolean', short: 'w', summary: 'wait for the result; --timeout limits that' },
    output: { type: 'text', value: 'FILE', short: 'o', summary: 'write the result to FILE; waits for it' },
    job: { type: 'text', value: 'ID', summary: 'the result of an earlier call instead' },
    list: { type: 'boolean', short: 'l', summary: 'show what can be called' },
    help: { type: 'boolean', short: 'h', summary: 'show this help, or the one of METHOD' },
  },
  async run(context, [method, ...words], { wait, output, job, list, help }) {
    if (job !== undefined && method !== undefined)
      throw new CuError('USAGE', `--job ${job} takes no method: its call was ${method} once`, {
        hint: `cu call --job ${job}`,
      });
    if (job !== undefined) {
      const { callJob } = await import('../../app/call.ts');
      return callResult(await callJob(context, job, { wait, output }));
    }
    if (list) {
      const { listMethods } = await import('../../app/methods.ts');
      const methods = await listMethods(context);
      return { text: (theme) => methodsText(methods, theme), json: { methods } };
    }
    if (method === undefined)
      throw new CuError('USAGE', 'which method is to be called?', { hint: '`cu call --list` shows what there is' });
    if (help) {
      const { describeMethod } = await import('../../app/methods.ts');
      const found = await describeMethod(context, method);
      return { text: (theme) => methodText(found, theme), json: { method: found } };
    }
    const given = parseCallArguments(words);
    const { call: callMethod } = await import('../../app/call.ts');
    return callResult(await callMethod(context, method, { arguments: given, wait, output }));
  },
});

/** On stdout the result alone, or the job's id where there is none yet. */
function callResult({ job, state, cached, taken, error }: CallResult): CommandResult {
  const known = { job, state, cached };
  if (error !== undefined) return { exitCode: error.exitCode, json: { ...known, error: wireError(error) }, error };
  switch (taken?.type) {
    case 'value':
      return { text: clean(taken.text), json: { ...known, value: taken.value } };
    case 'file':
      return {
        text: `wrote ${taken.file}, ${formatBytes(taken.bytes)}`,
        json: { ...known, file: taken.file, bytes: taken.bytes },
      };
    case 'written':
      return { json: known };
    case undefined:
      return { text: job ?? '', json: known };
  }
}
