import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../../server/base/logger.ts';
import { strictError } from './admission.ts';
import type { DeleteOptions, ObjectApi, Outcome, Target, WriteOptions } from './api.ts';
import * as discovery from './discovery.ts';
import {
  ApiError,
  badRequest,
  DecodeError,
  methodNotAllowed,
  notImplemented,
  patchUndecodable,
} from './errors.ts';
import { evict } from './eviction.ts';
import type { Fault, Faults } from './faults.ts';
import { duplicateFields } from './json-duplicates.ts';
import { listPage, parseRevision, selectorOf } from './lists.ts';
import { canonical, clone, isObject, type JsonObject, type KubeObject } from './objects.ts';
import { openApiIndex, openApiOf } from './openapi.ts';
import { mediaTypes, parseBody, patchFunction } from './patch/kinds.ts';
import { proxyTarget, proxyToPod } from './pod-proxy.ts';
import { decodeProtobuf } from './protobuf.ts';
import {
  type ListOptions,
  listOptions,
  parsePath,
  type ResourcePath,
  refuseForce,
  requireManager,
  writeOptions,
} from './request.ts';
import { apiVersionOf, type Resource, unservedGroups } from './resources.ts';
import { getScale, updateScale } from './scale.ts';
import { type IncludeObject, tableOf } from './table.ts';
import { bookmark, type WatchEvent, watchObjects } from './watch.ts';

/** Streams the log of a pod's container: what the kubelet knows and the API server passes on. */
export type PodLog = (pod: KubeObject, query: URLSearchParams, response: ServerResponse) => void;

const bookmarkIntervalMs = 10_000;
/** Watches without timeoutSeconds end after this long, as in a real API server. */
const watchTimeoutSeconds = 1800;
const bodyBytesMax = 3 * 1024 * 1024;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  readonly mediaType: string;
}

