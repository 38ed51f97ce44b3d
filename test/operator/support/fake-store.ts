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
  observer: boolean;
  /** What it has of the store's log. */
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
  /** What was acknowledged to clients: a majority had it. */
  committed = 0;
  /** Whether an election was won without what had been acknowledged. */
  hasLostWrites = false;
  revision = 1;
  /** Entries that clients write in each turn. */
  entriesPerTurn = 0;
  /** What the keys take, and what their history takes until it is compacted. */
  liveBytes = 0;
  historyBytes = 0;
  readonly alarms: Alarm[] = [];
  auth = new FakeAuth();
  #serial = 0;

  constructor(clusterId: string) {
    this.clusterId = clusterId;
  }

  clone(): FakeStore {
    const copy = new FakeStore(this.clusterId);
    const { leaderId, term, committed, hasLostWrites, revision, entriesPerTurn } = this;
    const { liveBytes, historyBytes } = this;
    Object.assign(copy, { leaderId, term, committed, hasLostWrites, revision, entriesPerTurn });
    Object.assign(copy, { liveBytes, historyBytes });
    copy.members.push(...this.members.map((member) => ({ ...member })));
    copy.alarms.push(...this.alarms);
    copy.auth = this.auth.clone();
    for (const id of this.removed) copy.removed.add(id);
    for (const url of this.peerUrls) copy.peerUrls.add(url);
    for (const id of this.running) copy.running.add(id);
    copy.#serial = this.#serial;
    return copy;
  }

  add(peerUrl: string, learner: boolean, observer = false): FakeMember {
    this.#serial += 1;
    const id = `${this.clusterId}${this.#serial.toString(16)}`;
    const member = { id, name: '', peerUrl, learner, observer, applied: 0, databaseBytes: 0 };
    this.members.push(member);
    this.peerUrls.add(peerUrl);
    return member;
  }

  remove(id: string): void {
    const position = this.members.findIndex((member) => member.id === id);
    this.members.splice(position, 1);
    this.removed.add(id);
    this.running.delete(id);
    if (this.leaderId === id) this.leaderId = '0';
  }

  /** What `--force-new-cluster` does: one member goes on alone, with what it has. */
  force(id: string): void {
    const others = this.members.filter((member) => member.id !== id);
    for (const member of others) this.remove(member.id);
    const [survivor] = this.members;
    if (survivor === undefined) return;
    survivor.learner = false;
    survivor.observer = false;
    this.committed = survivor.applied;
  }

  member(id: string): FakeMember | undefined {
    return this.members.find((member) => member.id === id);
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

  get lastIndex(): number {
    return this.member(this.leaderId)?.applied ?? 0;
  }

  /** Whether a member that runs has less than the leader. */
  get isCatchingUp(): boolean {
    const { lastIndex } = this;
    return this.members.some(({ id, applied }) => this.running.has(id) && applied < lastIndex);
  }

  /** Elects, writes, replicates. */
  turn(): void {
    const voters = this.runningVoters();
    if (!this.hasQuorum()) this.leaderId = '0';
    else if (!voters.some((member) => member.id === this.leaderId)) this.#elect(voters);
    const leader = this.member(this.leaderId);
    if (leader === undefined) return;
    const isFull = this.alarms.some(({ kind }) => kind === 'NOSPACE');
    if (!isFull && this.entriesPerTurn > 0) {
      leader.applied += this.entriesPerTurn;
      this.revision += this.entriesPerTurn;
    }
    for (const member of this.members) {
      if (!this.running.has(member.id)) continue;
      const aThird = Math.min(Math.ceil(leader.applied / 3), 6_000);
      const step = Math.max(50, aThird, 2 * this.entriesPerTurn);
      member.applied = Math.min(leader.applied, member.applied + step);
      member.databaseBytes = Math.max(member.databaseBytes, this.liveBytes + this.historyBytes);
    }
    this.#acknowledge();
  }

  commit(change: () => void): void {
    const leader = this.member(this.leaderId);
    if (leader === undefined || !this.hasQuorum()) throw new Error('etcdserver: no leader');
    leader.applied += 1;
    const quorum = quorumOf(this.voters().length);
    const nearest = this.runningVoters().sort((a, b) => b.applied - a.applied);
    for (const voter of nearest.slice(0, quorum)) voter.applied = leader.applied;
    this.#acknowledge();
    change();
  }

  #elect(voters: readonly FakeMember[]): void {
    const best = voters.reduce((a, b) => (b.applied > a.applied ? b : a));
    if (best.applied < this.committed) this.hasLostWrites = true;
    this.leaderId = best.id;
    this.term += 1;
    best.applied += 1;
    for (const member of this.members) member.applied = Math.min(member.applied, best.applied);
  }

  #acknowledge(): void {
    const voters = this.voters().sort((a, b) => b.applied - a.applied);
    const last = voters[quorumOf(voters.length) - 1];
    this.committed = Math.max(this.committed, last?.applied ?? 0);
  }
}

