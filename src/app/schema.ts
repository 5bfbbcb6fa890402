import { jsonSchema } from '../config/json-schema.ts';

/** The JSON Schema of `cu.config.yaml`, made from the schema that checks it. */
export function schema(): object {
  return jsonSchema();
}