/** The HTTP side of localkube: routes, representations (object, list, Table, watch) and error Status objects. */
export class ApiServer {
  readonly #api: ObjectApi;
  readonly #faults: Faults;
  readonly #logger: Logger;
  readonly #server: Server;
  #podLog: PodLog = () => {
    throw notImplemented('pod logs without a kubelet');
  };

  constructor(api: ObjectApi, faults: Faults, logger: Logger) {
    this.#api = api;
    this.#faults = faults;
    this.#logger = logger;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.keepAliveTimeout = 60_000;
  }

  set podLog(podLog: PodLog) {
    this.#podLog = podLog;
  }

  /** Listens on 127.0.0.1; resolves to the port. */
  async listen(port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#faults.breakWatches();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localkube');
    const method = request.method ?? 'GET';
    const query = url.searchParams;
    const fault = this.#faults.strike({
      method,
      path: url.pathname,
      query,
      isWatch: ['true', '1'].includes(query.get('watch') ?? ''),
    });
    try {
      const bytes = await readBody(request);
      if (fault !== undefined && (await strikes(fault, response))) return;
      const { body, mediaType } = decodeBody(request, bytes);
      this.#dispatch({ request, response, method, path: url.pathname, query, body, mediaType });
    } catch (error) {
      this.#answerError(response, error);
    }
  }

  #answerError(response: ServerResponse, error: unknown): void {
    if (!(error instanceof ApiError)) {
      this.#logger.error(
        { error: error instanceof Error ? error.stack : String(error) },
        'request failed',
      );
    }
    const refusal =
      error instanceof ApiError
        ? error
        : new ApiError(500, 'InternalError', `Internal error occurred: ${String(error)}`);
    if (response.headersSent) response.destroy();
    else sendJson(response, refusal.code, refusal.status());
  }

  #dispatch(exchange: Exchange): void {
    const parsed = parsePath(exchange.path);
    if (parsed === undefined) return this.#serveMeta(exchange);
    const resource = this.#api.resources.find(parsed.group, parsed.version, parsed.plural);
    if (resource === undefined) {
      if (unservedGroups.has(parsed.group) || parsed.group === '')
        throw notImplemented(`${parsed.group}/${parsed.plural}`);
      return sendText(exchange.response, 404, '404 page not found\n');
    }
    if (parsed.name === undefined)
      return this.#serveCollection(exchange, resource, parsed.namespace);
    const name = parsed.name;
    if (resource.isNamespaced && parsed.namespace === undefined)
      return sendText(exchange.response, 404, '404 page not found\n');
    return this.#serveObject(
      exchange,
      { resource, namespace: parsed.namespace, name, subresource: parsed.subresource },
      parsed,
    );
  }

  /** Health, version, discovery, OpenAPI. */
  #serveMeta({ request, response, method, path }: Exchange): void {
    const { resources } = this.#api;
    if (method !== 'GET') throw methodNotAllowed();
    const parts = path.split('/').filter((part) => part !== '');
    const [first = '', second = '', third = ''] = parts;
    const answer = (found: JsonObject | undefined) =>
      found === undefined ? notServed(response, second) : sendJson(response, 200, found);
    if (['healthz', 'livez', 'readyz'].includes(first)) return sendText(response, 200, 'ok');
    if (path === '/version') return answer(discovery.kubernetesVersion);
    if (path === '/openapi/v3') return answer(openApiIndex(resources));
    if (first === 'openapi' && second === 'v3')
      return answer(openApiOf(resources, parts.slice(2).join('/')));
    if ((first === 'api' || first === 'apis') && parts.length === 1) {
      const isAggregated =
        /as=APIGroupDiscoveryList/.test(request.headers.accept ?? '') &&
        /v=v2(;|,|$)/.test(request.headers.accept ?? '');
      if (isAggregated) {
        return sendJson(
          response,
          200,
          discovery.aggregated(resources, first === 'api'),
          aggregatedType,
        );
      }
      return answer(first === 'api' ? discovery.coreVersions() : discovery.groupList(resources));
    }
    if (first === 'api') return answer(discovery.resourceList(resources, '', second));
    if (first === 'apis' && third === '') return answer(discovery.groupOf(resources, second));
    if (first === 'apis') return answer(discovery.resourceList(resources, second, third));
    if (path === '/openapi/v2') return sendText(response, 404, '404 page not found\n');
    return sendText(response, 404, '404 page not found\n');
  }

  #serveCollection(exchange: Exchange, resource: Resource, namespace: string | undefined): void {
    const { method, query, body, mediaType } = exchange;
    switch (method) {
      case 'GET': {
        const options = listOptions(query);
        if (options.isWatch) return this.#watch(exchange, resource, namespace, options);
        const page = listPage(this.#api, resource, namespace, options);
        return this.#sendList(exchange, resource, page.objects, page.metadata);
      }
      case 'POST': {
        if (resource.isNamespaced && namespace === undefined) throw methodNotAllowed();
        const options = writeOptions(query, exchange.request.headers['user-agent'] ?? '');
        const document = this.#document(exchange, resource, parseBody(body, mediaType));
        return this.#sendOutcome(
          exchange,
          resource,
          this.#api.create(resource, namespace, document, options),
        );
      }
      case 'DELETE':
        return this.#deleteCollection(exchange, resource, namespace);
      case 'PUT':
      case 'PATCH':
        if (resource.custom !== undefined) throw badRequest('name must be provided');
        throw methodNotAllowed();
      default:
        throw methodNotAllowed();
    }
  }

  #serveObject(exchange: Exchange, target: Target, { subresource }: ResourcePath): void {
    const { response, query, method, body } = exchange;
    const { resource, namespace, name } = target;
    if (resource.plural === 'pods' && /^proxy(\/|$)/.test(subresource)) {
      return this.#proxy(exchange, target, subresource.slice('proxy'.length));
    }
    if (subresource !== '' && !resource.subresources.includes(subresource)) {
      if (resource.custom !== undefined) return sendText(response, 404, '404 page not found\n');
      throw notImplemented(`${resource.plural}/${subresource}`);
    }
    if (subresource === 'log') return this.#podLog(this.#api.get(target), query, response);
    if (subresource === 'eviction') {
      if (method !== 'POST') throw methodNotAllowed();
      return sendJson(response, 201, evict(this.#api, namespace ?? '', name, parseBody(body)));
    }
    switch (method) {
      case 'GET':
        if (subresource === 'scale') return sendJson(response, 200, getScale(this.#api, target));
        return this.#get(exchange, target);
      case 'PUT':
      case 'PATCH':
        return this.#write(exchange, target);
      case 'DELETE':
        return this.#delete(exchange, target);
      default:
        throw methodNotAllowed();
    }
  }

  #proxy({ request, response, query, body }: Exchange, target: Target, rest: string): void {
    const { scheme, pod, port } = proxyTarget(target.name);
    const search = query.size === 0 ? '' : `?${query.toString()}`;
    const path = (rest === '' ? '/' : rest) + search;
    const found = this.#api.get({ ...target, name: pod });
    proxyToPod(found, { scheme, pod, port }, { request, response, path, body });
  }

  #get(exchange: Exchange, target: Target): void {
    const options = listOptions(exchange.query);
    if (!options.isWatch)
      return this.#sendObject(exchange, target.resource, 200, this.#api.get(target), []);
    const fieldSelector = `metadata.name=${target.name}`;
    this.#watch(exchange, target.resource, target.namespace, { ...options, fieldSelector });
  }

  #write(exchange: Exchange, target: Target): void {
    const { request, query, method, body, mediaType } = exchange;
    const { resource, subresource } = target;
    const options = writeOptions(query, request.headers['user-agent'] ?? '');
    if (method === 'PATCH' && mediaType === mediaTypes.apply) {
      requireManager(query);
      if (subresource === 'scale') throw notImplemented('server-side apply on a scale');
      return this.#sendOutcome(
        exchange,
        resource,
        this.#api.apply(target, parseBody(body, mediaType), options),
      );
    }
    if (method === 'PATCH') refuseForce(query);
    const isCustom = resource.custom !== undefined;
    const change =
      method === 'PATCH'
        ? patchFunction(mediaType, body, resource.schema, isCustom)
        : () => this.#document(exchange, resource, parseBody(body, mediaType));
    if (subresource === 'scale') {
      return sendJson(
        exchange.response,
        200,
        updateScale(this.#api, target, options, change).scale,
      );
    }
    const outcome =
      method === 'PATCH'
        ? this.#patch(target, options, change)
        : this.#api.replace(target, change({}), options);
    return this.#sendOutcome(exchange, resource, outcome);
  }

  #patch(
    target: Target,
    options: WriteOptions,
    change: (document: JsonObject) => unknown,
  ): Outcome {
    let patched: unknown;
    try {
      return this.#api.update(target, options, (current) => {
        patched = change(current);
        return clone(patched);
      });
    } catch (error) {
      if (error instanceof DecodeError) throw patchUndecodable(error.finding, canonical(patched));
      throw error;
    }
  }

  /** A parsed body, its text checked for fields that come twice where the client wants strictness. */
  #document({ query, body, mediaType }: Exchange, resource: Resource, parsed: unknown): unknown {
    if (query.get('fieldValidation') !== 'Strict' || mediaType.includes('yaml')) return parsed;
    const duplicates = duplicateFields(body);
    if (duplicates.length > 0)
      throw strictError(
        resource,
        duplicates.map((path) => `duplicate field "${path}"`),
      );
    return parsed;
  }

  #delete(exchange: Exchange, target: Target): void {
    const { resource } = target;
    if (target.subresource !== '') throw methodNotAllowed();
    const { object, isGone } = this.#api.delete(target, deleteOptions(exchange));
    if (!isGone || resource.strategy.returnsDeleted)
      return this.#sendObject(exchange, resource, 200, object, []);
    const { name, uid } = object.metadata;
    const { group, plural: kind } = resource;
    const details = { name, ...(group === '' ? {} : { group }), kind, uid };
    sendJson(exchange.response, 200, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details,
    });
  }

  #deleteCollection(exchange: Exchange, resource: Resource, namespace: string | undefined): void {
    const options = listOptions(exchange.query);
    const objects = this.#api.list(resource, namespace).filter(selectorOf(resource, options));
    for (const { metadata } of objects) {
      const target = { resource, namespace: metadata.namespace, name: metadata.name };
      this.#api.delete(target, deleteOptions(exchange));
    }
    this.#sendList(exchange, resource, objects, {
      resourceVersion: String(this.#api.store.revision),
    });
  }

  #sendOutcome(
    exchange: Exchange,
    resource: Resource,
    { object, isCreated, warnings }: Outcome,
  ): void {
    this.#sendObject(exchange, resource, isCreated ? 201 : 200, object, warnings);
  }

  #sendObject(
    { request, response, query }: Exchange,
    resource: Resource,
    code: number,
    object: KubeObject,
    warnings: readonly string[],
  ): void {
    for (const warning of warnings)
      response.appendHeader('Warning', `299 - ${JSON.stringify(warning)}`);
    const { resourceVersion } = object.metadata;
    const shown = wantsTable(request)
      ? tableOf(
          [object],
          resource.columns,
          { resourceVersion },
          includeObject(query),
          this.#api.now,
        )
      : object;
    sendJson(response, code, shown);
  }

  #sendList(
    { request, response, query }: Exchange,
    resource: Resource,
    objects: readonly KubeObject[],
    metadata: JsonObject,
  ): void {
    if (wantsTable(request)) {
      return sendJson(
        response,
        200,
        tableOf(objects, resource.columns, metadata, includeObject(query), this.#api.now),
      );
    }
    sendJson(response, 200, {
      kind: resource.listKind,
      apiVersion: apiVersionOf(resource),
      metadata,
      items: resource.custom === undefined ? objects.map(withoutType) : objects,
    });
  }

  #watch(
    exchange: Exchange,
    resource: Resource,
    namespace: string | undefined,
    options: ListOptions,
  ): void {
    const { request, response, query } = exchange;
    const { store } = this.#api;
    const { resourceVersion, sendInitialEvents, timeoutSeconds } = options;
    const selects = selectorOf(resource, options);
    const isFromNow = resourceVersion === '' || resourceVersion === '0' || sendInitialEvents;
    const lagging = this.#lagging((event) => response.write(`${JSON.stringify(event)}\n`));
    const isTable = wantsTable(request);
    const emit = ({ type, object }: WatchEvent) => {
      const shown =
        isTable && type !== 'ERROR'
          ? this.#tableEvent(object as KubeObject, resource, query)
          : object;
      lagging({ type, object: shown });
    };
    response.writeHead(200, { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' });
    response.flushHeaders();
    let stop: () => void;
    try {
      stop = watchObjects(
        store,
        {
          resource,
          namespace,
          selects,
          afterRevision: isFromNow ? undefined : parseRevision(resourceVersion),
          isInitialMarked: sendInitialEvents,
        },
        emit,
      );
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      response.end(`${JSON.stringify({ type: 'ERROR', object: error.status() })}\n`);
      return;
    }
    const ticker = setInterval(() => {
      if (options.allowBookmarks) emit(bookmark(resource, store.revision));
    }, bookmarkIntervalMs);
    const end = () => response.end();
    const timeout = setTimeout(end, (timeoutSeconds ?? watchTimeoutSeconds) * 1000);
    const forget = this.#faults.onBreak(() => response.destroy());
    response.on('close', () => {
      stop();
      forget();
      clearInterval(ticker);
      clearTimeout(timeout);
    });
  }

  #tableEvent(object: KubeObject, resource: Resource, query: URLSearchParams): JsonObject {
    const { resourceVersion } = object.metadata;
    return tableOf(
      [object],
      resource.columns,
      { resourceVersion },
      includeObject(query),
      this.#api.now,
    );
  }

  /** Delays events by the lag of the moment, keeping their order. */
  #lagging(write: (event: WatchEvent) => void): (event: WatchEvent) => void {
    let waiting = 0;
    return (event) => {
      const lag = this.#faults.watchLagMs;
      if (lag === 0 && waiting === 0) return write(event);
      waiting += 1;
      setTimeout(() => {
        waiting -= 1;
        write(event);
      }, lag);
    };
  }
}

