import type { Duplex } from 'node:stream';
import { CuError } from '../core/error.ts';
import type { InstanceSpec } from '../core/state.ts';
import { dialContainer, probe } from '../execute/probe.ts';
import { inspectContainer } from '../observe/observe.ts';
import { createHttpClient } from '../transport/http.ts';
import type { HttpAnswer, HttpClient, HttpRequest } from '../transport/http.ts';
import type { Context } from './context.ts';
import type { Project } from './project.ts';
import { firstInstance, runningInstance } from './running.ts';
import { openSession } from './session.ts';
import type { Session } from './session.ts';
import { problemError, readProblem, TOKEN } from './web-problem.ts';

export type WebRequest = Omit<HttpRequest, 'signal'> & {
  readonly signal?: AbortSignal;
  /** For messages, such as `tiles.mosaic`. */
  readonly what: string;
};

/** The project's web API, through the connection to a host on which it runs: it need not be published to us. */
export interface WebApi extends AsyncDisposable {
  /** Any answer but a problem; those with a status in `allow` too. */
  send(request: WebRequest, allow?: readonly number[]): Promise<HttpAnswer>;
  /** Closes the connection; what is sent next finds a webserver anew. */
  reset(): Promise<void>;
}

/** A webserver that was found well, and the way to it. */
interface Found {
  readonly instance: InstanceSpec;
  readonly dial: () => Promise<Duplex>;
}

interface Connection extends Found {
  readonly session: Session;
  readonly client: HttpClient;
}

const DEFAULT_PORT = 8123;

export async function openWebApi(context: Context, project: Project): Promise<WebApi> {
  const token = project.secrets.find(TOKEN);
  if (token !== undefined) context.mask([token]);
  const credentials = token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` };
  let current: Connection | undefined = await connect(context, project);
  let isClosed = false;
  const reset = async (): Promise<void> => {
    const last = current;
    current = undefined;
    if (last !== undefined) await disconnect(last);
  };
  return {
    async send({ what, headers, ...request }, allow = []) {
      if (isClosed) throw new Error('the web API is asked after it was closed');
      current ??= await connect(context, project);
      const { client, instance } = current;
      const answer = await client.send({
        signal: context.signal,
        ...request,
        headers: { accept: '*/*', ...credentials, ...headers },
      });
      if (answer.statusCode < 400 || allow.includes(answer.statusCode)) return answer;
      const problem = readProblem(answer.statusCode, String(answer.headers['content-type']), await answer.text());
      throw problemError(problem, {
        what,
        service: instance.service,
        host: instance.host,
        hasToken: token !== undefined,
        searched: project.secrets.searched,
      });
    },
    reset,
    [Symbol.asyncDispose]: () => {
      isClosed = true;
      return reset();
    },
  };
}

async function connect(context: Context, project: Project): Promise<Connection> {
  const session = openSession(context, project.desired);
  try {
    const found = await findWebserver(context, project, session);
    const { service, host } = found.instance;
    return { ...found, session, client: createHttpClient({ peer: `${service} on ${host}`, host, open: found.dial }) };
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

async function disconnect({ client, session }: Connection): Promise<void> {
  client.close();
  await session[Symbol.asyncDispose]();
}

/** The first that answers its health check; hosts that do not answer matter only when there is none. */
async function findWebserver(context: Context, { desired, loaded }: Project, session: Session): Promise<Found> {
  const instances = desired.instances.filter((instance) => instance.kind === 'webserver');
  if (instances.length === 0) {
    throw new CuError(
      'USAGE',
      `${loaded.file} has no service of kind webserver in the environment ${desired.environment}`,
      {
        hint: 'add one under `services`; docs/config.md lists the kinds',
      },
    );
  }
  return firstInstance(instances, context.signal, (instance) => reachInstance(context, session, { desired, instance }));
}

async function reachInstance(
  { signal }: Context,
  session: Session,
  { desired, instance }: Pick<Project, 'desired'> & { readonly instance: InstanceSpec },
): Promise<Found | CuError> {
  const running = await runningInstance(session, { desired, instance }, signal);
  if (running instanceof CuError) return running;
  const { host } = running;
  const container = await inspectContainer(host, running.id, signal);
  if (container === undefined)
    return new CuError('STEP_FAILED', `${running.name} was just removed`, {
      host: host.name,
      hint: 'run the command again',
    });
  const problem = await probe(host, container, instance.health, { secret: undefined, signal });
  if (problem === undefined) {
    const dial = (): Promise<Duplex> => dialContainer(host, container, portOf(instance), signal);
    return { instance, dial };
  }
  return new CuError('UNHEALTHY', `${instance.service} runs, but is not well: ${problem}`, {
    host: host.name,
    hint: `\`cu logs ${instance.service}\` may say why; \`cu deploy\` puts it right`,
  });
}

function portOf({ env, health, ports }: InstanceSpec): number {
  if (health.type === 'http') return health.port;
  return Number(env['CU_PORT'] ?? ports[0]?.containerPort ?? DEFAULT_PORT);
}
