import { z } from 'zod/mini';
import { PROXY_DIRECTORY, PROXY_NAME, SLOTS } from '../core/proxy.ts';
import type { ObservedProxy, ProxyPart } from '../core/proxy.ts';
import { LABELS } from '../core/state.ts';
import type { ObservedContainer } from '../core/state.ts';
import { readArchive } from '../transport/archive.ts';
import type { Docker } from '../transport/docker.ts';

const port = z.int().check(z.gte(1), z.lte(65_535));
const word = z.string().check(z.regex(/^[A-Za-z0-9_.*~/:-]+$/));

/** Parts are written by other versions of cu too, and go into one config: nothing in them may mean more than itself. */
const part = z.object({
  v: z.literal(1),
  project: word,
  environment: word,
  routes: z.array(
    z.object({
      service: word,
      containerPort: port,
      address: z.string().check(z.regex(/^[0-9a-fA-F.:]*$/)),
      port,
      hosts: z.array(word),
      paths: z.array(word),
      certificate: z.optional(word),
      checkPath: z.optional(z.string().check(z.regex(/^\/[\x21-\x7e]*$/))),
      checkStatus: z.optional(z.int().check(z.gte(100), z.lte(599))),
      drainMs: z.number(),
      servers: z.array(z.object({ instance: word, ports: z.object({ a: port, b: port }), live: z.enum(SLOTS) })),
    }),
  ),
});

/** What the proxy of a host is told by everybody; it is read from its volume, also while it is down. */
export async function readProxy(
  docker: Docker,
  container: ObservedContainer | undefined,
  signal: AbortSignal,
): Promise<ObservedProxy | undefined> {
  if (container === undefined) return undefined;
  return {
    isRunning: container.state === 'running',
    spec: container.labels[LABELS.spec],
    parts: await readParts(docker, signal),
  };
}

export async function readParts(docker: Docker, signal: AbortSignal): Promise<readonly ProxyPart[]> {
  const answer = await docker.stream({
    method: 'GET',
    path: `/containers/${PROXY_NAME}/archive`,
    query: { path: `${PROXY_DIRECTORY}/routes` },
    signal,
    allow: [404],
  });
  if (answer.statusCode === 404) {
    answer.body.resume();
    return [];
  }
  const files = await readArchive(answer.body);
  return [...files].flatMap(([name, text]) => (name.endsWith('.json') ? parsePart(text) : []));
}

export function writePart(value: ProxyPart): string {
  return `${JSON.stringify({ v: 1, ...value })}\n`;
}

/** None of one that cannot be read: whoever it belongs to writes it anew with the next deploy. */
function parsePart(text: string): readonly ProxyPart[] {
  try {
    const { project, environment, routes } = part.parse(JSON.parse(text));
    return [
      {
        project,
        environment,
        routes: routes.map((route) => ({
          ...route,
          certificate: route.certificate,
          checkPath: route.checkPath,
          checkStatus: route.checkStatus,
        })),
      },
    ];
  } catch {
    return [];
  }
}
