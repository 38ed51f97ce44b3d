import type { Observation } from '../observe/observation.ts';
import { isTerminating } from '../observe/view.ts';
import { finalizer, isOurs } from '../resources/labels.ts';
import { act, type Rule, stopUntil, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/**
 * The StoreCluster is going: its pods, then with `Delete` its volumes, then the finalizer. Membership is left alone;
 * asking for it would hang without a quorum. Services and budget are collected with their owner.
 */
export const deletion: Rule = ({ observation }) => {
  const { cluster, spec } = observation;
  if (cluster.metadata.deletionTimestamp === undefined) return undefined;
  if (!(cluster.metadata.finalizers ?? []).includes(finalizer)) {
    return stopUntil('Deleting', 'Nothing is left to do; other finalizers hold the object.');
  }
  const { follower, cutOver } = observation.mirror ?? {};
  const mirrors = [follower, cutOver].filter((pod) => pod !== undefined);
  const pods = [...mirrors, ...observation.pods.filter((pod) => isOurs(cluster, pod))];
  const pod = pods.find((candidate) => !isTerminating(candidate));
  if (pod !== undefined) {
    const message = `Stopping ${pod.metadata.name}: the StoreCluster is being deleted.`;
    return act('PodDeleted', message, { kind: 'deletePod', pod });
  }
  if (pods.length > 0) {
    return waitFor('PodsTerminating', 'The pods are stopping.', minutes(5));
  }
  if (spec.deletionPolicy === 'Delete') {
    const volumes = observation.volumes.filter((candidate) => isOurs(cluster, candidate));
    const volume = volumes.find((candidate) => !isTerminating(candidate));
    if (volume !== undefined) {
      const message = `Deleting the volume ${volume.metadata.name}: deletionPolicy is Delete.`;
      return act('VolumeDeleted', message, { kind: 'deleteVolume', volume });
    }
    if (volumes.length > 0) {
      return waitFor('VolumesTerminating', 'The volumes are being deleted.', minutes(5));
    }
  }
  return act('Deleted', farewell(observation), { kind: 'removeFinalizer' });
};

function farewell({ cluster, volumes }: Observation): string {
  const kept = volumes.filter((volume) => isOurs(cluster, volume) && !isTerminating(volume));
  if (kept.length === 0) return 'The store is gone.';
  return `The store is gone; its volumes are kept: ${kept.map(({ metadata }) => metadata.name).join(', ')}.`;
}
