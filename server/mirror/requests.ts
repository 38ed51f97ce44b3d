import { latin1 } from '../base/bytes.ts';
import type { Revision } from '../base/ids.ts';
import type { RequestOp } from '../proto/gen/rpc.ts';
import type { Checkpoint } from './checkpoint.ts';

/** What one event does at the destination. */
export interface Change {
  /** At the destination. */
  readonly key: Uint8Array;
  readonly operation: RequestOp;
  readonly revision: Revision;
  /** Which event of its revision it is, from 0 on. */
  readonly place: number;
  /** Whether nothing more of its revision is copied. */
  readonly isLast: boolean;
  readonly sizeBytes: number;
}

/** Several revisions become one request only up to here. */
export const requestBytesMax = 256 * 1024;

/**
 * Changes as requests, in order: whole revisions, as many as one request takes; a revision that is too much for one alone
 * is cut. No key comes twice in one, which the store would refuse.
 */
export function requestsOf(changes: readonly Change[], operationsMax: number): Change[][] {
  const requests: Change[][] = [];
  let request: Change[] = [];
  let keys = new Set<string>();
  let bytes = 0;
  const close = () => {
    if (request.length > 0) requests.push(request);
    request = [];
    keys = new Set();
    bytes = 0;
  };
  for (const revision of revisionsOf(changes)) {
    const names = revision.map(({ key }) => latin1(key));
    const size = revision.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const isFull =
      request.length + revision.length > operationsMax || bytes + size > requestBytesMax;
    if (isFull || names.some((name) => keys.has(name))) close();
    for (const change of revision) {
      if (request.length === operationsMax) close();
      request.push(change);
    }
    for (const name of names) keys.add(name);
    bytes += size;
  }
  close();
  return requests;
}

/** The changes of each revision. */
export function revisionsOf(changes: readonly Change[]): Change[][] {
  const revisions: Change[][] = [];
  for (const change of changes) {
    const former = revisions.at(-1);
    if (former?.[0]?.revision === change.revision) former.push(change);
    else revisions.push([change]);
  }
  return revisions;
}

/** How far the destination is behind these changes. At least one. */
export function checkpointAfter(changes: readonly Change[]): Checkpoint {
  const last = changes.at(-1);
  if (last === undefined) throw new TypeError('no changes');
  const { revision, isLast, place } = last;
  return { kind: 'following', revision, done: isLast ? 0 : place + 1 };
}
