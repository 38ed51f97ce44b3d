import { renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Logger } from '../../../server/base/logger.ts';
import { internalWrite, type ObjectApi } from '../api.ts';
import { isReady } from '../eviction.ts';
import {
  at,
  equal,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectsAt,
  stringAt,
} from '../objects.ts';
import { labelSelectorMatches } from '../selectors.ts';

const clusterDomain = 'cluster.local';

/** A pod behind a service. */
interface Backend {
  readonly pod: KubeObject;
  readonly ip: string;
  readonly isReady: boolean;
}

/**
 * What service discovery is on this machine: Endpoints and EndpointSlices, a hosts file for names, and for every ClusterIP a
 * small TCP proxy on a loopback address of its own.
 */
export class Services {
  readonly #api: ObjectApi;
  readonly #logger: Logger;
  readonly #hostsFile: string;
  readonly #proxies = new Map<string, Proxy>();
  #hosts = '';

  constructor(api: ObjectApi, hostsFile: string, logger: Logger) {
    this.#api = api;
    this.#hostsFile = hostsFile;
    this.#logger = logger;
    writeFileSync(hostsFile, '');
  }

  reconcile(): void {
    const pods = this.#api
      .list(this.#api.resources.builtin('pods'))
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const services = this.#api.list(this.#api.resources.builtin('services'));
    const lines: string[] = [];
    const wanted = new Set<string>();
    for (const service of services) {
      const backends = backendsOf(service, pods);
      lines.push(...hostLines(service, backends));
      if (hasSelector(service)) this.#writeEndpoints(service, backends);
      for (const key of this.#proxy(service, backends)) wanted.add(key);
    }
    for (const [key, proxy] of this.#proxies) {
      if (wanted.has(key)) continue;
      proxy.close();
      this.#proxies.delete(key);
    }
    this.#writeHosts(lines);
  }

  close(): void {
    for (const proxy of this.#proxies.values()) proxy.close();
    this.#proxies.clear();
  }

  #writeHosts(lines: readonly string[]): void {
    const text = lines.length === 0 ? '' : `${lines.join('\n')}\n`;
    if (text === this.#hosts) return;
    this.#hosts = text;
    writeFileSync(`${this.#hostsFile}.new`, text);
    renameSync(`${this.#hostsFile}.new`, this.#hostsFile);
  }

  /** Opens or updates the proxies of a ClusterIP service; returns their keys. */
  #proxy(service: KubeObject, backends: readonly Backend[]): string[] {
    const ip = stringAt(service, 'spec', 'clusterIP');
    if (ip === '' || ip === 'None') return [];
    return objectsAt(service, 'spec', 'ports').map((port) => {
      const number = numberAt(port, 'port') ?? 0;
      const key = `${service.metadata.uid}/${ip}:${number}`;
      let proxy = this.#proxies.get(key);
      if (proxy === undefined) {
        proxy = new Proxy(ip, number, this.#logger);
        this.#proxies.set(key, proxy);
      }
      proxy.targets = backends
        .filter((backend) => backend.isReady)
        .map((backend) => ({ host: backend.ip, port: targetPort(port, backend.pod) }));
      return key;
    });
  }

  #writeEndpoints(service: KubeObject, backends: readonly Backend[]): void {
    const { namespace = '', name, labels, uid } = service.metadata;
    const ports = objectsAt(service, 'spec', 'ports');
    const [first] = backends;
    const portList = ports.map((port) => ({
      ...(port['name'] === undefined ? {} : { name: port['name'] }),
      port:
        first === undefined
          ? (numberAt(port, 'targetPort') ?? numberAt(port, 'port'))
          : targetPort(port, first.pod),
      protocol: port['protocol'] ?? 'TCP',
    }));
    const metadata = { name, namespace, ...(labels === undefined ? {} : { labels }) };
    const addresses = (isReady: boolean) =>
      backends.filter((backend) => backend.isReady === isReady).map(endpointAddress);
    const [ready, notReady] = [addresses(true), addresses(false)];
    const subset = {
      ...(ready.length === 0 ? {} : { addresses: ready }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
      ports: portList,
    };
    const subsets = backends.length === 0 ? {} : { subsets: [subset] };
    this.#upsert('endpoints', '', { apiVersion: 'v1', kind: 'Endpoints', metadata, ...subsets });
    const owner = {
      apiVersion: 'v1',
      kind: 'Service',
      name,
      uid,
      controller: true,
      blockOwnerDeletion: true,
    };
    this.#upsert('endpointslices', 'discovery.k8s.io', {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${name}-localkube`,
        namespace,
        labels: { ...labels, 'kubernetes.io/service-name': name },
        ownerReferences: [owner],
      },
      addressType: 'IPv4',
      endpoints: backends.map(sliceEndpoint),
      ports: portList,
    });
  }

  #upsert(plural: string, group: string, wanted: JsonObject & { metadata: JsonObject }): void {
    const resource = this.#api.resources.builtin(plural, group);
    const { metadata, ...content } = wanted;
    const [namespace, name] = [stringAt(metadata, 'namespace'), stringAt(metadata, 'name')];
    const found = this.#api.find(resource, namespace, name);
    const home = this.#api.find(this.#api.resources.builtin('namespaces'), undefined, namespace);
    if (found === undefined) {
      if (home?.metadata.deletionTimestamp === undefined)
        this.#api.create(resource, namespace, wanted, internalWrite);
      return;
    }
    const present = Object.fromEntries(Object.keys(content).map((key) => [key, found[key]]));
    const isSame =
      equal(present, content) &&
      (content['subsets'] !== undefined || found['subsets'] === undefined);
    if (isSame) return;
    this.#api.amend(resource, namespace, name, (object) => {
      delete object['subsets'];
      Object.assign(object, content);
    });
  }
}