const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

function notServed(response: ServerResponse, group: string): void {
  if (unservedGroups.has(group)) throw notImplemented(`the API group ${group}`);
  sendText(response, 404, '404 page not found\n');
}

/** A body as text: protobuf becomes JSON. */
function decodeBody(
  request: IncomingMessage,
  bytes: Buffer,
): { readonly body: string; readonly mediaType: string } {
  const mediaType = (request.headers['content-type'] ?? 'application/json').split(';')[0] ?? '';
  if (mediaType !== 'application/vnd.kubernetes.protobuf' || bytes.length === 0) {
    return { body: bytes.toString('utf8'), mediaType };
  }
  return { body: JSON.stringify(decodeProtobuf(bytes)), mediaType: 'application/json' };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > bodyBytesMax)
      throw new ApiError(
        413,
        'RequestEntityTooLarge',
        'Request entity too large: limit is 3145728',
      );
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** Carries out a fault; true when the request is over with it. */
async function strikes(fault: Fault, response: ServerResponse): Promise<boolean> {
  switch (fault.kind) {
    case 'delay':
      await new Promise((resolve) => setTimeout(resolve, fault.ms));
      return false;
    case 'reset':
      response.destroy();
      return true;
    case 'lostReply':
      response.end = () => response.destroy();
      return false;
    case 'error': {
      const { code, reason, message, retryAfterSeconds } = fault;
      if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', retryAfterSeconds);
      const details = retryAfterSeconds === undefined ? undefined : { retryAfterSeconds };
      sendJson(response, code, new ApiError(code, reason, message, details).status());
      return true;
    }
  }
}

