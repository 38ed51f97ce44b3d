import { status } from '@grpc/grpc-js';
import { isPassing, isUncertainCode, refusedBeforeProposing } from './retry.ts';

/** How a call failed. Decide by `code` and `text`, which are the server's where it answered: {@link etcdTexts}. */
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

  /** The server does not know the call: it is of another kind, or of an earlier release. */
  get isUnknownCall(): boolean {
    return this.code === status.UNIMPLEMENTED;
  }

  /** Whether the same request, a write too, can be sent again: it had no effect, and another time it may be taken. */
  get isSafeToRetry(): boolean {
    return !this.isUncertain && isPassing(this);
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

/** The lease of a session is gone or may be gone by now, and with it every lock and office held by it. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
  readonly leaseId: bigint;

  constructor(leaseId: bigint, why: string, options?: { cause?: unknown }) {
    super(`lease ${BigInt.asUintN(64, leaseId).toString(16)} is lost: ${why}`, options);
    this.leaseId = leaseId;
  }
}

/** A server's answer that is no success, or the transport's end of a call, as an error. */
export function failureOf(
  { code, text }: { code: number; text: string },
  endpoint: string,
  cause?: unknown,
): ClientError {
  const isUncertain = isUncertainCode(code) && !refusedBeforeProposing(text);
  return new ClientError({ code, text, endpoint, isUncertain }, { cause });
}
