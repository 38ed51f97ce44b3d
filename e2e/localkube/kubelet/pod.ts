import { join } from 'node:path';
import type { Logger } from '../../../server/base/logger.ts';
import type { ObjectApi } from '../api.ts';
import {
  equal,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
  timestamp,
} from '../objects.ts';
import type { Addresses } from './addresses.ts';
import { ConfigError, environmentOf, expand, ImageError, redirectPaths } from './environment.ts';
import type { Events } from './events.ts';
import type { ProcessFile } from './leftovers.ts';
import { isKnownProbe, type ProbeKind, Prober, probeOf } from './probes.ts';
import { ContainerProcess, type Exit } from './process.ts';
import type { Volumes } from './volumes.ts';

/** What every pod of a kubelet shares. */
export interface Node {
  readonly api: ObjectApi;
  readonly logger: Logger;
  readonly events: Events;
  readonly volumes: Volumes;
  readonly addresses: Addresses;
  readonly processes: ProcessFile;
  readonly hostsFile: string;
  /** Where containers run: their images hold this project, so it is the project's root. */
  readonly workingDirectory: string;
  /** Images that there are, with the directory that each stands for; undefined: all, and that is workingDirectory. */
  readonly images: ReadonlyMap<string, string> | undefined;
  /** What `node` stands for in a command. */
  readonly nodeProgram: string;
  /** First pause before a container is started again; it doubles up to backoffMaxMs. */
  readonly backoffMs: number;
}

const backoffMaxMs = 30_000;
/** A container that ran this long starts with a fresh back-off. */
const backoffResetMs = 60_000;
/** How soon a pod that could not be set up tries again. */
const retryMs = 1000;

interface ContainerState {
  readonly spec: JsonObject;
  process: ContainerProcess | undefined;
  probers: Prober[];
  isStarted: boolean;
  isReady: boolean;
  restarts: number;
  backoffMs: number;
  waiting: { reason: string; message: string } | undefined;
  last: Exit | undefined;
  /** Set when the container will not run again. */
  finished: Exit | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** One pod on this node: runs its containers, keeps its status, stops it. */
export class PodWorker {
  readonly #node: Node;
  readonly #uid: string;
  readonly #startTime: string;
  readonly #containers: ContainerState[];
  #pod: KubeObject;
  #ip: string;
  #isStopping = false;
  /** The object is no longer this worker's to write: localkube stops, and the next start goes on with it as it is. */
  #isDetached = false;

  constructor(node: Node, pod: KubeObject) {
    this.#node = node;
    this.#pod = pod;
    this.#uid = pod.metadata.uid;
    this.#startTime = timestamp(node.api.now);
    const before = stringAt(pod, 'status', 'podIP');
    this.#ip = before !== '' && node.addresses.keep(before) ? before : node.addresses.takePod();
    this.#containers = objectsAt(pod, 'spec', 'containers').map((spec) =>
      newContainer(spec, pod, node.backoffMs),
    );
    this.#writeStatus();
    for (const container of this.#containers) this.#start(container);
  }

