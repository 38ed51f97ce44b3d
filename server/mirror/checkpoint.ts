import { createHash } from 'node:crypto';
import { asBuffer } from '../base/bytes.ts';
import type { Revision, Term } from '../base/ids.ts';
import type { State } from './guarded-writer.ts';
import type { KeyMapping } from './key-mapping.ts';

/** How far the destination is. */
export interface Checkpoint {
  /** `copying`: it is no state that the source ever had. */
  readonly kind: 'copying' | 'following';
  /** Everything up to here is copied. */
  readonly revision: Revision;
  /** Of this revision, only so many of its changes are; 0: all. */
  readonly done: number;
}

/** Where a mirror was ended for good: nothing is copied to this destination any more. */
export interface End {
  /** Everything up to here was copied. */
  readonly revision: Revision;
  readonly destinationRevision: Revision;
  readonly keys: number;
  readonly leases: number;
}

export interface Mirrored {
  /** Of the source. */
  readonly clusterId: string;
  readonly mapping: KeyMapping;
  /** Raft's term of the source, which only grows. */
  readonly term: Term;
}

/** Where the mirror of a range of the destination keeps what it has to know. One range has one mirror. */
export function checkpointPlace(
  reserved: string,
  { destPrefix }: KeyMapping,
): { readonly checkpoint: string; readonly leases: string } {
  const name = rangeName(destPrefix);
  return { checkpoint: `${reserved}${name}/checkpoint`, leases: `${reserved}${name}/leases/` };
}

/** Tells ranges of the destination from each other, in the names of what is kept beside them. */
export function rangeName(destPrefix: Uint8Array): string {
  return createHash('sha256').update(destPrefix).digest('hex').slice(0, 16);
}

export function stateOf(checkpoint: Checkpoint, { clusterId, mapping, term }: Mirrored): State {
  return {
    mirror: 1,
    ...checkpoint,
    source: clusterId,
    term,
    prefix: base64(mapping.prefix),
    destPrefix: base64(mapping.destPrefix),
  };
}

export function endedState(end: End, mirrored: Mirrored): State {
  return {
    ...stateOf({ kind: 'following', revision: end.revision, done: 0 }, mirrored),
    ...end,
    kind: 'ended',
  };
}

/** Undefined where the mirror was not ended. */
export function endOf(state: State): End | undefined {
  const { kind, revision, destinationRevision, keys, leases } = state;
  if (state['mirror'] !== 1 || kind !== 'ended') return undefined;
  const whole = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : 0);
  return {
    revision: whole(revision),
    destinationRevision: whole(destinationRevision),
    keys: whole(keys),
    leases: whole(leases),
  };
}

/**
 * Or why it cannot be gone on from. A source that is in an earlier term than it was has been restored from a backup: what
 * the destination has of it may never have been in this one.
 */
export function checkpointOf(
  state: State,
  { clusterId, mapping, term }: Mirrored,
): Checkpoint | string {
  const { kind, revision, done } = state;
  const end = endOf(state);
  if (end !== undefined) {
    return `the mirror was ended by a cut-over at revision ${end.revision} of its source: nothing is copied here any more`;
  }
  const isKnown = kind === 'copying' || kind === 'following';
  if (
    state['mirror'] !== 1 ||
    !isKnown ||
    !Number.isSafeInteger(revision) ||
    !Number.isSafeInteger(done)
  ) {
    return 'the destination has a checkpoint that this version cannot read';
  }
  if (state['source'] !== clusterId) {
    return `the destination is the mirror of another cluster, ${String(state['source'])}; this source is ${clusterId}`;
  }
  if (state['prefix'] !== base64(mapping.prefix)) {
    const prefix = Buffer.from(String(state['prefix']), 'base64').toString();
    return `the destination is the mirror of another prefix, "${prefix}"`;
  }
  const isRestored = Number(state['term'] ?? 0) > term;
  if (isRestored) return { kind: 'copying', revision: 0, done: 0 };
  return { kind, revision: revision as number, done: done as number };
}

function base64(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64');
}
