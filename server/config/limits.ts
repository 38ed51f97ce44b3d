import { assert } from '../base/assert.ts';

// Every queue, message, batch and recursion has its maximum here, with its unit as the last word of the name before
// Max. What a flag can change is called Default; its flag is named beside it.

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

// Requests

/** A marshalled request that goes through raft. `--max-request-bytes`. */
export const requestBytesMaxDefault = 1.5 * mebibyte;
/** What `--max-request-bytes` may be raised to. */
export const requestBytesFlagMax = 16 * mebibyte;
/** What a gRPC message may be larger than the request in it: etcd's own allowance. */
export const grpcOverheadBytes = 512 * kibibyte;
/** Compares, or operations of one branch, of a transaction; nested ones share it. `--max-txn-ops`. */
export const txnOpsMaxDefault = 128;
// How deep messages may be, and how many lists may hold in all: `proto/wire.ts`, which the client shares. How much of an answer
// is encoded before others have their turn: `proto/encoding-steps.ts` and `proto/json-encode.ts`.

// Between a client's request and its answer

/** Committed but not yet applied entries; above it a request is refused with `too many requests`. */
export const appliedLagEntriesMax = 5_000;
/** Proposals of this member that wait for their own apply. */
export const proposalsInFlightMax = 5_000;
/** Bytes of those proposals. */
export const proposalBytesInFlightMax = 64 * mebibyte;
/** Bytes of the proposals that go to the leader in one message, but for a single larger one. */
export const proposalBatchBytesMax = 4 * mebibyte;

/** Reads that wait for the next read index. */
export const readsWaitingMax = 50_000;

// Raft

/** Entries of one append message, but for a single larger one. */
export const appendBytesMax = 1 * mebibyte;
/** Append messages to one follower that are not yet answered. */
export const inflightAppendsMax = 512;
/** A leader takes no proposals while more than this waits for a quorum. */
export const uncommittedBytesMax = 64 * mebibyte;
/** Entries applied in one turn of the loop. */
export const applyBytesMax = 1 * mebibyte;
/** Applied entries kept in memory for followers that are behind; further back they get a snapshot. etcd's number. */
export const catchUpEntriesMax = 5_000;
/** With more bytes than this in those entries, a tenth of them is kept. */
export const catchUpBytesMax = 64 * mebibyte;
/** Applied bytes that go down to disk before the regular time has come. */
export const flushBytesMin = 4 * mebibyte;
/** A segment of the log on disk; etcd's size. */
export const walSegmentBytesDefault = 64 * mebibyte;
/** Zeros that the log's last file ends with, ahead of the batches; none are written behind a batch larger than the second. */
export const walReserveBytes = 512 * kibibyte;
export const walReservingBatchBytesMax = 32 * kibibyte;

// State

