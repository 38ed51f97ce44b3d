import { noCaller } from '../auth/access.ts';
import type { PinnedState } from '../backend/backend.ts';
import { StateDamagedError } from '../backend/damage.ts';
import type { OrderedStore } from '../backend/ordered-store.ts';
import { assert } from '../base/assert.ts';
import type { Cipher } from '../base/cipher.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import type { FileSystem } from '../base/file-system.ts';
import type { MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import {
  appliedLagEntriesMax,
  applyBytesMax,
  catchUpBytesMax,
  flushBytesMin,
  inflightAppendsMax,
  leaseCheckpointBatchMax,
  leaseRevocationsMax,
  logBytesMax,
  proposalBatchBytesMax,
  proposalBytesInFlightMax,
  proposalsInFlightMax,
  readsWaitingMax,
  snapshotBacklogBytesMax,
  statePendingBytesMax,
  uncommittedBytesMax,
} from '../config/limits.ts';
import { RevisionStamps } from '../mvcc/revision-stamps.ts';
import type { ProposalDone } from '../propose/proposer.ts';
import { Proposer } from '../propose/proposer.ts';
import type { BarrierDone } from '../propose/read-barrier.ts';
import { ReadBarrier } from '../propose/read-barrier.ts';
import { ConfChange, InternalRequest, type InternalRequestRequest } from '../proto/gen/internal.ts';
import type { Entry } from '../raft/entry.ts';
import type { Message, SnapshotMessage } from '../raft/messages.ts';
import type { Append } from '../raft/raft.ts';
import { Raft } from '../raft/raft.ts';
import { receiveMemberSnapshot } from '../snapshot/member-snapshot.ts';
import type { Wal } from '../wal/wal.ts';
import type { Identity, KnownPeer } from './identity.ts';
import { encodeIdentity, peersOf } from './identity.ts';
import { Quota } from './quota.ts';
import { recover } from './recovery.ts';
import { ReplicaCounters } from './replica-counters.ts';
import type { Effect, MemberState } from './state.ts';

/** Where applied states live. */
export interface StateStores {
  /** Where the current one is, for messages. */
  readonly place: string;
  /** The current one; an empty one when there is none. */
  open(): Promise<OrderedStore>;
  /** A new empty one beside it, for a state that is being received; an earlier one is thrown away. */
  stage(): Promise<OrderedStore>;
  /** The staged one, which was closed, takes the place of the current one, durably and at once; that one may still be open. */
  promoteStaged(): Promise<OrderedStore>;
  /** What was current before, and closed since, is of no use any more. */
  removeFormer(): Promise<void>;
  /** Throws the current one away: it was damaged. */
  discard(): Promise<void>;
}

export interface ReplicaNetwork {
  setPeers(peers: ReadonlyArray<{ readonly id: MemberId; readonly urls: readonly string[] }>): void;
  send(message: Message): void;
  /** The end is told by `reportSnapshot`. The image is released by the receiver of this call. */
  sendSnapshot(message: SnapshotMessage, image: PinnedState): void;
}

/** Everything outside, so that the simulator can be it. */
export interface ReplicaPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly fileSystem: FileSystem;
  readonly logger: Logger;
  readonly stateStores: StateStores;
  /** The log's entries are encrypted with it; the stores of the state have it too. */
  readonly cipher?: Cipher | undefined;
  readonly network: ReplicaNetwork;
  /** Runs the callback after what is going on now; callbacks in order. */
  readonly defer: (callback: () => void) => void;
  /** The member cannot go on: a failed sync, a damaged state, its own removal. Nothing is called afterwards. */
  readonly fatal: (error: Error) => void;
  /** This member has applied its own removal, and takes no requests any more; `fatal` follows in a second. */
  readonly removed?: () => void;
}

