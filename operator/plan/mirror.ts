import type { Pod } from '../api/objects.ts';
import { hasTools } from '../api/versions.ts';
import type { MirrorWork, Observation } from '../observe/observation.ts';
import { type ClusterView, hasEnded, isNew, isTerminating } from '../observe/view.ts';
import {
  buildCutOverPod,
  buildFollowerPod,
  isMirrorOutdated,
  mirrorFromOf,
  mirrorSecrets,
} from '../resources/mirror.ts';
import { lastFailure, resultOf, stuckStart } from './backup.ts';
import { act, type Decision, type Rule, stopUntil, waitFor } from './decision.ts';
import { firstRefused } from './given-secrets.ts';
import { minutes } from './limits.ts';

// A store that begins as the mirror of another one. One pod follows the source; once `cutOver` is set, another one waits
// beside it until nothing writes there and both are equal, and ends the mirror in the store itself: whatever is started
// or comes back later is refused there. Only then the follower is stopped, and `Done` recorded.

/** Before there is a store. */
export const firstMirrorRefused: Rule = (view) => (isNew(view) ? imageRefused(view) : undefined);

/** Once the store is whole. Recorded before the first pod. */
export const beginMirror: Rule = ({ observation }) => {
  const { cluster, spec, now } = observation;
  const source = mirrorFromOf(spec);
  if (source === undefined || cluster.status?.mirror !== undefined || !hasTools(spec.image)) {
    return undefined;
  }
  const message = `The store follows ${source.endpoints.join(', ')} from now on.`;
  return act('MirrorBegun', message, {
    kind: 'recordStatus',
    fields: { mirror: { phase: 'Following', since: now } },
  });
};

/** Behind the repairs of the store, which a pod that nobody lets be made must not hold up; it never waits itself. */
export const mirror: Rule = (view) => {
  const { cluster, spec, mirror: work } = view.observation;
  const source = mirrorFromOf(spec);
  const record = cluster.status?.mirror;
  if (work === undefined) return undefined;
  // An API server that does not know the field has dropped it, for one.
  if (source === undefined || record?.phase === 'Done')
    return leave(work.follower) ?? leave(work.cutOver);
  if (record === undefined) return undefined;
  if (work.cutOver?.status?.phase === 'Succeeded') return finish(view.observation, work);
  if (!hasTools(spec.image) || firstRefused(view, mirrorSecrets(spec)) !== undefined)
    return undefined;
  const { secrets } = view.observation;
  const follower = buildFollowerPod(cluster, spec, source, secrets);
  const following = keep(view.observation, work.follower, {
    wanted: follower,
    event: ['MirrorStarted', 'The source is followed.'],
  });
  if (following !== undefined || source.cutOver !== true) return following;
  const cutOver = buildCutOverPod(cluster, spec, source, secrets);
  const message = 'Once nothing writes to the source and both are equal, the mirror ends.';
  return keep(view.observation, work.cutOver, {
    wanted: cutOver,
    event: ['CutOverBegun', message],
  });
};

/** What is awaited, or keeps the mirror from going on. */
export const mirrorWaits: Rule = (view) => {
  const { cluster, spec, mirror: work } = view.observation;
  const source = mirrorFromOf(spec);
  if (source === undefined || cluster.status?.mirror?.phase === 'Done') return undefined;
  if (work?.cutOver?.status?.phase === 'Succeeded' && work.follower !== undefined) {
    const message = `Both sides were equal, and the store refuses the mirror now. Its pod ${work.follower.metadata.name} is stopping.`;
    return waitFor('CuttingOver', message, minutes(10));
  }
  const trouble = mirrorTrouble(view);
  if (trouble !== undefined || source.cutOver !== true) return trouble;
  return waitFor('CuttingOver', mirrorText(view.observation), minutes(15));
};

/** Why the mirror does not go on; undefined while it does. */
export function mirrorTrouble(view: ClusterView): Decision | undefined {
  const { spec, mirror: work, now, cluster } = view.observation;
  const refused = imageRefused(view) ?? firstRefused(view, mirrorSecrets(spec));
  if (refused !== undefined) return refused;
  const wasFailed = cluster.status?.mirror?.phase === 'Failed';
  const pods = [
    { pod: work?.follower, hasSpoken: work?.progress !== undefined },
    { pod: work?.cutOver, hasSpoken: work?.notYet !== undefined },
  ];
  for (const { pod, hasSpoken } of pods) {
    if (pod === undefined) continue;
    const stuck = stuckStart(pod, { now, image: spec.image });
    if (stuck !== undefined) {
      return waitFor(
        'MirrorFailed',
        `${pod.metadata.name} does not start: ${stuck.why}`,
        minutes(10),
      );
    }
    // One that was just started again has said nothing yet.
    const failure = isDown(pod) || (wasFailed && !hasSpoken) ? lastFailure(pod) : undefined;
    if (failure !== undefined) return failed(pod, failure);
  }
  return undefined;
}

