import type { Alarm, MemberStatus } from '../../../operator/observe/observation.ts';
import {
  AccessRefused,
  type AuthChange,
  type AuthQuestion,
  type MemberListing,
  type StoreAccess,
  type StoreAdmin,
  type StoreAuth,
} from '../../../operator/observe/store-admin.ts';
import { quorumOf } from '../../../operator/resources/budget.ts';
import { FakeAuth } from './fake-auth.ts';

export interface FakeMember {
  readonly id: string;
  name: string;
  peerUrl: string;
  learner: boolean;
  /** What it has applied of the store's log. */
  applied: number;
  databaseBytes: number;
}

/** Raft reduced to what membership needs: who is in it, who runs, who leads, how far each is. */
export class FakeStore {
  readonly clusterId: string;
  readonly members: FakeMember[] = [];
  readonly removed = new Set<string>();
  /** Peer URLs of all members that there ever were. */
  readonly peerUrls = new Set<string>();
  /** Ids of the members whose process runs and reaches the others. */
  readonly running = new Set<string>();
  leaderId = '0';
  term = 1;
  logIndex = 10;
  revision = 1;
  /** What the keys take, and what their history takes until it is compacted. */
  liveBytes = 0;
  historyBytes = 0;
  readonly alarms: Alarm[] = [];
  readonly auth = new FakeAuth();
  #serial = 0;

  constructor(clusterId: string) {
    this.clusterId = clusterId;
  }

  add(peerUrl: string, learner: boolean): FakeMember {
    this.#serial += 1;
    const id = `${this.clusterId}${this.#serial.toString(16)}`;
    const member = { id, name: '', peerUrl, learner, applied: 0, databaseBytes: 0 };
    this.members.push(member);
    this.peerUrls.add(peerUrl);
    this.logIndex += 1;
    return member;
  }

  remove(id: string): void {
    const position = this.members.findIndex((member) => member.id === id);
    this.members.splice(position, 1);
    this.removed.add(id);
    this.running.delete(id);
  }

  voters(): FakeMember[] {
    return this.members.filter((member) => !member.learner);
  }

  runningVoters(): FakeMember[] {
    return this.voters().filter((member) => this.running.has(member.id));
  }

  hasQuorum(): boolean {
    return this.runningVoters().length >= quorumOf(this.voters().length);
  }

  /** Elects, replicates. */
  turn(): void {
    const voters = this.runningVoters();
    if (!this.hasQuorum()) this.leaderId = '0';
    else if (!voters.some((member) => member.id === this.leaderId)) {
      const best = voters.reduce((a, b) => (b.applied > a.applied ? b : a));
      this.leaderId = best.id;
      this.term += 1;
      this.logIndex += 1;
    }
    if (this.leaderId === '0') return;
    for (const member of this.members) {
      if (!this.running.has(member.id)) continue;
      const step = member.id === this.leaderId ? Infinity : Math.ceil(this.logIndex / 3);
      member.applied = Math.min(this.logIndex, member.applied + step);
    }
  }

  commit(change: () => void): void {
    if (this.leaderId === '0' || !this.hasQuorum()) throw new Error('etcdserver: no leader');
    change();
    this.logIndex += 1;
  }
}

/** Whom an endpoint reaches; undefined when nothing listens there. */
export type Route = (
  endpoint: string,
) => { readonly store: FakeStore; readonly id: string } | undefined;

/** `id`: the member concerned; the peer URL of one that is added. */
export interface StoreHooks {
  before?(verb: string, store: FakeStore, id: string): void;
  after?(verb: string): void;
}

export class FakeStoreAdmin implements StoreAdmin {
  readonly #reach: Route;
  readonly #root: FakeStoreAdmin;
  readonly #access: StoreAccess | undefined;
  readonly hooks: StoreHooks = {};
  #writes = 0;

  constructor(
    route: Route,
    asked?: { readonly root: FakeStoreAdmin; readonly access: StoreAccess },
  ) {
    this.#reach = route;
    this.#root = asked?.root ?? this;
    this.#access = asked?.access;
    if (asked !== undefined) this.hooks = asked.root.hooks;
  }

  get writes(): number {
    return this.#root.#writes;
  }

  as(access: StoreAccess): StoreAdmin {
    return new FakeStoreAdmin(this.#reach, { root: this.#root, access });
  }

  #route(endpoint: string): ReturnType<Route> {
    const reached = this.#reach(endpoint);
    const login = this.#access?.credentials;
    if (reached?.store.auth.knows(login) === false) throw new AccessRefused('who is this?');
    return reached;
  }

  async auth(endpoints: readonly string[], about: AuthQuestion): Promise<StoreAuth> {
    return this.#ask(endpoints).auth.answer(about);
  }

