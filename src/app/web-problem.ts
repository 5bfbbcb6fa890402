import { z } from 'zod/mini';
import { CuError } from '../core/error.ts';

const text = z.nullish(z.string());
const problem = z.object({
  title: text,
  detail: text,
  request_id: text,
  errors: z.nullish(z.array(z.object({ parameter: z.string(), message: z.string() }))),
});

/** An answer of the web API that is no result (RFC 9457); what is no such problem has a status and nothing else. */
export interface WebProblem {
  readonly statusCode: number;
  readonly isOfRuntime: boolean;
  readonly title: string | undefined;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  readonly errors: readonly { readonly parameter: string; readonly message: string }[];
}

/** Where the answer came from, and with what it was asked for. */
export interface ProblemContext {
  /** `tiles.mosaic`, `upload of FILE`: what was asked for. */
  readonly what: string;
  readonly service: string;
  readonly host: string;
  readonly hasToken: boolean;
  /** Where a secret was looked for. */
  readonly searched: string;
}

export const TOKEN = 'API_TOKEN';

export function readProblem(statusCode: number, contentType: string, body: string): WebProblem {
  const nothing = { statusCode, isOfRuntime: false, title: undefined, detail: undefined, requestId: undefined };
  if (!contentType.startsWith('application/problem+json')) return { ...nothing, errors: [] };
  const found = problem.safeParse(parsed(body));
  if (!found.success) return { ...nothing, errors: [] };
  const { title, detail, request_id: requestId, errors } = found.data;
  return {
    statusCode,
    isOfRuntime: true,
    title: title ?? undefined,
    detail: detail ?? undefined,
    requestId: requestId ?? undefined,
    errors: errors ?? [],
  };
}

/** What a person is told of it: what, where, what next. */
export function problemError(found: WebProblem, at: ProblemContext): CuError {
  const { statusCode, errors } = found;
  const said = found.detail ?? found.title ?? `HTTP ${statusCode}`;
  const context = { host: at.host, detail: trace(found), statusCode };
  switch (statusCode) {
    case 401:
      return at.hasToken ? unknownToken(at) : missingToken(at);
    case 403:
      return forbidden(at, said);
    case 422:
      if (errors.length > 0) return argumentError(at.what, errors);
      break;
    case 413:
      return new CuError('STEP_FAILED', `${at.what}: ${said}`, {
        ...context,
        hint: `raise CU_MAX_UPLOAD, such as 4g, under \`env\` of services.${at.service}`,
      });
    case 410:
      return new CuError('STEP_FAILED', `${at.what}: ${said}`, { ...context, hint: 'call it again' });
    case 404:
      if (!found.isOfRuntime) break;
      return new CuError('STEP_FAILED', `${at.what}: ${said}`, { ...context, hint: 'call the method again' });
    default:
  }
  if (!found.isOfRuntime && [404, 405].includes(statusCode)) return foreignServer(at, statusCode);
  const log = found.requestId === undefined ? '' : ` --grep ${found.requestId}`;
  const hint =
    statusCode === 503
      ? 'nothing was lost: try again; `cu status` shows whether broker and storage are well'
      : `\`cu logs ${at.service}${log}\` may say more`;
  return new CuError('STEP_FAILED', `${at.what}: ${said}`, { ...context, hint });
}

function argumentError(what: string, errors: WebProblem['errors']): CuError {
  const lines = errors.map(({ parameter, message }) => `${parameter}: ${message}`);
  const hint = `\`cu call --help ${what}\` shows its arguments; NAME:='"3"' gives text that looks like a number`;
  const [only = '', ...others] = lines;
  if (others.length === 0) return new CuError('USAGE', `${what}: argument ${only}`, { hint });
  return new CuError('USAGE', `${what}: ${lines.length} arguments are wrong`, { detail: lines.join('\n'), hint });
}

function missingToken({ service, host, searched }: ProblemContext): CuError {
  return new CuError(
    'SECRET_MISSING',
    `${service} wants a token, and the secret ${TOKEN} is missing: looked in ${searched}`,
    {
      host,
      hint: `put ${TOKEN}=... into the secrets file, or set it in the environment: the one that ${service} was deployed with`,
    },
  );
}

function unknownToken({ service, host }: ProblemContext): CuError {
  return new CuError('USAGE', `${service} does not know the token in the secret ${TOKEN}`, {
    host,
    statusCode: 401,
    hint: `\`cu deploy\` gives ${service} the one that is there now, if services.${service}.secrets lists it; else put the deployed one back`,
  });
}

function forbidden({ what, service, host, hasToken }: ProblemContext, said: string): CuError {
  const hint = hasToken
    ? `use a token that may: the secret API_TOKENS of ${service} says which may what`
    : `give ${service} a token: ${TOKEN} under \`secrets\` of services.${service} and in the secrets file`;
  const whose = hasToken ? `with the token in the secret ${TOKEN}` : `without the secret ${TOKEN}`;
  return new CuError('USAGE', `${what} is not allowed ${whose}: ${said}`, { host, statusCode: 403, hint });
}

function foreignServer({ what, service, host }: ProblemContext, statusCode: number): CuError {
  return new CuError(
    'STEP_FAILED',
    `${what}: ${service} answers HTTP ${statusCode}, and not as the runtime of cu does`,
    {
      host,
      statusCode,
      hint: `\`cu call\` is for webservers that run \`python -m cu web\`; look at services.${service}.command`,
    },
  );
}

function trace({ statusCode, title, detail, requestId }: WebProblem): string {
  const name = detail === undefined || title === undefined ? '' : ` ${title}`;
  return `HTTP ${statusCode}${name}${requestId === undefined ? '' : `, request ${requestId}`}`;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // A proxy's page under the runtime's name; the status is all there is.
    return undefined;
  }
}