export interface ReplicaOptions {
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly version: string;
  readonly walDirectory: string;
  readonly walSegmentBytes: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  readonly requestBytesMax: number;
  /** Applied entries kept in memory for followers that are behind; further back they get a snapshot. */
  readonly catchUpEntries: number;
  /** Entries of one append message, in bytes; a single larger one goes alone. */
  readonly appendBytes: number;
  /** Append messages on their way to one follower. Left out: the limit. */
  readonly appendsInFlight?: number;
  /** Applied changes that wait to go to disk, above which nothing more is applied. Left out: the limit. */
  readonly statePendingBytes?: number;
  /** Entries in memory while nothing is applied, above which no more are taken. Left out: the limit. */
  readonly logBytes?: number;
  /** What is kept of the log for who is being sent a snapshot. Left out: the limit. */
  readonly snapshotBacklogBytes?: Readonly<Record<'observer' | 'voter', number>>;
  /** Whether what is on disk is to go on as the only member of its cluster. */
  readonly forceNewCluster?: boolean;
  /** What the applied state may take on disk; negative, or left out: no limit. */
  readonly quotaBytes?: number;
  /** How often the others are told what is left of long leases; 0, or left out: never. */
  readonly leaseCheckpointMs?: number;
  /** For the comparison of members where they compacted. Left out: no. */
  readonly remembersCompactionHashes?: boolean;
  /** How to begin where there is no log yet. */
  readonly beginning: Beginning | undefined;
}

/** A new cluster has all its members in the log from the start; who joins one gets everything from its leader. */
export interface Beginning {
  readonly isNewCluster: boolean;
  readonly clusterId: bigint;
  readonly memberId: MemberId;
  readonly members: ReadonlyArray<{ readonly id: MemberId; readonly peerUrls: readonly string[] }>;
}

/** This member was removed from the cluster. */
export class RemovedError extends Error {
  override name = 'RemovedError';
}

const flushIntervalMs = 100;
/** Between two parts of a compaction's hash; etcd's `--compaction-sleep-interval`. */
const hashPauseMs = 10;
const leaseExpiryIntervalMs = 500;
const readRetryMs = 500;
/** etcd's --warning-apply-duration. */
const slowApplyMs = 100;
/** How long a removed member waits for what becomes of its proposals; its peers learn of its end meanwhile. */
const removedLingerMs = 1000;
/** For the answers to those that nobody told it of. */
const removedAnswerMs = 100;

/**
 * One member's consensus and state, without sockets: the driver of raft. It hands entries to the log on disk, messages to
 * the network, committed entries to the state, answers to who waits for them; see docs/ARCHITECTURE.md for the flow.
 */
export class Replica {
  readonly #ports: ReplicaPorts;
  readonly #options: ReplicaOptions;
  readonly #raft: Raft;
  readonly #wal: Wal;
  readonly #state: MemberState;
  readonly counters = new ReplicaCounters();
  /** Of this member's clock, which nothing replicated sees. */
  readonly stamps: RevisionStamps;
  readonly #proposer: Proposer;
  readonly #reads: ReadBarrier;
  readonly #quota: Quota;
  #identity: Identity;
  /** Appends given to the log on disk and not yet durable, each with those that only wait for it. */
  readonly #appends: Append[][] = [];
  readonly #timers = new Map<string, Timer>();
  #transfers: Transfer[] = [];
  /** Of leases, on their way. */
  #revocations = 0;
  #isReceiving = false;
  #isAwake = false;
  #isFlushing = false;
  #isCompacting = false;
  #isInstalling = false;
  #isStopped = false;
  #isPublished = false;
  #seenLeader: MemberId = 0n;
  #seenTerm = 0;
  /** When the leader was last lost or found. */
  #leaderSinceMs: number;
  #tickedMs = 0;
  #compactionBeganMs = 0;

