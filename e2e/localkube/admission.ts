import {
  ApiError,
  badRequest,
  DecodeError,
  type FieldError,
  fieldError,
  invalid,
} from './errors.ts';
import { validateMetadata } from './metadata.ts';
import { at, equal, isObject, type JsonObject, type KubeObject, numberAt } from './objects.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { modelSchema } from './schema/builtin.ts';
import { hasRules, validateRules } from './schema/cel.ts';
import { canonicalizeQuantities, decodeError } from './schema/decode.ts';
import { applyDefaults, dropNulls } from './schema/default.ts';
import { prune } from './schema/prune.ts';
import { child, type Schema } from './schema/schema.ts';
import { validate, validateListTypes } from './schema/validate.ts';

/** A body as an object of the resource, or 400: kind and apiVersion must be there and fit. */
export function checkDocument(body: unknown, resource: Resource): JsonObject {
  const unrecognized = (why: string) =>
    badRequest(`the object provided is unrecognized (must be of type ${resource.kind}): ${why}`);
  if (!isObject(body))
    throw unrecognized(`couldn't get version/kind; json parse error (${JSON.stringify(body)})`);
  const kind = body['kind'];
  if (typeof kind !== 'string' || kind === '') {
    const text = JSON.stringify(body);
    throw unrecognized(`Object 'Kind' is missing in '${text}' (${text})`);
  }
  const wanted = apiVersionOf(resource);
  const found = typeof body['apiVersion'] === 'string' ? body['apiVersion'] : '';
  if (found !== wanted) {
    throw badRequest(
      `the API version in the data (${found}) does not match the expected API version (${wanted})`,
    );
  }
  if (kind !== resource.kind && resource.custom === undefined) {
    throw badRequest(
      `${kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: no kind "${kind}" is registered for version "${wanted}"`,
    );
  }
  return body;
}

/** What a patch made of an object: it must still be the same object, of the same kind and version. */
export function checkChanged(
  changed: unknown,
  current: KubeObject,
  resource: Resource,
): JsonObject {
  if (!isObject(changed)) throw badRequest('a patch must leave an object');
  const { name } = current.metadata;
  const newName = at(changed, 'metadata', 'name');
  if (newName !== undefined && newName !== name) {
    throw badRequest(
      `the name of the object (${String(newName)}) does not match the name on the URL (${name})`,
    );
  }
  const [kind, apiVersion] = [String(changed['kind']), String(changed['apiVersion'])];
  const wrong = [
    ...(kind === resource.kind
      ? []
      : [fieldError.invalid('kind', kind, `must be ${resource.kind}`)]),
    ...(apiVersion === current.apiVersion
      ? []
      : [fieldError.invalid('apiVersion', apiVersion, `must be ${current.apiVersion}`)]),
  ];
  if (wrong.length > 0) throw invalid(resource.group, kind, name, wrong);
  return changed;
}

/**
 * Brings a document into the form that is kept, in place: types checked, unknown fields removed (or refused), defaults filled
 * in. Returns warnings about what was removed.
 */
export function admit(
  resource: Resource,
  object: KubeObject,
  fieldValidation: 'Ignore' | 'Warn' | 'Strict',
  mode: 'write' | 'apply' = 'write',
  shownName = '',
): string[] {
  checkTypes(resource, object);
  const unknown = prune(object, resource.schema);
  if (unknown.length > 0) {
    if (mode === 'apply') throw undeclared(resource, shownName, unknown[0] ?? '');
    if (fieldValidation === 'Strict')
      throw strictError(
        resource,
        unknown.map((path) => `unknown field "${path}"`),
      );
  }
  if (mode === 'write') fillIn(resource, object);
  return fieldValidation === 'Warn' ? unknown.map((path) => `unknown field "${path}"`) : [];
}

/** The answer to `fieldValidation=Strict`. */
export function strictError(resource: Resource, findings: readonly string[]): ApiError {
  const finding = `strict decoding error: ${findings.join(', ')}`;
  return new DecodeError(resource.kind, resource.version, finding);
}

function undeclared(resource: Resource, name: string, path: string): ApiError {
  const message = `failed to create typed patch object (${name}; ${apiVersionOf(resource)}, Kind=${resource.kind}): .${path}: field not declared in schema`;
  return new ApiError(500, '', message);
}

function checkTypes(resource: Resource, object: KubeObject): void {
  const wrong =
    resource.custom === undefined
      ? decodeError(object, resource.schema)
      : decodeError(object.metadata, modelSchema('V1ObjectMeta'));
  if (wrong !== undefined) throw new DecodeError(resource.kind, resource.version, wrong);
}

/** Lists and maps of metadata that are left out when they are empty. */
const omittedWhenEmpty = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const;

function fillIn(resource: Resource, object: KubeObject): void {
  for (const name of omittedWhenEmpty) {
    if (Object.keys(object.metadata[name] ?? {}).length === 0) delete object.metadata[name];
  }
  if (resource.custom !== undefined) {
    dropUndefined(object, resource);
    return;
  }
  dropNulls(object, resource.schema);
  canonicalizeQuantities(object, resource.schema);
  resource.strategy.setDefaults?.(object);
}

