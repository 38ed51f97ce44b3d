import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../../server/base/logger.ts';
import { internalWrite, type ObjectApi } from '../api.ts';
import { at, type KubeObject, objectsAt, setAt, stringAt, timestamp } from '../objects.ts';
import type { Resource } from '../resources.ts';
import { Addresses } from './addresses.ts';
import { Events, expireEvents } from './events.ts';
import { ProcessFile } from './leftovers.ts';
import { sendLog } from './logs.ts';
import { type Node, PodWorker, withConditions } from './pod.ts';
import { Services } from './services.ts';
import { missingClaims, Volumes } from './volumes.ts';

const nodeName = 'localkube';
/** Changes are answered together, after this pause. */
const pauseMs = 10;
const expiryIntervalMs = 60_000;

export interface KubeletOptions {
  readonly dataDirectory: string;
  readonly workingDirectory: string;
  readonly images: ReadonlyMap<string, string> | undefined;
  readonly nodeProgram: string;
  readonly backoffMs: number;
  /** More than one: all are this machine, but each can be cordoned, and pods are spread over them. */
  readonly nodes: number;
}

/**
 * Scheduler, kubelet, DNS and service proxies of the nodes: pods become processes, claims directories, names lines of a
 * hosts file. A client of the API like any other, in the same process.
 */
