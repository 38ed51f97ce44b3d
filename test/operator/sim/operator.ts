import type { Outcome } from '../../../operator/act/act.ts';
import type { KubeEvent } from '../../../operator/api/objects.ts';
import type { KubeClient, Preconditions, Query } from '../../../operator/kube/client.ts';
import type { Recorder } from '../../../operator/kube/recorder.ts';
import type { Alarm, Observation } from '../../../operator/observe/observation.ts';
import type { StoreAdmin } from '../../../operator/observe/store-admin.ts';
import type { Plan } from '../../../operator/plan/plan.ts';
import { type ReconcileModules, reconcile } from '../../../operator/reconcile.ts';
import { allRules } from '../../../operator/resources/permissions.ts';
import { AuthorizedKube } from '../support/authorized-kube.ts';
import { collectionOf, type Version } from '../support/fake-kube.ts';
import type { FakeStoreAdmin } from '../support/fake-store.ts';
import { key } from './children.ts';
import { tlsMetrics } from './secrets.ts';
import type { World } from './world.ts';

/** What goes wrong in one pass. */
export interface PassFaults {
  /** Which write of the pass, 0 the first, and what becomes of it. */
  readonly at?: number;
  /** `crash`: the process ends there; `timeout`: it learns that there was no answer. */
  readonly kind?: 'crash' | 'timeout';
  readonly when?: 'before' | 'after';
  /** How many versions behind the answer about a collection is; with a number of the request, as by servers that differ. */
  readonly lag?: (collection: string, request: number) => number;
  /** The API server does not answer. */
  readonly isApiAway?: boolean;
}

/** One request that changes something, as the operator sent it. */
export interface Write {
  readonly verb: string;
  /** Path of the object, or the member concerned. */
  readonly target: string;
}

export interface PassReport {
  readonly observation: Observation | undefined;
  readonly plan: Plan | undefined;
  readonly outcome: Outcome | undefined;
  readonly events: readonly Pick<KubeEvent, 'type' | 'reason' | 'message'>[];
  readonly writes: readonly Write[];
  readonly requests: number;
  readonly error: Error | undefined;
  /** When the operator wants to look again; undefined when the StoreCluster is gone or the pass failed. */
  readonly againMs: number | undefined;
}

class CrashError extends Error {
  override name = 'CrashError';
}

/** One pass of the operator as shipped, over a connection that can lose answers, lag and end at any write. */
export class Pass {
  readonly done: Promise<PassReport>;
  readonly #world: World;
  readonly #faults: PassFaults;
  readonly #writes: Write[] = [];
  readonly #events: Pick<KubeEvent, 'type' | 'reason' | 'message'>[] = [];
  #requests = 0;
  #isDead = false;
  #decided: { plan: Plan; outcome: Outcome; observation: Observation } | undefined;
  /** Closed while somebody holds the pass up before its first write. */
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => {};
  #arrive: () => void = () => {};

