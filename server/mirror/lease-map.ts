import { asBuffer } from '../base/bytes.ts';
import { hexId, type LeaseId, leaseIdOf } from '../base/ids.ts';
import { pause } from '../client/abort.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import { keysUnder, oneKey } from '../client/keys.ts';
import { deleteOp, putOp } from '../client/txn.ts';
import type { GuardedWriter } from './guarded-writer.ts';
import type { Patience } from './patience.ts';

/** A lease of the destination that stands for one of the source. */
export interface MappedLease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  /** Source revision of the last change that it was used for. */
  usedAt: number;
  /** Monotonic milliseconds. */
  renewedAtMs: number;
}

/** A lease is renewed when a third of its life is over. */
const renewalsPerLife = 3;
const tickMs = 300;
const renewalsAtOnceMax = 32;

/**
 * Leases of the destination, by those of the source: under the same id where that is free. Which is which stands in the
 * destination before any key lives with it, so that it is known after a crash. They are kept alive until they are revoked.
 */
export class LeaseMap {
  readonly #client: Client;
  readonly #patience: Patience;
  readonly #writer: GuardedWriter;
  readonly #prefix: string;
  readonly #leases = new Map<LeaseId, MappedLease>();
  readonly #lost = new Set<LeaseId>();
  readonly #stop = new AbortController();

  constructor(
    modules: {
      readonly client: Client;
      readonly patience: Patience;
      readonly writer: GuardedWriter;
    },
    prefix: string,
  ) {
    this.#client = modules.client;
    this.#patience = modules.patience;
    this.#writer = modules.writer;
    this.#prefix = prefix;
  }

  /** Those of the source. */
  get ids(): LeaseId[] {
    return [...this.#leases.keys()];
  }

  get(source: LeaseId): MappedLease | undefined {
    return this.#leases.get(source);
  }

  /** Reads which leases there were; one that is gone at the destination counts as lost. */
  async load(): Promise<void> {
    const recorded = await this.#patience.until(() => recordedLeases(this.#client, this.#prefix));
    this.#leases.clear();
    for (const { source, lease } of recorded) this.#leases.set(source, lease);
    await this.#renew(this.ids, (id) =>
      this.#patience.until(() => this.#client.leaseKeepAlive(id)),
    );
  }

