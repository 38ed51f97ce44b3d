import { clone, isObject, type JsonObject } from '../objects.ts';
import { isSchema, type Schema } from './schema.ts';

/** Fills in, in place, what the schema defaults. An explicit null gives way to a default where null is not allowed. */
export function applyDefaults(value: unknown, schema: Schema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) applyDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  defaultProperties(value, schema);
  if (!isSchema(schema.additionalProperties)) return;
  for (const [name, inner] of Object.entries(value)) {
    if (schema.properties?.[name] === undefined) applyDefaults(inner, schema.additionalProperties);
  }
}

function defaultProperties(object: JsonObject, schema: Schema): void {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (object[name] === null && property.nullable !== true) {
      if (property.default !== undefined) object[name] = clone(property.default);
    } else if (object[name] === undefined && property.default !== undefined) {
      object[name] = clone(property.default);
    }
    applyDefaults(object[name], property);
  }
}

/** Drops, in place, nulls that the schema does not allow: a client's way of saying "not set". */
export function dropNulls(value: unknown, schema: Schema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) dropNulls(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, inner] of Object.entries(value)) {
    const property = schema.properties?.[name] ?? schemaOf(schema.additionalProperties);
    if (inner === null && property !== undefined && property.nullable !== true) delete value[name];
    else dropNulls(inner, property);
  }
}

function schemaOf(additional: Schema | boolean | undefined): Schema | undefined {
  return isSchema(additional) ? additional : undefined;
}
