import { isObject, type JsonObject } from '../objects.ts';
import { child, isSchema, keepsUnknown, type Schema } from './schema.ts';

const typeMetaFields = new Set(['apiVersion', 'kind', 'metadata']);

/**
 * Removes, in place, every field that the schema does not declare. Returns the paths of what went, sorted: the texts of
 * `fieldValidation=Strict` and `Warn` come from them.
 */
export function prune(object: JsonObject, schema: Schema | undefined): string[] {
  const removed: string[] = [];
  pruneObject(object, schema ?? {}, '', removed, true);
  return removed.sort();
}

function pruneValue(value: unknown, schema: Schema, path: string, removed: string[]): void {
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items === undefined) return;
    value.forEach((item, position) => pruneValue(item, items, `${path}[${position}]`, removed));
    return;
  }
  if (!isObject(value)) return;
  pruneObject(value, schema, path, removed, schema['x-kubernetes-embedded-resource'] === true);
}

function pruneObject(
  object: JsonObject,
  schema: Schema,
  path: string,
  removed: string[],
  isResource: boolean,
): void {
  for (const [name, value] of Object.entries(object)) {
    const declared = schema.properties?.[name];
    if (declared !== undefined) {
      pruneValue(value, declared, child(path, name), removed);
    } else if (isSchema(schema.additionalProperties)) {
      pruneValue(value, schema.additionalProperties, child(path, name), removed);
    } else if (!keeps(schema) && !(isResource && typeMetaFields.has(name))) {
      delete object[name];
      removed.push(child(path, name));
    }
  }
}

function keeps(schema: Schema): boolean {
  return keepsUnknown(schema) || schema.additionalProperties === true;
}
