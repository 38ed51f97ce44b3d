import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import type { StampListResponse } from '../proto/gen/stamps.ts';
import type { RevisionChanges } from './changes.ts';

/** Revisions, from behind the span before, and when the leader had applied them all. */
export interface StampSpan {
  readonly to: number;
  /** Undefined: it does not know. */
  readonly stampMs: number | undefined;
  /** It led when it took them; else it followed then, and may have been late. */
  readonly isLeaders: boolean;
}

/** What the leader says of its time. */
export interface LeaderTimes {
  readonly revision: number;
  /** Later ones are not stamped before it. */
  readonly askedMs: number;
  /** Those up to it are stamped at or before it. */
  readonly nowMs: number;
  /** What the own clock lacks at most: the answer takes its time. */
  readonly aheadMs: number;
  /** From behind the revision that was asked for, up to `revision`. */
  readonly spans: readonly StampSpan[];
}

/** By the leader's clock, or by the own one where no leader tells. */
export interface StampedChanges {
  readonly revisions: readonly RevisionChanges[];
  /** The last one that is stamped later than it came to be; 0: none. */
  readonly lateTo: number;
  readonly minStampMs: number;
  readonly maxStampMs: number;
}

/** When it is, and when the revisions from behind one up to another were. Undefined where nobody tells: etcd, releases before 0.2. */
export async function leaderTimes(
  { client, wallMs }: { readonly client: Pick<Client, 'stamps'>; readonly wallMs: () => number },
  { after, to }: { readonly after: number; readonly to: number },
): Promise<LeaderTimes | undefined> {
  const spans: StampSpan[] = [];
  for (let at = after; ; ) {
    const ownMs = wallMs();
    const told = await stampsAfter(client, at);
    if (told === undefined) return undefined;
    const { askedMs, nowMs, revision, unknownTo, stamps } = told;
    if (unknownTo > at) spans.push({ to: unknownTo, stampMs: undefined, isLeaders: false });
    for (const { byLeader, stampMs, revision: last } of stamps) {
      spans.push({ to: last, stampMs, isLeaders: byLeader });
    }
    at = spans.at(-1)?.to ?? at;
    if (at < to && stamps.length > 0) continue;
    return { revision, askedMs, nowMs, aheadMs: nowMs - ownMs, spans };
  }
}

async function stampsAfter(
  client: Pick<Client, 'stamps'>,
  after: number,
): Promise<StampListResponse | undefined> {
  try {
    return await client.stamps(after);
  } catch (error) {
    if (error instanceof ClientError && error.isUnknownCall) return undefined;
    throw error;
  }
}

/**
 * Revisions that came, with the leader's moments for those that it took itself. The others have the moment at which they
 * came, as the leader's clock has it, or an earlier one by which they were there: those up to `present` are late then.
 */
export function stamped(
  came: readonly RevisionChanges[],
  { times, present }: { readonly times: LeaderTimes | undefined; readonly present: number },
): StampedChanges {
  const { spans = [], aheadMs = 0 } = times ?? {};
  const revisions: RevisionChanges[] = [];
  let [lateTo, minStampMs, maxStampMs] = [0, Number.POSITIVE_INFINITY, 0];
  let laterMs = Number.POSITIVE_INFINITY;
  let at = spans.length - 1;
  for (const each of came.toReversed()) {
    while ((spans[at - 1]?.to ?? 0) >= each.revision) at--;
    const { stampMs: knownMs = laterMs, isLeaders = false } = spans[at] ?? {};
    const stampMs = isLeaders ? knownMs : Math.min(each.stampMs + aheadMs, knownMs, laterMs);
    if (!isLeaders && each.revision <= present) lateTo = Math.max(lateTo, each.revision);
    revisions.push({ ...each, stampMs });
    minStampMs = Math.min(minStampMs, stampMs);
    maxStampMs = Math.max(maxStampMs, stampMs);
    laterMs = stampMs;
  }
  return { revisions: revisions.reverse(), lateTo, minStampMs, maxStampMs };
}

/** Nothing had happened until then. */
export function noChanges(stampMs: number): StampedChanges {
  return { revisions: [], lateTo: 0, minStampMs: stampMs, maxStampMs: stampMs };
}