  private constructor(ports: ReplicaPorts, options: ReplicaOptions, parts: ReplicaParts) {
    this.#ports = ports;
    this.#options = options;
    this.#raft = parts.raft;
    this.#wal = parts.wal;
    this.#state = parts.state;
    this.#identity = parts.identity;
    this.stamps = new RevisionStamps(parts.state.store.revision);
    this.#leaderSinceMs = ports.clock.nowMs();
    const { clock, random } = ports;
    const wake = (): void => this.#wake();
    const timeoutError = (startedMs: number): ErrorName => this.#timeoutError(startedMs);
    const modules = { clock, random, raft: this.#raft, wake, timeoutError };
    const timeoutMs = options.requestTimeoutMs;
    this.#proposer = new Proposer(modules, {
      timeoutMs,
      requestBytesMax: options.requestBytesMax,
      inFlightMax: proposalsInFlightMax,
      bytesInFlightMax: proposalBytesInFlightMax,
      batchBytesMax: proposalBatchBytesMax,
    });
    this.#reads = new ReadBarrier(modules, {
      timeoutMs,
      retryMs: readRetryMs,
      waitingMax: readsWaitingMax,
    });
    const { backend, alarms, lessor, store } = this.#state;
    lessor.checkpointEvery(options.leaseCheckpointMs ?? 0);
    if (options.remembersCompactionHashes === true) {
      store.rememberCompactionHashes({
        pause: () => new Promise((resolve) => ports.clock.after(hashPauseMs, resolve)),
        failed: (error) => this.#hashingFailed(error),
      });
    }
    const propose = this.propose.bind(this);
    const { memberId } = this.#identity;
    // What an observer has no room for is its own affair: its alarm would end everybody's writes.
    const isCounted = (): boolean => this.#state.membership.member(memberId)?.isObserver !== true;
    this.#quota = new Quota(
      { backend, alarms, propose, isCounted },
      { memberId, quotaBytes: options.quotaBytes ?? -1 },
    );
  }

  /** Reads what is on disk, or begins. Throws when it is not to be trusted and there is nobody to repair it from. */
  static async open(ports: ReplicaPorts, options: ReplicaOptions): Promise<Replica> {
    const recovered = await recover(ports, options);
    const raft = new Raft(
      { random: ports.random },
      {
        id: recovered.identity.memberId,
        electionTicks: Math.max(2, Math.round(options.electionMs / options.heartbeatMs)),
        heartbeatTicks: 1,
        appendBytesMax: options.appendBytes,
        inflightAppendsMax: options.appendsInFlight ?? inflightAppendsMax,
        uncommittedBytesMax,
        applyBytesMax,
      },
      recovered.persisted,
    );
    return new Replica(ports, options, { ...recovered, raft });
  }

  #hashingFailed(error: Error): void {
    if (this.#isStopped) return;
    if (error instanceof StateDamagedError) this.#ports.fatal(error);
    else this.#ports.logger.warn({ error: error.message }, 'a compaction leaves no hash');
  }

  // --- what others may look at -----------------------------------------------------------------

  get raft(): Raft {
    return this.#raft;
  }
  get state(): MemberState {
    return this.#state;
  }
  get identity(): Identity {
    return this.#identity;
  }
  get wal(): Wal {
    return this.#wal;
  }
  get proposer(): Pick<Proposer, 'counters' | 'pendingCount'> {
    return this.#proposer;
  }
  get reads(): Pick<ReadBarrier, 'counters'> {
    return this.#reads;
  }
  get leaderSinceMs(): number {
    return this.#leaderSinceMs;
  }

  // --- life ------------------------------------------------------------------------------------

  /** Finds the others before {@link start}, to ask them. */
  meetPeers(): void {
    this.#ports.network.setPeers(this.#peers());
  }

  start(): void {
    this.meetPeers();
    this.#every('tick', this.#options.heartbeatMs, () => this.#tick());
    this.#every('flush', flushIntervalMs, () => this.#flush());
    this.#every('expire leases', leaseExpiryIntervalMs, () => {
      this.#expireLeases();
      this.#checkpointLeases();
    });
    this.#wake();
  }

  #every(name: string, intervalMs: number, run: () => void): void {
    const again = (): void => {
      this.#timers.set(name, this.#ports.clock.after(intervalMs, again));
      run();
    };
    this.#timers.set(name, this.#ports.clock.after(intervalMs, again));
  }

  #tick(): void {
    this.#raft.tick();
    const { conf, role, id } = this.#raft;
    const nowMs = this.#ports.clock.nowMs();
    const isLate = nowMs - this.#tickedMs > 2 * this.#options.heartbeatMs;
    if (isLate && this.#tickedMs > 0 && role === 'leader') this.counters.lateHeartbeats++;
    this.#tickedMs = nowMs;
    if (role === 'follower' && conf.voters.length === 1 && conf.voters[0] === id)
      this.#raft.campaign();
    this.#proposer.expire();
    this.#reads.expire();
    this.#endTransfers();
    this.#publish();
    this.#wake();
  }

  /** Hands leadership over where it can, then writes down what is left. */
  async close(): Promise<void> {
    await this.handOver();
    this.#proposer.close();
    this.#reads.close();
    this.#isStopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#ports.network.setPeers([]);
    await new Promise<void>((resolve) => this.#state.backend.flush(() => resolve()));
    await new Promise<void>((resolve) => this.#wal.close(resolve));
    await this.#state.backend.close();
  }

  /** Resolves when another one leads, or when that cannot be had. */
  handOver(): Promise<void> {
    const target = this.#bestSuccessor();
    if (target === undefined) return Promise.resolve();
    return new Promise((resolve) => this.transferLeadership(target, () => resolve()));
  }

  /** The voter that is furthest ahead. */
  #bestSuccessor(): MemberId | undefined {
    if (this.#raft.role !== 'leader') return undefined;
    const matchOf = (member: MemberId): number => this.#raft.progressOf(member)?.match ?? 0;
    return this.#raft.conf.voters
      .filter((voter) => this.#raft.progressOf(voter)?.recentlyActive === true)
      .sort((a, b) => matchOf(b) - matchOf(a))[0];
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  // --- requests --------------------------------------------------------------------------------

  /** Without a caller it is this member's own. */
  propose(request: InternalRequestRequest, done: ProposalDone, caller = noCaller): void {
    if (this.#raft.log.commit - this.#raft.log.applied > appliedLagEntriesMax) {
      done(new EtcdError('TooManyRequests'), undefined);
      return;
    }
    const { username, authRevision } = caller;
    const encode = (id: bigint): Uint8Array =>
      InternalRequest.encode({ id, username, authRevision, request });
    this.#proposer.propose('normal', encode, done);
  }

  /** A change that the leader would not start yet is asked for again until the timeout. */
  changeMembership(change: Omit<ConfChange, 'id'>, done: ProposalDone): void {
    const deadlineMs = this.#ports.clock.nowMs() + this.#options.requestTimeoutMs;
    const encode = (id: bigint): Uint8Array => ConfChange.encode({ ...change, id });
    const attempt = (): void => {
      this.#proposer.propose('confChange', encode, (error, applied) => {
        const isRefused = applied?.error?.error === 'Unhealthy';
        if (isRefused && this.#ports.clock.nowMs() < deadlineMs && !this.#isStopped) {
          this.#ports.clock.after(this.#options.heartbeatMs, attempt);
        } else done(error, applied);
      });
    };
    attempt();
  }

  linearizableRead(done: BarrierDone): void {
    this.#reads.read(done);
  }

  /** `done(true)` when the target leads; `done(false)` at once when it cannot, or after an election timeout. */
  transferLeadership(target: MemberId, done: (isDone: boolean) => void): void {
    if (target === this.#raft.id && this.#raft.role === 'leader') {
      done(true);
      return;
    }
    if (!this.#raft.transferLeadership(target)) {
      done(false);
      return;
    }
    const deadlineMs = this.#ports.clock.nowMs() + 2 * this.#options.electionMs;
    this.#transfers.push({ target, deadlineMs, done });
    this.#wake();
  }

  #endTransfers(): void {
    const nowMs = this.#ports.clock.nowMs();
    const { leader } = this.#raft;
    const isEnded = ({ target, deadlineMs }: Transfer): boolean =>
      leader === target || nowMs >= deadlineMs;
    const ended = this.#transfers.filter(isEnded);
    this.#transfers = this.#transfers.filter((transfer) => !isEnded(transfer));
    for (const { target, done } of ended) done(leader === target);
  }

  // --- from the network ------------------------------------------------------------------------

  step(message: Message): void {
    if (this.#isStopped) return;
    // As if it were lost on the way: the leader sends it again.
    if (message.kind === 'append' && this.#isFull) return;
    this.#raft.step(message);
    this.#wake();
  }

  reportSnapshot(member: MemberId, isInstalled: boolean): void {
    if (this.#isStopped) return;
    this.#raft.reportSnapshot(member, isInstalled);
    this.#wake();
  }

  /** Takes a whole state in, verified, before raft hears of it. Rejects when it breaks off or is not what it says. */
  async receiveSnapshot(
    message: SnapshotMessage,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    assert(!this.isReceiving, 'one snapshot at a time');
    this.#isReceiving = true;
    const { clock } = this.#ports;
    const startedMs = clock.nowMs();
    try {
      await this.#receiveState(message, chunks);
      this.counters.snapshotReceiveSeconds.observe((clock.nowMs() - startedMs) / 1000);
      if (this.#isStopped) return;
      this.#raft.step(message);
      this.#run();
    } finally {
      this.#isReceiving = false;
    }
  }

  async #receiveState(message: SnapshotMessage, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const store = await this.#ports.stateStores.stage();
    try {
      const { clusterId } = this.#identity;
      const { applied } = await receiveMemberSnapshot({ store, chunks, clusterId });
      const { index, term } = message.snapshot;
      if (applied.index !== index || applied.term !== term) {
        throw new Error(`the state received is of entry ${applied.index}, not ${index}`);
      }
    } finally {
      await store.close();
    }
  }

  get isReceiving(): boolean {
    return this.#isInstalling || this.#isReceiving;
  }

  /** Where the others reach this member. */
  get ownPeerUrls(): readonly string[] {
    const { memberId, peers } = this.#identity;
    const own = this.#state.membership.member(memberId);
    return own?.peerUrls ?? peers.find(({ id }) => id === memberId)?.peerUrls ?? [];
  }

  /** A peer that we cannot reach yet: it was added by entries that we do not have. */
  isStranger(peer: MemberId): boolean {
    return !this.#peers().some(({ id }) => id === peer);
  }

  /** Remembers which data directory a peer was first met with, and where it is; `done` when that is durable. */
  rememberPeer(
    peer: {
      readonly from: MemberId;
      readonly incarnation: string;
      readonly urls: readonly string[];
    },
    done: () => void,
  ): void {
    const { from: id, incarnation, urls } = peer;
    const known = this.#identity.peers.find((other) => other.id === id);
    const peerUrls = urls.length > 0 ? urls : (known?.peerUrls ?? []);
    const remembered = { id, peerUrls, isVoter: known?.isVoter ?? false, incarnation };
    const others = this.#identity.peers.filter((other) => other.id !== id);
    this.#writeIdentity([...others, remembered], done);
    this.#ports.network.setPeers(this.#peers());
  }

  #writeIdentity(peers: readonly KnownPeer[], done: () => void): void {
    this.#identity = { ...this.#identity, peers };
    const { term, vote } = this.#raft;
    const hardState = { term, vote, commit: this.#raft.log.commit };
    this.#wal.append({ hardState, entries: [], identity: encodeIdentity(this.#identity) }, done);
  }

  // --- the loop --------------------------------------------------------------------------------

  #wake(): void {
    if (this.#isAwake || this.#isStopped) return;
    this.#isAwake = true;
    this.#ports.defer(() => {
      this.#isAwake = false;
      this.#run();
    });
  }

  /** One turn: everything that came together since the last one goes to raft, and raft's answer to where it belongs. */
  #run(): void {
    if (this.#isStopped || this.#isInstalling) return;
    this.#proposer.flush();
    this.#reads.flush();
    const ready = this.#raft.ready({ canApply: this.#canApply });
    for (const message of ready.messages) this.#send(message);
    for (const batchId of ready.refusedBatches) this.#proposer.refused(batchId);
    for (const read of ready.reads) this.#reads.confirmed(read);
    if (ready.append !== undefined) this.#append(ready.append);
    if (this.#isInstalling) return;
    this.#applyAll(ready.committed);
    this.#reads.appliedTo(this.#raft.log.applied);
    this.#noticeLeader();
    if (ready.committed.length > 0) {
      this.#compact();
      this.#wake();
      if (this.#state.backend.pendingBytes >= flushBytesMin) this.#flush();
    }
  }

  #send(message: Message): void {
    if (message.kind !== 'snapshot') {
      this.#ports.network.send(message);
      return;
    }
    const image = this.#state.backend.pin();
    assert(image.applied.index === message.snapshot.index, 'the state is not of the index it says');
    this.#ports.network.sendSnapshot(message, image);
  }

  /** Makes it durable, then sends what promises that it is. What needs no write waits for the writes before it. */
  #append(append: Append): void {
    if (append.snapshot !== undefined) {
      void this.#install(append);
      return;
    }
    if (append.entries.length === 0 && !append.hasNewVote) {
      const last = this.#appends.at(-1);
      if (last === undefined) this.#appended([append]);
      else last.push(append);
      return;
    }
    const { hardState, entries } = append;
    this.#appends.push([append]);
    this.#wal.append({ hardState, entries }, () => this.#appended(this.#appends.shift() ?? []));
  }

  #appended(appends: readonly Append[]): void {
    if (this.#isStopped) return;
    for (const append of appends) {
      this.#raft.appended(append);
      for (const message of append.messages) this.#send(message);
    }
    this.#wake();
  }

  /** A disk that is slower than the log's entries come must not fill the memory with what it has yet to take. */
  get #canApply(): boolean {
    const { statePendingBytes = statePendingBytesMax } = this.#options;
    return this.#state.backend.pendingBytes < statePendingBytes;
  }

  get #isFull(): boolean {
    const { logBytes = logBytesMax } = this.#options;
    return this.#raft.log.sizeBytes > logBytes && !this.#canApply;
  }

  /** Looks at the clock once for each entry: the end of one is the beginning of the next. */
  #applyAll(entries: readonly Entry[]): void {
    const { clock } = this.#ports;
    let startedMs = entries.length > 0 ? clock.nowMs() : 0;
    for (const entry of entries) {
      const effect = this.#apply(entry);
      const endedMs = clock.nowMs();
      this.#countApply(effect, endedMs - startedMs);
      startedMs = endedMs;
    }
  }

  #apply(entry: Entry): Effect {
    const effect = this.#state.apply(entry);
    this.#stamp(entry);
    const { id, applied, changesMembership, costBytes } = effect;
    this.#raft.appliedTo(entry.index);
    if (changesMembership) this.#membershipChanged();
    this.#quota.applied(costBytes);
    if (applied !== undefined) this.#proposer.applied(id, applied);
    this.#proposer.appliedTermIs(entry.term);
    return effect;
  }

  /** Before anybody is told that it is done. What an earlier term left is not this leader's: it may be of long ago. */
  #stamp({ term }: Entry): void {
    const { revision } = this.#state.store;
    if (revision === this.stamps.revision) return;
    const isLeaders = this.#raft.role === 'leader' && this.#raft.term === term;
    this.stamps.add(revision, this.#ports.clock.wallMs(), isLeaders);
  }

  #countApply({ kind, applied }: Effect, tookMs: number): void {
    if (kind === undefined) return;
    this.counters.applied(kind, tookMs / 1000, applied.error !== undefined);
    if (tookMs <= slowApplyMs) return;
    this.counters.slowApplies++;
    const fields = {
      took: `${tookMs.toFixed(3)}ms`,
      'expected-duration': `${slowApplyMs}ms`,
      kind,
    };
    this.#ports.logger.warn(fields, 'apply request took too long');
  }

  #membershipChanged(): void {
    const { membership } = this.#state;
    this.#raft.setConf(membership.confState);
    this.#ports.network.setPeers(this.#peers());
    const known = this.#identity.peers.filter(({ id }) => !membership.isRemoved(id));
    this.#writeIdentity(peersOf(membership.members(), known), () => {});
    if (membership.isRemoved(this.#raft.id)) this.leave();
  }

  /** This member was removed, as it has applied or been told. */
  leave(): void {
    if (this.#timers.has('removed')) return;
    this.#ports.logger.warn({}, 'this member was removed from the cluster; it stops');
    this.#proposer.leave();
    this.#reads.leave();
    this.#ports.removed?.();
    const { clock } = this.#ports;
    const end = (): void => {
      this.#ports.fatal(new RemovedError('this member was removed from the cluster'));
    };
    const answer = (): void => {
      this.#proposer.close();
      this.#reads.close();
      this.#timers.set('removed', clock.after(removedAnswerMs, end));
    };
    this.#timers.set('removed', clock.after(removedLingerMs, answer));
  }

  /** The members, and those whom we only know from themselves: a leader that was added after our log's end is one. */
  #peers(): Array<{ id: MemberId; urls: readonly string[] }> {
    const { membership } = this.#state;
    const members = membership.members();
    const strangers = this.#identity.peers.filter(
      ({ id }) => membership.member(id) === undefined && !membership.isRemoved(id),
    );
    return [...members, ...strangers]
      .filter(({ id, peerUrls }) => id !== this.#raft.id && peerUrls.length > 0)
      .map(({ id, peerUrls }) => ({ id, urls: peerUrls }));
  }

  /** The received state takes the place of ours; only then the log says so. */
  async #install(append: Append): Promise<void> {
    const { snapshot, hardState, entries } = append;
    assert(snapshot !== undefined, 'no snapshot to install');
    this.#isInstalling = true;
    try {
      await this.#state.replace(this.#ports.stateStores);
    } catch (error) {
      this.#ports.fatal(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#isStopped) return;
    this.#isInstalling = false;
    this.stamps.restart(this.#state.store.revision);
    this.#ports.logger.info(
      { 'snapshot-index': snapshot.index },
      'installed a snapshot of the leader',
    );
    this.#appends.push([append]);
    this.#wal.append({ hardState, entries, reset: snapshot }, () =>
      this.#appended(this.#appends.shift() ?? []),
    );
    this.#proposer.appliedSnapshot();
    this.#membershipChanged();
    this.#wake();
  }

  // --- regular work ----------------------------------------------------------------------------

  /** The state goes down to disk in one batch; then the log below it is not needed any more. */
  #flush(): void {
    const { backend } = this.#state;
    if (this.#isFlushing || this.#isInstalling || this.#isStopped || !backend.isDirty) return;
    this.#isFlushing = true;
    backend.flush((error) => {
      this.#isFlushing = false;
      if (error !== null) {
        this.#ports.fatal(error);
        return;
      }
      if (this.#isStopped) return;
      const durable = backend.durableApplied.index;
      this.#wal.release(durable);
      this.#raft.compactTo(Math.min(durable, this.#keepFrom()), this.#leavesBehind);
      if (backend.pendingBytes >= flushBytesMin) this.#flush();
      this.#wake();
    });
  }

  /** However long a snapshot takes: who is being sent it is worth only so much of this member's memory. */
  readonly #leavesBehind = (follower: MemberId): boolean => {
    const { snapshotBacklogBytes = snapshotBacklogBytesMax } = this.#options;
    const { observer, voter } = snapshotBacklogBytes;
    const isObserver = this.#state.membership.member(follower)?.isObserver === true;
    return this.#raft.log.sizeBytes > (isObserver ? observer : voter);
  };

  /** Entries kept in memory for followers that are a little behind. */
  #keepFrom(): number {
    const { log } = this.#raft;
    const { catchUpEntries } = this.#options;
    const isLarge = log.sizeBytes > catchUpBytesMax;
    return log.applied - (isLarge ? Math.floor(catchUpEntries / 10) : catchUpEntries);
  }

  /** Erases what a compaction left over, in slices between other work. */
  #compact(): void {
    const { store } = this.#state;
    if (this.#isCompacting || store.isCompactionIdle) return;
    this.#isCompacting = true;
    const { clock } = this.#ports;
    if (this.#compactionBeganMs === 0) this.#compactionBeganMs = clock.nowMs();
    this.#ports.defer(() => {
      this.#isCompacting = false;
      if (this.#isStopped || this.#isInstalling) return;
      const startedMs = clock.nowMs();
      store.compactionStep();
      this.counters.compactionStepMs.observe(clock.nowMs() - startedMs);
      this.#compact();
      if (store.isCompactionIdle) this.#compacted();
    });
  }

  #compacted(): void {
    const { clock } = this.#ports;
    this.counters.compactionMs.observe(clock.nowMs() - this.#compactionBeganMs);
    this.counters.compactedAtSeconds = Math.floor(clock.wallMs() / 1000);
    this.#compactionBeganMs = 0;
    this.#flush();
  }

  /** `done` once what was compacted is erased here, durably. */
  whenCompacted(done: () => void): void {
    if (this.#isStopped) return;
    if (this.#state.store.isCompactionIdle) this.#state.backend.flush(done);
    else this.#ports.clock.after(flushIntervalMs, () => this.whenCompacted(done));
  }

  #expireLeases(): void {
    if (!this.#state.lessor.isPrimary || this.#isInstalling) return;
    const { term } = this.#raft;
    for (const id of this.#state.lessor.expired(leaseRevocationsMax - this.#revocations)) {
      this.counters.expiredLeases++;
      this.#revocations++;
      this.propose({ kind: 'leaseRevoke', value: { id, term } }, () => {
        this.#revocations--;
      });
    }
  }

  #checkpointLeases(): void {
    if (!this.#state.lessor.isPrimary || this.#isInstalling) return;
    const due = this.#state.lessor.dueCheckpoints(leaseCheckpointBatchMax);
    if (due.length === 0) return;
    const checkpoints = due.map(({ id, remainingTtl }) => ({ ID: id, remainingTTL: remainingTtl }));
    this.propose({ kind: 'leaseCheckpoint', value: { checkpoints } }, () => {});
  }

  /** Tells the others this member's name and client URLs, until they know. */
  #publish(): void {
    if (this.#isPublished || this.#raft.leader === 0n) return;
    const { name, clientUrls, version } = this.#options;
    const { memberId, incarnation } = this.#identity;
    const own = this.#state.membership.member(memberId);
    if (own === undefined) return;
    this.#isPublished = true;
    const isKnown =
      own.name === name &&
      own.incarnation === incarnation &&
      own.version === version &&
      own.clientUrls.join() === clientUrls.join();
    if (isKnown) return;
    const value = {
      memberId,
      name,
      clientUrls: [...clientUrls],
      version,
      incarnation,
    };
    this.propose({ kind: 'memberAttributes', value }, (error) => {
      if (error !== undefined) this.#isPublished = false;
      else
        this.#ports.logger.info(
          { 'local-member-id': hexId(memberId) },
          'published local member to cluster through raft',
        );
    });
  }

  #noticeLeader(): void {
    const { leader, term, role, log } = this.#raft;
    if (leader !== this.#seenLeader || term !== this.#seenTerm) {
      if (leader !== this.#seenLeader) {
        if (leader !== 0n) this.counters.leaderChanges++;
        this.#leaderSinceMs = this.#ports.clock.nowMs();
        this.#endTransfers();
        if (leader !== 0n) this.#reads.leaderFound();
      }
      const fields = { 'local-member-id': hexId(this.#raft.id), leader: hexId(leader), term };
      this.#ports.logger.info(fields, leader === 0n ? 'raft: no leader' : 'raft: leader elected');
      this.#seenLeader = leader;
      this.#seenTerm = term;
    }
    const { lessor } = this.#state;
    const leads = role === 'leader' && log.term(log.applied) === term;
    if (leads && !lessor.isPrimary) lessor.promote(this.#options.electionMs);
    else if (!leads && lessor.isPrimary) lessor.demote();
  }

  /** etcd tells three reasons apart; clients match their texts. */
  #timeoutError(startedMs: number): ErrorName {
    const { electionMs } = this.#options;
    const nowMs = this.#ports.clock.nowMs();
    const isLeaderNew = this.#leaderSinceMs > startedMs - 2 * electionMs;
    if (this.#raft.leader !== 0n && isLeaderNew && this.#leaderSinceMs < nowMs) {
      return 'TimeoutDueToLeaderFail';
    }
    return 'Timeout';
  }
}

interface Transfer {
  readonly target: MemberId;
  readonly deadlineMs: number;
  readonly done: (isDone: boolean) => void;
}

interface ReplicaParts {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly state: MemberState;
  readonly identity: Identity;
}
