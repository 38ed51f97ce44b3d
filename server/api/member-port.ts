import type { Caller } from '../auth/access.ts';
import type { AuthStore } from '../auth/auth-store.ts';
import type { PinnedState } from '../backend/backend.ts';
import type { KvHash } from '../mvcc/hash.ts';
import type { PrefixUsage } from '../mvcc/prefix-usage.ts';
import type { RevisionStampList } from '../mvcc/revision-stamps.ts';
import type { Applied } from '../propose/proposer.ts';
import type { InternalRequestRequest, Member } from '../proto/gen/internal.ts';
import type {
  AlarmMember,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
  WatchResponse,
} from '../proto/gen/rpc.ts';

/**
 * All that the services of `api/` know of the member that they serve. `member/` implements it; tests put a double in its
 * place. Responses come without the header's ids and term: `api/header.ts` fills them in.
 */
export interface MemberPort {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly name: string;

  raftStatus(): RaftStatus;

  /**
   * Sends a request through raft and waits until this member has applied it. Rejects with an EtcdError when it was not
   * (RequestTooLarge, TooManyRequests, NoLeader) or perhaps not (Stopped, Timeout and its variants) applied. What applying
   * it answered, errors included, is in the result. The caller's rights are checked as it is applied. It ends by itself after the proposal timeout (5 s and two election
   * timeouts), so a caller that goes away need not cancel it.
   */
  propose(request: InternalRequestRequest, caller?: Caller): Promise<Applied>;

  /** After it, reads of this member's state see everything acknowledged before the call. Ends as {@link propose} does. */
  linearizableRead(): Promise<void>;

  // The state that this member has applied.

  /** MVCC's current revision. */
  revision(): number;
  /** Reads local state; throws Compacted or FutureRevision. `header.revision` is the current revision. */
  range(request: RangeRequest): RangeResponse;
  /** The same in steps of about a millisecond, between which other work may run: the answer is of one revision. */
  rangeSteps(
    request: RangeRequest,
    /** False spares the count of what the limit leaves out. */
    options?: { readonly isCounted: boolean },
  ): Generator<void, RangeResponse>;
  /** How many keys the range has now: known at once. */
  keyCount(key: Uint8Array, rangeEnd: Uint8Array): number;
  /** What the keys with the prefixes that have a quota take; undefined where there are none. */
  prefixUsage(): PrefixUsage | undefined;
  /** Of the value that the key (latin-1) has now; undefined when it is not there. */
  liveValueBytes(key: string): number | undefined;
  /** Evaluates a transaction that contains only ranges, in steps as {@link rangeSteps}; throws as {@link range} does. */
  readTxnSteps(request: TxnRequest): Generator<void, TxnResponse>;
  /** Resolves when the compaction applied last has removed its data here and that is durable. */
  compactionDone(): Promise<void>;
  openWatchStream(sink: WatchSink): WatchStream;
  alarms(): readonly AlarmMember[];
  /** Users, roles and permissions. */
  readonly auth: AuthStore;
  dbSize(): DbSize;
  /** Gives back what deleted and overwritten data still takes on this member's disk; serves meanwhile. */
  defragment(): Promise<void>;

  /** Everything that this member has applied, as one view that must be released soon. */
  pinState(): PinnedState;
  /** 0 for the current revision. Rejects with Compacted or FutureRevision. */
  hashKv(revision: number): Promise<KvHash>;

  /**
   * When the leader applied the revisions behind one, `stampsToldMax` moments at most. Asked of the leader; rejects with
   * NotCapable when that is of a release that does not know.
   */
  leaderStamps(after: number): Promise<LeaderStamps>;

  // Leases

  /** A new positive id. */
  newLeaseId(): bigint;
  /** The granted TTL in seconds; 0 when the lease is not there. Asked of the leader, through the peers where needed. */
  renewLease(id: bigint): Promise<number>;
  /** Seconds; `ttl` is -1 when the lease is not there. Asked of the leader, as {@link renewLease}. */
  leaseTimeToLive(id: bigint): Promise<{ ttl: number; grantedTtl: number }>;
  /** The keys attached to a lease, sorted. */
  leaseKeys(id: bigint): Uint8Array[];
  /** Every lease, the one that expires first at the front. */
  leases(): bigint[];

  // Membership

  /** Sorted by id. */
  members(): Member[];
  /** Waits until this member has applied the change; returns the members after it. */
  changeMembership(change: MembershipChange): Promise<Member[]>;
  /** This member leads and `target` is another voter: the caller has checked. Rejects with TimeoutLeaderTransfer. */
  transferLeadership(target: bigint): Promise<void>;
  /** The version that the cluster is to go back to, `3.5.0`; empty: none. */
  downgradeTarget(): string;
  /** Calls back each time that no leader was seen for three election timeouts. Returns how to stop it. */
  onLeaderLost(callback: () => void): () => void;

  // What an observer may answer

  /** This member is an observer whose state may be older than it is allowed to be. */
  isStale(): boolean;
  /** Calls back each time that this became so. Returns how to stop it. */
  onStale(callback: () => void): () => void;
}

/** May be one live object: it is read at once and not kept. */
export interface RaftStatus {
  readonly term: number;
  /** 0n: none known. */
  readonly leader: bigint;
  readonly isLeader: boolean;
  readonly isLearner: boolean;
  /** A learner that stays one, and serves reads. */
  readonly isObserver: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
}

/** By the clock of one leader. */
export interface LeaderStamps extends RevisionStampList {
  readonly leader: bigint;
  /** When it was asked; a majority has confirmed since that it led. No revision behind `revision` is stamped before. */
  readonly askedMs: number;
  /** The last one that it had applied when it answered. */
  readonly revision: number;
}

export interface DbSize {
  readonly sizeBytes: number;
  readonly inUseBytes: number;
  /** What it may grow to; negative: no limit. */
  readonly quotaBytes: number;
}

export type MembershipChange =
  | {
      readonly kind: 'addVoter' | 'addLearner' | 'addObserver';
      readonly peerUrls: readonly string[];
    }
  | { readonly kind: 'promote' | 'remove'; readonly memberId: bigint }
  | { readonly kind: 'update'; readonly memberId: bigint; readonly peerUrls: readonly string[] };

/** Where one watch stream's responses go. */
export interface WatchSink {
  /** Takes the response in any case. False: the client is slow, answers to requests may follow, events wait for {@link WatchStream.drained}. */
  send(response: WatchResponse): boolean;
}

/** The watchers of one stream. Answers and events come through the sink, also from within these calls. */
export interface WatchStream {
  /** How many there are. */
  readonly size: number;
  create(request: WatchCreateRequest): void;
  /** Answers a creation with a refusal. */
  refuse(reason: string): void;
  cancel(watchId: bigint): void;
  /** Answers with the current revision, watch id -1, when every watcher has seen everything up to it. */
  progress(): void;
  /** A tick of the progress timer: tells those watchers that asked for it, and had no event since the last one. */
  notifyProgress(): void;
  drained(): void;
  close(): void;
}
