import type { ObjectMeta } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { makesClientCertificates, ownSides } from './certificates.ts';
import { encryptionSecret } from './encryption.ts';
import { childLabels, ownerReference } from './labels.ts';
import {
  authoritySecretName,
  clientTlsSecretName,
  connectionSecretName,
  namespaceOf,
  operatorAuthSecretName,
  operatorTlsSecretName,
  peerTlsSecretName,
} from './names.ts';

/** A Secret that the operator needs and a person makes. */
export interface GivenSecret {
  readonly name: string;
  readonly keys: readonly string[];
  /** What it is for, as the end of a sentence that begins with "The Secret". */
  readonly purpose: string;
  /** Of a certificate: who shows it. */
  readonly owner?: 'client' | 'peer' | 'operator';
  /** Of a key of encryption at rest: the entry with the former one, which may be missing. */
  readonly formerKey?: string;
}

/** `removed`: users that were declared before. */
export function ownSecretNames(cluster: StoreCluster, removed: readonly string[] = []): string[] {
  const { auth } = cluster.spec;
  const users = [...(auth?.users ?? []).map(({ name }) => name), ...removed];
  const sides = ownSides(cluster);
  return [
    ...sides.map((side) => authoritySecretName(cluster, side)),
    ...(sides.includes('peer') ? [peerTlsSecretName(cluster)] : []),
    ...(sides.includes('client') ? [clientTlsSecretName(cluster)] : []),
    ...(makesClientCertificates(cluster) ? [operatorTlsSecretName(cluster)] : []),
    ...(auth === undefined ? [] : [operatorAuthSecretName(cluster)]),
    connectionSecretName(cluster),
    ...users.map((user) => connectionSecretName(cluster, user)),
  ];
}

export type CertificateKind = 'clientCA' | 'peerCA' | 'client' | 'peer' | 'operator' | 'user';

/** What the certificate in a Secret of `status.certificates` is for. One that is for two ports is the client port's. */
export function certificateKind(cluster: StoreCluster, secret: string): CertificateKind {
  const kinds: ReadonlyArray<readonly [name: string, kind: CertificateKind]> = [
    [clientTlsSecretName(cluster), 'client'],
    [peerTlsSecretName(cluster), 'peer'],
    [operatorTlsSecretName(cluster), 'operator'],
    // Last: where there is none, because a person has given a Secret, theirs may have its name.
    [authoritySecretName(cluster, 'client'), 'clientCA'],
    [authoritySecretName(cluster, 'peer'), 'peerCA'],
  ];
  return kinds.find(([name]) => name === secret)?.[1] ?? 'user';
}

const certificateKeys = ['tls.crt', 'tls.key', 'ca.crt'];

export function givenSecrets({ spec }: StoreCluster): readonly GivenSecret[] {
  const { client, peer } = spec.tls ?? {};
  const certificate = (
    name: string | undefined,
    owner: NonNullable<GivenSecret['owner']>,
    purpose: string,
  ) => (name === undefined ? [] : [{ name, keys: certificateKeys, purpose, owner }]);
  const password = (source: PasswordSource | undefined, user: string) =>
    source === undefined ? [] : [passwordSecret(source, user)];
  const encryption = encryptionSecret(spec);
  return [
    ...(encryption === undefined ? [] : [encryption]),
    ...certificate(client?.secretName, 'client', 'with the certificate of the client port'),
    ...certificate(client?.operatorSecretName, 'operator', 'with the certificate of the operator'),
    ...certificate(peer?.secretName, 'peer', 'with the certificate of the peer port'),
    ...password(spec.auth?.rootPassword, 'root'),
    ...(spec.auth?.users ?? []).flatMap((user) => password(user.password, user.name)),
  ];
}

export interface PasswordSource {
  readonly name: string;
  readonly key?: string;
}

function passwordSecret(source: PasswordSource, user: string): GivenSecret {
  return {
    name: source.name,
    keys: [passwordKey(source)],
    purpose: `with the password of the user ${user}`,
  };
}

export function passwordKey({ key }: PasswordSource): string {
  return key ?? 'password';
}

/** Of a new Secret of the operator's. */
export function secretMetadata(cluster: StoreCluster, name: string): ObjectMeta {
  return {
    name,
    namespace: namespaceOf(cluster),
    labels: childLabels(cluster),
    ownerReferences: [ownerReference(cluster)],
  };
}