function sendJson(
  response: ServerResponse,
  code: number,
  body: JsonObject,
  mediaType = 'application/json',
): void {
  const text = JSON.stringify(body);
  response.writeHead(code, {
    'Content-Type': mediaType,
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}

function sendText(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(text);
}

/** Items in lists of built-in kinds do not repeat apiVersion and kind, as upstream. */
function withoutType({ apiVersion: _apiVersion, kind: _kind, ...object }: KubeObject): JsonObject {
  return object;
}

function wantsTable(request: IncomingMessage): boolean {
  const [first = ''] = (request.headers.accept ?? '').split(',');
  return /as=Table/.test(first) && /v=v1(;|$)/.test(first);
}

function includeObject(query: URLSearchParams): IncludeObject {
  const wanted = query.get('includeObject');
  return wanted === 'Object' || wanted === 'None' ? wanted : 'Metadata';
}

function deleteOptions({ body, query, mediaType }: Exchange): DeleteOptions {
  const parsed = body === '' ? {} : parseBody(body, mediaType);
  if (!isObject(parsed)) throw badRequest('DeleteOptions are expected');
  const grace = query.get('gracePeriodSeconds');
  const propagation = query.get('propagationPolicy');
  return {
    ...parsed,
    ...(grace === null ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(propagation === null ? {} : { propagationPolicy: propagation as 'Background' }),
  };
}
