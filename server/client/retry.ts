import { status } from '@grpc/grpc-js';
import { etcdTexts } from './etcd-texts.ts';

// Which failed calls may be made again. etcd's Go client (clientv3/retry.go) repeats reads on every UNAVAILABLE, and
// writes only when no connection was there to send them on. So do we, and beyond that a write goes to another member
// after a refusal of which the server's code shows that it comes before anything is proposed, or instead of applying.

/** What it means to do a call twice: nothing (reads and what is idempotent), or what must not happen (writes). */
export type Repeat = 'harmless' | 'never';

/** How a call ended. */
export interface Ending {
  readonly code: number;
  readonly text: string;
}

/** Refusals by the member that was asked, before proposing: another one, or the same a little later, may accept. */
const memberRefusals: ReadonlySet<string> = new Set([
  etcdTexts.noLeader,
  etcdTexts.notSupportedForLearner,
  etcdTexts.notCapable,
  etcdTexts.tooManyRequests,
]);

/** The server knows the caller no more; checked before proposing and when applying, which then does nothing. */
const tokenRefusals: ReadonlySet<string> = new Set([
  etcdTexts.invalidAuthToken,
  etcdTexts.authOldRevision,
  // Maintenance calls of etcd 3.5 have the untranslated texts.
  'auth: invalid auth token',
  'auth: revision in header is old',
]);

/** Said to calls without a token. */
const noTokenRefusals: ReadonlySet<string> = new Set([
  etcdTexts.userNameEmpty,
  'auth: user name is empty',
]);

/** Codes after which a request that was sent may have taken effect. */
const uncertainCodes: ReadonlySet<number> = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
]);

export function isUncertainCode(code: number): boolean {
  return uncertainCodes.has(code);
}

export function refusedBeforeProposing(text: string): boolean {
  return [memberRefusals, tokenRefusals, noTokenRefusals].some((texts) => texts.has(text));
}

/** Whether a new token may help. */
export function needsNewToken({ text }: Ending): boolean {
  return tokenRefusals.has(text) || noTokenRefusals.has(text);
}

/** A state of this member or of the cluster that goes by, rather than something wrong with the request. */
export function isPassing({ code, text }: Ending): boolean {
  return isUnavailable(code) || memberRefusals.has(text) || tokenRefusals.has(text);
}

/** Whether it is about the member that was asked, so that the next call had better ask another one. */
export function blamesMember({ code, text }: Ending): boolean {
  return isUnavailable(code) || memberRefusals.has(text);
}

/** Whether the call may be made again after this failure. */
export function mayRetry(failure: Ending & { isUncertain: boolean }, repeat: Repeat): boolean {
  return isPassing(failure) && (repeat === 'harmless' || !failure.isUncertain);
}

function isUnavailable(code: number): boolean {
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}
