import type { WriteOptions } from './api.ts';
import { badRequest, fieldError, invalid } from './errors.ts';

/** The parts of an API path: `/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string;
}

/** Parses a path below `/api/v1` or `/apis/GROUP/VERSION`; undefined for every other path. */
export function parsePath(path: string): ResourcePath | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const root = parts.shift();
  if (root !== 'api' && root !== 'apis') return undefined;
  const group = root === 'api' ? '' : (parts.shift() ?? '');
  const version = parts.shift() ?? '';
  const isNamespaced =
    parts[0] === 'namespaces' &&
    parts.length > 2 &&
    !['status', 'finalize'].includes(parts[2] ?? '');
  const namespace = isNamespaced ? parts[1] : undefined;
  const [plural, name, ...rest] = isNamespaced ? parts.slice(2) : parts;
  if (plural === undefined) return undefined;
  return { group, version, namespace, plural, name, subresource: rest.join('/') };
}

/** Query parameters of a write. The manager is the fieldManager, or the program that the user agent names. */
export function writeOptions(query: URLSearchParams, userAgent: string): WriteOptions {
  const validation = query.get('fieldValidation') ?? 'Warn';
  if (validation !== 'Ignore' && validation !== 'Warn' && validation !== 'Strict') {
    throw badRequest(
      `fieldValidation ${JSON.stringify(validation)} is not one of Ignore, Strict, Warn`,
    );
  }
  return {
    manager: query.get('fieldManager') ?? (userAgent.split('/')[0] || 'unknown'),
    fieldValidation: validation,
    isDryRun: query.get('dryRun') === 'All',
    force: query.get('force') === 'true',
  };
}

/** Only an apply may be forced. */
export function refuseForce(query: URLSearchParams): void {
  if (!query.has('force')) return;
  throw invalid('meta.k8s.io', 'PatchOptions', '', [
    fieldError.forbidden('force', 'may not be specified for non-apply patch'),
  ]);
}

/** An apply must say who applies. */
export function requireManager(query: URLSearchParams): void {
  if ((query.get('fieldManager') ?? '') !== '') return;
  throw invalid('meta.k8s.io', 'PatchOptions', '', [
    fieldError.required('fieldManager', 'is required for apply patch'),
  ]);
}

export interface ListOptions {
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly limit: number;
  readonly continueFrom: string;
  readonly resourceVersion: string;
  readonly isExact: boolean;
  readonly isWatch: boolean;
  readonly sendInitialEvents: boolean;
  readonly allowBookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
}

export function listOptions(query: URLSearchParams): ListOptions {
  const isTrue = (name: string) => ['true', '1'].includes(query.get(name) ?? '');
  const isWatch = isTrue('watch');
  const match = query.get('resourceVersionMatch') ?? '';
  checkInitialEvents(query.has('sendInitialEvents'), isWatch, match);
  const timeout = Number(query.get('timeoutSeconds') ?? '');
  return {
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    limit: Number(query.get('limit') ?? '0'),
    continueFrom: query.get('continue') ?? '',
    resourceVersion: query.get('resourceVersion') ?? '',
    isExact: match === 'Exact',
    isWatch,
    sendInitialEvents: isTrue('sendInitialEvents'),
    allowBookmarks: isTrue('allowWatchBookmarks'),
    timeoutSeconds: timeout > 0 ? timeout : undefined,
  };
}

function checkInitialEvents(isSet: boolean, isWatch: boolean, match: string): void {
  const refuse = (field: string, why: string) =>
    invalid('meta.k8s.io', 'ListOptions', '', [fieldError.forbidden(field, why)]);
  if (isSet && !isWatch) {
    throw refuse('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  }
  if (isSet && match !== 'NotOlderThan') {
    throw refuse(
      'resourceVersionMatch',
      'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    );
  }
}