function hasSelector(service: KubeObject): boolean {
  return Object.keys(at(service, 'spec', 'selector') ?? {}).length > 0;
}

function backendsOf(service: KubeObject, pods: readonly KubeObject[]): Backend[] {
  if (!hasSelector(service)) return [];
  const matchLabels = at(service, 'spec', 'selector');
  const showsAll = at(service, 'spec', 'publishNotReadyAddresses') === true;
  return pods
    .filter(
      ({ metadata }) =>
        metadata.namespace === service.metadata.namespace &&
        labelSelectorMatches({ matchLabels }, metadata.labels),
    )
    .flatMap((pod) => {
      const ip = stringAt(pod, 'status', 'podIP');
      const isOver = ['Succeeded', 'Failed'].includes(stringAt(pod, 'status', 'phase'));
      return ip === '' || isOver ? [] : [{ pod, ip, isReady: showsAll || isReady(pod) }];
    });
}

/** Names of a service, and of its pods that have a hostname in it: what cluster DNS would answer. */
function hostLines(service: KubeObject, backends: readonly Backend[]): string[] {
  const { name, namespace = '' } = service.metadata;
  const domain = `${name}.${namespace}.svc`;
  const names = (host: string) => `${host}.${clusterDomain} ${host}`;
  const ip = stringAt(service, 'spec', 'clusterIP');
  if (ip !== 'None') return ip === '' ? [] : [`${ip} ${names(domain)} ${name}.${namespace}`];
  return backends
    .filter((backend) => backend.isReady)
    .flatMap(({ pod, ip: address }) => {
      const hostname = stringAt(pod, 'spec', 'hostname');
      const isNamed = hostname !== '' && stringAt(pod, 'spec', 'subdomain') === name;
      const own = isNamed ? [`${address} ${names(`${hostname}.${domain}`)}`] : [];
      return [...own, `${address} ${names(domain)}`];
    });
}

function targetPort(port: JsonObject, pod: KubeObject): number {
  const target = port['targetPort'] ?? port['port'];
  if (typeof target === 'number') return target;
  const named = objectsAt(pod, 'spec', 'containers')
    .flatMap((container) => objectsAt(container, 'ports'))
    .find((one) => one['name'] === target);
  return numberAt(named, 'containerPort') ?? numberAt(port, 'port') ?? 0;
}

function endpointAddress({ pod, ip }: Backend): JsonObject {
  const { name, namespace, uid } = pod.metadata;
  const hostname = stringAt(pod, 'spec', 'hostname');
  return {
    ip,
    ...(hostname === '' ? {} : { hostname }),
    nodeName: stringAt(pod, 'spec', 'nodeName'),
    targetRef: { kind: 'Pod', name, namespace, uid },
  };
}

function sliceEndpoint(backend: Backend): JsonObject {
  const { ip, ...rest } = endpointAddress(backend);
  const ready = backend.isReady;
  return {
    addresses: [ip],
    conditions: { ready, serving: isReady(backend.pod), terminating: false },
    ...rest,
  };
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** Forwards TCP connections to the ready endpoints in turn. */
class Proxy {
  targets: readonly Target[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  constructor(ip: string, port: number, logger: Logger) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      this.#track(client);
      this.#forward(client, this.targets.length);
    });
    this.#server.on('error', (error) =>
      logger.warn(
        { address: `${ip}:${port}`, error: error.message },
        'service proxy cannot listen',
      ),
    );
    this.#server.listen(port, ip);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Tries the targets one after the other until one takes the connection. */
  #forward(client: Socket, attempts: number): void {
    const target = this.targets[this.#next % Math.max(1, this.targets.length)];
    this.#next += 1;
    if (target === undefined || attempts === 0) {
      client.destroy();
      return;
    }
    const upstream = connect({ ...target, allowHalfOpen: true });
    this.#track(upstream);
    upstream.once('error', () => {
      if (upstream.bytesRead === 0 && upstream.connecting)
        return this.#forward(client, attempts - 1);
      client.destroy();
    });
    upstream.once('connect', () => {
      client.pipe(upstream).pipe(client);
      client.once('close', () => upstream.destroy());
      upstream.once('close', () => client.destroy());
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
