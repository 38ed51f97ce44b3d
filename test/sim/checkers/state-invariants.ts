import type { AuthStore } from '../../../server/auth/auth-store.ts';
import type { Backend } from '../../../server/backend/backend.ts';
import { prefix } from '../../../server/backend/schema.ts';
import { equalBytes, fromLatin1 } from '../../../server/base/bytes.ts';
import type { OrderedMap } from '../../../server/base/ordered-map.ts';
import { keyRange } from '../../../server/mvcc/key-range.ts';
import type { Store } from '../../../server/mvcc/store.ts';
import { everyKey, kvOf } from '../wire.ts';
import { type EventLog, sameKvs, show } from './event-log.ts';
import { demand } from './violation.ts';

/** What the invariants look at in one member. */
export interface StateView {
  readonly state: {
    readonly backend: Pick<Backend, 'applied' | 'isDirty'>;
    readonly auth: Pick<AuthStore, 'isEnabled' | 'revision'>;
    readonly store: Pick<Store, 'revision' | 'compactRevision' | 'range' | 'compactionHashes'>;
  };
}

/** A member's records on disk, once everything has been written down. */
export interface StateAtRest {
  readonly name: string;
  readonly records: OrderedMap<Uint8Array>;
  readonly live: StateView;
}

/** What may differ between members: batches, and how far a compaction has come. */
const ownRecords: readonly number[] = [prefix.format, prefix.marker, prefix.meta];

/** I4, I5 and I8 of the reliability notes, for the applied state. */
export class StateInvariants {
  readonly #log: EventLog;
  /** The revision as of an applied index, by the first member seen there. */
  readonly #revisions = new Map<number, string>();
  /** The hash of a compacted revision, by the first member that had it. */
  readonly #hashes = new Map<number, string>();
  /** Per running member: what must not decrease. */
  readonly #last = new Map<string, { applied: number; revision: number; compacted: number }>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** I8: what was found on disk is exactly the effects of the entries up to its applied index. */
  opened(name: string, view: StateView): void {
    this.#last.delete(name);
    this.observe(name, view);
    const { store } = view.state;
    if (store.revision > this.#log.lastRevision) return;
    const { start, end = '' } = everyKey;
    const { kvs } = store.range({ range: keyRange(fromLatin1(start), fromLatin1(end)) });
    const found = kvs.map(kvOf);
    const expected = this.#log.range(everyKey, store.revision);
    demand(sameKvs(expected, found), () => {
      return `I8: ${name} opens revision ${store.revision} as ${show(found)}, should be ${show(expected)}`;
    });
  }

  observe(name: string, { state }: StateView): void {
    this.#compareHashes(name, state.store);
    const applied = state.backend.applied.index;
    const { revision, compactRevision: compacted } = state.store;
    const last = this.#last.get(name);
    if (last?.applied === applied) return;
    const isGrowing =
      last === undefined ||
      (applied > last.applied && revision >= last.revision && compacted >= last.compacted);
    demand(isGrowing, () => {
      return `I5: ${name} goes from ${show(last)} to ${show({ applied, revision, compacted })}`;
    });
    this.#last.set(name, { applied, revision, compacted });
    const { isEnabled, revision: authRevision } = state.auth;
    const users = `${authRevision} (${isEnabled ? 'on' : 'off'})`;
    const revisions = `${revision}, compacted ${compacted}, of users ${users}`;
    const known = this.#revisions.get(applied);
    if (known === undefined) this.#revisions.set(applied, revisions);
    demand(known === undefined || known === revisions, () => {
      return `I4: ${name} has revision ${revisions} after entry ${applied}, others ${known}`;
    });
  }

  /** What the members themselves compare, or they would accuse each other wrongly. */
  #compareHashes(name: string, { compactionHashes }: Pick<Store, 'compactionHashes'>): void {
    const [newest] = compactionHashes;
    if (newest === undefined) return;
    const text = `${newest.hash} since ${newest.compactRevision}`;
    const known = this.#hashes.get(newest.hashRevision) ?? text;
    this.#hashes.set(newest.hashRevision, known);
    demand(known === text, () => {
      return `I4: ${name} hashes compacted revision ${newest.hashRevision} as ${text}, others as ${known}`;
    });
  }

  /** How many compactions were hashed. */
  get hashes(): number {
    return this.#hashes.size;
  }

  /** I4: equal states where equally much is applied, to the byte. */
  finish(members: readonly StateAtRest[]): void {
    const [first, ...others] = members.filter(({ live }) => !live.state.backend.isDirty);
    if (first === undefined) return;
    for (const other of others) {
      const applied = other.live.state.backend.applied.index;
      if (applied !== first.live.state.backend.applied.index) continue;
      const differing = differingRecord(first.records, other.records);
      demand(differing === undefined, () => {
        return `I4: ${first.name} and ${other.name} differ in record ${Buffer.from(differing ?? '', 'latin1').toString('hex')}`;
      });
    }
  }
}

function differingRecord(
  one: OrderedMap<Uint8Array>,
  other: OrderedMap<Uint8Array>,
): string | undefined {
  const left = sharedRecords(one);
  const right = sharedRecords(other);
  for (const [key, value] of left) {
    const counterpart = right.get(key);
    if (counterpart === undefined || !equalBytes(value, counterpart)) return key;
    right.delete(key);
  }
  const [rest] = right.keys();
  return rest;
}

function sharedRecords(records: OrderedMap<Uint8Array>): Map<string, Uint8Array> {
  const shared = new Map<string, Uint8Array>();
  records.forEach('', undefined, (value, key) => {
    if (!ownRecords.includes(key.charCodeAt(0))) shared.set(key, value);
  });
  return shared;
}