  async changeAuth(
    endpoints: readonly string[],
    change: AuthChange,
    password?: string,
  ): Promise<void> {
    this.#change(`auth ${change.kind}`, endpoints, '', (store) => {
      store.commit(() => store.auth.change(change, password));
    });
  }

  async memberList(endpoints: readonly string[]): Promise<MemberListing> {
    const store = this.#ask(endpoints);
    const members = store.members.map(({ id, name, peerUrl, learner }) => {
      return { id, name, peerUrls: [peerUrl], learner };
    });
    return { clusterId: store.clusterId, members };
  }

  async status(endpoint: string): Promise<MemberStatus> {
    const reached = this.#route(endpoint);
    if (reached === undefined) throw new Error('connection refused');
    const { store, id } = reached;
    const member = store.members.find((candidate) => candidate.id === id);
    const leaderId = member === undefined ? '0' : store.leaderId;
    const applied = member?.applied ?? 0;
    const raftIndex = id === store.leaderId ? store.logIndex : applied;
    return {
      memberId: id,
      leaderId,
      raftTerm: store.term,
      raftIndex,
      raftAppliedIndex: applied,
      revision: store.revision,
      databaseBytes: member?.databaseBytes ?? 0,
      databaseBytesInUse: Math.min(
        member?.databaseBytes ?? 0,
        store.liveBytes + store.historyBytes,
      ),
    };
  }

  async memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void> {
    this.#change('add', endpoints, peerUrl, (store) => {
      if (store.members.some((member) => member.peerUrl === peerUrl)) {
        throw new Error('etcdserver: Peer URLs already exists');
      }
      if (store.members.some((member) => member.learner)) {
        throw new Error('etcdserver: too many learner members in cluster');
      }
      store.commit(() => store.add(peerUrl, true));
    });
  }

  async memberPromote(endpoints: readonly string[], memberId: string): Promise<void> {
    this.#change('promote', endpoints, memberId, (store) => {
      const member = memberOf(store, memberId);
      if (!member.learner) throw new Error('etcdserver: can only promote a learner member');
      if (member.applied < store.logIndex * 0.9) {
        throw new Error(
          'etcdserver: can only promote a learner member which is in sync with leader',
        );
      }
      store.commit(() => {
        member.learner = false;
      });
    });
  }

  async memberRemove(endpoints: readonly string[], memberId: string): Promise<void> {
    this.#change('remove', endpoints, memberId, (store) => {
      const member = memberOf(store, memberId);
      const left = store.runningVoters().filter((voter) => voter !== member).length;
      const voters = store.voters().filter((voter) => voter !== member).length;
      if (left < quorumOf(voters)) throw new Error('etcdserver: unhealthy cluster');
      store.commit(() => store.remove(member.id));
    });
  }

  async moveLeader(leader: string, targetMemberId: string): Promise<void> {
    this.#change('moveLeader', [leader], targetMemberId, (store) => {
      if (this.#route(leader)?.id !== store.leaderId) throw new Error('etcdserver: not leader');
      if (!store.running.has(targetMemberId)) throw new Error('etcdserver: bad leader transferee');
      store.leaderId = targetMemberId;
      store.term += 1;
    });
  }

  async hash(endpoint: string): Promise<string> {
    if (this.#route(endpoint) === undefined) throw new Error('connection refused');
    return '7';
  }

  async alarms(endpoints: readonly string[]): Promise<readonly Alarm[]> {
    return [...this.#ask(endpoints).alarms];
  }

  async disarm(endpoints: readonly string[], { memberId, kind }: Alarm): Promise<void> {
    this.#change('disarm', endpoints, memberId, (store) => {
      store.commit(() => {
        const position = store.alarms.findIndex(
          (alarm) => alarm.memberId === memberId && alarm.kind === kind,
        );
        if (position >= 0) store.alarms.splice(position, 1);
      });
    });
  }

  async compact(endpoints: readonly string[], revision: number): Promise<void> {
    this.#change('compact', endpoints, String(revision), (store) => {
      if (revision > store.revision)
        throw new Error('etcdserver: mvcc: required revision is a future revision');
      store.commit(() => {
        store.historyBytes = 0;
      });
    });
  }

  async defragment(endpoint: string): Promise<void> {
    const reached = this.#route(endpoint);
    if (reached === undefined) throw new Error('connection refused');
    this.hooks.before?.('defragment', reached.store, reached.id);
    const member = memberOf(reached.store, reached.id);
    member.databaseBytes = Math.min(
      member.databaseBytes,
      reached.store.liveBytes + reached.store.historyBytes,
    );
    this.#root.#writes += 1;
    this.hooks.after?.('defragment');
  }

  #change(
    verb: string,
    endpoints: readonly string[],
    id: string,
    effect: (store: FakeStore) => void,
  ): void {
    const store = this.#ask(endpoints);
    this.hooks.before?.(verb, store, id);
    effect(store);
    this.#root.#writes += 1;
    this.hooks.after?.(verb);
  }

  /** A running voter of a store with a leader. */
  #ask(endpoints: readonly string[]): FakeStore {
    for (const endpoint of endpoints) {
      const reached = this.#route(endpoint);
      const { store, id } = reached ?? {};
      if (store?.voters().some((member) => member.id === id) && store.leaderId !== '0')
        return store;
    }
    throw new Error('etcdserver: request timed out');
  }
}

function memberOf(store: FakeStore, id: string): FakeMember {
  const member = store.members.find((candidate) => candidate.id === id);
  if (member === undefined) throw new Error('etcdserver: member not found');
  return member;
}
