import { equalBytes, latin1 } from '../base/bytes.ts';
import type { LeaseId } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { lineOf } from '../client/ctl/text.ts';
import { keysUnder } from '../client/keys.ts';
import { kvsAt, putOp, rangeOp } from '../client/txn.ts';
import { rangeName } from '../mirror/checkpoint.ts';
import { LeaseLostError, MirrorError } from '../mirror/failure.ts';
import { GuardedWriter, type State } from '../mirror/guarded-writer.ts';
import type { KeyMapping } from '../mirror/key-mapping.ts';
import { LeaseMap } from '../mirror/lease-map.ts';
import { Patience } from '../mirror/patience.ts';
import { requestBytesMax } from '../mirror/requests.ts';
import type { Content, KeyEntry } from './content.ts';

export interface ImportOptions {
  readonly mapping: KeyMapping;
  readonly reserved: string;
  /** Tells the file from others: an import that broke off is gone on with. */
  readonly identity: string;
  /** Write over keys that are there. */
  readonly overwrites: boolean;
  /** Of a transaction. */
  readonly txnOpsMax: number;
  readonly signal: AbortSignal;
}

export interface Imported {
  readonly puts: number;
  /** Those that were there as the file has them, or were written before it broke off. */
  readonly unchanged: number;
  readonly leases: number;
}

/** How long the cluster may be away meanwhile. */
const patienceMs = 60_000;
const shownKeys = 5;

/** A key of the file, under its name at the destination. */
interface Put {
  readonly key: Uint8Array;
  readonly entry: KeyEntry;
}

/** Puts everything that a file has into a cluster. */
export class Import {
  readonly #client: Client;
  readonly #patience: Patience;
  readonly #options: ImportOptions;
  readonly #writer: GuardedWriter;
  readonly #leases: LeaseMap;
  /** Where the import keeps what it has to know, until it is done. */
  readonly #place: string;
  #puts = 0;
  #unchanged = 0;

  constructor(client: Client, options: ImportOptions) {
    const { mapping, reserved } = options;
    this.#client = client;
    this.#options = options;
    this.#patience = new Patience('destination', options.signal, patienceMs);
    this.#place = `${reserved}import-${rangeName(mapping.destPrefix)}/`;
    this.#writer = new GuardedWriter(client, this.#patience, `${this.#place}checkpoint`);
    const modules = { client, patience: this.#patience, writer: this.#writer };
    this.#leases = new LeaseMap(modules, `${this.#place}leases/`);
  }

  /**
   * Goes on where an import of the same file into the same range broke off. Throws {@link MirrorError} when other keys are
   * there, before anything is written.
   */
  async run(content: Content): Promise<Imported> {
    const done = await this.#begin(content);
    const renewing = this.#leases.keepAlive();
    try {
      // What lived with a lease that is gone is to be written again.
      const isWhole = !this.#leases.hasLost;
      await this.#leases.takeLost();
      let skipped = isWhole ? done : 0;
      // Where nothing was there and nothing was lost, there is nothing to compare with.
      let compares = this.#options.overwrites || !isWhole;
      for (;;) {
        try {
          await this.#write(content, { skipped, compares });
          break;
        } catch (error) {
          if (!(error instanceof LeaseLostError)) throw error;
          await this.#leases.load();
          await this.#leases.takeLost();
          skipped = 0;
          compares = true;
        }
      }
      await this.#leases.leave();
    } finally {
      this.#leases.stop();
      await renewing;
    }
    const leases = this.#leases.ids.length;
    await this.#writer.end(keysUnder(this.#place));
    return { puts: this.#puts, unchanged: this.#unchanged, leases };
  }

  /** How many entries were written before. */
  async #begin(content: Content): Promise<number> {
    const { overwrites, identity } = this.#options;
    const state = await this.#writer.load();
    const isOurs = state?.['import'] === 1 && state['identity'] === identity;
    await this.#leases.load();
    if (isOurs) return Number(state['done']);
    if (state !== undefined && !overwrites) {
      throw new MirrorError(
        'an import of another file broke off here: go on with that one, or begin anew with --overwrite',
      );
    }
    if (!overwrites) await this.#refuseOthers(content);
    await this.#writer.write([], this.#stateAt(0));
    return 0;
  }

  /** Says what would be written over, when the range is not empty. */
  async #refuseOthers(content: Content): Promise<void> {
    const { mapping, reserved } = this.#options;
    const count = (keys: ReturnType<typeof keysUnder>) =>
      this.#patience.until(() => this.#client.range(keys, { countOnly: true }));
    const { count: all } = await count(mapping.destination);
    const own = mapping.reservedIsInside ? (await count(keysUnder(reserved))).count : 0;
    if (all <= own) return;
    const [over, first] = await this.#thereAlready(content);
    const which =
      over === 0
        ? 'none of them is in the file'
        : `the file has ${over} of them: ${first.join(', ')}${over > first.length ? ', ...' : ''}`;
    throw new MirrorError(
      `the destination has ${all - own} keys there already; ${which}. With --overwrite these are written over, and the others left`,
    );
  }

