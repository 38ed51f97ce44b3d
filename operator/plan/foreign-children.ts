import type { KubeObject, PersistentVolumeClaim } from '../api/objects.ts';
import { clusterUidLabel, isOurs } from '../resources/labels.ts';
import { act, type Decision, type Rule, stopUntil, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/**
 * A StoreCluster that was deleted and created again finds what its predecessor left. Volumes hold data: they are
 * neither adopted nor deleted by guess, and no new store is started beside them: only
 * `spec.adoptFrom` makes them this one's. A store that has begun is not
 * stopped by them.
 */
export const foreignChildren: Rule = ({ observation }) => {
  const { cluster, spec } = observation;
  if (cluster.status?.bootstrap !== undefined || cluster.status?.clusterID !== undefined) {
    return undefined;
  }
  const foreign = (child: KubeObject) => !isOurs(cluster, child);
  const volumes = observation.volumes.filter(foreign);
  const owners = new Set(volumes.map(ownerOf));
  if (volumes.length > 0 && !owners.has(spec.adoptFrom)) {
    return stopUntil(
      'ForeignVolumes',
      `${list(volumes)} hold the data of an earlier StoreCluster of this name (uid ${[...owners].join(', ')}). ` +
        'To go on with it, write that uid into spec.adoptFrom. Otherwise delete these PersistentVolumeClaims, or give this StoreCluster another name.',
    );
  }
  const pods = observation.pods.filter(foreign);
  if (pods.length > 0) {
    const message = `${list(pods)} of an earlier StoreCluster of this name have not ended yet.`;
    return waitFor('ForeignPods', message, minutes(5));
  }
  const adopted = volumes.find((volume) => ownerOf(volume) === spec.adoptFrom);
  return adopted && adopt(adopted);
};

function adopt(volume: PersistentVolumeClaim): Decision {
  const message = `Going on with the volume ${volume.metadata.name} of the StoreCluster ${ownerOf(volume)}.`;
  return act('VolumeAdopted', message, { kind: 'adoptVolume', volume });
}

function ownerOf({ metadata }: KubeObject): string | undefined {
  return metadata.labels?.[clusterUidLabel];
}

function list(children: readonly KubeObject[]): string {
  return children.map((child) => child.metadata.name).join(', ');
}
