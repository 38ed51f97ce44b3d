import type {
  DbSize,
  LeaderStamps,
  MemberPort,
  MembershipChange,
  RaftStatus,
  WatchSink,
  WatchStream,
} from '../api/member-port.ts';
import { range, rangeSteps } from '../apply/range.ts';
import { readTxnSteps } from '../apply/txn.ts';
import type { Caller } from '../auth/access.ts';
import type { AuthStore } from '../auth/auth-store.ts';
import type { PinnedState } from '../backend/backend.ts';
import { unreachable } from '../base/assert.ts';
import { fromLatin1 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import { type MemberId, noMember, type Revision } from '../base/ids.ts';
import type { Random } from '../base/random.ts';
import { randomId } from '../base/random.ts';
import { stampsToldMax } from '../config/limits.ts';
import { effectiveTtl } from '../lease/ttl.ts';
import type { KvHash } from '../mvcc/hash.ts';
import { keyRange } from '../mvcc/key-range.ts';
import type { PrefixUsage } from '../mvcc/prefix-usage.ts';
import type { Applied, ProposalDone } from '../propose/proposer.ts';
import { ConfChangeKind, type InternalRequestRequest, Member } from '../proto/gen/internal.ts';
import {
  type AlarmMember,
  AlarmType,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { Raft } from '../raft/raft.ts';
import type { PeerQuestion } from '../transport/peer-question.ts';
import type { MemberHash } from './corruption.ts';
import { Freshness } from './freshness.ts';
import { memberIdOf } from './ids.ts';
import type { Membership } from './membership.ts';
import type { ClusterHealth } from './reconfiguration.ts';
import { learnersAllowed, refuseAdd, refusePromote, refuseRemove } from './reconfiguration.ts';
import type { Replica } from './replica.ts';

/** The leader is asked again so soon, while there is time. */
const askRetryMs = 50;
/** A learner may be promoted when it has this share of the leader's log; etcd's number. */
const promotableShare = 0.9;
/** etcd ends the streams that require a leader after so many election timeouts without one. */
const leaderLostTimeouts = 3;

export interface LocalMemberModules {
  readonly replica: Replica;
  readonly clock: Clock;
  readonly random: Random;
  readonly peers: {
    ask(peer: MemberId, question: PeerQuestion): Promise<unknown>;
    activeSinceMs(peer: MemberId): number | undefined;
  };
}

export interface LocalMemberOptions {
  readonly name: string;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  /** Negative: no limit. */
  readonly quotaBytes: number;
  readonly isReconfigurationStrict: boolean;
  readonly learnersMax: number;
  readonly observersMax: number;
  readonly observerStalenessMaxMs: number;
}

/** What the services of `api/` see: this member's replica, and its leader where only that one knows. */
export class LocalMember implements MemberPort {
  /** Since the process began, while this member led; failures by what was told. */
  readonly counters = { promotions: 0, failedPromotions: new Map<string, number>() };
  readonly name: string;
  readonly #replica: Replica;
  readonly #raftStatus: RaftStatus;
  readonly #modules: LocalMemberModules;
  readonly #options: LocalMemberOptions;
  readonly #freshness: Freshness;
  readonly #leaderLost = new Set<() => void>();
  #pollsWithoutLeader = 0;
  #defragmentation = Promise.resolve();

  constructor(modules: LocalMemberModules, options: LocalMemberOptions) {
    this.#replica = modules.replica;
    this.#raftStatus = new LiveRaftStatus(modules.replica);
    this.#modules = modules;
    this.#options = options;
    this.name = options.name;
    this.#freshness = new Freshness(
      {
        clock: modules.clock,
        isObserver: () => this.#raftStatus.isObserver,
        isStopped: () => this.#replica.isStopped,
        barrier: () => this.linearizableRead(),
      },
      { stalenessMaxMs: options.observerStalenessMaxMs },
    );
    this.#pollLeader();
  }

  get clusterId(): bigint {
    return this.#replica.identity.clusterId;
  }
  get memberId(): bigint {
    return this.#replica.identity.memberId;
  }

  raftStatus(): RaftStatus {
    return this.#raftStatus;
  }

  propose(request: InternalRequestRequest, caller?: Caller): Promise<Applied> {
    const { promise, done } = promisedProposal();
    this.#replica.propose(this.#withEffectiveTtl(request), done, caller);
    return promise;
  }

  /** The shortest lease outlives an election: decided here, by flags that may differ, so that applying is the same everywhere. */
  #withEffectiveTtl(request: InternalRequestRequest): InternalRequestRequest {
    if (request.kind !== 'leaseGrant') return request;
    const TTL = effectiveTtl(request.value.TTL, this.#options.electionMs);
    return { ...request, value: { ...request.value, TTL } };
  }

  linearizableRead(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#replica.linearizableRead((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }

  // --- state -----------------------------------------------------------------------------------

  revision(): number {
    return this.#replica.state.store.revision;
  }
  range(request: RangeRequest): RangeResponse {
    return range(this.#replica.state.store, request);
  }
  rangeSteps(
    request: RangeRequest,
    options?: { readonly isCounted: boolean },
  ): Generator<void, RangeResponse> {
    return rangeSteps(this.#replica.state.store, request, options);
  }
  keyCount(key: Uint8Array, rangeEnd: Uint8Array): number {
    const { index, revision } = this.#replica.state.store;
    return index.countAt(keyRange(key, rangeEnd), revision);
  }
  prefixUsage(): PrefixUsage | undefined {
    return this.#replica.state.store.usage;
  }
  liveValueBytes(key: string): number | undefined {
    const entry = this.#replica.state.store.index.get(key);
    return entry === undefined || entry.isTombstone ? undefined : entry.valueBytes;
  }
  readTxnSteps(request: TxnRequest): Generator<void, TxnResponse> {
    return readTxnSteps(this.#replica.state.store, request);
  }
  compactionDone(): Promise<void> {
    return new Promise((resolve) => this.#replica.whenCompacted(resolve));
  }
  openWatchStream(sink: WatchSink): WatchStream {
    return this.#replica.state.watches.openStream(sink);
  }
  get auth(): AuthStore {
    return this.#replica.state.auth;
  }
  alarms(): readonly AlarmMember[] {
    return this.#replica.state.alarms.list(AlarmType.NONE);
  }
  dbSize(): DbSize {
    const { backend } = this.#replica.state;
    const { sizeBytes } = backend;
    const { quotaBytes } = this.#options;
    return { sizeBytes, inUseBytes: Math.min(sizeBytes, backend.inUseBytes), quotaBytes };
  }

  /** One at a time. What a compaction has yet to erase is waited for. */
  async defragment(): Promise<void> {
    const run = this.#defragmentation.then(async () => {
      await this.compactionDone();
      await this.#replica.state.store.abandonCompactionHash();
      await this.#replica.state.backend.defragment();
    });
    this.#defragmentation = run.catch(() => {});
    await run;
  }

  /** {@link hashKv}, for a peer. */
  async hash(revision: Revision): Promise<MemberHash> {
    return { ...(await this.hashKv(revision)), revision: this.revision() };
  }

  compactionHashes(): readonly KvHash[] {
    return this.#replica.state.store.compactionHashes;
  }

  pinState(): PinnedState {
    return this.#replica.state.backend.pin();
  }
  /** Of a revision that was compacted lately: as it was before that, which is what etcd answers too. */
  async hashKv(revision: Revision): Promise<KvHash> {
    const { store } = this.#replica.state;
    if (revision === store.compactRevision) await store.whenCompactionHashed();
    const kept = store.compactionHashes.find(({ hashRevision }) => hashRevision === revision);
    return kept ?? store.hashKv(revision);
  }

  // --- leases ----------------------------------------------------------------------------------

  newLeaseId(): bigint {
    return randomId(this.#modules.random);
  }

  async renewLease(id: bigint): Promise<number> {
    const { ttl } = (await this.#askLeader({ kind: 'renewLease', leaseId: String(id) })) as {
      ttl: number;
    };
    return ttl;
  }

  async leaseTimeToLive(id: bigint): Promise<{ ttl: number; grantedTtl: number }> {
    const answer = await this.#askLeader({ kind: 'leaseTimeToLive', leaseId: String(id) });
    return answer as { ttl: number; grantedTtl: number };
  }

  async leaderStamps(after: Revision): Promise<LeaderStamps> {
    const answer = await this.#askLeader({ kind: 'stamps', revision: after });
    const { leader, ...told } = answer as Omit<LeaderStamps, 'leader'> & { leader: string };
    return { ...told, leader: BigInt(leader) };
  }

  leaseKeys(id: bigint): Uint8Array[] {
    return this.#replica.state.lessor.keysOf(id).map(fromLatin1);
  }
  leases(): bigint[] {
    return this.#replica.state.lessor.ids();
  }

  // --- what only the leader knows --------------------------------------------------------------

  /** Asks whoever leads, again while leadership moves, until the timeout. */
  async #askLeader(question: PeerQuestion): Promise<unknown> {
    const { clock } = this.#modules;
    const deadlineMs = clock.nowMs() + this.#options.requestTimeoutMs;
    for (;;) {
      const { leader, id } = this.#replica.raft;
      try {
        if (leader === id) return await this.answer(question);
        if (leader !== noMember) return await this.#modules.peers.ask(leader, question);
      } catch (error) {
        if (error instanceof EtcdError && error.error !== 'NotLeader') throw error;
      }
      if (clock.nowMs() >= deadlineMs)
        throw new EtcdError(leader === noMember ? 'NoLeader' : 'Timeout');
      await new Promise<void>((resolve) => clock.after(askRetryMs, resolve));
    }
  }

  /** As the leader; another member may have asked. Throws NotLeader when it is not. */
  async answer(question: PeerQuestion): Promise<object> {
    switch (question.kind) {
      case 'renewLease':
        return { ttl: await this.#renewAsLeader(BigInt(question.leaseId)) };
      case 'leaseTimeToLive':
        return this.#timeToLiveAsLeader(BigInt(question.leaseId));
      case 'promote':
        await this.#countedPromotion(BigInt(question.memberId));
        return {};
      case 'handOver':
        await this.#replica.handOver();
        return {};
      case 'knowsObservers':
        return {};
      case 'hash':
        return this.hash(question.revision);
      case 'stamps':
        return this.#stampsAsLeader(question.revision);
    }
    return unreachable(question);
  }

  /** A leader that was deposed without knowing it must renew nothing (etcd #15247): the barrier asks a quorum. */
  async #renewAsLeader(id: bigint): Promise<number> {
    await this.linearizableRead();
    const { lessor } = this.#replica.state;
    if (lessor.hasCheckpoint(id)) await this.#forgetCheckpoint(id);
    const renewal = lessor.renew(id);
    switch (renewal.kind) {
      case 'renewed':
        return renewal.ttl;
      case 'notPrimary':
        throw new EtcdError('NotLeader');
      case 'unknown':
        return 0;
      case 'expired': {
        const isRevoked = await new Promise<boolean>((resolve) => lessor.whenRevoked(id, resolve));
        if (!isRevoked) throw new EtcdError('NotLeader');
        return 0;
      }
    }
  }

  /** Or the next leader would count from it. */
  async #forgetCheckpoint(id: bigint): Promise<void> {
    const checkpoints = [{ ID: id, remainingTTL: 0 }];
    const { error } = await this.propose({ kind: 'leaseCheckpoint', value: { checkpoints } });
    if (error !== undefined) throw error;
  }

  async #timeToLiveAsLeader(id: bigint): Promise<{ ttl: number; grantedTtl: number }> {
    await this.linearizableRead();
    const { lessor } = this.#replica.state;
    const grantedTtl = lessor.grantedTtl(id);
    if (grantedTtl === undefined) return { ttl: -1, grantedTtl: 0 };
    const ttl = lessor.remaining(id);
    if (ttl === undefined) throw new EtcdError('NotLeader');
    return { ttl, grantedTtl };
  }

  /** Of everything that was acknowledged before: the barrier asks a quorum. What was, after a pause, is not told of now. */
  async #stampsAsLeader(after: Revision): Promise<object> {
    const { stamps, raft } = this.#replica;
    const { clock } = this.#modules;
    const askedMs = stamps.now(clock.wallMs());
    await this.linearizableRead();
    if (raft.role !== 'leader') throw new EtcdError('NotLeader');
    const told = stamps.after(after, clock.wallMs(), stampsToldMax);
    return { ...told, askedMs, revision: this.revision(), leader: String(this.memberId) };
  }

  // --- membership ------------------------------------------------------------------------------

  members(): Member[] {
    return this.#replica.state.membership.members();
  }

  async changeMembership(change: MembershipChange): Promise<Member[]> {
    switch (change.kind) {
      case 'addVoter':
      case 'addLearner':
        await this.#add(change.peerUrls, { isLearner: change.kind === 'addLearner' });
        break;
      case 'addObserver':
        await this.#refuseObserver();
        await this.#add(change.peerUrls, { isLearner: true, isObserver: true });
        break;
      case 'promote':
        await this.#askLeader({ kind: 'promote', memberId: String(change.memberId) });
        await this.linearizableRead();
        break;
      case 'remove':
        this.#refuseIfStrict((health) => refuseRemove(health, change.memberId));
        await this.#letOthersLead(change.memberId);
        await this.#change(ConfChangeKind.REMOVE, { id: change.memberId });
        break;
      case 'update': {
        const { memberId: id, peerUrls } = change;
        await this.#change(ConfChangeKind.UPDATE, { id, peerUrls: [...peerUrls] });
        break;
      }
    }
    return this.members();
  }

  async #add(
    peerUrls: readonly string[],
    { isLearner, isObserver = false }: { isLearner: boolean; isObserver?: boolean },
  ): Promise<void> {
    // An observer makes no quorum larger: there is nothing to be strict about.
    if (!isObserver) this.#refuseIfStrict((health) => refuseAdd(health, isLearner));
    const unixSeconds = Math.floor(this.#modules.clock.wallMs() / 1000);
    const id = memberIdOf(peerUrls, { unixSeconds });
    const kind = isLearner ? ConfChangeKind.ADD_LEARNER : ConfChangeKind.ADD_VOTER;
    await this.#change(kind, { id, peerUrls: [...peerUrls], isLearner, isObserver });
  }

  /** One too many; or not everybody knows what an observer is: a member of a release before would promote it. */
  async #refuseObserver(): Promise<void> {
    const members = this.members();
    const observers = members.filter((member) => member.isObserver).length;
    if (observers >= this.#options.observersMax) throw new EtcdError('TooManyObservers');
    const asked = members.filter((member) => member.started && !member.isObserver);
    const answers = asked.map(async ({ id }) => {
      if (id !== this.memberId) await this.#modules.peers.ask(id, { kind: 'knowsObservers' });
    });
    try {
      await Promise.all(answers);
    } catch (error) {
      throw new EtcdError('ObserverNotCapable', { cause: error });
    }
  }

  /**
   * Before a leader is removed, where it can be had: a follower that is removed still hears from its leader what became of
   * what its clients asked for, a leader hears it from nobody.
   */
  async #letOthersLead(leaving: MemberId): Promise<void> {
    if (leaving !== this.#replica.raft.leader) return;
    if (leaving === this.memberId) {
      await this.#replica.handOver();
      return;
    }
    try {
      await this.#modules.peers.ask(leaving, { kind: 'handOver' });
    } catch {
      // It does not answer, or does not know the question: it is removed as it is.
    }
  }

  async #countedPromotion(id: MemberId): Promise<void> {
    const { counters } = this;
    try {
      await this.#promoteAsLeader(id);
      counters.promotions++;
    } catch (error) {
      const reason = error instanceof EtcdError ? error.error : 'unknown';
      counters.failedPromotions.set(reason, (counters.failedPromotions.get(reason) ?? 0) + 1);
      throw error;
    }
  }

  async #promoteAsLeader(id: MemberId): Promise<void> {
    const { raft } = this.#replica;
    const member = this.#replica.state.membership.member(id);
    if (member === undefined) throw new EtcdError('MemberNotFound');
    if (!member.isLearner) throw new EtcdError('MemberNotLearner');
    if (member.isObserver) throw new EtcdError('ObserverNotPromotable');
    const match = raft.progressOf(id)?.match ?? 0;
    if (match < promotableShare * raft.log.lastIndex) throw new EtcdError('LearnerNotReady');
    this.#refuseIfStrict(refusePromote);
    await this.#change(ConfChangeKind.PROMOTE, { id });
  }

  #change(kind: ConfChangeKind, member: Partial<Member>): Promise<void> {
    const { isObserver = false } = member;
    const max = isObserver ? this.#options.observersMax : this.#options.learnersMax;
    const learnersMaxPlusOne = learnersAllowed(this.members(), { isObserver, max }) + 1;
    const change = { kind, member: Member.create(member), learnersMaxPlusOne };
    return new Promise((resolve, reject) => {
      this.#replica.changeMembership(change, (error, applied) => {
        const failure = error ?? applied?.error;
        if (failure === undefined) resolve();
        else reject(failure);
      });
    });
  }

  /** `--strict-reconfig-check` */
  #refuseIfStrict(refusal: (health: ClusterHealth) => ErrorName | undefined): void {
    if (!this.#options.isReconfigurationStrict) return;
    const reason = refusal(this.#health());
    if (reason !== undefined) throw new EtcdError(reason);
  }

  #health(): ClusterHealth {
    const nowMs = this.#modules.clock.nowMs();
    return {
      self: this.memberId,
      members: this.members(),
      connectedMs: (peer) => {
        const sinceMs = this.#modules.peers.activeSinceMs(peer);
        return sinceMs === undefined ? undefined : nowMs - sinceMs;
      },
    };
  }

  transferLeadership(target: bigint): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#replica.transferLeadership(target, (isDone) => {
        if (isDone) resolve();
        else reject(new EtcdError('TimeoutLeaderTransfer'));
      });
    });
  }

  downgradeTarget(): string {
    return this.#replica.state.membership.downgradeTarget;
  }

  onLeaderLost(callback: () => void): () => void {
    this.#leaderLost.add(callback);
    return () => this.#leaderLost.delete(callback);
  }

  /** Infinite until it was proven once; of an observer. */
  get stalenessMs(): number {
    return this.#freshness.stalenessMs;
  }

  isStale(): boolean {
    return this.#freshness.isStale;
  }

  onStale(callback: () => void): () => void {
    return this.#freshness.onStale(callback);
  }

  /** As etcd: looked at once per election timeout. */
  #pollLeader(): void {
    this.#modules.clock.after(this.#options.electionMs, () => {
      const isLost = this.#replica.raft.leader === noMember;
      this.#pollsWithoutLeader = isLost ? this.#pollsWithoutLeader + 1 : 0;
      if (this.#pollsWithoutLeader >= leaderLostTimeouts) {
        for (const callback of this.#leaderLost) callback();
      }
      this.#freshness.keep();
      if (!this.#replica.isStopped) this.#pollLeader();
    });
  }
}

/** Made by itself, so that who waits keeps nothing of the request. */
function promisedProposal(): { promise: Promise<Applied>; done: ProposalDone } {
  let settle: ProposalDone = () => {};
  const promise = new Promise<Applied>((resolve, reject) => {
    settle = (error, applied) => {
      if (applied !== undefined) resolve(applied);
      else reject(error);
    };
  });
  return { promise, done: settle };
}

/** Every call asks for something of it. */
class LiveRaftStatus implements RaftStatus {
  readonly #raft: Raft;
  readonly #membership: Membership;

  constructor({ raft, state }: Replica) {
    this.#raft = raft;
    this.#membership = state.membership;
  }

  get term(): number {
    return this.#raft.term;
  }
  get leader(): bigint {
    return this.#raft.leader;
  }
  get isLeader(): boolean {
    return this.#raft.role === 'leader';
  }
  get isLearner(): boolean {
    return !this.#raft.conf.voters.includes(this.#raft.id);
  }
  get isObserver(): boolean {
    return this.isLearner && this.#membership.member(this.#raft.id)?.isObserver === true;
  }
  get commitIndex(): number {
    return this.#raft.log.commit;
  }
  get appliedIndex(): number {
    return this.#raft.log.applied;
  }
}