  /** Takes over a changed object; starts to stop when it is being deleted. */
  update(pod: KubeObject): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp === undefined) this.#node.volumes.refresh(pod);
    else void this.#terminate(numberAt(pod, 'metadata', 'deletionGracePeriodSeconds') ?? 30);
  }

  /** Stops the processes only: the object is left as it is (or is gone already). */
  async stop(graceSeconds: number): Promise<void> {
    this.#isStopping = true;
    this.#isDetached = true;
    await this.#stopContainers(graceSeconds);
    this.#node.addresses.release(this.#ip);
  }

  /** Log file of a container; of its run before, with `isPrevious`. */
  logFile(container: string, isPrevious = false): string | undefined {
    const state = this.#containers.find(
      ({ spec }) => container === '' || spec['name'] === container,
    );
    if (state === undefined) return undefined;
    return this.#logPath(state, isPrevious ? state.restarts - 1 : state.restarts);
  }

  #logPath({ spec }: ContainerState, run: number): string {
    return join(
      this.#node.volumes.podDirectory(this.#pod),
      'logs',
      `${stringAt(spec, 'name')}-${run}.log`,
    );
  }

  async #terminate(graceSeconds: number): Promise<void> {
    if (this.#isStopping) {
      if (graceSeconds === 0) for (const { process } of this.#containers) process?.kill('SIGKILL');
      return;
    }
    this.#isStopping = true;
    this.#writeStatus();
    for (const { spec } of this.#containers) {
      this.#node.events.record(
        this.#pod,
        'Normal',
        'Killing',
        `Stopping container ${stringAt(spec, 'name')}`,
      );
    }
    await this.#stopContainers(graceSeconds);
    this.#node.addresses.release(this.#ip);
    this.#writeStatus();
    this.#deleteObject();
  }

  async #stopContainers(graceSeconds: number): Promise<void> {
    await Promise.all(
      this.#containers.map(async (container) => {
        clearTimeout(container.timer);
        stopProbers(container);
        await container.process?.stop(graceSeconds);
      }),
    );
  }

  /** Removes the object once all has stopped, unless finalizers hold it. */
  #deleteObject(): void {
    const { api, volumes } = this.#node;
    const resource = api.resources.builtin('pods');
    const { namespace, name } = this.#pod.metadata;
    if (api.find(resource, namespace, name)?.metadata.uid === this.#uid) {
      api.delete(
        { resource, namespace, name },
        { gracePeriodSeconds: 0, preconditions: { uid: this.#uid } },
      );
    }
    volumes.removePod(this.#pod);
  }

  #start(container: ContainerState): void {
    if (this.#isStopping) return;
    const name = stringAt(container.spec, 'name');
    try {
      container.process = this.#spawn(container);
      container.waiting = undefined;
    } catch (error) {
      if (error instanceof ImageError) return this.#waitForImage(container, error.message);
      if (!(error instanceof ConfigError)) throw error;
      if (container.waiting?.message !== error.message) {
        this.#node.events.record(this.#pod, 'Warning', 'Failed', `Error: ${error.message}`);
      }
      container.waiting = { reason: 'CreateContainerConfigError', message: error.message };
      container.timer = setTimeout(() => this.#start(container), retryMs);
      this.#writeStatus();
      return;
    }
    this.#node.events.record(this.#pod, 'Normal', 'Started', `Started container ${name}`);
    void container.process.exited.then((exit) => this.#onExit(container, exit));
    const hasStartup = probeOf(container.spec, 'startup') !== undefined;
    container.isStarted = !hasStartup;
    container.isReady = !hasStartup && probeOf(container.spec, 'readiness') === undefined;
    if (hasStartup) this.#probe(container, 'startup');
    else this.#probeRunning(container);
    this.#writeStatus();
  }

  /** As the kubelet says it: the failure at first, then that it tries again later. */
  #waitForImage(container: ContainerState, message: string): void {
    const image = stringAt(container.spec, 'image');
    const isFirst = container.waiting?.reason === 'ContainerCreating';
    if (isFirst) this.#node.events.record(this.#pod, 'Warning', 'Failed', message);
    container.waiting = isFirst
      ? { reason: 'ErrImagePull', message }
      : { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}": ${message}` };
    container.timer = setTimeout(() => this.#start(container), container.backoffMs);
    container.backoffMs = Math.min(container.backoffMs * 2, backoffMaxMs);
    this.#writeStatus();
  }

  /** The directory that the container's image stands for. */
  #imageDirectory({ spec }: ContainerState): string {
    const { images, workingDirectory } = this.#node;
    const image = stringAt(spec, 'image');
    const directory = images === undefined ? workingDirectory : images.get(image);
    if (directory !== undefined) return directory;
    throw new ImageError(`failed to pull and unpack image "${image}": not found`);
  }

  #spawn(container: ContainerState): ContainerProcess {
    const { api, volumes, hostsFile, nodeProgram, processes } = this.#node;
    const { spec } = container;
    const workingDirectory = this.#imageDirectory(container);
    if (objectsAt(this.#pod, 'spec', 'initContainers').length > 0) {
      throw new ConfigError('localkube does not run initContainers');
    }
    for (const kind of ['startup', 'liveness', 'readiness'] as const) {
      const probe = probeOf(spec, kind);
      if (probe !== undefined && !isKnownProbe(probe))
        throw new ConfigError(`localkube runs httpGet and tcpSocket probes only (${kind})`);
    }
    const pod = {
      ...this.#pod,
      status: { ...objectAt(this.#pod, 'status'), podIP: this.#ip, hostIP: '127.0.0.1' },
    };
    const declared = environmentOf(api, pod, spec);
    const messageFile = join(volumes.podDirectory(pod), 'messages', stringAt(spec, 'name'));
    const mounts = [
      ...volumes.mountsOf(pod, spec),
      { mountPath: stringAt(spec, 'terminationMessagePath'), hostPath: messageFile },
    ];
    const redirect = (text: string) => redirectPaths(text, mounts);
    const command = [...texts(spec['command']), ...texts(spec['args'])].map((part) =>
      redirect(expand(part, declared)),
    );
    if (command.length === 0)
      throw new ConfigError('localkube ignores images: a container needs a command');
    const [program = '', ...args] = command;
    const redirected = Object.entries(declared).map(([name, value]) => [name, redirect(value)]);
    return new ContainerProcess(
      {
        command: [program === 'node' ? nodeProgram : program, ...args],
        directory:
          stringAt(spec, 'workingDir') === ''
            ? workingDirectory
            : redirect(stringAt(spec, 'workingDir')),
        environment: {
          PATH: process.env['PATH'] ?? '',
          HOME: volumes.podDirectory(pod),
          HOSTNAME: stringAt(pod, 'spec', 'hostname') || pod.metadata.name,
          MAINSTAY_HOSTS_FILE: hostsFile,
          ...(Object.fromEntries(redirected) as Record<string, string>),
        },
        logFile: this.#logPath(container, container.restarts),
        messageFile,
        tellsLog: spec['terminationMessagePolicy'] === 'FallbackToLogsOnError',
      },
      processes,
    );
  }

  #probe(container: ContainerState, kind: ProbeKind): void {
    const probe = probeOf(container.spec, kind);
    if (probe === undefined) return;
    const name = stringAt(container.spec, 'name');
    const prober = new Prober(kind, probe, container.spec, this.#ip, ({ isSuccess, detail }) => {
      if (!isSuccess)
        this.#node.events.record(
          this.#pod,
          'Warning',
          'Unhealthy',
          `${capitalized(kind)} probe failed: ${detail}`,
        );
      switch (kind) {
        case 'readiness':
          if (container.isReady === isSuccess) return;
          container.isReady = isSuccess;
          return this.#writeStatus();
        case 'startup':
          if (isSuccess) {
            prober.stop();
            container.isStarted = true;
            container.isReady = probeOf(container.spec, 'readiness') === undefined;
            this.#probeRunning(container);
            return this.#writeStatus();
          }
          return this.#killUnhealthy(container, name, kind);
        case 'liveness':
          return isSuccess ? undefined : this.#killUnhealthy(container, name, kind);
      }
    });
    container.probers.push(prober);
  }

  #probeRunning(container: ContainerState): void {
    this.#probe(container, 'readiness');
    this.#probe(container, 'liveness');
  }

  #killUnhealthy(container: ContainerState, name: string, kind: ProbeKind): void {
    this.#node.events.record(
      this.#pod,
      'Normal',
      'Killing',
      `Container ${name} failed ${kind} probe, will be restarted`,
    );
    stopProbers(container);
    void container.process?.stop(
      numberAt(this.#pod, 'spec', 'terminationGracePeriodSeconds') ?? 30,
    );
  }

  #onExit(container: ContainerState, exit: Exit): void {
    stopProbers(container);
    container.process = undefined;
    container.isReady = false;
    container.isStarted = false;
    const policy = stringAt(this.#pod, 'spec', 'restartPolicy');
    const isFinal =
      this.#isStopping || policy === 'Never' || (policy === 'OnFailure' && exit.code === 0);
    if (isFinal) {
      container.finished = exit;
      return this.#writeStatus();
    }
    const ranMs = exit.finishedAt.getTime() - exit.startedAt.getTime();
    if (ranMs >= backoffResetMs) container.backoffMs = this.#node.backoffMs;
    container.last = exit;
    this.#node.events.record(
      this.#pod,
      'Warning',
      'BackOff',
      `Back-off restarting failed container ${stringAt(container.spec, 'name')}`,
    );
    container.waiting = {
      reason: 'CrashLoopBackOff',
      message: `back-off ${container.backoffMs} ms restarting failed container`,
    };
    container.timer = setTimeout(() => {
      container.restarts += 1;
      this.#start(container);
    }, container.backoffMs);
    container.backoffMs = Math.min(container.backoffMs * 2, backoffMaxMs);
    this.#writeStatus();
  }

  #writeStatus(): void {
    if (this.#isDetached) return;
    const { api } = this.#node;
    const { namespace, name } = this.#pod.metadata;
    api.amend(api.resources.builtin('pods'), namespace, name, (pod) => {
      if (pod.metadata.uid !== this.#uid) return;
      pod['status'] = this.#status(objectAt(pod, 'status'));
    });
  }

  #status(before: JsonObject): JsonObject {
    const isReady = !this.#isStopping && this.#containers.every((container) => container.isReady);
    const isOver = this.#containers.every(({ finished }) => finished !== undefined);
    const conditions = withConditions(
      objectsAt(before, 'conditions'),
      timestamp(this.#node.api.now),
      [
        ['Initialized', true],
        ['Ready', isReady],
        ['ContainersReady', isReady],
      ],
    );
    return {
      ...before,
      phase: this.#phase(),
      conditions,
      hostIP: '127.0.0.1',
      hostIPs: [{ ip: '127.0.0.1' }],
      ...(isOver ? {} : { podIP: this.#ip, podIPs: [{ ip: this.#ip }] }),
      startTime: this.#startTime,
      containerStatuses: this.#containers.map((container) => containerStatus(container, this.#uid)),
    };
  }

  #phase(): string {
    const finished = this.#containers.map((container) => container.finished);
    if (finished.every((exit) => exit !== undefined)) {
      return finished.every((exit) => exit?.code === 0) ? 'Succeeded' : 'Failed';
    }
    const hasRun = this.#containers.some(
      ({ process, last }) => process !== undefined || last !== undefined,
    );
    return hasRun ? 'Running' : 'Pending';
  }
}

