import { clientPort, peerPort } from '../api/defaults.ts';
import type { StoreCluster } from '../api/types.ts';

/** Name of a member, its pod and its volume. Serials only grow: a name is never used twice. */
export function memberName(cluster: StoreCluster, serial: number): string {
  return `${cluster.metadata.name}-${serial}`;
}

/** The serial in a member's name; undefined when the name is no member's of this cluster. */
export function serialOf(cluster: StoreCluster, name: string): number | undefined {
  const prefix = `${cluster.metadata.name}-`;
  if (!name.startsWith(prefix)) return undefined;
  const digits = name.slice(prefix.length);
  return /^[1-9][0-9]{0,14}$/.test(digits) ? Number(digits) : undefined;
}

export function clientServiceName(cluster: StoreCluster): string {
  return cluster.metadata.name;
}

export function peersServiceName(cluster: StoreCluster): string {
  return `${cluster.metadata.name}-peers`;
}

/**
 * Stable DNS name of a member. The form that ends in `.svc` resolves through the pod's search list whatever the
 * domain of the Kubernetes cluster is.
 */
export function memberHost(cluster: StoreCluster, member: string): string {
  return `${member}.${peersServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
}

/** A member's identity towards Raft: membership is looked up by it, never by a stored id. */
export function peerUrl(cluster: StoreCluster, member: string): string {
  return `http://${memberHost(cluster, member)}:${peerPort}`;
}

export function clientUrl(cluster: StoreCluster, member: string): string {
  return `http://${memberHost(cluster, member)}:${clientPort}`;
}

/** The member whose peer URL this is; undefined for members that are not this operator's. */
export function memberOfPeerUrl(cluster: StoreCluster, url: string): string | undefined {
  const host = /^http:\/\/([^:/]+):/.exec(url)?.[1];
  const name = host?.split('.')[0];
  return name !== undefined && peerUrl(cluster, name) === url ? name : undefined;
}

/** A store of this name that is created again never takes an old volume, or a late peer, for its own. */
export function clusterToken(cluster: StoreCluster, nonce: string): string {
  const { name, uid } = cluster.metadata;
  return `${namespaceOf(cluster)}/${name}/${uid}/${nonce}`;
}

export function namespaceOf(cluster: StoreCluster): string {
  return cluster.metadata.namespace ?? 'default';
}
