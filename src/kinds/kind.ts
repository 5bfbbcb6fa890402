import { z } from 'zod';
import type { RouteSpec } from '../core/rollout.ts';
import type { HealthProbe } from '../core/health.ts';
import type { BrokerUser, FileSpec, MountSpec, RolloutStrategy } from '../core/state.ts';
import { hostName, instanceName, strict } from './fields.ts';
import { serviceShape, type ServiceSettings } from './service.ts';

/** Where one instance stands. */
export interface Place {
  readonly project: string;
  readonly environment: string;
  readonly host: string;
  readonly service: string;
  readonly instance: string;
}

/** What a kind adds to the settings that all services share; each of it gives way to what the config says. */
export interface Traits {
  readonly command: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly FileSpec[];
  readonly mounts: readonly MountSpec[];
  /** `stableMs`: how long it has to stay well before it counts as proven. */
  readonly health: { readonly probe: HealthProbe; readonly intervalMs: number; readonly stableMs: number };
  readonly drainMs: number;
  readonly stopSignal: string | undefined;
  readonly rollout: RolloutStrategy;
  readonly phase: number;
  readonly singleton: boolean;
  /** Whom it logs in to the broker as; undefined: it has no use for a broker. */
  readonly brokerUser: BrokerUser | undefined;
  readonly usesStorage: boolean;
  /** Its certificate as the config writes it. */
  readonly route: RouteSpec | undefined;
  /** Only of the kind that is a broker; `password` names a secret. */
  readonly broker: { readonly containerPort: number; readonly password: string | undefined } | undefined;
}

type ExtraShape = z.ZodRawShape;

type Settings<S extends ExtraShape> = z.output<z.ZodObject<typeof serviceShape & S>>;

interface KindSpec<K extends string, S extends ExtraShape> {
  readonly kind: K;
  readonly summary: string;
  /** The keys that it takes besides those of every service. */
  readonly schema: S;
  readonly expand: (settings: Settings<S>, place: Place) => Traits;
}

/** One kind of service; `npm run gen` lists every file of this folder that calls this. */
export function defineKind<const K extends string, const S extends ExtraShape>(spec: KindSpec<K, S>) {
  const shape = { ...serviceShape, ...spec.schema };
  return {
    kind: spec.kind,
    summary: spec.summary,
    schema: strict({
      kind: z.literal(spec.kind),
      ...shape,
      ...placement({ ...COMMON_OVERRIDES, ...withoutDefaults(spec.schema) }),
    }),
    // The settings were parsed by this kind's schema: `kindOf` finds a kind by the `kind` that the schema read.
    expand: (settings: ServiceSettings, place: Place): Traits => spec.expand(settings as Settings<S>, place),
  };
}

/** Whether the config says what runs: then the kind knows nothing of it. */
export function hasOwnCommand({ command, entrypoint }: ServiceSettings): boolean {
  return command !== undefined || entrypoint !== undefined;
}

/** Whether it keeps something in a volume that a second one beside it would write to as well. */
export function writesVolume({ mounts }: ServiceSettings): boolean {
  return mounts.some((mount) => mount.type === 'volume' && !mount.readOnly);
}

/** Settings of one host or one instance: a default here would hide what the service says. */
function withoutDefaults(shape: z.ZodRawShape): Readonly<Record<string, z.ZodOptional>> {
  return Object.fromEntries(
    Object.entries(shape).map(([key, schema]) => [
      key,
      z.optional(schema instanceof z.ZodDefault ? schema.unwrap() : schema),
    ]),
  );
}

/** One for all kinds, so that the JSON Schema has each of them once. */
const COMMON_OVERRIDES = withoutDefaults(serviceShape);

/** Some of the settings of a service; which ones is known only by looking. */
export type Overrides = Readonly<Record<string, unknown>>;

export interface HostOverrides extends Overrides {
  readonly replicas?: number | undefined;
  readonly instances?: Readonly<Record<string, Overrides>> | undefined;
}

function placement(overrides: z.ZodRawShape) {
  const { replicas: _replicas, ...ofInstance } = overrides;
  const instances = z.record(instanceName, strict(ofInstance)).optional();
  const ofHost: z.ZodType<HostOverrides> = strict({ ...ofInstance, replicas: serviceShape.replicas, instances });
  return {
    instances,
    on: z
      .union([z.array(hostName), z.record(hostName, ofHost)], {
        error: 'expected hosts: a list such as [host1], or a map such as { host1: {} }',
      })
      .optional(),
  };
}
