import { EventType, type KeyValue } from '../proto/gen/kv.ts';
import { type Compare, SortOrder, SortTarget, type TxnResponse } from '../proto/gen/rpc.ts';
import { orAborted, type Stop, throwIfAborted } from './abort.ts';
import type { CallOptions } from './calls.ts';
import { createRevisionOf, isMissing, leaseOf } from './compare.ts';
import { CompactedError } from './errors.ts';
import type { Headed, KeySpace } from './key-space.ts';
import { type Bytes, keysUnder, oneKey } from './keys.ts';
import type { Session } from './session.ts';
import { deleteOp, kvsAt, putOp, rangeOp } from './txn.ts';

/** Finds the oldest key of a prefix. */
export const oldest = {
  sortTarget: SortTarget.CREATE,
  sortOrder: SortOrder.ASCEND,
  limit: 1,
} as const;

const newest = { sortTarget: SortTarget.CREATE, sortOrder: SortOrder.DESCEND, limit: 1 } as const;

/**
 * One key among those that stand in line under a prefix, as etcd's Go client (clientv3/concurrency) has them: the lease's
 * id in hexadecimal after `prefix/`, first come first served by the revision at which each was created. Whoever uses
 * that client, `etcdctl lock` or this one stands in the same line.
 */
export class Contender {
  readonly key: string;
  /** At which the key was created: greater than that of every holder before. */
  readonly revision: number;
  /** That of the key when it was there already, left by an attempt before. */
  readonly formerValue: Uint8Array | undefined;
  /** Whether it was the first in line at once. */
  readonly isFirst: boolean;
  readonly #space: KeySpace;
  readonly #prefix: string;
  readonly #session: Session;

  /**
   * Gets in line. May be repeated as long as the session is the same: the key is written only if it is not there. Takes no
   * signal: whether the key is there must be known, so that it can be taken back.
   */
  static async enter(
    space: KeySpace,
    { prefix, session, value }: { prefix: string; session: Session; value: Bytes },
  ): Promise<Contender> {
    const key = keyOf(prefix, session);
    const holder = rangeOp(keysUnder(prefix), oldest);
    const answer = await space
      .when(isMissing(key))
      .do(putOp(key, value, { lease: session.id }), holder)
      .otherwise(rangeOp(key), holder)
      .commit({ mayRepeat: true });
    return new Contender(space, { prefix, session, key, answer });
  }

  /** Makes sure that a call to {@link enter} that has failed leaves nothing behind. */
  static async withdraw(
    space: KeySpace,
    { prefix, session }: { prefix: string; session: Session },
  ): Promise<void> {
    const key = keyOf(prefix, session);
    const txn = space.when(leaseOf(key).equals(session.id)).do(deleteOp(key));
    await txn.commit({ mayRepeat: true });
  }

  private constructor(
    space: KeySpace,
    line: { prefix: string; session: Session; key: string; answer: Headed<TxnResponse> },
  ) {
    const { prefix, session, key, answer } = line;
    this.#space = space;
    this.#prefix = prefix;
    this.#session = session;
    this.key = key;
    const own = answer.succeeded ? undefined : kvsAt(answer, 0)[0];
    this.formerValue = own?.value;
    this.revision = own?.createRevision ?? answer.header.revision;
    this.isFirst = kvsAt(answer, 1)[0]?.createRevision === this.revision;
  }

  /** Holds as long as the key does: a guard for transactions that only the holder may do. */
  get guard(): Compare {
    return createRevisionOf(this.key).equals(this.revision);
  }

  /** Resolves when all who came before are gone. Rejects when the session is lost or the signal aborted. */
  async first(options: CallOptions): Promise<void> {
    const stops = [options.signal, this.#session.lost];
    if (!this.isFirst) await this.#whenOthersAreGone(stops);
    throwIfAborted(stops);
    if (this.isFirst) return;
    const kv = await this.#space.get(this.key);
    if (kv?.createRevision !== this.revision) throw new Error(`${this.key} was deleted meanwhile`);
  }

  /** Leaves the line, or gives up the first place. Deletes only this very key. */
  async leave(options: CallOptions = {}): Promise<void> {
    const txn = this.#space.when(this.guard).do(deleteOp(this.key));
    await txn.commit({ ...options, mayRepeat: true });
  }

  async #whenOthersAreGone(stops: readonly Stop[]): Promise<void> {
    const maxCreateRevision = this.revision - 1;
    for (;;) {
      const range = this.#space.range(keysUnder(this.#prefix), { ...newest, maxCreateRevision });
      const { kvs, header } = await orAborted(range, stops);
      const [before] = kvs;
      if (before === undefined) return;
      await this.#whenDeleted(before, header.revision + 1, stops);
    }
  }

  async #whenDeleted({ key }: KeyValue, startRevision: number, stops: readonly Stop[]) {
    const watch = this.#space.watch(oneKey(key), { startRevision, without: 'puts' });
    try {
      await orAborted(firstDelete(watch), stops);
    } catch (error) {
      // Then whether it is still there is read again.
      if (!(error instanceof CompactedError)) throw error;
    } finally {
      watch.cancel();
    }
  }
}

async function firstDelete(watch: AsyncIterable<{ events: { type: EventType }[] }>): Promise<void> {
  for await (const { events } of watch) {
    if (events.some(({ type }) => type === EventType.DELETE)) return;
  }
}

function keyOf(prefix: string, session: Session): string {
  return `${prefix}${BigInt.asUintN(64, session.id).toString(16)}`;
}
