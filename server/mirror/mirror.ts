import { compareBytes, equalBytes } from '../base/bytes.ts';
import { hexId, type LeaseId, type Revision } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError, CompactedError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import { keysUnder, oneKey } from '../client/keys.ts';
import { deleteOp, putOp } from '../client/txn.ts';
import type { Watch, WatchBatch, WatchEvent } from '../client/watch.ts';
import { EventType, type KeyValue } from '../proto/gen/kv.ts';
import type { RequestOp } from '../proto/gen/rpc.ts';
import { pending, settledWithin } from './arrival.ts';
import { type Checkpoint, checkpointOf, checkpointPlace, stateOf } from './checkpoint.ts';
import { LeaseLostError, MirrorError, SourceRestoredError, TooLargeError } from './failure.ts';
import { GuardedWriter, tooLarge } from './guarded-writer.ts';
import type { KeyMapping } from './key-mapping.ts';
import { Lag } from './lag.ts';
import { LeaseMap } from './lease-map.ts';
import { OperationBatch } from './operation-batch.ts';
import { Patience } from './patience.ts';
import { readRange } from './range-reading.ts';
import { type Change, checkpointAfter, requestsOf, revisionsOf } from './requests.ts';
import { Source } from './source.ts';

export interface MirrorOptions {
  readonly mapping: KeyMapping;
  /** What the keys begin with that the mirror keeps at the destination. */
  readonly reserved: string;
  /** Begin with this revision where there is no checkpoint: the destination has what came before. 0: copy everything. */
  readonly startRevision: Revision;
  /** Of a transaction, the checkpoint included; 2 at least. */
  readonly txnOpsMax: number;
  /** Take a destination that has other keys: those that the source does not have are deleted. */
  readonly overwrites: boolean;
  /** End when everything is copied that was there when it began. */
  readonly isOnce: boolean;
  readonly signal: AbortSignal;
  readonly onStatus: (status: MirrorStatus) => void;
  /** Why everything is copied anew. */
  readonly onResync: (why: string) => void;
}

export interface MirrorStatus {
  readonly phase: 'copying' | 'following';
  /** Everything up to here is at the destination. */
  readonly revision: Revision;
  readonly sourceRevision: Revision;
  /** How long it has been behind. */
  readonly lagSeconds: number;
  readonly puts: number;
  readonly deletes: number;
  readonly transactions: number;
  readonly leases: number;
  /** What keeps it from going on. */
  readonly waitingFor: string | undefined;
}

const statusMs = 500;
const tendMs = 1_000;
/** Batches of the watch that have come meanwhile are applied together. */
const batchesAtOnceMax = 64;
/** How often a checkpoint moves on over revisions in which nothing was to be copied. */
const idleCheckpointMs = 10_000;