/** Whom an endpoint reaches; undefined when nothing listens there. */
export type Route = (
  endpoint: string,
) => { readonly store: FakeStore; readonly id: string } | undefined;

/** Called after every change that was not refused. */
export interface StoreHooks {
  after?(change: StoreChange): void;
}

export interface StoreChange {
  readonly verb: string;
  readonly store: FakeStore;
  /** The member concerned; the peer URL of one that is added. */
  readonly id: string;
  /** As it was before. */
  readonly before: FakeStore;
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

  set writes(count: number) {
    this.#root.#writes = count;
  }

  as(access: StoreAccess): FakeStoreAdmin {
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
    const members = store.members.map(({ id, name, peerUrl, learner, observer }) => {
      return { id, name, peerUrls: [peerUrl], learner, ...(observer ? { observer } : {}) };
    });
    return { clusterId: store.clusterId, members };
  }

  async status(endpoint: string): Promise<MemberStatus> {
    const { store, id } = this.#answering(endpoint);
    const member = store.member(id);
    const leaderId = member === undefined ? '0' : store.leaderId;
    const applied = member?.applied ?? 0;
    const databaseBytes = member?.databaseBytes ?? 0;
    return {
      memberId: id,
      leaderId,
      raftTerm: store.term,
      raftIndex: applied,
      raftAppliedIndex: applied,
      revision: Math.min(store.revision, applied),
      databaseBytes,
      databaseBytesInUse: Math.min(databaseBytes, store.liveBytes + store.historyBytes),
    };
  }

  async memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void> {
    this.#change('addLearner', endpoints, peerUrl, (store) => {
      if (store.members.some((member) => member.learner && !member.observer)) {
        throw new Error('etcdserver: too many learner members in cluster');
      }
      this.#add(store, peerUrl, true);
    });
  }

  async memberAddObserver(endpoints: readonly string[], peerUrl: string): Promise<void> {
    this.#change('addObserver', endpoints, peerUrl, (store) => {
      const started = store.voters().filter(({ name }) => name !== '');
      if (started.some(({ id }) => !store.running.has(id))) {
        throw new Error(
          'etcdserver: an observer can be added once every member that was started answers and is of a release that knows observers',
        );
      }
      this.#add(store, peerUrl, true, true);
    });
  }

  /** What the API also offers, and the operator must not use. */
  async memberAdd(endpoints: readonly string[], peerUrl: string): Promise<void> {
    this.#change('addVoter', endpoints, peerUrl, (store) => this.#add(store, peerUrl, false));
  }

  async memberPromote(endpoints: readonly string[], memberId: string): Promise<void> {
    this.#change('promote', endpoints, memberId, (store) => {
      const member = memberOf(store, memberId);
      if (!member.learner) throw new Error('etcdserver: can only promote a learner member');
      if (member.observer) throw new Error('etcdserver: an observer stays an observer');
      if (!store.running.has(memberId) || member.applied < store.lastIndex * 0.9) {
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
    this.#change('removeMember', endpoints, memberId, (store) => {
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
      const target = store.member(targetMemberId);
      if (!store.running.has(targetMemberId) || target === undefined || target.learner) {
        throw new Error('etcdserver: bad leader transferee');
      }
      target.applied = store.lastIndex;
      store.leaderId = targetMemberId;
      store.term += 1;
    });
  }

  async hash(endpoint: string): Promise<string> {
    this.#answering(endpoint);
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
    const { store, id } = this.#answering(endpoint);
    const before = store.clone();
    const member = memberOf(store, id);
    member.databaseBytes = Math.min(member.databaseBytes, store.liveBytes + store.historyBytes);
    this.#root.#writes += 1;
    this.hooks.after?.({ verb: 'defragment', store, id, before });
  }

  #add(store: FakeStore, peerUrl: string, learner: boolean, observer = false): void {
    if (store.members.some((member) => member.peerUrl === peerUrl)) {
      throw new Error('etcdserver: Peer URLs already exists');
    }
    store.commit(() => store.add(peerUrl, learner, observer));
  }

  #change(
    verb: string,
    endpoints: readonly string[],
    id: string,
    effect: (store: FakeStore) => void,
  ): void {
    const store = this.#ask(endpoints);
    const before = store.clone();
    effect(store);
    this.#root.#writes += 1;
    this.hooks.after?.({ verb, store, id, before });
  }

  #answering(endpoint: string) {
    const reached = this.#route(endpoint);
    if (reached === undefined) throw new Error('connection refused');
    return reached;
  }

  /** A running voter of a store with a leader. */
  #ask(endpoints: readonly string[]): FakeStore {
    for (const endpoint of endpoints) {
      const reached = this.#route(endpoint);
      const { store, id } = reached ?? {};
      const isVoter = store?.voters().some((member) => member.id === id);
      if (isVoter && store?.running.has(store.leaderId) && store.hasQuorum()) return store;
    }
    throw new Error('etcdserver: request timed out');
  }
}

function memberOf(store: FakeStore, id: string): FakeMember {
  const member = store.member(id);
  if (member === undefined) throw new Error('etcdserver: member not found');
  return member;
}
