import { type FieldError, fieldError } from '../errors.ts';
import { canonical, equal, isObject, type JsonObject } from '../objects.ts';
import { child, isDeclared, isSchema, listKeys, type Schema } from './schema.ts';

/**
 * Validates a value in the words of kube-openapi. Where an earlier version of the object is given, parts that did not change
 * are not judged again (ratcheting, as Kubernetes does since 1.33).
 */
export function validate(value: unknown, schema: Schema, path = '', old?: unknown): FieldError[] {
  if (old !== undefined && equal(value, old)) return [];
  if (value === null && schema.nullable === true) return [];
  const mistyped = checkType(value, schema, path);
  if (mistyped !== undefined) {
    return [
      mistyped,
      ...checkFraction(value, schema, path),
      ...checkCombinations(value, schema, path),
    ];
  }
  return [
    ...checkEnum(value, schema, path),
    ...checkScalar(value, schema, path),
    ...checkCombinations(value, schema, path),
    ...(Array.isArray(value) ? checkArray(value, schema, path, old) : []),
    ...(isObject(value) ? checkObject(value, schema, path, old) : []),
  ];
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'float64';
  return typeof value;
}

function checkType(value: unknown, schema: Schema, path: string): FieldError | undefined {
  const name = typeName(value);
  const wanted = schema['x-kubernetes-int-or-string'] === true ? 'integer,string' : schema.type;
  if (wanted === undefined || wanted === '') return undefined;
  if (wanted.split(',').includes(name)) return undefined;
  if (wanted === 'number' && typeof value === 'number') return undefined;
  const expected = isFraction(value, schema) ? schema.format : wanted;
  return fieldError.typeInvalid(
    path,
    name,
    `${path} in body must be of type ${expected}: "${name}"`,
  );
}

/** A fraction where a format such as int32 is wanted has messages of its own. */
function isFraction(value: unknown, { type, format }: Schema): boolean {
  return typeof value === 'number' && type === 'integer' && format !== undefined;
}

function checkFraction(value: unknown, schema: Schema, path: string): FieldError[] {
  if (!isFraction(value, schema)) return [];
  const detail = `Checked value must be of type integer with format ${schema.format} in ${path}`;
  return [fieldError.invalid('<nil>', '', detail)];
}

function checkEnum(value: unknown, schema: Schema, path: string): FieldError[] {
  if (schema.enum === undefined || schema.enum.some((one) => equal(one, value))) return [];
  return [fieldError.notSupported(path, value, schema.enum)];
}

function checkScalar(value: unknown, schema: Schema, path: string): FieldError[] {
  if (typeof value === 'string') return checkString(value, schema, path);
  if (typeof value === 'number') return checkNumber(value, schema, path);
  return [];
}

function checkString(value: string, schema: Schema, path: string): FieldError[] {
  const length = codePoints(value);
  const refuse = (detail: string) => [
    fieldError.invalid(path, value, `${path} in body should ${detail}`),
  ];
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    return [fieldError.tooLong(path, schema.maxLength)];
  }
  if (schema.minLength !== undefined && length < schema.minLength) {
    return refuse(`be at least ${schema.minLength} chars long`);
  }
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) {
    return refuse(`match '${schema.pattern}'`);
  }
  if (schema.format !== undefined && !hasFormat(value, schema.format)) {
    const detail = `${path} in body must be of type ${schema.format}: "${value}"`;
    return [fieldError.typeInvalid(path, value, detail)];
  }
  return [];
}

function codePoints(text: string): number {
  return text.replaceAll(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g, '_').length;
}

/** Formats that CRDs of this project use; others are not checked, as an API server leaves unknown ones alone. */
function hasFormat(value: string, format: string): boolean {
  switch (format) {
    case 'date-time':
      return /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d/.test(value) && !Number.isNaN(Date.parse(value));
    case 'duration':
      return /^([0-9.]+ ?(ns|us|µs|ms|s|m|h|d|w))+$|^0$/.test(value);
    case 'byte':
      return /^[A-Za-z0-9+/]*={0,2}$/.test(value);
    default:
      return true;
  }
}

function checkNumber(value: number, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (detail: string) =>
    errors.push(fieldError.invalid(path, value, `${path} in body should be ${detail}`));
  const { multipleOf, maximum, minimum } = schema;
  if (multipleOf !== undefined && value % multipleOf !== 0) refuse(`a multiple of ${multipleOf}`);
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum === true && value >= maximum) refuse(`less than ${maximum}`);
    else if (value > maximum) refuse(`less than or equal to ${maximum}`);
  }
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum === true && value <= minimum) refuse(`greater than ${minimum}`);
    else if (value < minimum) refuse(`greater than or equal to ${minimum}`);
  }
  return errors;
}

