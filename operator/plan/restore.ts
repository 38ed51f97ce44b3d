import type { PersistentVolumeClaim, Pod } from '../api/objects.ts';
import type { Observation } from '../observe/observation.ts';
import { type ClusterView, hasEnded, isTerminating } from '../observe/view.ts';
import { isOurs, restoredAnnotation, restoreLabel } from '../resources/labels.ts';
import { mirrorFromOf } from '../resources/mirror.ts';
import {
  buildCheckPod,
  buildRestorePod,
  checkPodName,
  type RestoreSource,
  restoreId,
  restorePodName,
} from '../resources/restore.ts';
import { stuckStart, whyFailed } from './backup.ts';
import { act, type Decision, type Rule, stopUntil, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/** As etcd's manual has it: no client has ever seen a revision near it. */
const revisionsAbove = 1_000_000_000;

/**
 * A backup takes the place of what the store has. It is checked first; then everything stops, the volumes are put aside,
 * and what was recorded of the store is forgotten, so that `bootstrap` begins a new one with the backup. Done once for
 * each different `spec.restore`.
 */
export const restoreInPlace: Rule = (view) => {
  const decision = nextOfRestore(view);
  return decision?.kind === 'wait' && !isBegun(view.observation) ? undefined : decision;
};

/** While nothing was stopped for it, a restore that has to wait holds up no repair. */
export const restoreWaits: Rule = (view) => nextOfRestore(view);

/** And where nobody answers, a person hears of it before they hear of that. */
export const restoreOfSilent: Rule = (view) => (view.answered ? undefined : nextOfRestore(view));

/** Whether the store was touched for it, or there is none. A recovery would stop the pods as well: it has to wait. */
function isBegun({ cluster, spec, pods, parked }: Observation): boolean {
  const { clusterID, members = [] } = cluster.status ?? {};
  if (clusterID === undefined || spec.recovery !== undefined) return true;
  const isPutAside = parked.some(({ metadata: { name } }) =>
    members.some((each) => each.name === name),
  );
  // The pod of the check may be lost in between.
  return isPutAside || findPod(pods, checkPodName(cluster))?.status?.phase === 'Succeeded';
}

function nextOfRestore(view: ClusterView): Decision | undefined {
  const { cluster, spec, restore } = view.observation;
  if (spec.restore === undefined) return abortedRestore(view);
  // The backup may be gone by now, pruned or deleted.
  if (isRestored(view.observation, restore?.id ?? restoreId(spec.restore))) return undefined;
  if (mirrorFromOf(spec) !== undefined && cluster.status?.mirror?.phase !== 'Done') {
    return stopUntil(
      'RestoreRefused',
      'The store has not been cut over from the source of bootstrap.mirrorFrom yet, which would be copied over what is restored: take spec.restore out until it is, or create a new StoreCluster with bootstrap.restore.',
    );
  }
  if (spec.restore.confirmUID !== cluster.metadata.uid) {
    return stopUntil(
      'RestoreRefused',
      `spec.restore.confirmUID is not the uid of this object: to put a backup in the place of its data, write ${cluster.metadata.uid}.`,
    );
  }
  if (restore === undefined) return noSource(spec.restore.backup);
  const { status } = cluster;
  const isForgotten = status?.restore?.id === restore.id && status.clusterID === undefined;
  if (isForgotten) return undefined;
  if (spec.restore.confirmRestored === restore.id) return confirmedBefore();
  return check(view, restore) ?? stopAll(view) ?? park(view) ?? forget(view, restore);
}

/** What the store had before goes when a person has said that it is not needed, and all is well without it. */
export const discardParked: Rule = ({ observation: { cluster, spec, parked } }) => {
  const { restore, clusterID } = cluster.status ?? {};
  if (clusterID === undefined || restore === undefined) return undefined;
  if (spec.restore?.confirmRestored !== restore.id) return undefined;
  const volume = parked.find((each) => !isTerminating(each));
  if (volume === undefined) return undefined;
  const message = `Deleting the volume ${volume.metadata.name}: it was kept aside, and what was restored is confirmed.`;
  return act('VolumeDeleted', message, { kind: 'deleteVolume', volume });
};

/** From `forget` on until the backup is on a volume, the store would begin with nothing. */
function abortedRestore({ observation, members }: ClusterView): Decision | undefined {
  const { clusterID, restore } = observation.cluster.status ?? {};
  if (restore === undefined || clusterID !== undefined) return undefined;
  const isBegun = members.some(
    ({ recordedId, volume }) =>
      recordedId !== undefined || volume?.metadata.annotations?.[restoredAnnotation] !== undefined,
  );
  if (isBegun) return undefined;
  return stopUntil(
    'RestoreAborted',
    'The volumes of this store were put aside for a restore that spec.restore does not name any more: name it again, or another backup. No empty store takes their place.',
  );
}

function noSource(backup: string | undefined): Decision {
  return stopUntil(
    'RestoreRefused',
    `There is no StoreBackup ${backup} in this namespace that is whole: name another one, or its target.`,
  );
}

/** The word is of the time before, when the same was restored: what would be put aside now would go unseen. */
function confirmedBefore(): Decision {
  return stopUntil(
    'RestoreRefused',
    'spec.restore.confirmRestored confirms this restore before it is done: take it out to restore, and confirm what you then have seen.',
  );
}

/**
 * The backup has filled the volume of a member, or the store has begun with it: it is not put there again. Either may be
 * gone by now, the member replaced or the status lost.
 */
function isRestored({ volumes, cluster: { status } }: Observation, id: string): boolean {
  if (status?.restore?.id === id && status.clusterID !== undefined) return true;
  return volumes.some(({ metadata }) => metadata.annotations?.[restoredAnnotation] === id);
}

function check(view: ClusterView, source: RestoreSource): Decision | undefined {
  const { cluster, spec, pods } = view.observation;
  const pod = findPod(pods, checkPodName(cluster));
  if (pod !== undefined && isOfAnother(pod, source)) return letGoOfAnother(pod);
  if (pod === undefined) {
    return act('RestoreChecked', 'The backup is read and checked before anything is stopped.', {
      kind: 'createPod',
      pod: buildCheckPod(cluster, spec, source),
    });
  }
  return watch(pod, 'The backup is read and checked.', view.observation);
}

function stopAll({ observation }: ClusterView): Decision | undefined {
  const checked = checkPodName(observation.cluster);
  const pods = observation.pods.filter(
    (pod) => isOurs(observation.cluster, pod) && pod.metadata.name !== checked,
  );
  const pod = pods.find((candidate) => !isTerminating(candidate));
  if (pod !== undefined) {
    const message = `Stopping ${pod.metadata.name}: a backup takes the place of its data.`;
    return act('PodDeleted', message, { kind: 'deletePod', pod });
  }
  if (pods.length === 0) return undefined;
  return waitFor('PodsTerminating', 'The pods are stopping.', minutes(5));
}

function park({ observation }: ClusterView): Decision | undefined {
  const volume = observation.volumes.find((each) => isOurs(observation.cluster, each));
  if (volume === undefined) return undefined;
  const { name } = volume.metadata;
  const message = `The volume ${name} is kept aside until spec.restore.confirmRestored says that it is not needed.`;
  return act('VolumeParked', message, { kind: 'parkVolume', volume });
}

function forget({ observation: { cluster } }: ClusterView, source: RestoreSource): Decision {
  const revisions = (cluster.status?.members ?? []).map(({ revision = 0 }) => revision);
  const aboveRevision = Math.max(0, ...revisions) + revisionsAbove;
  return act('RestoreBegun', 'The store begins anew with the backup.', {
    kind: 'recordStatus',
    fields: {
      restore: { id: source.id, aboveRevision },
      clusterID: undefined,
      bootstrap: undefined,
      joining: undefined,
    },
  });
}

interface Seed {
  readonly name: string;
  readonly token: string;
  readonly volume: PersistentVolumeClaim;
}

/** undefined when the seed's volume is as it should be, filled from a backup where one is wanted. */
export function fillSeed(observation: Observation, seed: Seed): Decision | undefined {
  const { cluster, spec, restore, pods } = observation;
  const wanted = spec.restore ?? spec.bootstrap?.restore;
  const pod = findPod(pods, restorePodName(seed.name));
  if (wanted === undefined) return undefined;
  if (seed.volume.metadata.annotations?.[restoredAnnotation] !== undefined) {
    return letGo(pod) ?? letGo(findPod(pods, checkPodName(cluster)));
  }
  if (restore === undefined) return noSource(wanted.backup);
  if (pod !== undefined && isOfAnother(pod, restore)) return letGoOfAnother(pod);
  if (pod === undefined) {
    const { aboveRevision } = cluster.status?.restore ?? {};
    const request = { member: seed.name, token: seed.token, aboveRevision, source: restore };
    return act('RestoreStarted', `The backup is put on the volume of ${seed.name}.`, {
      kind: 'createPod',
      pod: buildRestorePod(cluster, spec, request),
    });
  }
  const message = `The backup is being put on the volume of ${seed.name}.`;
  const { volume } = seed;
  return (
    watch(pod, message, observation) ??
    act('Restored', `The backup is on the volume of ${seed.name}.`, {
      kind: 'markRestored',
      volume,
      id: restore.id,
    })
  );
}

function findPod(pods: readonly Pod[], name: string): Pod | undefined {
  return pods.find(({ metadata }) => metadata.name === name);
}

/** The spec may name another backup meanwhile: what a pod has found or done of one is nothing of the other. */
function isOfAnother({ metadata }: Pod, { id }: RestoreSource): boolean {
  return metadata.labels?.[restoreLabel] !== id;
}

function letGoOfAnother(pod: Pod): Decision {
  const message = `${pod.metadata.name} is of another restore.`;
  if (isTerminating(pod)) return waitFor('PodsTerminating', message, minutes(5));
  return act('PodDeleted', message, { kind: 'deletePod', pod });
}

function letGo(pod: Pod | undefined): Decision | undefined {
  if (pod === undefined) return undefined;
  if (isTerminating(pod)) return waitFor('PodsTerminating', 'The restore is over.', minutes(5));
  return act('PodDeleted', 'The restore is over.', { kind: 'deletePod', pod });
}

/** undefined when it has done its work. */
function watch(
  pod: Pod,
  message: string,
  { now, spec: { image } }: Observation,
): Decision | undefined {
  if (isTerminating(pod)) return waitFor('PodsTerminating', message, minutes(5));
  if (pod.status?.phase === 'Succeeded') return undefined;
  if (!hasEnded(pod)) {
    const stuck = stuckStart(pod, { now, image });
    if (stuck?.isOutdated === true) {
      const why = `${pod.metadata.name} does not start (${stuck.why}) and is of an image that the store does not name any more.`;
      return act('PodDeleted', why, { kind: 'deletePod', pod });
    }
    const told =
      stuck === undefined ? message : `${message} But its pod does not start: ${stuck.why}`;
    return waitFor('Restoring', told, minutes(60));
  }
  return stopUntil(
    'RestoreFailed',
    `The backup cannot be restored: ${whyFailed(pod)} To try again, delete the pod ${pod.metadata.name}; to try another one, name it.`,
  );
}
