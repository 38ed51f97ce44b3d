import type { Observation } from '../observe/observation.ts';
import {
  type CertificateRequest,
  certificateRequests,
  ownSides,
} from '../resources/certificates.ts';
import { authoritySecretName, type TlsSide } from '../resources/names.ts';
import type { CertificateFacts, SecretFacts } from '../resources/secret-facts.ts';
import { canonicalName } from '../resources/secret-facts.ts';
import { ownSecretNames } from '../resources/secrets.ts';
import { connectionNames, isForeign } from './connections.ts';
import { act, type Decision, type Rule, stopUntil } from './decision.ts';

/** Part of its life after which a certificate is made anew. */
export const renewalShare = 2 / 3;

/** Secrets of other people are left as they are, even where a name of ours is taken by one that the members need. */
export const foreignSecrets: Rule = ({ observation }) => {
  const { cluster } = observation;
  const forClients = connectionNames(cluster);
  const name = ownSecretNames(cluster)
    .filter((each) => !forClients.includes(each))
    .find((each) => isForeign(observation, each));
  if (name === undefined) return undefined;
  return stopUntil(
    'NameTaken',
    `The Secret ${name} exists and is not this StoreCluster's. Remove it, or give the StoreCluster another name.`,
  );
};

/** The operator's own CAs, before anything that they sign. How one takes the place of another is `rotateAuthorities`. */
export const authorities: Rule = ({ observation }) => {
  const { cluster, secrets, spec } = observation;
  for (const side of ownSides(cluster)) {
    const name = authoritySecretName(cluster, side);
    const found = secrets.get(name);
    if (found?.certificate !== undefined && found.trust !== undefined) continue;
    const message = `The CA of the ${side} port is in the Secret ${name}.`;
    const rotation = spec.tls?.rotateCA;
    const action = { kind: 'makeAuthority', side, rotation, seen: found?.metadata } as const;
    return act('AuthorityMade', message, action);
  }
  return undefined;
};

/** Every certificate is there, signed by the present CA, good for its names and not near its end. */
export const certificates: Rule = ({ observation }) => {
  for (const request of certificateRequests(observation.cluster, observation.clusterDomain)) {
    const decision = keep(observation, request);
    if (decision !== undefined) return decision;
  }
  return undefined;
};

function keep(observation: Observation, request: CertificateRequest): Decision | undefined {
  const authority = authorityOf(observation, request.side);
  if (isForeign(observation, request.secret)) return undefined;
  const found = observation.secrets.get(request.secret);
  const why = whyNew(request, found?.certificate, { authority, now: observation.now });
  const { secret } = request;
  if (why !== undefined) {
    const action = { kind: 'issueCertificate', request, seen: found?.metadata } as const;
    return act('CertificateIssued', `A new certificate in the Secret ${secret}: ${why}.`, action);
  }
  if (found?.trust?.sha256 === authority?.trust?.sha256) return undefined;
  const from = authoritySecretName(observation.cluster, request.side);
  const content = {
    name: secret,
    texts: {},
    copies: [{ from, key: 'ca.crt', to: 'ca.crt' }],
    passwords: [],
  };
  const message = `The certificates that are trusted have changed: they are in the Secret ${secret}.`;
  return act('TrustWritten', message, { kind: 'writeSecret', content, seen: found?.metadata });
}

export function authorityOf(
  { cluster, secrets }: Observation,
  side: TlsSide,
): SecretFacts | undefined {
  return secrets.get(authoritySecretName(cluster, side));
}

/** Why the certificate that there is does not do; undefined when it does. */
function whyNew(
  { commonName, names }: CertificateRequest,
  present: CertificateFacts | undefined,
  { authority, now }: { readonly authority: SecretFacts | undefined; readonly now: string },
): string | undefined {
  if (present === undefined) return 'there is none that can be used';
  if (present.issuer !== authority?.certificate?.subject) return 'the CA is another one';
  if (present.commonName !== commonName) return `it is for ${present.commonName}`;
  const missing = names.find((name) => !present.names.includes(canonicalName(name)));
  if (missing !== undefined) return `the present one is not for ${missing}`;
  return isDueForRenewal(present, now) ? `the present one ends ${present.notAfter}` : undefined;
}

export function isDueForRenewal({ notBefore, notAfter }: CertificateFacts, now: string): boolean {
  const [from, to] = [Date.parse(notBefore), Date.parse(notAfter)];
  return Date.parse(now) >= from + (to - from) * renewalShare;
}
