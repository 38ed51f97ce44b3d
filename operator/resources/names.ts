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

/** Of the observers alone. */
export function observersServiceName(cluster: StoreCluster): string {
  return `${cluster.metadata.name}-observers`;
}

export function peersServiceName(cluster: StoreCluster): string {
  return `${cluster.metadata.name}-peers`;
}

/** Secret with the certificate of the members' client port: the person's, or the operator's own. */
export function clientTlsSecretName(cluster: StoreCluster): string {
  return cluster.spec.tls?.client?.secretName ?? `${cluster.metadata.name}-client-tls`;
}

/** Secret with the certificate that members show each other. */
export function peerTlsSecretName(cluster: StoreCluster): string {
  return cluster.spec.tls?.peer?.secretName ?? `${cluster.metadata.name}-peer-tls`;
}

export type TlsSide = 'client' | 'peer';

/** Secret with the operator's own CA for one port: its key, its certificate and what is trusted beside it. */
export function authoritySecretName(cluster: StoreCluster, side: TlsSide): string {
  return side === 'client' ? `${cluster.metadata.name}-ca` : `${cluster.metadata.name}-peer-ca`;
}

/** Secret with the certificate that the operator shows to members that ask for one. */
export function operatorTlsSecretName(cluster: StoreCluster): string {
  return cluster.spec.tls?.client?.operatorSecretName ?? `${cluster.metadata.name}-operator-tls`;
}

/** Secret with the operator's own user, and what it knows of the others. */
export function operatorAuthSecretName(cluster: StoreCluster): string {
  return `${cluster.metadata.name}-operator-auth`;
}

/** Secret that an application mounts; with a user's name in it, that user's. */
export function connectionSecretName(cluster: StoreCluster, user?: string): string {
  const { name } = cluster.metadata;
  return user === undefined ? `${name}-connection` : `${name}-${user}-connection`;
}

/** Name of the client Service that is in the members' certificate. */
export function clientServiceHost(cluster: StoreCluster): string {
  return `${clientServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
}

export function observersServiceHost(cluster: StoreCluster): string {
  return `${observersServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
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
  return `${schemeOf(cluster.spec.tls?.peer)}://${memberHost(cluster, member)}:${peerPort}`;
}

export function clientUrl(cluster: StoreCluster, member: string): string {
  return `${schemeOf(cluster.spec.tls?.client)}://${memberHost(cluster, member)}:${clientPort}`;
}

/** Of a port with these TLS settings; they cannot appear or go on a running store. */
export function schemeOf(tls: object | undefined): 'http' | 'https' {
  return tls === undefined ? 'http' : 'https';
}

/** The member whose peer URL this is; undefined for members that are not this operator's. */
export function memberOfPeerUrl(cluster: StoreCluster, url: string): string | undefined {
  const host = /^https?:\/\/([^:/]+):/.exec(url)?.[1];
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
