import { Buffer } from 'node:buffer';
import type { Backend } from '../backend/backend.ts';
import type { StatePart } from '../backend/restore.ts';
import { bucketIdNumber, bucketKey, prefix } from '../backend/schema.ts';
import { assert } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import { exponentialBounds, Histogram } from '../base/histogram.ts';
import type { LeaseId } from '../base/ids.ts';
import { leaseExpiriesPerSecondMax, leaseTtlMax } from '../config/limits.ts';
import { DeadlineQueue, type Timed } from './deadline-queue.ts';

export interface LessorModules {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly backend: Pick<Backend, 'put' | 'delete'>;
}

/** How a keep-alive ended. `expired`: its revocation is on the way, see {@link Lessor.whenRevoked}. */
export type Renewal =
  | { readonly kind: 'renewed'; readonly ttl: number }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'notPrimary' };

/** A lease seen expired is offered again after this time, in case its revocation was lost. */
const expiredRetryMs = 3000;

interface Lease extends Timed {
  readonly id: LeaseId;
  readonly ttl: number;
  remainingTtl: number;
  /** Monotonic milliseconds; meaningless unless this lessor is primary. */
  deadlineMs: number;
  keys: Set<string> | undefined;
  /** When its rest is told to the others next. */
  readonly checkpoint: CheckpointTime;
}

interface CheckpointTime extends Timed {
  readonly id: LeaseId;
}

/** What is left of a lease, in seconds. */
export interface Checkpoint {
  readonly id: LeaseId;
  readonly remainingTtl: number;
}

/**
 * The leases of the cluster. Which leases exist and what is attached to them is replicated state, changed only while
 * entries are applied. When they expire is known to the primary alone, the lessor on the leader: it starts every
 * lease anew when it is promoted, so no clock is ever compared with another member's.
 */
export class Lessor implements StatePart {
  readonly prefixes = [prefix.lease];
  /** Since the process began; renewals are seen by the leader alone. */
  readonly counters = {
    granted: 0,
    revoked: 0,
    renewed: 0,
    ttlSeconds: new Histogram(exponentialBounds(1, 2, 24)),
  };
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #backend: Pick<Backend, 'put' | 'delete'>;
  #leases = new Map<LeaseId, Lease>();
  #leaseOfKey = new Map<string, Lease>();
  #restoring = new Map<LeaseId, Lease>();
  /** Every lease while primary, by the time of its next expiry or retry; empty otherwise. */
  readonly #queue = new DeadlineQueue<Lease>();
  /** Of the long leases, while primary and only where checkpoints are wanted. */
  readonly #checkpoints = new DeadlineQueue<CheckpointTime>();
  #checkpointMs = 0;
  readonly #revocationWaiters = new Map<LeaseId, ((isRevoked: boolean) => void)[]>();
  #isPrimary = false;

  constructor(modules: LessorModules) {
    this.#clock = modules.clock;
    this.#backend = modules.backend;
  }

  get size(): number {
    return this.#leases.size;
  }

  get isPrimary(): boolean {
    return this.#isPrimary;
  }