/** Changes, and bytes of them, that become one batch of the ordered store: what comes behind makes the next one. */
export const batchOpsMax = 2_048;
export const batchBytesMax = 4 * mebibyte;
/** Changes that wait to go to disk: above, nothing more is applied until fewer do. */
export const statePendingBytesMax = 64 * mebibyte;
/** Entries in memory while nothing is applied: above, a follower takes no more. */
export const logBytesMax = 256 * mebibyte;
/** What a leader keeps of its log for a member that is being sent a snapshot; more, and that one needs another. */
export const snapshotBacklogBytesMax = { observer: 256 * mebibyte, voter: 1024 * mebibyte };
/** Records that a scan of the ordered store gives at once. */
export const scanChunkRecordsMax = 1_000;
export const scanChunkBytesMax = 1 * mebibyte;
/** The files of keys are looked at so often. */
export const encryptionKeysReadMs = 2_000;
/** Records of a batch that are encrypted before others get their turn. */
export const encryptedTurnRecordsMax = 256;
/** A received state is written in batches of about this size. */
export const bulkLoadBytesMax = 4 * mebibyte;
/** Keys that a range looks at before others have their turn: half a millisecond, and a page of Kubernetes at once. */
export const rangeStepKeysMax = 512;
/** A key whose value has to be read from the ordered store counts as so many. */
export const unreadKeyCost = 8;
/** Of their values; the last may make it more. */
export const rangeStepBytesMax = 512 * kibibyte;
/** Keys that are only counted before others have their turn. */
export const countStepKeysMax = 10_000;
/** Versions that a compaction erases, and keys it looks at, before others have their turn. */
export const compactionStepVersionsMax = 250;
export const compactionStepKeysMax = 10_000;
/** Erased but not yet durable: from so much on a batch is asked for, above so much erasing waits. */
export const compactionFlushBytesMin = 1 * mebibyte;
export const compactionPendingBytesMax = 16 * mebibyte;
/** Values of keys, newest versions, that are kept decoded after they were read. */
export const recentValuesMax = 65_536;
export const recentValuesBytesMax = 64 * mebibyte;
/** Births and deaths of keys that are remembered, to count ranges at a revision a while ago. */
export const lifeLogMax = 65_536;
/** Moments that are remembered at which revisions were applied, and how long revisions share one: nearly two hours of changes. */
export const revisionStampsMax = 65_536;
export const stampSpanMs = 100;
/** A clock that is set back by more was wrong before, and is followed. */
export const clockHeldMsMax = 60_000;
/** Of these, what is told at once. */
export const stampsToldMax = 4_096;

// The client port

export const connectionsMax = 10_000;
/** Unless `--max-concurrent-streams` says otherwise. */
export const streamsPerConnectionMax = 1_000;
/** HTTP/2's own bound, and etcd's default, which stands for "not set". */
export const concurrentStreamsFlagMax = 0xffff_ffff;
/** Request headers of one call, decompressed. */
export const headerListBytesMax = 16 * kibibyte;
/** The same as they come, and the CONTINUATION frames that they may come in. */
export const headerBlockBytesMax = 2 * headerListBytesMax;
export const continuationsMax = 8;
/**
 * Responses of one connection that are not sent yet: above it new streams are refused. A list of a hundred megabytes on
 * a connection that kube-apiserver shares must not do that.
 */
export const sessionBytesMax = 1024 * mebibyte;
/** Of these, what the socket is given at once: the rest waits in its streams, so that they take turns. */
export const socketBytesMax = 256 * kibibyte;
/** Answers to SETTINGS, PING and the like that a client does not read: above it it is dropped. */
export const controlBytesMax = 1 * mebibyte;
/** Requests of one connection that have come in part: a call that would make it more is refused. */
export const requestBytesHeldMax = 64 * mebibyte;
/** HTTP/2 frames that ask for nothing (pings, settings, resets, empty data): at once, and on and on. */
export const idleFramesBurstMax = 10_000;
export const idleFramesPerSecondMax = 5_000;
/** How long a client may take to learn that we stop, before it is told which of its calls are the last. */
export const goawayMsMax = 1_000;
/** What a client may send of one call, and of all calls of one connection, before we have read it. */
export const streamWindowBytes = 1 * mebibyte;
export const sessionWindowBytes = 4 * mebibyte;
/** A client that pings more often than this is sent away after so many strikes. `--grpc-keepalive-min-time` of etcd. */
export const pingIntervalMsMin = 5_000;
export const pingStrikesMax = 2;
/** A silent client is pinged, and dropped when it does not answer. */
export const keepaliveIntervalMs = 2 * 60 * 60 * 1_000;
export const keepaliveTimeoutMs = 20_000;
/** How long a client may go on sending to a call that has ended. */
export const lingerMs = 1_000;
/** How long a stopping member waits for calls under way. */
export const drainMsMax = 5_000;
/** How long stopping may take in all before the process ends itself. */
export const stopMsMax = 30_000;
/** From accept to the end of the TLS handshake, the look at the certificate included; etcd's number. */
export const handshakeMsMax = 10_000;
/** Connections of one listener whose handshake goes on: above it the oldest is dropped. */
export const handshakesPendingMax = 1_000;
/** Files of certificates are read again for a handshake, but not more often. */
export const certificateReadMsMin = 100;
/** From accept to the end of the first request's headers. */
export const headersMsMax = 10_000;
/** A stream whose client does not read: beyond it the producer is told to wait. */
export const streamBufferBytesMax = 1 * mebibyte;
/** Requests of one stream that are taken before others have their turn: a millisecond of the cheapest ones. */
export const streamRequestsPerTurnMax = 128;
/** Requests of HTTP/1.1 that were sent one behind another and wait for their answers: no client sends so many. */
export const pipelinedRequestsMax = 100;
/** Watchers of one stream. */
export const watchersPerStreamMax = 10_000;

