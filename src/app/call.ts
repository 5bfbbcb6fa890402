import { amend, CuError } from '../core/error.ts';
import { hasEnded } from '../core/job.ts';
import type { JobState } from '../core/job.ts';
import { callBody, readValues, uploadFiles } from './call-values.ts';
import type { CallArgument } from './call-values.ts';
import { acceptFor, checkTarget, takeResult } from './call-result.ts';
import type { Taken, Target } from './call-result.ts';
import type { Context } from './context.ts';
import { askJob, followJob, tell } from './follow-job.ts';
import { requireMethod, unknownMethod } from './methods.ts';
import { openProject } from './project.ts';
import { openWebApi } from './web-api.ts';
import type { WebApi } from './web-api.ts';
import { jobError, readJob } from './web-job.ts';
import type { Job } from './web-job.ts';

export interface CallOptions {
  /** Until the job has ended; a file to write to waits as well. */
  readonly wait: boolean;
  readonly output: string | undefined;
}

export interface CallResult {
  /** undefined: there was no work to do. */
  readonly job: string | undefined;
  readonly state: JobState;
  readonly cached: boolean;
  readonly taken: Taken | undefined;
  /** The job ended without a result. */
  readonly error: CuError | undefined;
}

/** Calls a method of the web API; what is not known yet becomes a job, which is waited for or left to itself. */
export async function call(
  context: Context,
  method: string,
  { arguments: given, ...options }: CallOptions & { readonly arguments: readonly CallArgument[] },
): Promise<CallResult> {
  const project = await openProject(context);
  const target = options.output === undefined ? undefined : await checkTarget(context, options.output);
  const values = await readValues(context, given);
  await using web = await openWebApi(context, project);
  if (values.some(({ type }) => type === 'file')) await requireMethod(web, method);
  await uploadFiles(context, web, values);
  const answer = await web.send(
    {
      method: 'POST',
      path: `/v1/call/${encodeURIComponent(method)}`,
      headers: { 'content-type': 'application/json', ...acceptFor(target) },
      body: callBody(values),
      what: method,
    },
    [404],
  );
  if (answer.statusCode === 404) throw await unknownMethod(web, method);
  if (answer.statusCode !== 202) {
    const taken = await takeResult(context, answer, { target, name: method });
    return { job: undefined, state: 'done', cached: answer.headers['x-cu-cache'] !== 'miss', taken, error: undefined };
  }
  const job = await readJob(answer);
  tell(context, job);
  return await finish(context, web, { job, target, wait: options.wait || target !== undefined });
}

/** The result of an earlier call, by its job. */
export async function callJob(context: Context, id: string, options: CallOptions): Promise<CallResult> {
  const project = await openProject(context);
  const target = options.output === undefined ? undefined : await checkTarget(context, options.output);
  await using web = await openWebApi(context, project);
  const job = await askJob(web, { id, name: `job ${id}` }, { seconds: 0, signal: context.signal });
  const wait = options.wait || target !== undefined;
  if (!hasEnded(job.state) && !wait) {
    const share = job.progress === undefined ? '' : `, ${Math.floor(job.progress * 100)}%`;
    throw new CuError('STEP_FAILED', `${job.name} has no result yet: job ${id} is ${job.state}${share}`, {
      hint: `\`cu call --job ${id} --wait\` waits for it`,
    });
  }
  if (!hasEnded(job.state)) tell(context, job);
  return await finish(context, web, { job, target, wait });
}

interface Finishing {
  readonly job: Job;
  readonly target: Target | undefined;
  readonly wait: boolean;
}

async function finish(context: Context, web: WebApi, { job: begun, target, wait }: Finishing): Promise<CallResult> {
  const result = { job: begun.id, state: begun.state, cached: false, taken: undefined, error: undefined };
  if (!wait && !hasEnded(begun.state)) return result;
  using deadline = startDeadline(context, begun);
  let job = begun;
  try {
    job = await followJob(context, web, begun, deadline.signal);
    if (job.state !== 'done') return { ...result, state: job.state, error: jobError(job) };
    const path = `/v1/jobs/${encodeURIComponent(job.id)}/result`;
    const answer = await web.send({ method: 'GET', path, headers: acceptFor(target), what: job.name });
    return { ...result, state: job.state, taken: await takeResult(context, answer, { target, name: job.name }) };
  } catch (error) {
    throw withJob(error, job, context.signal);
  }
}

/** Ctrl-C, and `--timeout` where it is given: a job may take days. */
function startDeadline(
  { signal, options: { timeoutMs } }: Context,
  job: Job,
): Disposable & { readonly signal: AbortSignal } {
  if (timeoutMs === undefined) return { signal, [Symbol.dispose]: () => undefined };
  const controller = new AbortController();
  const message = `${job.name} has no result after ${Math.round(timeoutMs / 1000)} s`;
  const timer = setTimeout(() => controller.abort(new CuError('TIMEOUT', message)), timeoutMs);
  return { signal: AbortSignal.any([signal, controller.signal]), [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Whatever ends the wait, the job goes on or has its result, and there is a way back to it. */
function withJob(error: unknown, { id, name, state }: Job, signal: AbortSignal): unknown {
  const hint = hasEnded(state)
    ? `\`cu call --job ${id}\` asks for the result again`
    : `job ${id} goes on: \`cu call --job ${id} --wait\` gets its result`;
  if (signal.aborted) return new CuError('CANCELLED', `stopped waiting for ${name}`, { hint, cause: error });
  const isForgotten = error instanceof CuError && (error.statusCode === 404 || error.statusCode === 410);
  if (!(error instanceof CuError) || isForgotten) return error;
  return amend(error, { hint: error.hint === undefined ? hint : `${error.hint}; ${hint}` });
}
