import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';
import { suggest } from '../core/suggest.ts';
import type { Method } from '../render/methods-text.ts';
import type { Context } from './context.ts';
import { openProject } from './project.ts';
import { openWebApi } from './web-api.ts';
import type { WebApi } from './web-api.ts';

const text = z.nullish(z.string());
const schema = z.nullish(z.record(z.string(), z.unknown()));
const parameter = z.object({
  name: z.string(),
  schema,
  required: z.nullish(z.boolean()),
  default: z.optional(z.unknown()),
  doc: text,
  is_file: z.nullish(z.boolean()),
});
const method = z.object({
  name: z.string(),
  summary: text,
  doc: text,
  scope: text,
  returns: schema,
  parameters: z.nullish(z.array(parameter)),
});
const calls = z.object({ calls: z.array(method) });

/** What can be called, from the documentation of the service that runs. */
export async function listMethods(context: Context): Promise<readonly Method[]> {
  const project = await openProject(context);
  await using web = await openWebApi(context, project);
  return await readMethods(web);
}

export async function describeMethod(context: Context, name: string): Promise<Method> {
  const project = await openProject(context);
  await using web = await openWebApi(context, project);
  const methods = await readMethods(web);
  const found = methods.find((method) => method.name === name);
  if (found === undefined) throw notThere(name, methods);
  return found;
}

/** Before a large file is sent to nobody. */
export async function requireMethod(web: WebApi, name: string): Promise<void> {
  const methods = await readMethods(web);
  if (!methods.some((method) => method.name === name)) throw notThere(name, methods);
}

/** The error for a method that the webserver does not know, with the one that was probably meant. */
export async function unknownMethod(web: WebApi, name: string): Promise<CuError> {
  return notThere(name, await readMethods(web));
}

function notThere(name: string, methods: readonly Method[]): CuError {
  const names = methods.map((method) => method.name);
  // Without its module, or with another one.
  const short = (full: string): string => full.slice(full.lastIndexOf('.') + 1);
  const part = suggest(short(name), names.map(short));
  const near = suggest(name, names) ?? names.find((each) => short(each) === part);
  return new CuError('USAGE', `there is no method ${name}`, {
    hint: near === undefined ? '`cu call --list` shows those there are' : `did you mean ${near}?`,
  });
}

async function readMethods(web: WebApi): Promise<readonly Method[]> {
  const answer = await web.send({ method: 'GET', path: '/v1/calls', what: 'the list of methods' });
  const found = calls.safeParse(parsed(await answer.text()));
  if (!found.success) {
    throw new CuError('STEP_FAILED', 'the list of methods that the webserver gives cannot be read', {
      hint: 'is it a cu runtime of another version? `cu deploy` gives it that of this cu',
      cause: found.error,
    });
  }
  return found.data.calls.map(({ name, summary, doc, scope, returns, parameters }) => ({
    name,
    summary: summary ?? '',
    doc: doc ?? '',
    scope: scope ?? '',
    returns: returns ?? {},
    parameters: (parameters ?? []).map((each) => ({
      name: each.name,
      schema: each.schema ?? {},
      isRequired: each.required ?? false,
      preset: each.default,
      doc: each.doc ?? '',
      isFile: each.is_file ?? false,
    })),
  }));
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
