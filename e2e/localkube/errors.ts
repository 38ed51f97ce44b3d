import type { JsonObject } from './objects.ts';

/** Names a resource in error texts: `widgets.contract.test`, or `pods` in the core group. */
export interface GroupResource {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

/** One cause of an Invalid answer, as k8s.io/apimachinery's field.Error words it. */
export interface FieldError {
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

/** A refusal, as the `Status` object a client sees. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly code: number;
  readonly reason: string;
  readonly details: JsonObject | undefined;

  constructor(code: number, reason: string, message: string, details?: JsonObject) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  status(): JsonObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason === '' ? {} : { reason: this.reason }),
      ...(this.details === undefined ? {} : { details: this.details }),
      code: this.code,
    };
  }
}

const qualified = (name: string, group: string): string =>
  group === '' ? name : `${name}.${group}`;

function detailsOf(kind: string, group: string, name: string): JsonObject {
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind };
}

export function notFound({ group, plural }: GroupResource, name: string): ApiError {
  const message = `${qualified(plural, group)} "${name}" not found`;
  return new ApiError(404, 'NotFound', message, detailsOf(plural, group, name));
}

export function alreadyExists({ group, plural }: GroupResource, name: string): ApiError {
  const message = `${qualified(plural, group)} "${name}" already exists`;
  return new ApiError(409, 'AlreadyExists', message, detailsOf(plural, group, name));
}

const modified =
  'the object has been modified; please apply your changes to the latest version and try again';

export function conflict(
  { group, plural }: GroupResource,
  name: string,
  why: string = modified,
): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(plural, group)} "${name}": ${why}`;
  return new ApiError(409, 'Conflict', message, detailsOf(plural, group, name));
}

/** 403 for new objects in a namespace that is being deleted. */
export function namespaceTerminating(
  { group, plural }: GroupResource,
  name: string,
  namespace: string,
): ApiError {
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const cause = {
    reason: 'NamespaceTerminating',
    message: `namespace ${namespace} is being terminated`,
    field: 'metadata.namespace',
  };
  const message = `${qualified(plural, group)} "${name}" is forbidden: ${why}`;
  return new ApiError(403, 'Forbidden', message, {
    ...detailsOf(plural, group, name),
    causes: [cause],
  });
}

export function invalid(
  group: string,
  kind: string,
  name: string,
  causes: readonly FieldError[],
): ApiError {
  const texts = [...new Set(causes.map(({ field, message }) => `${field}: ${message}`))];
  const list = texts.length === 1 ? texts.join('') : `[${texts.join(', ')}]`;
  const message = `${qualified(kind, group)} "${name}" is invalid: ${list}`;
  return new ApiError(422, 'Invalid', message, { ...detailsOf(kind, group, name), causes });
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function expired(message: string): ApiError {
  return new ApiError(410, 'Expired', message);
}

/** What a real API server may know and localkube does not: never a guess. */
/** Of what is behind a proxy. */
export function serviceUnavailable(message: string): ApiError {
  return new ApiError(503, 'ServiceUnavailable', message);
}

export function notImplemented(what: string): ApiError {
  return new ApiError(501, 'NotImplemented', `localkube does not implement ${what}`);
}

export function methodNotAllowed(): ApiError {
  const message = 'the server does not allow this method on the requested resource';
  return new ApiError(405, 'MethodNotAllowed', message, {});
}

/** A document that does not fit its type: 400, but 422 where a patch made it so. */
export class DecodeError extends ApiError {
  override name = 'DecodeError';
  readonly finding: string;

  constructor(kind: string, version: string, finding: string) {
    super(
      400,
      'BadRequest',
      `${kind} in version "${version}" cannot be handled as a ${kind}: ${finding}`,
    );
    this.finding = finding;
  }
}

/** What a patch made of an object cannot be decoded; `shown` is the patched object, or the patch. */
export function patchUndecodable(finding: string, shown: string): ApiError {
  const cause = fieldError.invalid('patch', shown, finding);
  return new ApiError(422, 'Invalid', ` "" is invalid: patch: ${cause.message}`, {
    causes: [cause],
  });
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  return new ApiError(415, 'UnsupportedMediaType', message);
}

export function internal(message: string): ApiError {
  return new ApiError(500, '', message);
}

/** A value as field.Error prints it. */
function shown(value: unknown): string {
  return value === undefined ? '' : `: ${JSON.stringify(value)}`;
}

const withDetail = (text: string, detail: string): string =>
  detail === '' ? text : `${text}: ${detail}`;

export const fieldError = {
  required: (field: string, detail = ''): FieldError => ({
    reason: 'FieldValueRequired',
    field,
    message: withDetail('Required value', detail),
  }),
  invalid: (field: string, value: unknown, detail: string): FieldError => ({
    reason: 'FieldValueInvalid',
    field,
    message: withDetail(`Invalid value${shown(value)}`, detail),
  }),
  typeInvalid: (field: string, value: unknown, detail: string): FieldError => ({
    reason: 'FieldValueTypeInvalid',
    field,
    message: withDetail(`Invalid value${shown(value)}`, detail),
  }),
  notSupported: (field: string, value: unknown, supported: readonly unknown[]): FieldError => ({
    reason: 'FieldValueNotSupported',
    field,
    message: `Unsupported value${shown(value)}: supported values: ${supported
      .map((one) => JSON.stringify(typeof one === 'string' ? one : JSON.stringify(one)))
      .join(', ')}`,
  }),
  duplicate: (field: string, value: unknown): FieldError => ({
    reason: 'FieldValueDuplicate',
    field,
    message: `Duplicate value${shown(value)}`,
  }),
  tooLong: (field: string, max: number): FieldError => ({
    reason: 'FieldValueTooLong',
    field,
    message: `Too long: may not be more than ${max} bytes`,
  }),
  tooMany: (field: string, actual: number, max: number): FieldError => ({
    reason: 'FieldValueTooMany',
    field,
    message: `Too many: ${actual}: must have at most ${max} items`,
  }),
  forbidden: (field: string, detail: string): FieldError => ({
    reason: 'FieldValueForbidden',
    field,
    message: withDetail('Forbidden', detail),
  }),
};
