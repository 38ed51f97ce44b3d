import type { Buffer } from 'node:buffer';
import { StateDamagedError } from '../backend/damage.ts';
import { metaKey } from '../backend/schema.ts';
import { latin1 } from '../base/bytes.ts';
import type { LeaseId, Revision } from '../base/ids.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import { KeyIndex } from './key-index.ts';
import type { PrefixUsage } from './prefix-usage.ts';
import { parseRevisionKey } from './revision.ts';

const scheduledName = latin1(metaKey.scheduledCompaction);
const finishedName = latin1(metaKey.finishedCompaction);

/** A store's state while its records are read, in the order of their revisions. */
export class Restoring {
  readonly index = new KeyIndex();
  readonly leases = new Map<string, LeaseId>();
  #newestRevision: Revision = 1;
  #scheduled: Revision = -1;
  #finished: Revision = -1;

  get compactRevision(): Revision {
    return Math.max(this.#scheduled, this.#finished);
  }

  /** Never goes back, also when the compaction left no record: it was not above the current revision. */
  get revision(): Revision {
    return Math.max(this.#newestRevision, this.compactRevision);
  }

  get isCompactionUnfinished(): boolean {
    return this.#scheduled > this.#finished;
  }

  constructor(usage: PrefixUsage | undefined) {
    this.index.usage = usage;
  }

  addMeta(name: string, value: Buffer): void {
    if (value.length !== 8) throw new StateDamagedError('a revision is malformed');
    const revision = Number(value.readBigInt64BE());
    if (name === scheduledName) this.#scheduled = revision;
    else if (name === finishedName) this.#finished = revision;
    else throw new StateDamagedError('a record of unknown name');
  }

  addVersion(recordKey: Uint8Array, record: Uint8Array): void {
    const { main, sub } = parseRevisionKey(recordKey);
    const kv = KeyValue.decode(record);
    const key = latin1(kv.key);
    this.#newestRevision = main;
    if (kv.modRevision === 0) {
      this.index.delete(key, main, sub);
      this.leases.delete(key);
      return;
    }
    if (kv.modRevision !== main) throw new StateDamagedError('a version is not its revision');
    const entry = this.index.put(key, { main, sub }, kv.value.length);
    entry.createRevision = kv.createRevision;
    entry.version = kv.version;
    if (kv.lease === 0n) this.leases.delete(key);
    else this.leases.set(key, kv.lease);
  }
}
