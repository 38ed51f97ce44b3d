import type { KubeObject } from '../api/objects.ts';
import { clusterUidLabel, isOurs } from '../resources/labels.ts';
import { type Rule, stopUntil, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/**
 * A StoreCluster that was deleted and created again finds what its predecessor left. Volumes hold data: they are
 * neither adopted nor deleted by guess, and no new store is started beside them. A store that has begun is not
 * stopped by them.
 */
export const foreignChildren: Rule = ({ observation }) => {
  const { cluster } = observation;
  if (cluster.status?.bootstrap !== undefined || cluster.status?.clusterID !== undefined) {
    return undefined;
  }
  const foreign = (child: KubeObject) => !isOurs(cluster, child);
  const volumes = observation.volumes.filter(foreign);
  if (volumes.length > 0) {
    const owners = new Set(volumes.map((volume) => volume.metadata.labels?.[clusterUidLabel]));
    return stopUntil(
      'ForeignVolumes',
      `${list(volumes)} hold the data of an earlier StoreCluster of this name (uid ${[...owners].join(', ')}). ` +
        'Delete these PersistentVolumeClaims if the data is not needed, or give this StoreCluster another name.',
    );
  }
  const pods = observation.pods.filter(foreign);
  if (pods.length === 0) return undefined;
  const message = `${list(pods)} of an earlier StoreCluster of this name have not ended yet.`;
  return waitFor('ForeignPods', message, minutes(5));
};

function list(children: readonly KubeObject[]): string {
  return children.map((child) => child.metadata.name).join(', ');
}
