import type { TlsOptions } from '../../server/client/endpoint.ts';
import type { Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { makesClientCertificates, operatorUser, ownSides } from '../resources/certificates.ts';
import { podEndpoint } from '../resources/endpoints.ts';
import {
  authoritySecretName,
  clientServiceHost,
  operatorAuthSecretName,
  operatorTlsSecretName,
} from '../resources/names.ts';
import { clientCertFlag } from '../resources/pod.ts';
import { passwordOf } from '../resources/secret-facts.ts';
import { passwordKey } from '../resources/secrets.ts';
import type { ObservedSecrets } from './secrets.ts';
import type { StoreAccess } from './store-admin.ts';

/**
 * The ways in which the operator may reach a store, the best first. `root` is the way back in where the store does not
 * know the operator's own user: its data may be those of another store that were restored here.
 */
export function accessesOf(
  cluster: StoreCluster,
  secrets: ObservedSecrets,
  pods: readonly Pod[],
): readonly [StoreAccess, ...StoreAccess[]] {
  const tls = tlsOf(cluster, secrets);
  const members = pods.flatMap((pod) => podEndpoint(cluster, pod) ?? []);
  const base = { members, ...(tls === undefined ? {} : { tls }) };
  const anyone: StoreAccess = { ...base, user: 'anyone' };
  const operator = operatorAccess(cluster, secrets, { base, pods });
  const root = rootAccess(cluster, secrets, base);
  // Without a user of its own the operator has not begun with authentication.
  if (operator === undefined) return root === undefined ? [anyone] : [anyone, root];
  return root === undefined ? [operator] : [operator, root];
}

type Base = Pick<StoreAccess, 'members' | 'tls'>;

function operatorAccess(
  cluster: StoreCluster,
  { contents, facts }: ObservedSecrets,
  { base, pods }: { readonly base: Base; readonly pods: readonly Pod[] },
): StoreAccess | undefined {
  const password = contents.get(operatorAuthSecretName(cluster))?.get('password');
  if (password === undefined) return undefined;
  const certificate = facts.get(operatorTlsSecretName(cluster))?.certificate;
  // A member knows a certificate by itself; a password needs a leader and a quorum.
  const isEnough = certificate?.commonName === operatorUser && pods.every(knowsCertificates);
  if (isEnough) return { ...base, user: 'operator' };
  const credentials = { username: operatorUser, password: passwordOf(password) };
  return { ...base, user: 'operator', credentials };
}

/** What the member was started with counts: the spec may have changed since. */
function knowsCertificates({ spec }: Pod): boolean {
  return spec.containers[0]?.args?.includes(clientCertFlag) === true;
}

function rootAccess(
  { spec }: StoreCluster,
  { contents }: ObservedSecrets,
  base: Base,
): StoreAccess | undefined {
  const source = spec.auth?.rootPassword;
  const password = source && contents.get(source.name)?.get(passwordKey(source));
  if (password === undefined) return undefined;
  return {
    ...base,
    user: 'root',
    credentials: { username: 'root', password: passwordOf(password) },
  };
}

/** By address, so the name in the certificate is given: that of the client Service. */
function tlsOf(cluster: StoreCluster, { contents }: ObservedSecrets): TlsOptions | undefined {
  const { client } = cluster.spec.tls ?? {};
  if (client === undefined) return undefined;
  const trustedBy = ownSides(cluster).includes('client')
    ? authoritySecretName(cluster, 'client')
    : client.secretName;
  const ca = contents.get(trustedBy ?? '')?.get('ca.crt');
  const own =
    makesClientCertificates(cluster) || client.operatorSecretName !== undefined
      ? contents.get(operatorTlsSecretName(cluster))
      : undefined;
  const [cert, key] = [own?.get('tls.crt'), own?.get('tls.key')];
  return {
    serverName: clientServiceHost(cluster),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}
