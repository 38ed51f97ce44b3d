import { isObject } from '../objects.ts';
import { goModel } from './builtin.ts';
import { isSchema, type Schema } from './schema.ts';

/**
 * What Go's decoder says of the first value that does not fit a built-in type:
 * `json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`.
 */
export function decodeError(value: unknown, schema: Schema): string | undefined {
  return find(value, schema, { struct: '', path: [] });
}

interface Place {
  readonly struct: string;
  readonly path: readonly string[];
}

function find(value: unknown, schema: Schema, place: Place): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (!fits(value, schema)) {
    const where = [place.struct, ...place.path].join('.');
    const found =
      typeof value === 'number' && schema.type === 'integer' ? `number ${value}` : jsonType(value);
    return `json: cannot unmarshal ${found} into Go struct field ${where} of type ${schema.goType ?? schema.type}`;
  }
  if (Array.isArray(value))
    return findFirst(
      value,
      () => schema.items,
      () => place,
    );
  if (!isObject(value)) return undefined;
  const struct = schema.model === undefined ? place.struct : goModel(schema.model);
  const names = Object.keys(value);
  return findFirst(
    names.map((name) => value[name]),
    (position) => {
      const name = names[position] ?? '';
      const additional = schema.additionalProperties;
      return schema.properties?.[name] ?? (isSchema(additional) ? additional : undefined);
    },
    (position) => {
      const isField = schema.model !== undefined;
      return { struct, path: isField ? [...place.path, names[position] ?? ''] : place.path };
    },
  );
}

function findFirst(
  values: readonly unknown[],
  schemaOf: (position: number) => Schema | undefined,
  placeOf: (position: number) => Place,
): string | undefined {
  for (const [position, value] of values.entries()) {
    const schema = schemaOf(position);
    const found = schema === undefined ? undefined : find(value, schema, placeOf(position));
    if (found !== undefined) return found;
  }
  return undefined;
}

function fits(value: unknown, schema: Schema): boolean {
  if (schema['x-kubernetes-int-or-string'] === true) {
    return typeof value === 'string' || typeof value === 'number';
  }
  switch (schema.type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'string':
    case 'boolean':
      return typeof value === schema.type;
    case 'number':
      return typeof value === 'number';
    case 'integer':
      return Number.isInteger(value);
    default:
      return true;
  }
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Turns numbers into strings, in place, where a quantity may be written as a number. */
export function canonicalizeQuantities(value: unknown, schema: Schema | undefined): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) canonicalizeQuantities(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, inner] of Object.entries(value)) {
    const additional = schema.additionalProperties;
    const property = schema.properties?.[name] ?? (isSchema(additional) ? additional : undefined);
    if (property?.goType === 'resource.Quantity' && typeof inner === 'number')
      value[name] = String(inner);
    else canonicalizeQuantities(inner, property);
  }
}