  async #thereAlready(content: Content): Promise<[number, string[]]> {
    let count = 0;
    const first: string[] = [];
    for await (const { puts } of this.#batches(content)) {
      const success = puts.map(({ key }) => rangeOp(key, { keysOnly: true }));
      const answer = await this.#patience.until(() => this.#client.txn({ success }));
      for (const [at, { key }] of puts.entries()) {
        if (kvsAt(answer, at).length === 0) continue;
        count++;
        if (first.length < shownKeys) first.push(lineOf(key));
      }
    }
    return [count, first];
  }

  async #write(
    content: Content,
    { skipped, compares }: { readonly skipped: number; readonly compares: boolean },
  ): Promise<void> {
    const ttls = new Map<LeaseId, number>();
    for await (const batch of this.#batches(content, ttls)) {
      if (batch.end <= skipped) {
        this.#unchanged += batch.puts.length;
        continue;
      }
      const operations = [];
      const before = compares ? await this.#before(batch.puts) : [];
      for (const [at, { key, entry }] of batch.puts.entries()) {
        const found = before[at];
        const isEqual = found !== undefined && equalBytes(found.value, entry.value);
        if (isEqual && found.lease === entry.lease) continue;
        const ttlSeconds = ttls.get(entry.lease);
        const lease =
          ttlSeconds === undefined ? 0n : await this.#leases.ensure(entry.lease, ttlSeconds, 0);
        if (!isEqual || found.lease !== lease) operations.push(putOp(key, entry.value, { lease }));
      }
      await this.#writer.writeInParts(operations, this.#stateAt(batch.end));
      this.#puts += operations.length;
      this.#unchanged += batch.puts.length - operations.length;
    }
  }

  async #before(puts: readonly Put[]) {
    const success = puts.map(({ key }) => rangeOp(key));
    const answer = await this.#patience.until(() => this.#client.txn({ success }));
    return puts.map((_, at) => kvsAt(answer, at)[0]);
  }

  /** What goes into one request; the same for the same file, so that what was done can be told from what was not. */
  async *#batches(
    content: Content,
    ttls?: Map<LeaseId, number>,
  ): AsyncGenerator<{ readonly puts: Put[]; readonly end: number }, void, void> {
    const { mapping, txnOpsMax, signal } = this.#options;
    let puts: Put[] = [];
    let names = new Set<string>();
    let bytes = 0;
    let end = 0;
    for await (const entry of content.entries()) {
      signal.throwIfAborted();
      if (entry.kind === 'lease') ttls?.set(entry.id, entry.ttlSeconds);
      const key = entry.kind === 'key' ? mapping.toDestination(entry.key) : undefined;
      if (entry.kind === 'key' && key !== undefined) {
        const size = key.length + entry.value.length;
        const isFull = puts.length === txnOpsMax - 1 || bytes + size > requestBytesMax;
        if (puts.length > 0 && (isFull || names.has(latin1(key)))) {
          yield { puts, end };
          puts = [];
          names = new Set();
          bytes = 0;
        }
        puts.push({ key, entry });
        names.add(latin1(key));
        bytes += size;
      }
      end++;
    }
    if (puts.length > 0) yield { puts, end };
  }

  #stateAt(done: number): State {
    return { import: 1, identity: this.#options.identity, done };
  }
}
