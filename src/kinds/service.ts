import { z } from 'zod';
import {
  absolutePath,
  bytes,
  count,
  cpus,
  duration,
  envValue,
  filledText,
  matching,
  memory,
  mount,
  plainText,
  port,
  portNumber,
  reading,
  reference,
  strict,
  variableName,
  wholeNumber,
  words,
} from './fields.ts';
import { rollout } from './rollout.ts';

const MINUTE = 60_000;

export const logs = strict({
  maxSize: bytes.optional(),
  maxFiles: wholeNumber(1, 1000).optional(),
});

/** What each type of check takes besides the timing; without a type the kind's own check is kept. */
const HEALTH_KEYS: Readonly<Record<string, readonly string[]>> = {
  http: ['path', 'port', 'status'],
  tcp: ['port'],
  command: ['command'],
  engine: [],
  none: [],
};

export const health = strict({
  type: z.enum(['http', 'tcp', 'command', 'engine', 'none']).optional(),
  path: matching('a path that begins with /', /^\/[\x21-\x7e]*$/, 2048).optional(),
  port: portNumber.optional(),
  status: wholeNumber(100, 599).optional(),
  command: words.optional(),
  interval: duration.optional(),
  timeout: duration.optional(),
  retries: wholeNumber(0, 10_000).optional(),
  startPeriod: duration.optional(),
  stable: duration.optional(),
}).superRefine((value, context) => {
  const allowed = value.type === undefined ? [] : (HEALTH_KEYS[value.type] ?? []);
  for (const key of ['path', 'port', 'status', 'command'] as const) {
    if (value[key] === undefined || allowed.includes(key)) continue;
    const message = value.type === undefined ? `"${key}" needs a type` : `"${key}" is not for type ${value.type}`;
    context.addIssue({ code: 'custom', path: [key], message, params: { isKey: true } });
  }
  if (value.type === 'command' && value.command === undefined)
    context.addIssue({ code: 'custom', message: 'type command needs a command' });
  if (value.interval !== undefined && value.interval < 50)
    context.addIssue({ code: 'custom', path: ['interval'], message: 'must be 50ms or more' });
  if (value.timeout === 0) context.addIssue({ code: 'custom', path: ['timeout'], message: 'must be more than 0' });
});

const ulimit = z.union([
  wholeNumber(-1, Number.MAX_SAFE_INTEGER).transform((value) => ({ soft: value, hard: value })),
  strict({ soft: wholeNumber(-1, Number.MAX_SAFE_INTEGER), hard: wholeNumber(-1, Number.MAX_SAFE_INTEGER) }),
]);

const userLabel = filledText.refine(
  (key) => key !== 'cu' && !key.startsWith('cu.'),
  'labels that begin with "cu." are set by cu itself',
);

/** What every service takes, whatever its kind; defaults that depend on the kind are the kind's. */
export const serviceShape = {
  image: reference.optional(),
  command: words.optional(),
  entrypoint: words.optional(),
  workdir: absolutePath.optional(),
  env: z.record(variableName, envValue).default({}),
  secrets: z.array(variableName).default([]),
  user: reference.optional(),
  replicas: count.optional(),
  mounts: z.array(mount).default([]),
  ports: z.array(port).default([]),
  network: matching('project, host, none, or the name of a network', /^[A-Za-z0-9][A-Za-z0-9_.-]*$/).default('project'),
  memory: memory.optional(),
  cpus: cpus.optional(),
  cpuset: matching('processors such as 0-3,5', /^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/).optional(),
  gpus: z
    .union([z.literal('all'), count, z.array(filledText).min(1)], {
      error: 'expected all, a number, or a list of devices',
    })
    .optional(),
  shm: bytes.optional(),
  pids: wholeNumber(1, 4_194_304).optional(),
  ulimits: z.record(matching('the name of a limit, such as nofile', /^[a-z]{1,20}$/), ulimit).default({}),
  devices: z
    .array(matching('a device such as /dev/dri or /dev/a:/dev/b:rwm', /^\/dev\/[^:\s]+(:\/[^:\s]+)?(:[rwm]{1,3})?$/))
    .default([]),
  capabilities: z.array(matching('a capability such as NET_ADMIN', /^[A-Z][A-Z_]{1,40}$/)).default([]),
  readOnly: z.boolean().default(false),
  labels: z.record(userLabel, plainText).default({}),
  health: health.optional(),
  rollout: rollout.optional(),
  drain: duration.optional(),
  stopSignal: reading({
    what: 'a signal such as SIGTERM',
    pattern: '^SIG[A-Z0-9+-]+$',
    read: (text) => (/^SIG[A-Z0-9+-]{2,12}$/.test(text) ? text : undefined),
    hint: (text) =>
      /^[A-Za-z]{3,6}[12]?$/.test(text) ? `did you mean SIG${text.toUpperCase().replace(/^SIG/, '')}?` : undefined,
  }).optional(),
  restart: z.enum(['no', 'on-failure', 'always', 'unless-stopped']).default('unless-stopped'),
  logs: logs.optional(),
  dependsOn: z.array(reference).default([]),
} as const satisfies z.ZodRawShape;

export type ServiceSettings = z.output<z.ZodObject<typeof serviceShape>>;

export type HealthSettings = z.output<typeof health>;

export const DEFAULT_TIMEOUT_MS = MINUTE;
