import { EtcdError } from '../../server/base/errors.ts';
import { memberIdOf } from '../../server/member/ids.ts';
import { ConfChangeKind, Member } from '../../server/proto/gen/internal.ts';
import type { Cluster } from './cluster.ts';
import type { SimMember, SimReplica } from './member.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SwarmConfig } from './swarm.ts';
import type { Endpoint } from './workload.ts';

const membersMax = 8;
const changesAtOnceMax = 3;

type Change = 'addLearner' | 'addVoter' | 'promote' | 'remove';

/**
 * Changes the membership: adds, promotes, removes; often several at once and without asking whether that is wise, as
 * `--strict-reconfig-check=false` does. Raft has to order it all.
 */
export class Operator {
  readonly #cluster: Cluster;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #config: SwarmConfig;
  #underWay = 0;

  constructor(
    modules: { cluster: Cluster; scheduler: Scheduler; random: SeededRandom },
    config: SwarmConfig,
  ) {
    this.#cluster = modules.cluster;
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
    this.#config = config;
  }

  /** Begins one change; false when there is none to make. */
  act(): boolean {
    const endpoints = this.#cluster.endpoints();
    if (endpoints.length === 0 || this.#underWay >= changesAtOnceMax) return false;
    const endpoint = this.#random.pick(endpoints);
    const known = endpoint.replica.port.members();
    const kind = this.#choose(known);
    if (kind === undefined) return false;
    this.#underWay++;
    this.#perform(endpoint, kind, known).then(
      () => this.#ended(kind),
      (error: unknown) => {
        if (!(error instanceof EtcdError)) throw error;
        this.#ended(error.error);
      },
    );
    return true;
  }

  /** Adds an observer where there are fewer than there are to be; false when there is none to add. */
  addObserver(): boolean {
    const endpoints = this.#cluster.endpoints();
    if (endpoints.length === 0 || this.#underWay >= changesAtOnceMax) return false;
    const { port } = this.#random.pick(endpoints);
    const known = port.members();
    if (known.filter(({ isObserver }) => isObserver).length >= this.#config.observers) return false;
    const member = this.#cluster.addMachine(known);
    const peerUrls = [member.plan.peerUrl];
    this.#underWay++;
    port.changeMembership({ kind: 'addObserver', peerUrls }).then(
      () => this.#observerAdded(member, 'addObserver'),
      (error: unknown) => {
        if (!(error instanceof EtcdError)) throw error;
        this.#observerAdded(member, error.error);
      },
    );
    return true;
  }

  /** Also when nobody knows whether it was added: then it finds out. */
  #observerAdded(member: SimMember, how: string): void {
    this.#ended(how);
    this.#cluster.start(member);
  }

  #ended(how: string): void {
    this.#underWay--;
    this.#cluster.counters.add(`membership.${how}`);
  }

  #choose(known: readonly Member[]): Change | undefined {
    const voters = known.filter((member) => !member.isLearner).length;
    const hasLearner = known.some(isPromotable);
    // Where a minority's disks may be damaged, the majority must not become smaller.
    const votersMin = this.#mayDamage ? Math.max(3, this.#config.members + 1) : 3;
    const choices: Change[] = [];
    if (hasLearner) choices.push('promote', 'promote');
    if (voters >= votersMin) choices.push('remove');
    if (this.#cluster.members.length < membersMax) {
      choices.push('addVoter');
      if (!hasLearner) choices.push('addLearner', 'addLearner');
    }
    return choices.length === 0 ? undefined : this.#random.pick(choices);
  }

  get #mayDamage(): boolean {
    return this.#config.nemeses.some((kind) => /damage|lose/i.test(kind));
  }

  async #perform(endpoint: Endpoint, kind: Change, known: readonly Member[]): Promise<void> {
    switch (kind) {
      case 'addLearner':
      case 'addVoter':
        await this.#add(endpoint, kind, known);
        return;
      case 'promote': {
        const { id } = this.#random.pick(known.filter(isPromotable));
        if (this.#asksFirst()) {
          await endpoint.replica.port.changeMembership({ kind, memberId: id });
        } else await changeAtOnce(endpoint.replica, ConfChangeKind.PROMOTE, { id });
        return;
      }
      case 'remove': {
        const { id } = this.#random.pick(known);
        if (this.#asksFirst()) {
          await endpoint.replica.port.changeMembership({ kind, memberId: id });
        } else await changeAtOnce(endpoint.replica, ConfChangeKind.REMOVE, { id });
      }
    }
  }

  async #add(
    endpoint: Endpoint,
    kind: 'addLearner' | 'addVoter',
    known: readonly Member[],
  ): Promise<void> {
    const member = this.#cluster.addMachine(known);
    const peerUrls = [member.plan.peerUrl];
    try {
      if (this.#asksFirst()) await endpoint.replica.port.changeMembership({ kind, peerUrls });
      else {
        const unixSeconds = Math.floor(this.#scheduler.nowMs / 1000);
        const id = memberIdOf(peerUrls, { unixSeconds });
        const isLearner = kind === 'addLearner';
        const raftKind = isLearner ? ConfChangeKind.ADD_LEARNER : ConfChangeKind.ADD_VOTER;
        await changeAtOnce(endpoint.replica, raftKind, { id, peerUrls, isLearner });
      }
    } finally {
      // Also when nobody knows whether it was added: then it finds out.
      this.#cluster.start(member);
    }
  }

  #asksFirst(): boolean {
    return this.#random.chance(0.3);
  }
}

function isPromotable({ isLearner, isObserver }: Member): boolean {
  return isLearner && !isObserver;
}

/** Straight to raft, past the checks of the cluster's health. */
function changeAtOnce(
  replica: SimReplica,
  kind: ConfChangeKind,
  member: Partial<Member>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const observers = replica.port.members().filter(({ isObserver }) => isObserver).length;
    const learnersMaxPlusOne = observers === 0 ? 0 : observers + 2;
    const change = { kind, member: Member.create(member), learnersMaxPlusOne };
    replica.changeMembership(change, (error, applied) => {
      const failure = error ?? applied?.error;
      if (failure === undefined) resolve();
      else reject(failure);
    });
  });
}
