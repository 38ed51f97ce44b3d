import { Environment } from '@marcbachmann/cel-js';
import { type FieldError, fieldError } from '../errors.ts';
import { equal, isObject, type JsonObject } from '../objects.ts';
import { parseQuantity, Quantity } from './quantity.ts';
import {
  child,
  isSchema,
  keepsUnknown,
  listKeys,
  type Schema,
  type ValidationRule,
} from './schema.ts';
import { correlate } from './validate.ts';

/**
 * CEL rules (`x-kubernetes-validations`) of custom resources, evaluated by @marcbachmann/cel-js with the Kubernetes functions
 * that our CRDs use. Rules are compiled without static types (`self` is dynamic): a type error shows when the rule runs, where
 * a real API server refuses the CRD. A function that is not here fails the CRD as well, so nothing passes unchecked.
 */
type Program = (context: Record<string, unknown>) => unknown;

const programs = new Map<string, Program>();

const environment = new Environment({
  unlistedVariablesAreDyn: false,
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
})
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')
  .registerType('Quantity', { ctor: Quantity, fields: {} });

registerQuantities();
registerLists();
registerStrings();

function registerQuantities(): void {
  const quantity = (text: string): Quantity => {
    const parsed = parseQuantity(text);
    if (parsed === undefined)
      throw new Error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      );
    return parsed;
  };
  const unit = 1_000_000_000n;
  environment
    .registerFunction('quantity(string): Quantity', quantity)
    .registerFunction(
      'isQuantity(string): bool',
      (text: string) => parseQuantity(text) !== undefined,
    )
    .registerFunction('Quantity.compareTo(Quantity): int', (a: Quantity, b: Quantity) =>
      BigInt(a.compareTo(b)),
    )
    .registerFunction(
      'Quantity.isGreaterThan(Quantity): bool',
      (a: Quantity, b: Quantity) => a.compareTo(b) > 0,
    )
    .registerFunction(
      'Quantity.isLessThan(Quantity): bool',
      (a: Quantity, b: Quantity) => a.compareTo(b) < 0,
    )
    .registerFunction(
      'Quantity.add(Quantity): Quantity',
      (a: Quantity, b: Quantity) => new Quantity(a.nanos + b.nanos),
    )
    .registerFunction(
      'Quantity.sub(Quantity): Quantity',
      (a: Quantity, b: Quantity) => new Quantity(a.nanos - b.nanos),
    )
    .registerFunction('Quantity.sign(): int', (a: Quantity) =>
      BigInt(a.compareTo(new Quantity(0n))),
    )
    .registerFunction('Quantity.isInteger(): bool', (a: Quantity) => a.nanos % unit === 0n)
    .registerFunction('Quantity.asInteger(): int', (a: Quantity) => a.nanos / unit)
    .registerFunction(
      'Quantity.asApproximateFloat(): double',
      (a: Quantity) => Number(a.nanos) / 1e9,
    );
}

function registerLists(): void {
  type Ordered = bigint | number | string;
  const compare = (a: Ordered, b: Ordered) => (a < b ? -1 : a > b ? 1 : 0);
  const isSorted = (list: readonly Ordered[]) =>
    list.every((item, position) => {
      const next = list[position + 1];
      return next === undefined || compare(item, next) <= 0;
    });
  const extreme = (list: readonly Ordered[], sign: number): Ordered => {
    const [first, ...rest] = list;
    if (first === undefined) throw new Error('min/max called on empty list');
    return rest.reduce((best, item) => (compare(item, best) * sign > 0 ? item : best), first);
  };
  environment
    .registerFunction('list.isSorted(): bool', isSorted)
    .registerFunction('list.max(): dyn', (list: Ordered[]) => extreme(list, 1))
    .registerFunction('list.min(): dyn', (list: Ordered[]) => extreme(list, -1))
    .registerFunction('list.indexOf(dyn): int', (list: unknown[], item: unknown) =>
      BigInt(list.findIndex((one) => equal(one, item))),
    );
}

function registerStrings(): void {
  environment
    .registerFunction(
      'string.find(string): string',
      (text: string, pattern: string) => new RegExp(pattern, 'u').exec(text)?.[0] ?? '',
    )
    .registerFunction(
      'string.findAll(string): list<string>',
      (text: string, pattern: string) => text.match(new RegExp(pattern, 'gu')) ?? [],
    )
    .registerFunction(
      'string.replace(string, string): string',
      (text: string, from: string, to: string) => text.replaceAll(from, to),
    )
    .registerFunction('isURL(string): bool', (text: string) => URL.canParse(text));
}

function compile(expression: string): Program {
  const known = programs.get(expression);
  if (known !== undefined) return known;
  const program = environment.parse(expression) as Program;
  programs.set(expression, program);
  return program;
}

/** The rules of a schema that do not compile, as errors of the CRD that brings them. */
export function checkRules(schema: Schema, path: string): FieldError[] {
  const errors = (schema['x-kubernetes-validations'] ?? []).flatMap(({ rule }, position) => {
    try {
      const { valid, error } = environment.check(rule);
      if (valid) return [];
      throw error ?? new Error('unknown');
    } catch (error) {
      const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      const field = `${path}.x-kubernetes-validations[${position}].rule`;
      return [fieldError.invalid(field, rule, `compilation failed: ${why}`)];
    }
  });
  const nested: [string, Schema | undefined][] = [
    ...Object.entries(schema.properties ?? {}).map(([name, property]): [string, Schema] => [
      `properties[${name}]`,
      property,
    ]),
    ['items', schema.items],
    [
      'additionalProperties',
      isSchema(schema.additionalProperties) ? schema.additionalProperties : undefined,
    ],
  ];
  for (const [name, inner] of nested) {
    if (inner !== undefined) errors.push(...checkRules(inner, `${path}.${name}`));
  }
  return errors;
}