  /** What is to be known of leases that ended before their time; they are forgotten, and granted anew when they are used. */
  async takeLost(): Promise<LeaseId[]> {
    const lost = [...this.#lost];
    for (const source of lost) await this.#forget(source);
    this.#lost.clear();
    return lost;
  }

  get hasLost(): boolean {
    return this.#lost.size > 0;
  }

  /** The lease that stands for one of the source, granted when it has to be. */
  async ensure(source: LeaseId, ttlSeconds: number, usedAt: number): Promise<LeaseId> {
    const known = this.#leases.get(source);
    if (known !== undefined) {
      known.usedAt = Math.max(known.usedAt, usedAt);
      return known.id;
    }
    const isFree = await this.#isFree(source);
    if (isFree) await this.#record(source, source, ttlSeconds);
    const id = isFree
      ? await this.#grantOwn(source, ttlSeconds)
      : await this.#grantOther(source, ttlSeconds);
    this.#leases.set(source, { ...mapped(id, ttlSeconds), usedAt });
    return id;
  }

  /** The source's has ended, and everything that happened until then is copied. */
  async revoke(source: LeaseId): Promise<void> {
    const { id } = this.#leases.get(source) ?? {};
    if (id === undefined) return;
    await this.#patience.until(async () => {
      try {
        await this.#client.leaseRevoke(id);
      } catch (error) {
        if (!(error instanceof ClientError) || error.text !== etcdTexts.leaseNotFound) throw error;
      }
    });
    await this.#forget(source);
  }

  /** Renews what is due, until {@link stop}. */
  async keepAlive(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const nowMs = performance.now();
      const due = [...this.#leases].filter(
        ([source, { renewedAtMs, ttlSeconds }]) =>
          !this.#lost.has(source) && nowMs - renewedAtMs >= (ttlSeconds * 1_000) / renewalsPerLife,
      );
      await this.#renew(
        due.map(([source]) => source),
        (id) => this.#renewalOf(id),
      );
      await pause(tickMs, [signal]).catch(() => {});
    }
  }

  /** Renews all of them once more, and stops. */
  async leave(): Promise<void> {
    this.stop();
    await this.#renew(this.ids, (id) => this.#renewalOf(id));
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The TTL that is left; undefined when it is not known. */
  async #renewalOf(id: LeaseId): Promise<number | undefined> {
    try {
      return await this.#client.leaseKeepAlive(id, { timeoutMs: 2_000 });
    } catch {
      // The destination is away: what has become of the lease is seen when it is back.
      return undefined;
    }
  }

  async #renew(
    sources: readonly LeaseId[],
    renew: (id: LeaseId) => Promise<number | undefined>,
  ): Promise<void> {
    for (let at = 0; at < sources.length; at += renewalsAtOnceMax) {
      await Promise.all(
        sources.slice(at, at + renewalsAtOnceMax).map(async (source) => {
          const lease = this.#leases.get(source);
          if (lease === undefined) return;
          const sentAtMs = performance.now();
          const ttlSeconds = await renew(lease.id);
          if (ttlSeconds === undefined || this.#leases.get(source) !== lease) return;
          if (ttlSeconds > 0) lease.renewedAtMs = sentAtMs;
          else this.#lost.add(source);
        }),
      );
    }
  }

  async #isFree(id: LeaseId): Promise<boolean> {
    const { grantedTTL } = await this.#patience.until(() => this.#client.leaseTimeToLive(id));
    return grantedTTL === 0;
  }

  /** It was free when that was written down: if it is there now, then by an attempt of our own. */
  async #grantOwn(id: LeaseId, ttlSeconds: number): Promise<LeaseId> {
    await this.#patience.until(async () => {
      try {
        await this.#client.leaseGrant(ttlSeconds, id);
      } catch (error) {
        if (!(error instanceof ClientError) || error.text !== etcdTexts.leaseExists) throw error;
      }
    });
    return id;
  }

  /** One that is granted in vain expires. */
  async #grantOther(source: LeaseId, ttlSeconds: number): Promise<LeaseId> {
    const { ID } = await this.#patience.until(() => this.#client.leaseGrant(ttlSeconds));
    await this.#record(source, ID, ttlSeconds);
    return ID;
  }

  async #record(source: LeaseId, id: LeaseId, ttl: number): Promise<void> {
    const value = JSON.stringify({ id: hexId(id), ttl });
    await this.#writer.write([putOp(this.#keyOf(source), value)]);
  }

  async #forget(source: LeaseId): Promise<void> {
    await this.#writer.write([deleteOp(oneKey(this.#keyOf(source)))]);
    this.#leases.delete(source);
  }

  #keyOf(source: LeaseId): string {
    return `${this.#prefix}${hexId(source)}`;
  }
}

function mapped(id: LeaseId, ttlSeconds: number): MappedLease {
  return { id, ttlSeconds, usedAt: 0, renewedAtMs: performance.now() };
}

/** What a mirror has written down of its leases, at a revision of the destination; 0: the newest. */
export async function recordedLeases(
  destination: Client,
  prefix: string,
  revision = 0,
): Promise<{ source: LeaseId; lease: MappedLease }[]> {
  const { kvs } = await destination.range(keysUnder(prefix), { revision });
  return kvs.map(({ key, value }) => {
    const { id, ttl } = JSON.parse(asBuffer(value).toString()) as { id: string; ttl: number };
    const source = leaseIdOf(asBuffer(key).toString().slice(prefix.length));
    return { source, lease: mapped(leaseIdOf(id), ttl) };
  });
}