function checkArray(
  value: readonly unknown[],
  schema: Schema,
  path: string,
  old: unknown,
): FieldError[] {
  const { items, minItems, maxItems } = schema;
  const errors: FieldError[] = [];
  if (minItems !== undefined && value.length < minItems) {
    const detail = `${path} in body should have at least ${minItems} items`;
    errors.push(fieldError.invalid(path, value.length, detail));
  }
  if (maxItems !== undefined && value.length > maxItems) {
    errors.push(fieldError.tooMany(path, value.length, maxItems));
  }
  if (items === undefined) return errors;
  const earlier = correlate(old, schema);
  value.forEach((item, position) => {
    errors.push(...validate(item, items, `${path}[${position}]`, earlier(item, position)));
  });
  return errors;
}

/** Finds an item's earlier self: by key in `map` lists, by position in the others. */
export function correlate(
  old: unknown,
  schema: Schema,
): (item: unknown, position: number) => unknown {
  if (!Array.isArray(old)) return () => undefined;
  const keys = listKeys(schema);
  if (keys.length === 0) return (_item, position) => old[position] as unknown;
  const byKey = new Map(old.map((item: unknown) => [itemKey(item, keys), item]));
  return (item) => byKey.get(itemKey(item, keys));
}

function itemKey(item: unknown, keys: readonly string[]): string {
  return canonical(keys.map((key) => (isObject(item) ? item[key] : undefined)));
}

function checkObject(value: JsonObject, schema: Schema, path: string, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties) {
    const detail = `${path} in body should have at least ${schema.minProperties} properties`;
    errors.push(fieldError.invalid(path, count, detail));
  }
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    errors.push(fieldError.tooMany(path, count, schema.maxProperties));
  }
  for (const name of schema.required ?? []) {
    if (value[name] === undefined) errors.push(fieldError.required(child(path, name)));
  }
  const before = isObject(old) ? old : {};
  for (const name of Object.keys(value).sort()) {
    const property = isDeclared(schema, name)
      ? schema.properties?.[name]
      : isSchema(schema.additionalProperties)
        ? schema.additionalProperties
        : undefined;
    if (property === undefined || value[name] === undefined) continue;
    errors.push(...validate(value[name], property, child(path, name), before[name]));
  }
  return errors;
}

function checkCombinations(value: unknown, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (detail: string) => errors.push(fieldError.invalid('<nil>', '', detail));
  if (schema.anyOf !== undefined) {
    const results = schema.anyOf.map((one) => validate(value, one, path));
    if (results.every((result) => result.length > 0)) {
      refuse(`"${path}" must validate at least one schema (anyOf)`);
      errors.push(...(results[0] ?? []));
    }
  }
  if (schema.oneOf !== undefined) {
    const valid = schema.oneOf.filter((one) => validate(value, one, path).length === 0).length;
    if (valid === 0) {
      refuse(`"${path}" must validate one and only one schema (oneOf). Found none valid`);
    } else if (valid > 1) {
      refuse(
        `"${path}" must validate one and only one schema (oneOf). Found ${valid} valid alternatives`,
      );
    }
  }
  for (const one of schema.allOf ?? []) errors.push(...validate(value, one, path));
  if (schema.not !== undefined && validate(value, schema.not, path).length === 0) {
    refuse(`"${path}" must not validate the schema (not)`);
  }
  return errors;
}

/** Items of `set` and `map` lists must differ. */
export function validateListTypes(
  value: unknown,
  schema: Schema | undefined,
  path = '',
): FieldError[] {
  if (schema === undefined) return [];
  if (Array.isArray(value)) {
    return [
      ...findDuplicates(value, schema, path),
      ...value.flatMap((item, position) =>
        validateListTypes(item, schema.items, `${path}[${position}]`),
      ),
    ];
  }
  if (!isObject(value)) return [];
  return Object.keys(value)
    .sort()
    .flatMap((name) => {
      const additional = isSchema(schema.additionalProperties)
        ? schema.additionalProperties
        : undefined;
      const property = schema.properties?.[name] ?? additional;
      return validateListTypes(value[name], property, child(path, name));
    });
}

function findDuplicates(items: readonly unknown[], schema: Schema, path: string): FieldError[] {
  const kind = schema['x-kubernetes-list-type'];
  if (kind !== 'set' && kind !== 'map') return [];
  const keys = listKeys(schema);
  const seen = new Set<string>();
  return items.flatMap((item, position) => {
    const identity = kind === 'set' ? item : pick(item, keys);
    const key = canonical(identity);
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [fieldError.duplicate(`${path}[${position}]`, identity)];
  });
}

function pick(item: unknown, keys: readonly string[]): JsonObject {
  const source = isObject(item) ? item : {};
  return Object.fromEntries(
    keys.filter((key) => source[key] !== undefined).map((key) => [key, source[key]]),
  );
}