// The JSON gateway

/** For the whole of a request's body, but for a stream of requests; Node's own default. */
export const requestBodyMsMax = 300_000;
/** Calls that wait because as many as `--max-concurrent-streams` allows are under way. */
export const gatewayWaitingMax = 10_000;

// Watches: what a slow client or a watch from the past may cost

/** The newest revisions that stay in memory; older ones are read from the store. */
export const watchLogRevisionsMax = 4_096;
export const watchLogBytesMax = 8 * mebibyte;
/** Revisions and events read, and events given to watchers, before others have their turn: a few milliseconds. */
export const watchSliceCostMax = 1_024;
export const watchSliceBytesMax = 1 * mebibyte;

// Snapshots for clients, and files that are restored

/** Under way at one time on a member: each reads all of its state twice. */
export const clientSnapshotsMax = 2;
/** One message of a snapshot; etcd's size. */
export const snapshotBlobBytes = 32 * kibibyte;
/** A client that takes nothing for so long is sent away: its view of the state keeps what others have deleted. */
export const snapshotStallMsMax = 120_000;
/** A page of a bbolt file with those that belong to it, for one record: far above `--max-request-bytes`. */
export const boltPageRunBytesMax = 256 * mebibyte;
/** Levels of a tree in a bbolt file; a sound one has less than ten. */
export const boltDepthMax = 64;

// Fairness

/** A request that looks at more keys than this is expensive: its work takes many turns, or one long one. */
export const expensiveKeysMin = 10_000;
/** Expensive requests that run at once. `--limit-expensive-in-flight`. */
export const expensiveAtOnceDefault = 16;
/** Those that wait, and of them one user's, or one connection's. */
export const expensiveWaitingMax = 10_000;
export const expensiveWaitingOfOneMax = 1_000;
/** Of those that wait, together. */
export const expensiveWaitingBytesMax = 64 * mebibyte;

// Leases

/** Seconds; etcd's own bound. */
export const leaseTtlMax = 9_000_000_000;
/** After a change of leader no more leases than this expire within one second, so that revoking them keeps up. */
export const leaseExpiriesPerSecondMax = 750;

/** Revocations of expired leases that are on their way through raft: a storm of them leaves room for the clients. */
export const leaseRevocationsMax = 500;
/** How often the rest of a long lease is told to the others, so that a new leader does not give all of it again; etcd's number. */
export const leaseCheckpointIntervalMs = 5 * 60 * 1_000;
/** Leases of one checkpoint entry; etcd's number. */
export const leaseCheckpointBatchMax = 1_000;

// Authentication

/** Passwords that wait to be hashed or verified; a further one is refused with `too many requests`. */
export const passwordsWaitingMax = 128;
/** One that takes longer (a cost that no machine can pay) is given up. */
export const passwordMsMax = 60_000;
/** How often a password is verified again because users or roles changed meanwhile. */
export const passwordAttemptsMax = 16;
/** Simple tokens that a member keeps; beyond it the one not used for longest is forgotten. */
export const simpleTokensMax = 100_000;
/** `--auth-token-ttl`, seconds. */
export const authTokenTtlDefault = 300;
/** `--bcrypt-cost`; another one than these is taken for the default, as etcd does. */
export const bcryptCostDefault = 10;
export const bcryptCostMin = 4;
export const bcryptCostMax = 31;

