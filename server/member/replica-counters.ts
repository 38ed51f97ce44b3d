import { exponentialBounds, Histogram } from '../base/histogram.ts';

/** Of one kind of request. */
export interface ApplyTimes {
  readonly succeeded: Histogram;
  readonly failed: Histogram;
}

/** What a replica counts since the process began. */
export class ReplicaCounters {
  /** Leaders that were seen to take over. */
  leaderChanges = 0;
  /** Heartbeats of a leader that were due long before they were sent. */
  lateHeartbeats = 0;
  slowApplies = 0;
  /** Leases that the leader asked to be revoked because their time was over. */
  expiredLeases = 0;
  /** The end of the last compaction's work here, in unix seconds. */
  compactedAtSeconds = 0;
  readonly compactionStepMs = new Histogram(exponentialBounds(1, 2, 13));
  readonly compactionMs = new Histogram(exponentialBounds(100, 2, 14));
  /** A snapshot of the leader, until it is whole and verified. */
  readonly snapshotReceiveSeconds = new Histogram(exponentialBounds(0.1, 2, 10));
  /** By the kind of request. */
  readonly applies = new Map<string, ApplyTimes>();

  applied(kind: string, seconds: number, isFailed: boolean): void {
    let times = this.applies.get(kind);
    if (times === undefined) {
      const bounds = exponentialBounds(0.0001, 2, 20);
      times = { succeeded: new Histogram(bounds), failed: new Histogram(bounds) };
      this.applies.set(kind, times);
    }
    (isFailed ? times.failed : times.succeeded).observe(seconds);
  }
}