export class Kubelet {
  readonly hostsFile: string;
  readonly #api: ObjectApi;
  readonly #logger: Logger;
  readonly #node: Node;
  readonly #services: Services;
  readonly #nodeNames: readonly string[];
  readonly #workers = new Map<string, PodWorker>();
  readonly #unsubscribe: () => void;
  readonly #expiry: NodeJS.Timeout;
  readonly #atExit = () => this.#node.processes.killAll();
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    api: ObjectApi,
    { addresses, processes }: { readonly addresses: Addresses; readonly processes: ProcessFile },
    options: KubeletOptions,
    logger: Logger,
  ) {
    const { dataDirectory, workingDirectory, images, nodeProgram, backoffMs } = options;
    this.#api = api;
    this.#logger = logger;
    this.hostsFile = join(dataDirectory, 'hosts');
    this.#nodeNames = Array.from({ length: options.nodes }, (_, index) =>
      index === 0 ? nodeName : `${nodeName}-${index + 1}`,
    );
    this.#node = {
      api,
      logger,
      addresses,
      processes,
      events: new Events(api, 'kubelet'),
      volumes: new Volumes(api, dataDirectory),
      hostsFile: this.hostsFile,
      workingDirectory,
      images,
      nodeProgram,
      backoffMs,
    };
    this.#services = new Services(api, this.hostsFile, logger);
    api.allocate = (resource, object) => this.#allocate(resource, object);
    this.#keepServiceAddresses();
    this.#forgetReadiness();
    for (const name of this.#nodeNames) this.#registerNode(name);
    this.#node.volumes.removeStrangers();
    this.#unsubscribe = api.store.subscribe(({ storage }) => {
      if (storage !== '/events') this.#schedule();
    });
    this.#expiry = setInterval(() => expireEvents(api), expiryIntervalMs);
    process.once('exit', this.#atExit);
    this.#schedule();
  }

  static async start(api: ObjectApi, options: KubeletOptions, logger: Logger): Promise<Kubelet> {
    // First: what is left of an earlier run holds addresses and volumes.
    const processes = new ProcessFile(join(options.dataDirectory, 'processes.json'));
    const killed = await processes.killLeftovers();
    if (killed > 0) logger.warn({ processes: killed }, 'killed what an earlier run left behind');
    const file = join(options.dataDirectory, 'network');
    const preferred = existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
    const addresses = await Addresses.claim(preferred);
    writeFileSync(file, String(addresses.network));
    return new Kubelet(api, { addresses, processes }, options, logger);
  }

  /** Stops every process. The pods stay in the store, and run again with the next start. */
  async stop(graceSeconds = 5): Promise<void> {
    this.#unsubscribe();
    clearTimeout(this.#timer);
    clearInterval(this.#expiry);
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop(graceSeconds)));
    this.#services.close();
    process.off('exit', this.#atExit);
    await this.#node.addresses.close();
  }

  sendLog(pod: KubeObject, query: URLSearchParams, response: ServerResponse): void {
    const worker = this.#workers.get(pod.metadata.uid);
    const source = worker && {
      file: (container: string, isPrevious: boolean) => worker.logFile(container, isPrevious),
      isLive: () => this.#workers.get(pod.metadata.uid) === worker,
    };
    sendLog(pod, source, query, response);
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#sync();
      } catch (error) {
        this.#logger.error(
          { error: error instanceof Error ? error.stack : String(error) },
          'kubelet failed',
        );
      }
    }, pauseMs);
  }

  #sync(): void {
    const pods = this.#api.list(this.#api.resources.builtin('pods'));
    this.#node.volumes.reconcile();
    for (const pod of pods) {
      if (stringAt(pod, 'spec', 'nodeName') === '') this.#bind(pod);
      else this.#run(pod);
    }
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const [uid, worker] of this.#workers) {
      if (uids.has(uid)) continue;
      this.#workers.delete(uid);
      void worker.stop(0);
    }
    this.#services.reconcile();
  }

  #run(pod: KubeObject): void {
    const { uid, deletionTimestamp, namespace, name } = pod.metadata;
    const worker = this.#workers.get(uid);
    if (worker !== undefined) return worker.update(pod);
    const isOver = ['Succeeded', 'Failed'].includes(stringAt(pod, 'status', 'phase'));
    if (deletionTimestamp !== undefined) {
      const resource = this.#api.resources.builtin('pods');
      this.#api.delete(
        { resource, namespace, name },
        { gracePeriodSeconds: 0, preconditions: { uid } },
      );
    } else if (!isOver) {
      this.#workers.set(uid, new PodWorker(this.#node, pod));
    }
  }

  /** The scheduler: the node with the fewest pods takes it, unless all are cordoned or a claim is missing. */
  #bind(pod: KubeObject): void {
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const node = this.#freeNode();
    const why = this.#whyUnschedulable(pod, node);
    const { namespace, name } = pod.metadata;
    const now = timestamp(this.#api.now);
    this.#api.amend(this.#api.resources.builtin('pods'), namespace, name, (next) => {
      const [scheduled, ...others] = withConditions(objectsAt(next, 'status', 'conditions'), now, [
        ['PodScheduled', why === undefined],
      ]).toReversed();
      const condition =
        why === undefined ? scheduled : { ...scheduled, reason: 'Unschedulable', message: why };
      setAt(next, ['status', 'conditions'], [...others, condition]);
      if (why === undefined) setAt(next, ['spec', 'nodeName'], node);
    });
    if (why === undefined)
      this.#node.events.record(
        pod,
        'Normal',
        'Scheduled',
        `Successfully assigned ${namespace}/${name} to ${node}`,
      );
  }

  #whyUnschedulable(pod: KubeObject, node: string | undefined): string | undefined {
    const count = this.#nodeNames.length;
    const [claim] = missingClaims(this.#api, pod);
    if (claim !== undefined)
      return `0/${count} nodes are available: persistentvolumeclaim "${claim}" not found.`;
    if (node !== undefined) return undefined;
    return `0/${count} nodes are available: ${count} node(s) were unschedulable.`;
  }

  #freeNode(): string | undefined {
    const nodes = this.#api.resources.builtin('nodes');
    const pods = this.#api.list(this.#api.resources.builtin('pods'));
    const load = (name: string) =>
      pods.filter((pod) => stringAt(pod, 'spec', 'nodeName') === name).length;
    return this.#nodeNames
      .filter((name) => {
        const node = this.#api.find(nodes, undefined, name);
        return at(node, 'spec', 'unschedulable') !== true;
      })
      .toSorted((a, b) => load(a) - load(b))
      .at(0);
  }

  #allocate({ kind }: Resource, object: KubeObject): void {
    if (kind !== 'Service' || stringAt(object, 'spec', 'clusterIP') !== '') return;
    if (stringAt(object, 'spec', 'type') === 'ExternalName') return;
    const ip = this.#node.addresses.takeService();
    setAt(object, ['spec', 'clusterIP'], ip);
    setAt(object, ['spec', 'clusterIPs'], [ip]);
  }

  /** Services of an earlier run keep their addresses; where the network is another now, they get new ones. */
  #keepServiceAddresses(): void {
    const resource = this.#api.resources.builtin('services');
    for (const service of this.#api.list(resource)) {
      const ip = stringAt(service, 'spec', 'clusterIP');
      if (ip === '' || ip === 'None' || this.#node.addresses.keep(ip)) continue;
      const fresh = this.#node.addresses.takeService();
      this.#api.amend(resource, service.metadata.namespace, service.metadata.name, (next) => {
        setAt(next, ['spec', 'clusterIP'], fresh);
        setAt(next, ['spec', 'clusterIPs'], [fresh]);
      });
    }
  }

  /** Nothing of an earlier run is ready any more: its processes are gone. */
  #forgetReadiness(): void {
    const resource = this.#api.resources.builtin('pods');
    const now = timestamp(this.#api.now);
    for (const { metadata } of this.#api.list(resource)) {
      this.#api.amend(resource, metadata.namespace, metadata.name, (pod) => {
        const conditions = objectsAt(pod, 'status', 'conditions');
        if (!conditions.some(({ type }) => type === 'Ready')) return;
        const notReady = [
          ['Ready', false],
          ['ContainersReady', false],
        ] as const;
        setAt(pod, ['status', 'conditions'], withConditions(conditions, now, notReady));
        for (const status of objectsAt(pod, 'status', 'containerStatuses')) status['ready'] = false;
      });
    }
  }

  #registerNode(name: string): void {
    const resource = this.#api.resources.builtin('nodes');
    const labels = {
      'kubernetes.io/hostname': name,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': process.arch,
    };
    if (this.#api.find(resource, undefined, name) === undefined) {
      const node = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels },
        spec: {},
      };
      this.#api.create(resource, undefined, node, internalWrite);
    }
    const capacity = {
      cpu: String(availableParallelism()),
      memory: `${Math.floor(totalmem() / 1024)}Ki`,
      pods: '110',
    };
    const now = timestamp(this.#api.now);
    this.#api.amend(resource, undefined, name, (node) => {
      node['status'] = {
        capacity,
        allocatable: capacity,
        addresses: [
          { type: 'InternalIP', address: '127.0.0.1' },
          { type: 'Hostname', address: name },
        ],
        conditions: [
          {
            type: 'Ready',
            status: 'True',
            reason: 'KubeletReady',
            message: 'localkube runs',
            lastHeartbeatTime: now,
            lastTransitionTime: now,
          },
        ],
        nodeInfo: {
          kubeletVersion: 'v1.36.2+localkube',
          operatingSystem: process.platform,
          architecture: process.arch,
        },
      };
    });
  }
}
