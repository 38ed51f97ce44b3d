import { latin1 } from '../base/bytes.ts';
import type { Revision } from '../base/ids.ts';
import type { KeyValue } from '../proto/gen/kv.ts';

/** One change of one key. */
export interface StoredEvent {
  readonly kind: 'put' | 'delete';
  readonly key: string;
  /** Of a deletion: only key and modRevision. Not to be changed. */
  readonly kv: KeyValue;
  /** The version before; undefined when the key was created, or when that version was compacted. */
  prevKv(): KeyValue | undefined;
}

/** All changes of one revision, in the order of the transaction's operations. */
export interface StoredRevision {
  readonly revision: Revision;
  readonly events: readonly StoredEvent[];
}

/** Finds the version of a key before a revision. */
export interface Predecessors {
  before(key: string, revision: Revision): KeyValue | undefined;
}

/** An event that looks its predecessor up when asked for it. */
export class VersionEvent implements StoredEvent {
  readonly kind: 'put' | 'delete';
  readonly key: string;
  readonly kv: KeyValue;
  readonly #predecessors: Predecessors;

  constructor(kind: 'put' | 'delete', kv: KeyValue, predecessors: Predecessors, key?: string) {
    this.kind = kind;
    this.kv = kv;
    this.key = key ?? latin1(kv.key);
    this.#predecessors = predecessors;
  }

  prevKv(): KeyValue | undefined {
    const { createRevision, modRevision } = this.kv;
    if (createRevision === modRevision) return undefined;
    return this.#predecessors.before(this.key, modRevision);
  }
}