/** What goes on, for people. */
export function mirrorText({ spec, mirror: work }: Observation): string {
  const { progress, notYet } = work ?? {};
  const isCut = mirrorFromOf(spec)?.cutOver === true;
  if (progress?.waitingFor !== undefined) return `Waiting for the ${progress.waitingFor}.`;
  if (isCut) return cutOverText(work, notYet);
  if (progress === undefined) return 'The mirror is being started.';
  if (progress.isCopying) return 'Everything that the source has is being copied.';
  return 'The store follows the source. To cut over, stop what writes there, then set spec.bootstrap.mirrorFrom.cutOver to true.';
}

function cutOverText(work: MirrorWork | undefined, notYet: MirrorWork['notYet']): string {
  const name = work?.cutOver?.metadata.name ?? 'a pod';
  switch (notYet?.why) {
    case undefined:
      return 'A pod looks whether anything still writes to the source, and compares both sides.';
    case 'behind':
      return `The mirror catches up before it is cut over: ${notYet.message}.`;
    case 'written':
      return `Not cut over: ${notYet.message.replace(/:.*/, '')}. Stop the application's writes, and whatever else writes there.`;
    case 'different':
      return `Not cut over: ${notYet.message}. Nothing writes to the source, so something else has written to this store: stop it, and make it here as it is there. kubectl logs ${name} shows what is left.`;
  }
}

function imageRefused({ observation: { spec } }: ClusterView): Decision | undefined {
  if (mirrorFromOf(spec) === undefined || hasTools(spec.image)) return undefined;
  return stopUntil(
    'MirrorRefused',
    `${spec.image} has no mirror: choose version 0.2.0 or later, or leave out bootstrap.mirrorFrom.`,
  );
}

/** What a person has to mend, the others may mend themselves. */
const refusals = ['Refused', 'Invalid', 'ClusterRefused'];

function failed(pod: Pod, { failure, message }: { failure: string; message: string }): Decision {
  const { name } = pod.metadata;
  const told = `The mirror does not go on: ${message}`;
  const again = `it is tried again and again, and kubectl logs ${name} says more.`;
  return refusals.includes(failure)
    ? stopUntil(
        'MirrorFailed',
        `${told} Mend that, or create a new StoreCluster that follows the source; ${again}`,
      )
    : waitFor('MirrorFailed', `${told} I${again.slice(1)}`, minutes(10));
}

function isDown({ status }: Pod): boolean {
  const { state } = status?.containerStatuses?.[0] ?? {};
  return state?.waiting !== undefined || state?.terminated !== undefined;
}

/** A pod that has ended is made anew when it is so old. */
const anewMsMin = 30_000;

interface Kept {
  readonly wanted: Pod;
  /** Of its creation. */
  readonly event: readonly [reason: string, message: string];
}

/** One that is there, and as it would be made now. */
function keep(
  { now }: Observation,
  pod: Pod | undefined,
  { wanted, event: [reason, message] }: Kept,
): Decision | undefined {
  const { name } = wanted.metadata;
  if (pod === undefined) {
    return act(reason, `${message} The pod ${name} is started.`, {
      kind: 'createPod',
      pod: wanted,
    });
  }
  if (isTerminating(pod)) return undefined;
  if (hasEnded(pod)) {
    // One that ends at once, every time, must not keep the store from its repairs.
    const { creationTimestamp = '' } = pod.metadata;
    if (Date.parse(now) - Date.parse(creationTimestamp) < anewMsMin) return undefined;
    const why = pod.status?.reason ?? pod.status?.phase;
    const told = `The pod ${name} has ended (${why}); it will be started anew.`;
    return act('PodDeleted', told, { kind: 'deletePod', pod });
  }
  if (!isMirrorOutdated(pod, wanted)) return undefined;
  const told = `${name} is started anew: its image, its settings or a certificate have changed.`;
  return act('PodDeleted', told, { kind: 'deletePod', pod });
}

/** The store itself refuses the mirror by now. */
function finish({ now }: Observation, { follower, cutOver }: MirrorWork): Decision | undefined {
  if (follower !== undefined) return leave(follower);
  const { revision, keys, leases } = (cutOver && resultOf(cutOver)) ?? {};
  const what =
    revision === undefined
      ? 'both sides were equal'
      : `at revision ${revision} of the source, ${keys} keys and ${leases} leases were equal`;
  const message = `The store is on its own: ${what}. Nothing is copied any more.`;
  const numbers =
    revision === undefined ? {} : { revision, sourceRevision: revision, lagSeconds: 0 };
  return act('CutOver', message, {
    kind: 'recordStatus',
    fields: { mirror: { phase: 'Done', since: now, ...numbers, message } },
  });
}

function leave(pod: Pod | undefined): Decision | undefined {
  if (pod === undefined || isTerminating(pod)) return undefined;
  const message = `${pod.metadata.name} is not needed any more.`;
  return act('PodDeleted', message, { kind: 'deletePod', pod });
}
