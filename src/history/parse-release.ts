import { z } from 'zod/mini';
import type { Release } from '../core/release.ts';

const host = z.object({
  name: z.string(),
  connection: z.enum(['ssh', 'local']),
  address: z.string(),
  user: z.optional(z.string()),
  port: z.optional(z.number()),
  identity: z.optional(z.string()),
  proxyJump: z.array(z.string()),
  client: z.enum(['auto', 'ssh2', 'openssh']),
  dockerSocket: z.optional(z.string()),
});

const image = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('build'),
    version: z.string(),
    inputs: z.string(),
    repository: z.string(),
    // Releases of an earlier cu have none.
    ids: z._default(z.record(z.string(), z.string()), {}),
  }),
  z.object({ type: z.literal('ref'), reference: z.string(), ids: z.record(z.string(), z.string()) }),
]);

const schema = z.object({
  v: z.literal(1),
  id: z.string(),
  sequence: z.int(),
  project: z.string(),
  environment: z.string(),
  kind: z.enum(['deploy', 'rollback', 'promote']),
  targets: z.array(z.string()),
  who: z.string(),
  startedAt: z.number(),
  endedAt: z.optional(z.number()),
  commit: z.optional(z.string()),
  isDirty: z.boolean(),
  outcome: z.optional(z.enum(['done', 'failed', 'rolled-back', 'interrupted'])),
  reason: z.optional(z.string()),
  images: z.record(z.string(), image),
  steps: z.array(z.string()),
  hosts: z.array(host),
  config: z.string(),
  origin: z.optional(z.string()),
});

/** undefined: it is no release, or one of a later cu. */
export function parseRelease(text: string): Release | undefined {
  const found = schema.safeParse(parseJson(text)).data;
  if (found === undefined) return undefined;
  const { endedAt, commit, outcome, reason, origin } = found;
  const hosts = found.hosts.map(({ user, port, identity, dockerSocket, ...rest }) => ({
    ...rest,
    user,
    port,
    identity,
    dockerSocket,
  }));
  return { ...found, endedAt, commit, outcome, reason, origin, hosts };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