/** Keeps a range of the destination as one of the source is: see {@link Mirror.run}. */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #source: Source;
  readonly #destination: Client;
  readonly #patience: Patience;
  readonly #writer: GuardedWriter;
  readonly #leases: LeaseMap;
  readonly #lag = new Lag();
  #clusterId = '';
  #checkpoint: Checkpoint = { kind: 'copying', revision: 0, done: 0 };
  #savedAtMs = 0;
  #savedRevision: Revision = 0;
  #tendedAtMs = 0;
  #counts = { puts: 0, deletes: 0, transactions: 0 };
  #onceRevision: Revision = 0;

  constructor(sides: { source: Client; destination: Client }, options: MirrorOptions) {
    const { signal, mapping } = options;
    this.#options = options;
    const patience = new Patience('source', signal);
    this.#source = new Source({ client: sides.source, patience }, mapping.source);
    this.#destination = sides.destination;
    this.#patience = new Patience('destination', signal);
    const place = checkpointPlace(options.reserved, mapping);
    this.#writer = new GuardedWriter(this.#destination, this.#patience, place.checkpoint);
    const modules = { client: this.#destination, patience: this.#patience, writer: this.#writer };
    this.#leases = new LeaseMap(modules, place.leases);
  }

  /**
   * Goes on from the checkpoint until `signal` is aborted, over outages of either side; copies everything anew, and deletes
   * what the source does not have, where there is no checkpoint or the source has compacted what comes next. Throws
   * {@link MirrorError} and what the client throws.
   */
  async run(): Promise<MirrorStatus> {
    const { signal, onStatus } = this.#options;
    await this.#begin();
    const telling = setInterval(() => onStatus(this.status), statusMs);
    const renewing = this.#leases.keepAlive();
    try {
      await this.#keepUp();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      clearInterval(telling);
      this.#leases.stop();
      await renewing;
    }
    return this.status;
  }

  get status(): MirrorStatus {
    const { kind, revision } = this.#position;
    const nowMs = performance.now();
    return {
      phase: kind,
      revision,
      sourceRevision: Math.max(this.#source.newest, revision),
      lagSeconds: this.#lag.seconds({ newest: this.#source.newest, reached: revision, nowMs }),
      ...this.#counts,
      leases: this.#leases.ids.length,
      waitingFor: this.#source.patience.waitingFor ?? this.#patience.waitingFor,
    };
  }

  /** The last revision that is whole at the destination. */
  get #position(): { kind: 'copying' | 'following'; revision: Revision } {
    const { kind, revision, done } = this.#checkpoint;
    return { kind, revision: done > 0 ? revision - 1 : revision };
  }

  async #begin(): Promise<void> {
    const { mapping, overwrites, startRevision } = this.#options;
    const { clusterId, revision } = await this.#source.identity();
    this.#clusterId = clusterId;
    this.#onceRevision = revision;
    const { header, count } = await this.#destination.range(mapping.destination, {
      countOnly: true,
    });
    if (hexId(header.clusterId) === clusterId && mapping.overlaps) {
      throw new MirrorError(
        'source and destination are one cluster, and what is written would be read again: name another --dest-prefix',
      );
    }
    const state = await this.#writer.load();
    const found = state && checkpointOf(state, { clusterId, mapping, term: this.#source.term });
    await this.#leases.load();
    if (typeof found === 'object') {
      if (found.kind === 'copying')
        this.#options.onResync('what was being copied was not all copied');
      this.#checkpoint = found;
      return;
    }
    if (typeof found === 'string') {
      if (!overwrites) throw new MirrorError(`${found}; --overwrite takes the destination over`);
      for (const id of this.#leases.ids) await this.#leases.revoke(id);
    }
    if (found === undefined && startRevision > 0) {
      // Fails when what comes next is compacted, or when the source has not come so far.
      await this.#source.client.range(oneKey(mapping.source.key), {
        revision: Math.max(1, startRevision - 1),
      });
      await this.#save({ kind: 'following', revision: startRevision - 1, done: 0 });
      return;
    }
    const own = count - (await this.#reservedCount());
    if (found === undefined && own > 0 && !overwrites) {
      throw new MirrorError(
        `the destination has ${own} keys there already: with --overwrite those that the source does not have are deleted; with --rev it begins with what changes from a revision on`,
      );
    }
    await this.#save({ kind: 'copying', revision: 0, done: 0 });
  }

  /** Of the keys in the destination's range, those that are ours. */
  async #reservedCount(): Promise<number> {
    const { mapping, reserved } = this.#options;
    if (!mapping.reservedIsInside) return 0;
    const { count } = await this.#destination.range(keysUnder(reserved), { countOnly: true });
    return count;
  }

  async #keepUp(): Promise<void> {
    for (;;) {
      try {
        if (this.#checkpoint.kind === 'copying') await this.#copy();
        await this.#takeLost();
        if (this.#checkpoint.kind === 'following') await this.#follow();
        if (this.#checkpoint.kind === 'following') return;
      } catch (error) {
        const why = reasonToCopy(error);
        if (why === undefined) throw error;
        await this.#copyAnew(why);
      }
    }
  }

  async #copyAnew(why: string): Promise<void> {
    this.#options.onResync(why);
    this.#source.forget();
    await this.#leases.load();
    await this.#leases.takeLost();
    await this.#save({ kind: 'copying', revision: 0, done: 0 });
  }

  /** What lived with a lease that the destination lost is copied again, unless the source has ended it as well. */
  async #takeLost(): Promise<void> {
    if (!this.#leases.hasLost) return;
    const lost = await this.#leases.takeLost();
    const { ids } = await this.#source.leases();
    if (lost.some((id) => ids.has(id))) {
      await this.#copyAnew('leases of the destination have expired while they were not renewed');
    }
  }

  // Copying

  /** Makes the destination's range what the source's is at one revision, key by key. */
  async #copy(): Promise<void> {
    const revision = await this.#source.revision();
    const { mapping, txnOpsMax } = this.#options;
    const { client, patience, keys } = this.#source;
    const there = readRange(mapping.destination, {
      client: this.#destination,
      patience: this.#patience,
      revision: 0,
    });
    const batch = new OperationBatch(txnOpsMax - 1, (operations) => this.#write(operations));
    try {
      let next = await there.next();
      const skipTo = async (key: Uint8Array | undefined): Promise<KeyValue | undefined> => {
        for (; next.done !== true; next = await there.next()) {
          const { value: kv } = next;
          if (mapping.isReserved(kv.key)) continue;
          if (key !== undefined && compareBytes(kv.key, key) >= 0) break;
          await batch.add(deleteOp(oneKey(kv.key)));
        }
        if (next.done === true || key === undefined || !equalBytes(next.value.key, key)) return;
        const found = next.value;
        next = await there.next();
        return found;
      };
      for await (const kv of readRange(keys, { client, patience, revision })) {
        const key = mapping.toDestination(kv.key);
        if (key === undefined) continue;
        const lease = await this.#leaseOf(kv);
        const found = await skipTo(key);
        const isSame =
          found !== undefined && found.lease === lease && equalBytes(found.value, kv.value);
        if (!isSame) await batch.add(putOp(key, kv.value, { lease }));
      }
      await skipTo(undefined);
      await batch.flush();
    } finally {
      await there.return();
    }
    await this.#save({ kind: 'following', revision, done: 0 });
  }

  async #write(operations: readonly RequestOp[]): Promise<void> {
    await this.#writer.writeInParts(operations);
    this.#count(operations);
  }

  // Following

  async #follow(): Promise<void> {
    const { revision, done } = this.#checkpoint;
    const { client, keys } = this.#source;
    const { signal } = this.#options;
    const startRevision = done > 0 ? revision : revision + 1;
    await this.#source.requireHistory(revision);
    const watch = client.watch(keys, { startRevision, signal });
    const batches = watch[Symbol.asyncIterator]();
    try {
      let next = pending(batches.next());
      while (this.#checkpoint.kind === 'following') {
        const result = await settledWithin(next, tendMs);
        if (result !== undefined) {
          if (result.done === true) return;
          const ready = [result.value];
          next = pending(batches.next());
          while (ready.length < batchesAtOnceMax) {
            const more = await settledWithin(next, 0);
            if (more === undefined || more.done === true) break;
            ready.push(more.value);
            next = pending(batches.next());
          }
          for (const batch of ready) this.#source.heardOf(batch.header.revision);
          await this.#apply(ready);
        }
        await this.#tend(watch);
        if (this.#options.isOnce && this.#position.revision >= this.#onceRevision) {
          await this.#save(this.#checkpoint);
          return;
        }
      }
    } finally {
      watch.cancel();
    }
  }

  async #apply(batches: readonly WatchBatch[]): Promise<void> {
    const changes: Change[] = [];
    let place = 0;
    let revision = 0;
    for (const event of batches.flatMap(({ events }) => events)) {
      place = event.kv.modRevision === revision ? place + 1 : 0;
      revision = event.kv.modRevision;
      const change = await this.#changeOf(event, place);
      if (change !== undefined) changes.push(change);
    }
    const ordered = changes.map((change, at) => ({
      ...change,
      isLast: changes[at + 1]?.revision !== change.revision,
    }));
    for (const request of requestsOf(ordered, this.#options.txnOpsMax - 1)) {
      await this.#applyChanges(request);
    }
    const reached = batches.at(-1)?.revision ?? 0;
    if (reached > this.#position.revision) {
      this.#checkpoint = { kind: 'following', revision: reached, done: 0 };
    }
  }

  /** Undefined for what is not copied, and for what a former life has applied. */
  async #changeOf(event: WatchEvent, place: number): Promise<Change | undefined> {
    const { kv, type } = event;
    const { revision, done } = this.#checkpoint;
    if (done > 0 && kv.modRevision === revision && place < done) return undefined;
    const key = this.#options.mapping.toDestination(kv.key);
    if (key === undefined) return undefined;
    const operation =
      type === EventType.DELETE
        ? deleteOp(oneKey(key))
        : putOp(key, kv.value, { lease: await this.#leaseOf(kv) });
    const sizeBytes = key.length + kv.value.length;
    return { key, operation, revision: kv.modRevision, place, isLast: true, sizeBytes };
  }

  /** In one transaction with the checkpoint; where the destination does not take that, in the fewest that it takes. */
  async #applyChanges(changes: readonly Change[]): Promise<void> {
    const operations = changes.map(({ operation }) => operation);
    const checkpoint = checkpointAfter(changes);
    try {
      await this.#writer.write(operations, this.#stateOf(checkpoint));
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      await this.#applyApart(changes, checkpoint);
      return;
    }
    this.#applied(operations, checkpoint);
  }

  async #applyApart(changes: readonly Change[], checkpoint: Checkpoint): Promise<void> {
    const parts = revisionsOf(changes);
    if (parts.length > 1) {
      for (const part of parts) await this.#applyChanges(part);
      return;
    }
    const operations = changes.map(({ operation }) => operation);
    try {
      await this.#writer.writeApart(operations, this.#stateOf(checkpoint));
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      const [change] = changes;
      if (change !== undefined && changes.length === 1) {
        throw tooLarge(change.key, change.sizeBytes, error);
      }
      const middle = Math.ceil(changes.length / 2);
      await this.#applyChanges(changes.slice(0, middle));
      await this.#applyChanges(changes.slice(middle));
      return;
    }
    this.#applied(operations, checkpoint);
  }

  #applied(operations: readonly RequestOp[], checkpoint: Checkpoint): void {
    this.#count(operations);
    this.#checkpoint = checkpoint;
    this.#savedRevision = checkpoint.revision;
    this.#savedAtMs = performance.now();
  }

  #count(operations: readonly RequestOp[]): void {
    const puts = operations.filter(({ request }) => request?.kind === 'requestPut').length;
    this.#counts.puts += puts;
    this.#counts.deletes += operations.length - puts;
    this.#counts.transactions++;
  }

  /** 0: none. One that has ended since is left out: what becomes of the key comes later. */
  async #leaseOf({ lease, modRevision }: KeyValue): Promise<LeaseId> {
    if (lease === 0n) return 0n;
    const known = this.#leases.get(lease);
    const ttl = known?.ttlSeconds ?? (await this.#source.ttlOf(lease, modRevision));
    return ttl === undefined ? 0n : this.#leases.ensure(lease, ttl, modRevision);
  }

  /** What is done now and then: ends leases, moves the checkpoint on, asks how far the source is. */
  async #tend(watch: Watch): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#tendedAtMs < tendMs) return;
    this.#tendedAtMs = nowMs;
    await this.#takeLost();
    if (this.#checkpoint.kind !== 'following') return;
    await this.#source.requireHistory(this.#position.revision);
    if (this.#leases.ids.length > 0) await this.#endLeases();
    if (this.#position.revision < this.#source.newest) await watch.requestProgress();
    if (nowMs - this.#savedAtMs >= idleCheckpointMs && this.#checkpoint.done === 0) {
      if (this.#checkpoint.revision > this.#savedRevision) await this.#save(this.#checkpoint);
    }
  }

  /** What a lease's end did to keys at the source is copied before the lease ends here. */
  async #endLeases(): Promise<void> {
    const { ids, since, until } = await this.#source.leases();
    const { revision } = this.#position;
    if (revision < until) return;
    for (const id of this.#leases.ids) {
      const { usedAt = 0 } = this.#leases.get(id) ?? {};
      if (!ids.has(id) && usedAt <= since) await this.#leases.revoke(id);
    }
  }

  async #save(checkpoint: Checkpoint): Promise<void> {
    await this.#writer.write([], this.#stateOf(checkpoint));
    this.#checkpoint = checkpoint;
    this.#savedRevision = checkpoint.revision;
    this.#savedAtMs = performance.now();
  }

  #stateOf(checkpoint: Checkpoint) {
    const { mapping } = this.#options;
    return stateOf(checkpoint, { clusterId: this.#clusterId, mapping, term: this.#source.term });
  }
}

/** Why the changes cannot be followed any more, and everything is to be copied; undefined: a failure. */
function reasonToCopy(error: unknown): string | undefined {
  if (error instanceof CompactedError) return `the source: ${error.message}`;
  if (error instanceof ClientError && error.text === etcdTexts.compacted) {
    return 'the source has compacted the revision that was being copied';
  }
  if (error instanceof SourceRestoredError) {
    return `the source has been restored to an earlier state (${error.message})`;
  }
  if (error instanceof LeaseLostError) return 'a lease of the destination has expired';
  return undefined;
}
