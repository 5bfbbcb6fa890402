import { z } from 'zod';
import {
  absolutePath,
  envValue,
  filePath,
  filledText,
  hostName,
  listKnown,
  matching,
  name,
  portNumber,
  reading,
  secretReference,
  strict,
  variableName,
  wholeNumber,
} from '../kinds/fields.ts';
import { kinds } from '../kinds/index.gen.ts';
import type { HostOverrides, Overrides } from '../kinds/kind.ts';
import { logs, type ServiceSettings } from '../kinds/service.ts';
import { hooks, onFailure, tasks } from './release.ts';

export const DEFAULT_LOGS = { maxSize: 40 * 1024 * 1024, maxFiles: 4 } as const;

const tag = matching('a tag of letters, digits, . - and _', /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/);

const jump = matching('the name of a host, or [USER@]ADDRESS[:PORT]', /^[^\s,@]+(@[^\s,@]+)?$/);
const jumps = z
  .union([z.string(), z.array(jump)], { error: 'expected hosts to jump over, such as bastion or [first, second]' })
  .transform((value) => (typeof value === 'string' ? value.split(',').map((hop) => hop.trim()) : value))
  .pipe(z.array(jump));

/** `[@MARKER] HOSTS KEYTYPE KEY [COMMENT]`: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
const KNOWN_HOST = /^(@\S+\s+)?\S+\s+[a-z][\w@.-]*\s+[A-Za-z0-9+/=]+(\s|$)/;

const lines = z
  .union([z.string(), z.array(z.string())], { error: 'expected lines of a known_hosts file' })
  .transform((value) =>
    (typeof value === 'string' ? value.split('\n') : value)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#')),
  )
  .refine((all) => all.every((line) => KNOWN_HOST.test(line)), {
    message:
      'expected lines of a known_hosts file (HOST ssh-ed25519 AAAA...), not its name: without them it is read from ~/.ssh',
  });

const connectionShape = {
  user: matching('a user name', /^[^\s@:/-][^\s@:/]*$/, 64).optional(),
  port: portNumber.optional(),
  identity: filePath.optional(),
  proxyJump: jumps.optional(),
  client: z.enum(['auto', 'ssh2', 'openssh']).optional(),
  knownHosts: lines.default([]),
  dockerSocket: absolutePath.optional(),
} as const;

const address = matching('a host name or an address', /^[A-Za-z0-9_:[][A-Za-z0-9_.:%[\]-]*$/, 253);

const host = strict({
  connection: z.enum(['ssh', 'local']).default('ssh'),
  address: address.optional(),
  advertise: matching('an address or an interface', /^[A-Za-z0-9_:[][A-Za-z0-9_.:%@[\]-]*$/, 253).optional(),
  ...connectionShape,
});

const build = strict({
  context: filePath.default('.'),
  dockerfile: filePath.default('Dockerfile'),
  target: filledText.optional(),
  args: z.record(variableName, envValue.nullable()).default({}),
  secrets: z.array(variableName).default([]),
  platform: matching('OS/ARCHITECTURE such as linux/amd64', /^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9.]+)?$/, 64).optional(),
  on: hostName.default('local'),
});

const repository = reading({
  what: 'a lower-case image name without a tag',
  read: (text) =>
    /^([A-Za-z0-9.-]+(:\d{1,5})?\/)?[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/.test(text) &&
    text.length <= 200
      ? text
      : undefined,
  hint: (text) => (/:[^/]*$/.test(text) ? 'cu tags what it builds: leave the tag out' : undefined),
});

const image = strict({
  ref: matching('an image such as redis:8', /^[A-Za-z0-9][A-Za-z0-9_.:/-]*(@sha256:[a-f0-9]{64})?$/, 300).optional(),
  repository: repository.optional(),
  build: build.optional(),
  keep: wholeNumber(1, 1000).default(3),
}).superRefine((value, context) => {
  if (value.ref === undefined && value.build === undefined)
    context.addIssue({ code: 'custom', message: 'needs `ref` (an image to use as it is) or `build` (how to make it)' });
  if (value.ref === undefined) return;
  for (const key of ['repository', 'build'] as const)
    if (value[key] !== undefined)
      context.addIssue({
        code: 'custom',
        path: [key],
        message: `"${key}" and "ref" exclude each other`,
        params: { isKey: true },
      });
});

const registry = strict({ username: filledText, password: secretReference });

const id = wholeNumber(0, 4_294_967_294);
const user = z.union([z.enum(['host', 'root']), strict({ uid: id, gid: id.optional() })]);

const secrets = strict({ files: z.array(filePath).default([]), required: z.array(variableName).default([]) });

const root = reading({
  what: 'file:///directory, or a URL such as s3://bucket/prefix',
  pattern: String.raw`^[a-z][a-z0-9+.-]*://\S+$`,
  read: (text) =>
    /^(file:\/\/\/[^\s]*|(?!file:)[a-z][a-z0-9+.-]*:\/\/\S+)$/.test(text) &&
    text.length <= 4096 &&
    !/\/\.\.(\/|$)/.test(text)
      ? text
      : undefined,
  hint: (text) => (text.startsWith('/') ? `did you mean file://${text}?` : undefined),
});

/** `none`: nothing of this project is shared between hosts. */
const storage = z.union([z.literal('none'), strict({ root, secrets: z.array(variableName).default([]) })], {
  error: 'expected { root: ... }, or none',
});

const [firstKind, ...otherKinds] = kinds;

const service = z.discriminatedUnion('kind', [firstKind.schema, ...otherKinds.map((kind) => kind.schema)], {
  error: () => listKnown(kinds.map((kind) => kind.kind)),
});

/** The config of one environment, its overrides already laid over the rest. */
export const configSchema = strict({
  project: name,
  ssh: strict(connectionShape).prefault({}),
  hosts: z.record(hostName, host),
  images: z.record(name, image).default({}),
  registries: z
    .record(matching('the host of a registry', /^[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$/), registry)
    .default({}),
  users: z.record(matching('a name', /^[A-Za-z_][A-Za-z0-9_-]*$/, 40), user).default({}),
  secrets: secrets.prefault({}),
  storage: storage.optional(),
  services: z.record(name, service),
  logs: logs.prefault({}),
  onFailure: onFailure.default('rollback'),
  tasks: tasks.prefault({}),
  hooks: hooks.prefault({}),
});

/** What stands beside the overrides of an environment. */
export const environmentShape = {
  tag: tag.optional(),
  default: z.boolean().default(false),
} as const;

export const environmentSchema = z.object(environmentShape);

export const environmentsSchema = z
  .record(name, environmentSchema)
  .refine((value) => Object.keys(value).length > 0, 'names no environment');

export interface Config extends Omit<z.output<typeof configSchema>, 'services'> {
  readonly services: Readonly<Record<string, Service>>;
}

/** What is the same in services of every kind; the rest is for the kind to read. */
export interface Service extends ServiceSettings {
  readonly kind: string;
  readonly on?: readonly string[] | Readonly<Record<string, HostOverrides>> | undefined;
  readonly instances?: Readonly<Record<string, Overrides>> | undefined;
}

/** A record's own value: `constructor` and the like are no entries. */
export function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