  constructor(world: World, faults: PassFaults = {}, isHeld = false) {
    this.#world = world;
    this.#faults = faults;
    if (isHeld) {
      this.#gate = new Promise((resolve) => {
        this.#open = resolve;
      });
    }
    this.done = this.#run();
  }

  /** Resolves when a held pass has come to its first write, or has ended without one. */
  static async hold(world: World): Promise<Pass> {
    let arrive = () => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const pass = new Pass(world, {}, true);
    pass.#arrive = arrive;
    await Promise.race([arrived, pass.done]);
    return pass;
  }

  /** Lets a held pass go on to its end. */
  release(): Promise<PassReport> {
    this.#open();
    return this.done;
  }

  async #run(): Promise<PassReport> {
    let error: Error | undefined;
    let againMs: number | undefined;
    try {
      againMs = await reconcile(this.#modules(), key, (plan, outcome, { observation }) => {
        this.#decided = { plan, outcome, observation };
      });
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    const { plan, outcome, observation } = this.#decided ?? {};
    const [events, writes, requests] = [this.#events, this.#writes, this.#requests];
    return { plan, outcome, observation, events, writes, requests, error, againMs };
  }

  #modules(): ReconcileModules {
    const recorder: Recorder = {
      record: (_about, event) => {
        this.#events.push(event);
      },
    };
    return {
      kube: new AuthorizedKube(this.#kube(), { rules: allRules }),
      store: this.#store(this.#world.admin),
      recorder,
      fence: () => this.#throwIfDead(),
      wallMs: () => this.#world.nowMs,
      newNonce: () => this.#world.newNonce(),
      imageRepository: 'mainstay',
      readMetrics: async (address) => {
        const isThere = this.#world.pods().some(({ status }) => status?.podIP === address);
        if (!isThere) throw new Error('connection refused');
        return tlsMetrics(this.#world.kube);
      },
      readLog: async (path) => this.#world.mirrors.logOf(path),
      clusterDomain: 'cluster.local',
      reloadMs: 1_000,
    };
  }

  #kube(): KubeClient {
    const { kube } = this.#world;
    return {
      get: async <T>(path: string) => this.#view(collectionOf(path)).get(path) as T | undefined,
      list: async <T>(path: string, query?: Query) => kube.listOf(this.#view(path), query) as T,
      create: (path, object) =>
        this.#write('create', `${path}/${object.metadata.name}`, () => kube.create(path, object)),
      apply: (path, object) => this.#write('apply', path, () => kube.apply(path, object)),
      replace: (path, object) => this.#write('replace', path, () => kube.replace(path, object)),
      patch: <T>(path: string, patch: unknown) =>
        this.#write('patch', path, () => kube.patch<T>(path, patch)),
      remove: (path, preconditions: Preconditions) =>
        this.#write('remove', path, () => kube.remove(path, preconditions)),
    };
  }

  /** Questions go to the members as they are: a store answers for itself or not at all. */
  #store(admin: FakeStoreAdmin): StoreAdmin & { memberAdd: StoreAdmin['memberAddLearner'] } {
    const write = (verb: string, target: string, effect: () => Promise<void>) =>
      this.#write(verb, target, effect);
    return {
      as: (access) => this.#store(admin.as(access)),
      auth: (endpoints, about) => admin.auth(endpoints, about),
      changeAuth: (endpoints, change, password) =>
        write(`auth ${change.kind}`, '', () => admin.changeAuth(endpoints, change, password)),
      memberList: (endpoints) => admin.memberList(endpoints),
      status: (endpoint) => admin.status(endpoint),
      hash: (endpoint) => admin.hash(endpoint),
      alarms: (endpoints) => admin.alarms(endpoints),
      memberAddLearner: (endpoints, url) =>
        write('addLearner', url, () => admin.memberAddLearner(endpoints, url)),
      memberAddObserver: (endpoints, url) =>
        write('addObserver', url, () => admin.memberAddObserver(endpoints, url)),
      memberAdd: (endpoints, url) => write('addVoter', url, () => admin.memberAdd(endpoints, url)),
      memberPromote: (endpoints, id) =>
        write('promote', id, () => admin.memberPromote(endpoints, id)),
      memberRemove: (endpoints, id) =>
        write('removeMember', id, () => admin.memberRemove(endpoints, id)),
      moveLeader: (leader, id) => write('moveLeader', id, () => admin.moveLeader(leader, id)),
      disarm: (endpoints, alarm: Alarm) =>
        write('disarm', alarm.memberId, () => admin.disarm(endpoints, alarm)),
      compact: (endpoints, revision) =>
        write('compact', String(revision), () => admin.compact(endpoints, revision)),
      defragment: (endpoint) => write('defragment', endpoint, () => admin.defragment(endpoint)),
    };
  }

  #view(collection: string): Version {
    this.#throwIfDead();
    this.#requests += 1;
    if (this.#faults.isApiAway === true) throw new Error('the API server does not answer');
    const lag = this.#faults.lag?.(collection, this.#requests) ?? 0;
    return this.#world.kube.view(collection, lag);
  }

  async #write<T>(verb: string, target: string, effect: () => Promise<T>): Promise<T> {
    this.#arrive();
    await this.#gate;
    this.#throwIfDead();
    this.#requests += 1;
    const { at, when, isApiAway } = this.#faults;
    const isStruck = at === this.#writes.length;
    this.#writes.push({ verb, target });
    if (isApiAway === true) throw new Error('the API server does not answer');
    if (isStruck && when === 'before') this.#strike();
    const result = await effect();
    if (isStruck && when === 'after') this.#strike();
    return result;
  }

  #strike(): never {
    this.#isDead = this.#faults.kind === 'crash';
    if (this.#isDead) throw new CrashError('the operator ends here');
    throw new Error('the answer is lost');
  }

  #throwIfDead(): void {
    if (this.#isDead) throw new CrashError('the operator has ended');
  }
}