function dropUndefined(object: KubeObject, resource: Resource): void {
  applyDefaults(object, resource.schema);
  dropNulls(object, resource.schema);
}

/** Everything that is wrong with an object that is about to be written. */
export function finish(
  resource: Resource,
  object: KubeObject,
  old: KubeObject | undefined,
  subresource: string,
): FieldError[] {
  const { strategy, custom, kind } = resource;
  const errors =
    old === undefined ? validateMetadata(object.metadata, kind) : validateChange(object, old);
  if (custom === undefined) {
    errors.push(...(strategy.validate?.(object) ?? []));
    if (old !== undefined && subresource === '')
      errors.push(...(strategy.validateUpdate?.(object, old) ?? []));
    return errors;
  }
  const metadataErrors = old === undefined ? errors : [...errors, ...errors];
  // As upstream, where two checks find the same in an update of a custom resource.
  return [...metadataErrors, ...validateCustom(resource, object, old, subresource, errors)];
}

function validateChange(object: KubeObject, old: KubeObject): FieldError[] {
  const errors = equal(object.metadata.labels, old.metadata.labels)
    ? []
    : validateMetadata(object.metadata, object.kind);
  if (old.metadata.deletionTimestamp === undefined) return errors;
  const before = old.metadata.finalizers ?? [];
  const added = (object.metadata.finalizers ?? []).filter((name) => !before.includes(name));
  if (added.length === 0) return errors;
  const list = `[]string{${added.map((name) => JSON.stringify(name)).join(', ')}}`;
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`;
  return [...errors, fieldError.forbidden('metadata.finalizers', detail)];
}

/** Errors after which CEL rules are not evaluated. */
const blocking = new Set([
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
  'FieldValueNotSupported',
]);

function validateCustom(
  resource: Resource,
  object: KubeObject,
  old: KubeObject | undefined,
  subresource: string,
  earlier: readonly FieldError[],
): FieldError[] {
  const { schema, kind } = resource;
  const wrongKind =
    object.kind === kind ? [] : [fieldError.invalid('kind', object.kind, `must be ${kind}`)];
  const errors = [
    ...wrongKind,
    ...(subresource === 'status'
      ? validateStatus(object, old, schema)
      : validateAll(object, old, schema)),
    ...validateScale(resource, object, subresource),
    ...validateListTypes(withoutMetadata(object), schema),
  ];
  if (!hasRules(schema)) return errors;
  if ([...earlier, ...errors].some(({ reason }) => blocking.has(reason)))
    return [...errors, notChecked];
  return [...errors, ...validateRules(object, schema, '', old)];
}

const notChecked = fieldError.invalid(
  '<nil>',
  null,
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
);

function withoutMetadata({ metadata: _metadata, ...rest }: KubeObject): JsonObject {
  return rest;
}

function validateAll(
  object: KubeObject,
  old: KubeObject | undefined,
  schema: Schema,
): FieldError[] {
  return validate(
    withoutMetadata(object),
    schema,
    '',
    old === undefined ? undefined : withoutMetadata(old),
  );
}

/** The status alone. As upstream: the texts name paths below it, the fields whole paths. */
function validateStatus(
  object: KubeObject,
  old: KubeObject | undefined,
  schema: Schema,
): FieldError[] {
  const property = schema.properties?.['status'];
  if (property === undefined || object['status'] === undefined) return [];
  return validate(object['status'], property, '', old?.['status']).map((error) => ({
    ...error,
    field: child('status', error.field),
  }));
}

function validateScale(resource: Resource, object: KubeObject, subresource: string): FieldError[] {
  const paths = resource.custom?.scale;
  if (paths === undefined) return [];
  const checked = subresource === 'status' ? [paths.status] : [paths.spec, paths.status];
  return checked.flatMap((path) => {
    const field = `.${path.join('.')}`;
    const found = at(object, ...path);
    const value = numberAt(object, ...path);
    if (value !== undefined && Number.isInteger(value)) {
      return value < 0
        ? [fieldError.invalid(field, value, 'should be a non-negative integer')]
        : [];
    }
    return found === undefined && parentsAreObjects(object, path)
      ? []
      : [accessorError(object, path, field)];
  });
}

function parentsAreObjects(object: KubeObject, path: readonly string[]): boolean {
  return path.slice(0, -1).every((_name, position) => {
    const parent = at(object, ...path.slice(0, position + 1));
    return parent === undefined || isObject(parent);
  });
}

function accessorError(object: KubeObject, path: readonly string[], field: string): FieldError {
  const position = path.findIndex((_name, index) => {
    const value = at(object, ...path.slice(0, index + 1));
    return index === path.length - 1 || !isObject(value);
  });
  const value = at(object, ...path.slice(0, position + 1));
  const expected = position === path.length - 1 ? 'int64' : 'map[string]interface{}';
  const detail = `${field} accessor error: ${String(value)} is of the type ${goType(value)}, expected ${expected}`;
  return fieldError.invalid(field, 0, detail);
}

function goType(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? 'int64' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (Array.isArray(value)) return '[]interface {}';
  return isObject(value) ? 'map[string]interface {}' : typeof value;
}