  restoreBegin(): void {
    this.#restoring = new Map();
  }

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    const lease = decodeLease(key, value);
    this.#restoring.set(lease.id, lease);
  }

  /** Not primary any more. The keys follow, see {@link attachAll}. */
  restoreEnd(): void {
    this.demote();
    this.#leases = this.#restoring;
    this.#leaseOfKey = new Map();
    this.#restoring = new Map();
  }

  /** What the store has read of the keys' leases. One that is not there is passed over: etcd's files may name such. */
  attachAll(leaseOfKey: ReadonlyMap<string, LeaseId>): void {
    for (const [key, id] of leaseOfKey) if (this.#leases.has(id)) this.attach(key, id);
  }

  /** Throws EtcdError LeaseNotFound (id 0), LeaseTtlTooLarge, LeaseExists. `ttl` is the effective one, in seconds. */
  grant(id: LeaseId, ttl: number): void {
    if (id === 0n) throw new EtcdError('LeaseNotFound');
    if (ttl > leaseTtlMax) throw new EtcdError('LeaseTtlTooLarge');
    if (this.#leases.has(id)) throw new EtcdError('LeaseExists');
    const lease = newLease(id, ttl, 0);
    this.counters.granted++;
    this.counters.ttlSeconds.observe(ttl);
    this.#leases.set(id, lease);
    this.#write(lease);
    if (!this.#isPrimary) return;
    this.#expireIn(lease, ttl * 1000);
    this.#scheduleCheckpoint(lease);
  }

  /** Forgets the lease. Its keys must have been deleted before, in the same revision. */
  revoke(id: LeaseId): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new EtcdError('LeaseNotFound');
    assert((lease.keys?.size ?? 0) === 0, 'a revoked lease has no keys');
    this.counters.revoked++;
    this.#leases.delete(id);
    this.#queue.remove(lease);
    this.#checkpoints.remove(lease.checkpoint);
    this.#backend.delete(bucketKey(prefix.lease, id));
    this.#settleRevocation(id, true);
  }

  /** Remembers how much of the TTL is left, for the next primary. An unknown lease is ignored. */
  checkpoint(id: LeaseId, remainingTtl: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.remainingTtl = remainingTtl;
    this.#write(lease);
    if (this.#isPrimary) this.#scheduleCheckpoint(lease);
  }

  /** How often the rest of a lease that is longer than that is due in {@link dueCheckpoints}; 0: never. */
  checkpointEvery(intervalMs: number): void {
    this.#checkpointMs = intervalMs;
  }

  /** Whether the next primary would give the lease less than its full TTL. */
  hasCheckpoint(id: LeaseId): boolean {
    return (this.#leases.get(id)?.remainingTtl ?? 0) > 0;
  }

  /** At most `countMax` leases whose rest is to be told to the others, through raft. None when not primary. */
  dueCheckpoints(countMax: number): Checkpoint[] {
    const nowMs = this.#clock.nowMs();
    const due: Checkpoint[] = [];
    for (;;) {
      const next = this.#checkpoints.first();
      if (next === undefined || next.dueMs > nowMs || due.length === countMax) return due;
      this.#checkpoints.remove(next);
      const lease = this.#leases.get(next.id);
      if (lease === undefined || lease.deadlineMs <= nowMs) continue;
      const remainingTtl = Math.ceil((lease.deadlineMs - nowMs) / 1000);
      if (remainingTtl < lease.ttl) due.push({ id: lease.id, remainingTtl });
    }
  }

  /** Binds the key to a lease that exists, and so frees it from any other. */
  attach(key: string, id: LeaseId): void {
    const lease = this.#leases.get(id);
    assert(lease !== undefined, 'a key is attached to a lease that exists');
    this.detach(key);
    this.#leaseOfKey.set(key, lease);
    lease.keys ??= new Set();
    lease.keys.add(key);
  }

  detach(key: string): void {
    const lease = this.#leaseOfKey.get(key);
    if (lease === undefined) return;
    this.#leaseOfKey.delete(key);
    lease.keys?.delete(key);
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id);
  }

  /** Seconds as granted; undefined for an unknown lease. */
  grantedTtl(id: LeaseId): number | undefined {
    return this.#leases.get(id)?.ttl;
  }

  /** 0n when the key has no lease. */
  leaseOf(key: string): LeaseId {
    return this.#leaseOfKey.get(key)?.id ?? 0n;
  }

  /** The attached keys in bytewise order, the same on every member. */
  keysOf(id: LeaseId): string[] {
    return [...(this.#leases.get(id)?.keys ?? [])].toSorted(order);
  }

  /** All leases: the one that expires first comes first on the primary; by id elsewhere. */
  ids(): LeaseId[] {
    const leases = [...this.#leases.values()];
    leases.sort((a, b) => (this.#isPrimary ? a.deadlineMs - b.deadlineMs : 0) || order(a.id, b.id));
    return leases.map((lease) => lease.id);
  }

  /**
   * Makes this lessor the primary: every lease gets its full TTL (or what its checkpoint says) and `extendMs` on
   * top, and expiries that would pile up are spread. Call it once everything of earlier terms is applied.
   */
  promote(extendMs: number): void {
    this.#isPrimary = true;
    const nowMs = this.#clock.nowMs();
    const byDeadline = [...this.#leases.values()];
    for (const lease of byDeadline) {
      lease.deadlineMs = nowMs + extendMs + (lease.remainingTtl || lease.ttl) * 1000;
    }
    byDeadline.sort((a, b) => a.deadlineMs - b.deadlineMs || order(a.id, b.id));
    spread(byDeadline);
    for (const lease of byDeadline) {
      this.#queue.set(lease, lease.deadlineMs);
      this.#scheduleCheckpoint(lease);
    }
  }

  /** Stops expiring. Harmless when not primary. */
  demote(): void {
    this.#isPrimary = false;
    this.#queue.clear();
    this.#checkpoints.clear();
    for (const id of this.#revocationWaiters.keys()) this.#settleRevocation(id, false);
  }

  /** Starts the TTL anew. The caller has made sure that it still leads (etcd#15247). */
  renew(id: LeaseId): Renewal {
    if (!this.#isPrimary) return { kind: 'notPrimary' };
    const lease = this.#leases.get(id);
    if (lease === undefined) return { kind: 'unknown' };
    if (lease.deadlineMs <= this.#clock.nowMs()) return { kind: 'expired' };
    this.#expireIn(lease, lease.ttl * 1000);
    this.#scheduleCheckpoint(lease);
    this.counters.renewed++;
    return { kind: 'renewed', ttl: lease.ttl };
  }

  /** Calls back once: true when the lease is gone, false when this lessor is demoted before. */
  whenRevoked(id: LeaseId, callback: (isRevoked: boolean) => void): void {
    if (!this.#leases.has(id)) return callback(true);
    if (!this.#isPrimary) return callback(false);
    const waiters = this.#revocationWaiters.get(id) ?? [];
    waiters.push(callback);
    this.#revocationWaiters.set(id, waiters);
  }

  /** Whole seconds left, never negative; undefined for an unknown lease, and when not primary. */
  remaining(id: LeaseId): number | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || !this.#isPrimary) return undefined;
    return Math.max(0, Math.floor((lease.deadlineMs - this.#clock.nowMs()) / 1000));
  }

  /**
   * At most `countMax` leases whose time is over, for the leader to revoke through raft. One that is still there some
   * seconds later is returned again. None when not primary.
   */
  expired(countMax: number): LeaseId[] {
    const nowMs = this.#clock.nowMs();
    const ids: LeaseId[] = [];
    for (let lease = this.#queue.first(); lease !== undefined; lease = this.#queue.first()) {
      if (ids.length === countMax || lease.dueMs > nowMs) break;
      ids.push(lease.id);
      this.#queue.set(lease, nowMs + expiredRetryMs);
    }
    return ids;
  }

  #write(lease: Lease): void {
    this.#backend.put(bucketKey(prefix.lease, lease.id), encodeLease(lease));
  }

  #expireIn(lease: Lease, delayMs: number): void {
    lease.deadlineMs = this.#clock.nowMs() + delayMs;
    this.#queue.set(lease, lease.deadlineMs);
  }

  #scheduleCheckpoint(lease: Lease): void {
    const { checkpoint } = lease;
    const restMs = (lease.remainingTtl || lease.ttl) * 1000;
    const isLong = this.#checkpointMs > 0 && restMs > this.#checkpointMs;
    if (isLong) this.#checkpoints.set(checkpoint, this.#clock.nowMs() + this.#checkpointMs);
    else this.#checkpoints.remove(checkpoint);
  }

  #settleRevocation(id: LeaseId, isRevoked: boolean): void {
    const waiters = this.#revocationWaiters.get(id) ?? [];
    this.#revocationWaiters.delete(id);
    for (const callback of waiters) callback(isRevoked);
  }
}

function newLease(id: LeaseId, ttl: number, remainingTtl: number): Lease {
  const checkpoint = { id, dueMs: 0, place: -1 };
  const timed = { dueMs: 0, place: -1 };
  return { id, ttl, remainingTtl, deadlineMs: 0, keys: undefined, checkpoint, ...timed };
}

/**
 * The record of a lease: granted TTL and what a checkpoint left of it, 8 bytes each. The keys are not in it: their
 * records name the lease.
 */
export function encodeLease({
  ttl,
  remainingTtl,
}: Pick<Lease, 'ttl' | 'remainingTtl'>): Uint8Array {
  const value = Buffer.allocUnsafe(16);
  value.writeBigInt64BE(BigInt(ttl));
  value.writeBigInt64BE(BigInt(remainingTtl), 8);
  return value;
}

function decodeLease(key: Uint8Array, value: Uint8Array): Lease {
  const numbers = asBuffer(value);
  const id = BigInt.asIntN(64, bucketIdNumber(key));
  return newLease(id, Number(numbers.readBigInt64BE()), Number(numbers.readBigInt64BE(8)));
}

/** Moves deadlines back, never forward, so that no second holds more than its share. Sorted before and after. */
function spread(byDeadline: readonly Lease[]): void {
  byDeadline.forEach((lease, position) => {
    const ahead = byDeadline[position - leaseExpiriesPerSecondMax];
    if (ahead !== undefined) lease.deadlineMs = Math.max(lease.deadlineMs, ahead.deadlineMs + 1000);
  });
}

function order<T extends LeaseId | string>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
