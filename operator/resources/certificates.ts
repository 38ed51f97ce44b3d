import type { StoreCluster } from '../api/types.ts';
import {
  clientServiceHost,
  clientServiceName,
  clientTlsSecretName,
  connectionSecretName,
  namespaceOf,
  observersServiceHost,
  observersServiceName,
  operatorTlsSecretName,
  peersServiceName,
  peerTlsSecretName,
  type TlsSide,
} from './names.ts';

/** Who the operator is to a store: its user there, and the name in its certificate. */
export const operatorUser = 'mainstay-operator';

/** What one certificate says. The operator's CA of its side signs it. */
export interface CertificateRequest {
  /** Name of the Secret that it is kept in. */
  readonly secret: string;
  readonly side: TlsSide;
  readonly commonName: string;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  readonly usages: readonly ('server' | 'client')[];
}

/** The sides whose certificates the operator makes itself. */
export function ownSides({ spec }: StoreCluster): readonly TlsSide[] {
  const { client, peer } = spec.tls ?? {};
  return [
    ...(client !== undefined && client.secretName === undefined ? (['client'] as const) : []),
    ...(peer !== undefined && peer.secretName === undefined ? (['peer'] as const) : []),
  ];
}

/** Whether the operator makes certificates for clients too. */
export function makesClientCertificates(cluster: StoreCluster): boolean {
  return ownSides(cluster).includes('client') && cluster.spec.tls?.client?.verifyClients === true;
}

/** Every certificate that the operator makes for a store, those of the members first. `domain`: of the Kubernetes cluster. */
export function certificateRequests(
  cluster: StoreCluster,
  domain: string,
): readonly CertificateRequest[] {
  const sides = ownSides(cluster);
  return [
    ...(sides.includes('peer') ? [peerCertificate(cluster, domain)] : []),
    ...(sides.includes('client') ? [serverCertificate(cluster, domain)] : []),
    ...(makesClientCertificates(cluster) ? clientCertificates(cluster) : []),
  ];
}

function serverCertificate(cluster: StoreCluster, domain: string): CertificateRequest {
  const members = memberNames(cluster);
  const ofService = (service: string, host: string) => [
    service,
    `${service}.${namespaceOf(cluster)}`,
    host,
    `${host}.${domain}`,
  ];
  const host = clientServiceHost(cluster);
  return {
    secret: clientTlsSecretName(cluster),
    side: 'client',
    commonName: host,
    names: [
      members,
      `${members}.${domain}`,
      ...ofService(clientServiceName(cluster), host),
      ...(cluster.spec.observers === undefined
        ? []
        : ofService(observersServiceName(cluster), observersServiceHost(cluster))),
      'localhost',
      '127.0.0.1',
      ...(cluster.spec.tls?.client?.names ?? []),
    ],
    usages: ['server'],
  };
}

/** Members are each other's servers and clients. */
function peerCertificate(cluster: StoreCluster, domain: string): CertificateRequest {
  const members = memberNames(cluster);
  return {
    secret: peerTlsSecretName(cluster),
    side: 'peer',
    commonName: `${peersServiceName(cluster)}.${namespaceOf(cluster)}.svc`,
    names: [members, `${members}.${domain}`],
    usages: ['server', 'client'],
  };
}

function memberNames(cluster: StoreCluster): string {
  return `*.${peersServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
}

/** The common name is the user's. Where authentication is off, whoever mounts the connection Secret may in. */
function clientCertificates(cluster: StoreCluster): readonly CertificateRequest[] {
  const { auth } = cluster.spec;
  const ofUsers = (auth?.users ?? []).map(({ name }) =>
    clientCertificate(connectionSecretName(cluster, name), name),
  );
  return [
    clientCertificate(operatorTlsSecretName(cluster), operatorUser),
    ...(auth === undefined
      ? [clientCertificate(connectionSecretName(cluster), cluster.metadata.name)]
      : ofUsers),
  ];
}

function clientCertificate(secret: string, commonName: string): CertificateRequest {
  return { secret, side: 'client', commonName, names: [], usages: ['client'] };
}