function newContainer(spec: JsonObject, pod: KubeObject, backoffMs: number): ContainerState {
  const before = objectsAt(pod, 'status', 'containerStatuses').find(
    (status) => status['name'] === spec['name'],
  );
  return {
    spec,
    process: undefined,
    probers: [],
    isStarted: false,
    isReady: false,
    // A pod that ran before localkube was started again counts that as a restart.
    restarts: before === undefined ? 0 : (numberAt(before, 'restartCount') ?? 0) + 1,
    backoffMs,
    waiting: { reason: 'ContainerCreating', message: '' },
    last: undefined,
    finished: undefined,
    timer: undefined,
  };
}

function stopProbers(container: ContainerState): void {
  for (const prober of container.probers) prober.stop();
  container.probers = [];
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function containerStatus(container: ContainerState, uid: string): JsonObject {
  const { spec, process, restarts, isReady, isStarted, last, finished } = container;
  const name = stringAt(spec, 'name');
  return {
    name,
    image: stringAt(spec, 'image'),
    imageID: '',
    ready: isReady,
    started: isStarted,
    restartCount: restarts,
    state: stateOf(container),
    lastState:
      last === undefined || (finished !== undefined && last === finished)
        ? {}
        : { terminated: terminated(last) },
    ...(process?.pid === undefined
      ? {}
      : { containerID: `localkube://${uid}/${name}/${process.pid}` }),
  };
}

function stateOf({ process, waiting, finished }: ContainerState): JsonObject {
  if (finished !== undefined) return { terminated: terminated(finished) };
  if (process !== undefined) return { running: { startedAt: timestamp(process.startedAt) } };
  const { reason = 'ContainerCreating', message = '' } = waiting ?? {};
  return { waiting: message === '' ? { reason } : { reason, message } };
}

function terminated(exit: Exit): JsonObject {
  return {
    exitCode: exit.code,
    reason: exit.code === 0 ? 'Completed' : 'Error',
    startedAt: timestamp(exit.startedAt),
    finishedAt: timestamp(exit.finishedAt),
    ...(exit.message === '' ? {} : { message: exit.message }),
  };
}

/** Conditions with these values; the time of transition changes only with the value. */
export function withConditions(
  before: readonly JsonObject[],
  now: string,
  values: readonly (readonly [type: string, isTrue: boolean])[],
): JsonObject[] {
  const changed = values.map(([type, isTrue]) => {
    const status = isTrue ? 'True' : 'False';
    const old = before.find((condition) => condition['type'] === type);
    if (old !== undefined && equal(old['status'], status)) return old;
    return { type, status, lastProbeTime: null, lastTransitionTime: now };
  });
  const others = before.filter(({ type }) => !values.some(([name]) => name === type));
  return [...others, ...changed];
}