/** Whether a schema has any rule: only then does an API server say that rules were not checked. */
export function hasRules(schema: Schema | undefined): boolean {
  if (schema === undefined) return false;
  if ((schema['x-kubernetes-validations'] ?? []).length > 0) return true;
  if (isSchema(schema.additionalProperties) && hasRules(schema.additionalProperties)) return true;
  return hasRules(schema.items) || Object.values(schema.properties ?? {}).some(hasRules);
}

/** Evaluates every rule that applies to a value; `old` is its earlier self, where there is one. */
export function validateRules(
  value: unknown,
  schema: Schema,
  path = '',
  old?: unknown,
): FieldError[] {
  if (value === null || value === undefined) return [];
  const errors = (schema['x-kubernetes-validations'] ?? []).flatMap((rule) =>
    evaluate(rule, value, schema, path, old),
  );
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items === undefined) return errors;
    const earlier = listKeys(schema).length === 0 ? () => undefined : correlate(old, schema);
    value.forEach((item, position) => {
      errors.push(...validateRules(item, items, `${path}[${position}]`, earlier(item, position)));
    });
  } else if (isObject(value)) {
    const before = isObject(old) ? old : {};
    for (const name of Object.keys(value).sort()) {
      const property = schema.properties?.[name] ?? schema.additionalProperties;
      if (!isSchema(property)) continue;
      errors.push(...validateRules(value[name], property, child(path, name), before[name]));
    }
  }
  return errors;
}

function evaluate(
  rule: ValidationRule,
  value: unknown,
  schema: Schema,
  path: string,
  old: unknown,
): FieldError[] {
  const isTransition = /\boldSelf\b/.test(rule.rule);
  if (isTransition && old === undefined && rule.optionalOldSelf !== true) return [];
  if (!isTransition && old !== undefined && equal(old, value)) return [];
  const context = { self: celValue(value, schema), oldSelf: celValue(old, schema) };
  try {
    if (compile(rule.rule)(context) === true) return [];
  } catch (error) {
    return [fieldError.invalid(path, schema.type ?? '', runtimeError(error, rule))];
  }
  return [refusal(rule, path, value, context)];
}

function runtimeError(error: unknown, rule: ValidationRule): string {
  const text = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  const why = text.replace(/^No such key/, 'no such key');
  return `${why} evaluating rule: ${rule.message ?? rule.rule}`;
}

function refusal(
  rule: ValidationRule,
  path: string,
  value: unknown,
  context: Record<string, unknown>,
): FieldError {
  const field = rule.fieldPath === undefined ? path : `${path}${rule.fieldPath}`;
  const detail = messageOf(rule, context);
  switch (rule.reason) {
    case 'FieldValueForbidden':
      return fieldError.forbidden(field, detail);
    case 'FieldValueRequired':
      return fieldError.required(field, detail);
    case 'FieldValueDuplicate':
      return fieldError.duplicate(
        field,
        isObject(value) || Array.isArray(value) ? undefined : value,
      );
    default: {
      const shown = isObject(value) || Array.isArray(value) ? undefined : value;
      return fieldError.invalid(field, shown, detail);
    }
  }
}

function messageOf(rule: ValidationRule, context: Record<string, unknown>): string {
  if (rule.messageExpression !== undefined) {
    try {
      const message = compile(rule.messageExpression)(context);
      if (typeof message === 'string' && message.trim() !== '') return message;
    } catch {
      // As upstream: a failing messageExpression falls back to the message.
    }
  }
  return rule.message ?? `failed rule: ${rule.rule}`;
}

/** Names that are words of CEL itself, and how Kubernetes escapes them in field names. */
const reserved = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

function escapeName(name: string): string {
  if (reserved.has(name)) return `__${name}__`;
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
}

/** JSON as CEL sees it through a schema: integers are int64, declared fields only, times are timestamps. */
function celValue(value: unknown, schema: Schema | undefined): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') {
    return schema?.type !== 'number' && Number.isInteger(value) ? BigInt(value) : value;
  }
  if (typeof value === 'string') {
    return schema?.format === 'date-time' ? new Date(value) : value;
  }
  if (Array.isArray(value)) return value.map((item) => celValue(item, schema?.items));
  return isObject(value) ? celObject(value, schema) : value;
}

function celObject(value: JsonObject, schema: Schema | undefined): JsonObject {
  const result: JsonObject = {};
  for (const [name, inner] of Object.entries(value)) {
    const declared = schema?.properties?.[name];
    const additional = schema?.additionalProperties;
    if (declared !== undefined) result[escapeName(name)] = celValue(inner, declared);
    else if (isSchema(additional)) result[name] = celValue(inner, additional);
    else if (keepsUnknown(schema) || additional === true) result[name] = celValue(inner, undefined);
  }
  return result;
}
