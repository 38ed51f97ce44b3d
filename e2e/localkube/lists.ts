import type { ObjectApi } from './api.ts';
import { ApiError, badRequest, expired } from './errors.ts';
import type { JsonObject, KubeObject } from './objects.ts';
import type { ListOptions } from './request.ts';
import type { Resource } from './resources.ts';
import { parseFieldSelector, parseLabelSelector, type Selector } from './selectors.ts';
import { keyOf } from './store.ts';

/** A page of a list: its objects and the list's metadata. */
export interface Page {
  readonly objects: readonly KubeObject[];
  readonly metadata: JsonObject;
}

interface ContinueToken {
  readonly v: 'meta.k8s.io/v1';
  readonly rv: number;
  readonly start: string;
}

export function selectorOf(resource: Resource, options: ListOptions): Selector {
  const byLabel = parseLabelSelector(options.labelSelector);
  const byField = parseFieldSelector(options.fieldSelector, resource.selectableFields);
  return (object) => byLabel(object) && byField(object);
}

/** One page, of the present or (resourceVersionMatch=Exact, continue) of an earlier revision. */
export function listPage(
  api: ObjectApi,
  resource: Resource,
  namespace: string | undefined,
  options: ListOptions,
): Page {
  const { store } = api;
  const token = parseToken(options.continueFrom);
  const revision = token?.rv ?? revisionOf(options, store.revision);
  if (revision < store.oldest && revision !== store.revision) {
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
    );
  }
  const selects = selectorOf(resource, options);
  const all = store
    .listAt(resource.storage, namespace, revision)
    .filter((object) => token === undefined || keyOf(object) >= token.start)
    .map(resource.fromStorage)
    .filter(selects);
  const resourceVersion = String(revision);
  const next = options.limit > 0 ? all[options.limit] : undefined;
  if (next === undefined) return { objects: all, metadata: { resourceVersion } };
  const isCounted = options.labelSelector === '' && options.fieldSelector === '';
  return {
    objects: all.slice(0, options.limit),
    metadata: {
      resourceVersion,
      continue: encodeToken({ v: 'meta.k8s.io/v1', rv: revision, start: keyOf(next) }),
      ...(isCounted ? { remainingItemCount: all.length - options.limit } : {}),
    },
  };
}

function revisionOf({ resourceVersion, isExact }: ListOptions, current: number): number {
  if (resourceVersion === '' || resourceVersion === '0') return current;
  const wanted = parseRevision(resourceVersion);
  if (wanted > current) throw tooLarge(wanted, current);
  return isExact ? wanted : current;
}

export function parseRevision(text: string): number {
  const revision = Number(text);
  if (Number.isSafeInteger(revision) && revision >= 0) return revision;
  const why = `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw badRequest(`invalid resource version: ${why}`);
}

function tooLarge(wanted: number, current: number): ApiError {
  const message = `Timeout: Too large resource version: ${wanted}, current: ${current}`;
  return new ApiError(504, 'Timeout', message, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

function encodeToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

function parseToken(text: string): ContinueToken | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as ContinueToken;
  } catch {
    throw badRequest('continue key is not valid: it is no token of this server');
  }
}
