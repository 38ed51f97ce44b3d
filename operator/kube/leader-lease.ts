// [io] Leader election of operators by a coordination Lease.
import type { Clock } from '../../server/base/clock.ts';
import type { Logger } from '../../server/base/logger.ts';
import type { Lease } from '../api/objects.ts';
import type { KubeClient } from './client.ts';
import { pause } from './clock.ts';
import { isConflict } from './errors.ts';
import { collectionPath, objectPath } from './paths.ts';

/** Called right before every change of the world; throws when this process may not change it. */
export type Fence = () => void;

export const noFence: Fence = () => {};

export interface LeaderLeaseOptions {
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  /** Others may take over when nothing was renewed for so long. */
  readonly durationMs: number;
  /** We stop writing when nothing was renewed for so long: well before others may begin. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

/** One instant, by both clocks. */
interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
}

export const leaderLeaseDefaults = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/** The times of a lease that others may take after `durationMs`, in the proportions of the default. */
export function leaderLeaseTimes(durationMs: number) {
  const { durationMs: whole, renewDeadlineMs, retryMs } = leaderLeaseDefaults;
  return {
    durationMs,
    renewDeadlineMs: (renewDeadlineMs / whole) * durationMs,
    retryMs: (retryMs / whole) * durationMs,
  };
}

export class NotLeaderError extends Error {
  override name = 'NotLeaderError';
}

/**
 * A Lease is no fence: a process that stops between check and write can still write late. It makes that rare; the
 * preconditions of every write make it harmless.
 */
export class LeaderLease {
  readonly #kube: KubeClient;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: LeaderLeaseOptions;
  /** The lease as last seen, and when it was first seen so, by our own clock: nobody's wall clock is compared. */
  #seen: { readonly resourceVersion: string; readonly atMs: number } | undefined;
  #renewedAt: Moment | undefined;

  constructor(
    modules: { readonly kube: KubeClient; readonly clock: Clock; readonly logger: Logger },
    options: LeaderLeaseOptions,
  ) {
    this.#kube = modules.kube;
    this.#clock = modules.clock;
    this.#logger = modules.logger;
    this.#options = options;
  }

  readonly fence: Fence = () => {
    if (!this.isHeld()) throw new NotLeaderError('the leader lease is not held');
  };

  isHeld(): boolean {
    if (this.#renewedAt === undefined) return false;
    const { nowMs, wallMs } = this.#now();
    // The monotonic clock stands still while the whole machine is suspended; the other one may be set.
    const elapsedMs = Math.max(nowMs - this.#renewedAt.nowMs, wallMs - this.#renewedAt.wallMs);
    return elapsedMs < this.#options.renewDeadlineMs;
  }

  /** Resolves when the lease is held, or `signal` is aborted. */
  async acquire(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#try();
      if (this.isHeld()) return;
      await pause(this.#clock, this.#options.retryMs, signal);
    }
  }

  /** Renews until the lease is lost or `signal` is aborted; then it is given back where possible. */
  async hold(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.isHeld()) {
      await pause(this.#clock, this.#options.retryMs, signal);
      if (!signal.aborted) await this.#try();
    }
    if (this.isHeld()) await this.#release();
  }

  #now(): Moment {
    return { nowMs: this.#clock.nowMs(), wallMs: this.#clock.wallMs() };
  }

  async #try(): Promise<void> {
    const askedAt = this.#now();
    try {
      if (await this.#claim(askedAt.nowMs)) this.#renewedAt = askedAt;
    } catch (error) {
      if (isConflict(error)) return;
      this.#logger.warn({ error: String(error) }, 'leader lease could not be renewed');
    }
  }

  /** Whether the lease is ours now. */
  async #claim(nowMs: number): Promise<boolean> {
    const { namespace, name, identity } = this.#options;
    const lease = await this.#kube.get<Lease>(objectPath('Lease', { namespace, name }));
    if (lease === undefined) {
      await this.#kube.create(collectionPath('Lease', namespace), this.#leaseFor(undefined));
      return true;
    }
    const holder = lease.spec.holderIdentity ?? '';
    if (holder !== identity) this.#renewedAt = undefined;
    if (holder !== identity && holder !== '' && !this.#hasExpired(lease, nowMs)) return false;
    await this.#kube.replace(objectPath('Lease', { namespace, name }), this.#leaseFor(lease));
    return true;
  }

  #hasExpired(lease: Lease, nowMs: number): boolean {
    const resourceVersion = lease.metadata.resourceVersion ?? '';
    if (this.#seen?.resourceVersion !== resourceVersion) {
      this.#seen = { resourceVersion, atMs: nowMs };
    }
    const durationMs = (lease.spec.leaseDurationSeconds ?? 0) * 1000;
    return nowMs - this.#seen.atMs > Math.max(durationMs, this.#options.durationMs);
  }

  #leaseFor(present: Lease | undefined): Lease {
    const { namespace, name, identity, durationMs } = this.#options;
    const now = new Date(this.#clock.wallMs()).toISOString().replace('Z', '000Z');
    const ours = present?.spec.holderIdentity === identity;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: present?.metadata ?? { name, namespace },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(durationMs / 1000),
        acquireTime: (ours ? present.spec.acquireTime : undefined) ?? now,
        renewTime: now,
        leaseTransitions: (present?.spec.leaseTransitions ?? -1) + (ours ? 0 : 1),
      },
    };
  }

  /** So that a successor need not wait for the expiry. */
  async #release(): Promise<void> {
    const { namespace, name } = this.#options;
    this.#renewedAt = undefined;
    try {
      const lease = await this.#kube.get<Lease>(objectPath('Lease', { namespace, name }));
      if (lease?.spec.holderIdentity !== this.#options.identity) return;
      const spec = { ...lease.spec, holderIdentity: '' };
      await this.#kube.replace(objectPath('Lease', { namespace, name }), { ...lease, spec });
    } catch (error) {
      this.#logger.warn({ error: String(error) }, 'leader lease could not be given back');
    }
  }
}
