import { status } from '@grpc/grpc-js';

/** How a call failed. Decide by `code` and `text`, which are the server's where it answered. */
export class ClientError extends Error {
  override name = 'ClientError';
  /** gRPC's status code. */
  readonly code: number;
  /** The server's text, such as `etcdserver: no leader`. */
  readonly text: string;
  /** Whom was asked last. */
  readonly endpoint: string;
  /** Whether the request may have taken effect all the same. */
  readonly isUncertain: boolean;

  constructor(
    what: { code: number; text: string; endpoint: string; isUncertain: boolean },
    options?: { cause?: unknown },
  ) {
    super(`${what.text} (${what.endpoint})`, options);
    this.code = what.code;
    this.text = what.text;
    this.endpoint = what.endpoint;
    this.isUncertain = what.isUncertain;
  }
}

/** The watched history is gone: read the range anew, then watch from the revision of that answer. */
export class CompactedError extends Error {
  override name = 'CompactedError';
  /** The oldest revision that can be watched. */
  readonly compactRevision: number;

  constructor(compactRevision: number) {
    super(`the history before revision ${compactRevision} has been compacted`);
    this.compactRevision = compactRevision;
  }
}

/** Refusals that are decided before anything is proposed, so that asking another member is safe for every request. */
const refusals: ReadonlySet<string> = new Set([
  'etcdserver: no leader',
  'etcdserver: rpc not supported for learner',
  'etcdserver: not capable',
]);

/** What it means to do a call twice: nothing (reads), or what must not happen. */
export type Repeat = 'harmless' | 'never';

/** Whether another member may be asked after this failure. */
export function mayRetry(error: ClientError, repeat: Repeat): boolean {
  if (refusals.has(error.text)) return true;
  const isPassing = error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED;
  return isPassing && (repeat === 'harmless' || !error.isUncertain);
}