// Maintenance

/** What the applied state may take on disk. `--quota-backend-bytes`. */
export const quotaBytesDefault = 2 * 1024 * mebibyte;
/** Above it etcd warns. */
export const quotaBytesAdvisedMax = 8 * 1024 * mebibyte;
/** A watcher that asked for it is told so often that nothing happened. `--watch-progress-notify-interval`. */
export const watchProgressNotifyMsDefault = 10 * 60 * 1_000;
export const watchProgressNotifyMsMin = 100;
/** Hashes of compacted revisions are compared so often. `--compact-hash-check-time`. */
export const compactHashCheckMsDefault = 60_000;
/** Hashes of the last compactions that a member remembers; etcd's number. */
export const compactionHashesMax = 10;
/** Learners of a cluster. `--max-learners`. */
export const learnersMaxDefault = 1;
/** Observers of a cluster. `--max-observers`. */
export const observersMaxDefault = 8;
/** An observer whose state may be older answers no reads. `--observer-max-staleness`. */
export const observerStalenessMsDefault = 10_000;
export const observerStalenessMsMin = 1_000;
/** Keys of the first message of a streamed range; etcd's number. */
export const rangeStreamFirstKeysMax = 10;

// The audit log

/** Lines that wait for the disk. */
export const auditQueueBytesMax = 16 * mebibyte;
/** The end of the queue, which is kept for authentication, administration and refusals. */
export const auditReservedShare = 0.25;
/** One write, but for a single longer line. */
export const auditBatchBytesMax = 1 * mebibyte;
/** Of a key, and of the keys of a call, what is shown. */
export const auditKeyBytesMax = 512;
export const auditRangesMax = 128;
/** How long a line waits for others, so that a busy log is few writes; also what a killed member loses. */
export const auditFlushMs = 100;
/** After an attempt to write that failed. */
export const auditRetryMs = 1_000;
/** `--audit-log-when-full block`: calls that wait for room before they are begun, and for how long. */
export const auditWaitingMax = 1_000;
export const auditWaitMsMax = 5_000;
/** How often a full pipe is looked at again. */
export const auditOutputPollMs = 20;
/** How long a stopping member waits for its last lines. */
export const auditCloseMsMax = 5_000;
/** `--audit-log-max-size-mb`, `--audit-log-max-files`. */
export const auditFileMebibytesDefault = 100;
export const auditFilesDefault = 5;

// Flags

/** etcd's own bound: a longer election timeout is refused. */
export const electionMsMax = 50_000;
/** `--election-timeout` is at least so many times `--heartbeat-interval`. */
export const heartbeatsPerElectionMin = 5;
/** Node fires a timer at once when its delay does not fit 31 bits. */
export const timerMsMax = 0x7fff_ffff;

assert(
  requestBytesMaxDefault <= requestBytesFlagMax && requestBytesFlagMax < proposalBytesInFlightMax,
  'the largest request fits what may be in flight',
);
assert(
  requestBytesFlagMax + grpcOverheadBytes < sessionBytesMax,
  'the largest message fits its session',
);
assert(
  appliedLagEntriesMax <= proposalsInFlightMax,
  'one member alone can reach the lag that refuses',
);
assert(
  requestBytesFlagMax + grpcOverheadBytes < requestBytesHeldMax,
  'the largest message can come in parts',
);
assert(streamWindowBytes <= sessionWindowBytes, 'one stream cannot fill more than its session');
assert(drainMsMax < stopMsMax, 'calls under way can end before the process does');
assert(handshakesPendingMax < connectionsMax, 'half-open handshakes leave room for others');
assert(keepaliveIntervalMs < timerMsMax, 'a keepalive fits a timer');
assert(electionMsMax < timerMsMax, 'an election timeout fits a timer');
