import type { Observation } from '../observe/observation.ts';
import { type ClusterView, isTerminating } from '../observe/view.ts';
import {
  certificateRequests,
  makesClientCertificates,
  ownSides,
} from '../resources/certificates.ts';
import { rotationAnnotation, writtenAnnotation } from '../resources/labels.ts';
import { clientTlsSecretName, peerTlsSecretName, type TlsSide } from '../resources/names.ts';
import type { SecretFacts } from '../resources/secret-facts.ts';
import { authorityOf, isDueForRenewal } from './certificates.ts';
import { connectionNames } from './connections.ts';
import { act, type Decision, type Rule, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

// A CA takes the place of another in three steps, so that no connection is refused meanwhile: both are trusted, the new
// one signs, the old one is not trusted any more. Each step waits until what the one before has written is in use:
// members say what they have loaded; applications, which nobody can ask, get time to read the Secrets that they mount.

/** The next step of a rotation, or its beginning, once the store is well. */
export const rotateAuthorities: Rule = (view) => {
  for (const side of ownSides(view.observation.cluster)) {
    const step = nextStep(view, side);
    if (step !== undefined && 'action' in step) return step;
  }
  return undefined;
};

/** Last of all: a rotation that goes on holds up nothing else. */
export const rotationWaits: Rule = (view) => {
  for (const side of ownSides(view.observation.cluster)) {
    const step = nextStep(view, side);
    if (step !== undefined) return step;
  }
  return undefined;
};

function nextStep(view: ClusterView, side: TlsSide): Decision | undefined {
  const { observation } = view;
  const authority = authorityOf(observation, side);
  if (authority?.certificate === undefined) return undefined;
  if (authority.next !== undefined) {
    return (
      awaitTrust(view, side, authority) ??
      step(observation, side, authority, {
        step: 'signWithNew',
        message: `All members trust the new CA of the ${side} port: it signs from now on.`,
      })
    );
  }
  if ((authority.trust?.certificates.length ?? 0) > 1) {
    return (
      awaitCertificates(view, side) ??
      step(observation, side, authority, {
        step: 'dropOld',
        message: `All members show certificates of the new CA of the ${side} port: the old one is not trusted any more.`,
      })
    );
  }
  return begin(observation, side, authority);
}

function begin(
  observation: Observation,
  side: TlsSide,
  authority: SecretFacts,
): Decision | undefined {
  const { spec, now } = observation;
  const wanted = spec.tls?.rotateCA;
  const isWanted =
    wanted !== undefined && authority.metadata.annotations?.[rotationAnnotation] !== wanted;
  const { certificate } = authority;
  const isOld = certificate !== undefined && isDueForRenewal(certificate, now);
  if (!isWanted && !isOld) return undefined;
  const why = isWanted
    ? `tls.rotateCA is ${wanted}`
    : `the present one ends ${certificate?.notAfter}`;
  return step(observation, side, authority, {
    step: 'trustNew',
    message: `A new CA for the ${side} port, because ${why}: both are trusted now.`,
  });
}

function step(
  { spec }: Observation,
  side: TlsSide,
  { metadata }: SecretFacts,
  {
    step,
    message,
  }: { readonly step: 'trustNew' | 'signWithNew' | 'dropOld'; readonly message: string },
): Decision {
  const rotation = spec.tls?.rotateCA;
  return act('AuthorityChanged', message, {
    kind: 'changeAuthority',
    side,
    step,
    rotation,
    seen: metadata,
  });
}

/** Both CAs are trusted by every member, and applications have had time to learn of the new one. */
function awaitTrust(
  view: ClusterView,
  side: TlsSide,
  authority: SecretFacts,
): Decision | undefined {
  const wanted = authority.trust?.sha256;
  // Members that ask clients for no certificate trust nobody on that port.
  const trusts = side === 'peer' || makesClientCertificates(view.observation.cluster);
  const behind = trusts
    ? membersWithout(view, (name) => loaded(view, name, side)?.trust === wanted)
    : [];
  return (
    awaitMembers(behind, side, 'trust the new CA beside the old one') ??
    (side === 'client' ? awaitApplications(view.observation) : undefined)
  );
}

/** Every member shows a certificate of the new CA, and applications have had time to read theirs. */
function awaitCertificates(view: ClusterView, side: TlsSide): Decision | undefined {
  const { cluster, secrets } = view.observation;
  const secret = side === 'client' ? clientTlsSecretName(cluster) : peerTlsSecretName(cluster);
  const wanted = secrets.get(secret)?.certificate?.serial;
  const behind = membersWithout(view, (name) => loaded(view, name, side)?.serial === wanted);
  const showsCertificates = side === 'client' && makesClientCertificates(cluster);
  return (
    awaitMembers(behind, side, 'show a certificate of the new CA') ??
    (showsCertificates ? awaitApplications(view.observation) : undefined)
  );
}

function loaded({ observation }: ClusterView, name: string, side: TlsSide) {
  return observation.loaded.get(name)?.[side];
}

function membersWithout(view: ClusterView, isSo: (name: string) => boolean): readonly string[] {
  return view.members
    .filter(({ name, pod }) => pod !== undefined && !isTerminating(pod) && !isSo(name))
    .map(({ name }) => name);
}

function awaitMembers(
  behind: readonly string[],
  side: TlsSide,
  what: string,
): Decision | undefined {
  if (behind.length === 0) return undefined;
  return waitFor(
    'CertificatesLoading',
    `Members that do not ${what} on the ${side} port yet: ${behind.join(', ')}. Nodes bring new contents of Secrets within two minutes.`,
    minutes(10),
  );
}

function awaitApplications(observation: Observation): Decision | undefined {
  const { cluster, secrets, now, reloadMs, clusterDomain } = observation;
  const names = new Set([
    ...connectionNames(cluster),
    ...certificateRequests(cluster, clusterDomain).map(({ secret }) => secret),
  ]);
  const written = [...names].map((name) =>
    Date.parse(secrets.get(name)?.metadata.annotations?.[writtenAnnotation] ?? '1970-01-01'),
  );
  if (Date.parse(now) - Math.max(0, ...written) >= reloadMs) return undefined;
  const message = 'Applications get time to read their connection Secrets again.';
  return waitFor('ApplicationsReloading', message, reloadMs + minutes(1));
}
