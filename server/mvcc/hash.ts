import { Buffer } from 'node:buffer';
import type { Backend, PinnedState } from '../backend/backend.ts';
import { latin1 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { EtcdError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import { KeyValue } from '../proto/gen/kv.ts';
import type { KeyIndex } from './key-index.ts';
import { isTombstoneRecord } from './record-codec.ts';
import { etcdRevisionKey, parseRevisionKey, type RevisionPair, revisionRange } from './revision.ts';

export interface KvHash {
  /** CRC-32C, unsigned. */
  readonly hash: number;
  /** The compacted revision that was taken into account; -1 when there was none. */
  readonly compactRevision: Revision;
  readonly hashRevision: Revision;
}

/** The store, as it is at each moment. */
export interface HashView {
  readonly index: KeyIndex;
  readonly revision: Revision;
  readonly compactRevision: Revision;
}

export interface HashModules {
  readonly backend: Backend;
  readonly view: HashView;
}

/** The name of the bucket, in etcd. */
const hashOfNone = crc32c(Buffer.from('key'));

const everything = { start: '', end: undefined, single: false };

/**
 * HashKV as etcd computes it (server/storage/mvcc/hash.go): CRC-32C over "key", then key and value of every record of
 * the revisions up to `asked` (0: the current one) in order. Of what is at or below the compacted revision only those
 * count that `asked` still sees; if it sees none at all, those that the compaction left.
 * Runs in slices. Throws EtcdError `Compacted` or `FutureRevision`.
 */
export async function hashKv(modules: HashModules, asked: Revision): Promise<KvHash> {
  const { view } = modules;
  // etcd lets a negative one pass, which sees no record.
  if (asked < 0)
    return { hash: hashOfNone, compactRevision: view.compactRevision, hashRevision: asked };
  const hashRevision = asked === 0 ? view.revision : asked;
  for (;;) {
    if (hashRevision < view.compactRevision) throw new EtcdError('Compacted');
    if (hashRevision > view.revision) throw new EtcdError('FutureRevision');
    const { compactRevision } = view;
    const hash = await hashAt(modules, { hashRevision, compactRevision });
    // A compaction, or another state, that came between has taken away what the index knew: once more, with that.
    if (hash !== undefined) return { hash, compactRevision, hashRevision };
  }
}

async function hashAt(
  { backend, view }: HashModules,
  at: { hashRevision: Revision; compactRevision: Revision },
): Promise<number | undefined> {
  const seesNone = view.index.countAt(everything, at.hashRevision) === 0;
  const keptAt = seesNone ? at.compactRevision : at.hashRevision;
  const { index } = view;
  const isValid = (): boolean =>
    view.compactRevision === at.compactRevision && view.index === index;
  return hashPinned(backend.pin(), { ...at, keptAt, isValid, index });
}

export interface HashScan {
  readonly hashRevision: Revision;
  readonly compactRevision: Revision;
  /** Of what is at or below the compacted revision, only what this revision sees counts. */
  readonly keptAt: Revision;
  readonly index: KeyIndex;
  /** Asked now and then: whether the index still knows what it knew when the state was pinned. */
  readonly isValid: () => boolean;
  /** Between two parts: nobody waits for the hash, others have the machine meanwhile. */
  readonly pause?: () => Promise<void>;
}

/** Undefined when it became invalid. Releases the state. */
export async function hashPinned(pinned: PinnedState, at: HashScan): Promise<number | undefined> {
  let hash = hashOfNone;
  try {
    for await (const chunk of pinned.scan(revisionRange(0, at.hashRevision))) {
      await at.pause?.();
      if (!at.isValid()) return undefined;
      for (const [recordKey, value] of chunk) {
        const pair = parseRevisionKey(recordKey);
        const isTombstone = isTombstoneRecord(value);
        if (pair.main <= at.compactRevision) {
          if (isTombstone && pair.main === at.compactRevision) continue;
          const kv = KeyValue.decode(value);
          if (!isSeenAt(at.index, { kv, pair }, at.keptAt)) continue;
        }
        hash = crc32c(value, crc32c(etcdRevisionKey(pair, isTombstone), hash));
      }
    }
    return at.isValid() ? hash : undefined;
  } finally {
    pinned.release();
  }
}

/** Whether the version is what a read at the revision finds. */
function isSeenAt(
  index: KeyIndex,
  version: { kv: KeyValue; pair: RevisionPair },
  revision: Revision,
): boolean {
  const seen = index.get(latin1(version.kv.key))?.pairAt(revision);
  return seen?.main === version.pair.main && seen.sub === version.pair.sub;
}
