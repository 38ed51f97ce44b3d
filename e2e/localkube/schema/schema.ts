import { isObject } from '../objects.ts';

/**
 * A structural schema: OpenAPI v3 as apiextensions.k8s.io/v1 takes it. Custom resources bring theirs in the CRD, built-in
 * kinds get one from the client library's models (see builtin.ts), so that one set of functions prunes, defaults, validates,
 * merges and documents both.
 */
export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly not?: Schema;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'granular' | 'atomic';
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
  /** Built-in kinds only: how a strategic merge patch treats this list. */
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
  /** Built-in kinds only: the model behind a struct (`V1Pod`), and a field's Go type in error texts. */
  readonly model?: string;
  readonly goType?: string;
}

export interface ValidationRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: string;
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

/** The schema of one property, or undefined where the schema says nothing about it. */
export function propertySchema(schema: Schema | undefined, name: string): Schema | undefined {
  const declared = schema?.properties?.[name];
  if (declared !== undefined) return declared;
  const additional = schema?.additionalProperties;
  return isSchema(additional) ? additional : undefined;
}

export function isSchema(value: Schema | boolean | undefined): value is Schema {
  return isObject(value);
}

/** Whether a struct field's name is declared, as opposed to a free map key. */
export function isDeclared(schema: Schema | undefined, name: string): boolean {
  return schema?.properties !== undefined && Object.hasOwn(schema.properties, name);
}

export function keepsUnknown(schema: Schema | undefined): boolean {
  return schema?.['x-kubernetes-preserve-unknown-fields'] === true;
}

/** The keys that identify an item of a `map` list; empty for the other list types. */
export function listKeys(schema: Schema | undefined): readonly string[] {
  if (schema?.['x-kubernetes-list-type'] !== 'map') return [];
  return schema['x-kubernetes-list-map-keys'] ?? [];
}

/** `spec.ports` + `name` -> `spec.ports.name`; the root is empty. */
export function child(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
