import { z } from 'zod';
import { configSchema, environmentShape } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

/** Definitions as an environment has them. */
const OVERRIDE = 'override-';

/** JSON Schema of the config file, made from what checks it. */
export function jsonSchema(): Json {
  const { $schema, $defs, ...whole } = asJson(z.toJSONSchema(configSchema, { io: 'input', reused: 'ref' }));
  const { properties: head } = asJson(z.toJSONSchema(z.object(environmentShape), { io: 'input' }));
  const { project, ...properties } = asJson(whole['properties']);
  const definitions = asJson($defs);
  const overrides = Object.fromEntries(
    Object.entries(definitions).map(([name, value]) => [`${OVERRIDE}${name}`, relaxed(value)]),
  );
  // Everything but the name of the project may stand in an environment too, and null unsets it.
  const environment = {
    type: ['object', 'null'],
    properties: { ...asJson(head), ...asJson(eachRelaxed(properties)) },
    additionalProperties: false,
  };
  return {
    $schema,
    title: 'cu.config.yaml',
    ...whole,
    properties: {
      project,
      environments: { type: 'object', additionalProperties: environment, minProperties: 1 },
      ...properties,
    },
    $defs: { ...definitions, ...overrides },
  };
}

/** The same, with nothing required, nothing assumed, and null allowed everywhere. */
function relaxed(schema: unknown): Json {
  const { required: _required, default: _default, ...rest } = asJson(schema);
  const inner = Object.fromEntries(Object.entries(rest).map(([key, value]) => relaxedKeyword(key, value)));
  return { anyOf: [inner, { type: 'null' }] };
}

function relaxedKeyword(key: string, value: unknown): readonly [string, unknown] {
  if (key === '$ref') return [key, String(value).replace('#/$defs/', `#/$defs/${OVERRIDE}`)];
  if (key === 'properties') return [key, eachRelaxed(value)];
  if (key === 'additionalProperties' && typeof value === 'object') return [key, relaxed(value)];
  // A merged service may leave out its kind, so that several of the alternatives fit.
  if ((key === 'anyOf' || key === 'oneOf') && Array.isArray(value)) return ['anyOf', value.map(relaxed)];
  return [key, value];
}

function eachRelaxed(schemas: unknown): Json {
  return Object.fromEntries(Object.entries(asJson(schemas)).map(([name, schema]) => [name, relaxed(schema)]));
}

function asJson(value: unknown): Json {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}
