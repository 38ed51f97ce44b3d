import { type ClusterView, isNew } from '../observe/view.ts';
import {
  clientServiceHost,
  memberHost,
  memberName,
  namespaceOf,
  peersServiceName,
} from '../resources/names.ts';
import type { SecretFacts } from '../resources/secret-facts.ts';
import { type GivenSecret, givenSecrets } from '../resources/secrets.ts';
import { type Decision, type Rule, stopUntil } from './decision.ts';

/** Before there is a store: it would start without what it needs, or without those who may keep others out. */
export const firstSecretsMissing: Rule = (view) => (isNew(view) ? missing(view) : undefined);

/** A store that runs goes on with what it has, and everything else is still done. */
export const secretsMissing: Rule = (view) => missing(view);

function missing(view: ClusterView): Decision | undefined {
  return firstRefused(view, givenSecrets(view.observation.cluster));
}

/** What is to be done about the first of these that is not as it has to be. */
export function firstRefused(
  view: ClusterView,
  given: readonly GivenSecret[],
): Decision | undefined {
  const { cluster, secrets } = view.observation;
  for (const each of given) {
    const { name, keys, purpose } = each;
    const found = secrets.get(name);
    const lacking = keys.filter((key) => found?.keys.includes(key) !== true);
    if (found !== undefined && lacking.length === 0) {
      const refusal = refuse(view, each, found);
      if (refusal !== undefined) return refusal;
      continue;
    }
    const what =
      found === undefined
        ? `The Secret ${name} ${purpose} is not there`
        : `The Secret ${name} ${purpose} lacks ${lacking.join(', ')}`;
    return stopUntil(
      'SecretMissing',
      `${what}: create it in the namespace ${namespaceOf(cluster)}, with ${keys.join(', ')}.`,
    );
  }
  return undefined;
}

function refuse(view: ClusterView, given: GivenSecret, found: SecretFacts): Decision | undefined {
  return given.formerKey === undefined
    ? refuseCertificate(view, given, found)
    : refuseKey(given, found);
}

/** No member starts with it. */
function refuseKey(
  { name, keys, purpose, formerKey = '' }: GivenSecret,
  found: SecretFacts,
): Decision | undefined {
  const entries = found.keys.includes(formerKey) ? [...keys, formerKey] : keys;
  const wrong = entries.find((entry) => !found.encryptionKeys.includes(entry));
  if (wrong === undefined) return undefined;
  return stopUntil(
    'SecretRefused',
    `The Secret ${name} ${purpose} holds no key in its entry ${wrong}: put 32 bytes there, as they are, in hex or in base64; make them with: openssl rand -base64 32.`,
  );
}

/** A certificate with which members would keep each other out, or be taken for nobody by those who call them. */
function refuseCertificate(
  view: ClusterView,
  { name, purpose, owner }: GivenSecret,
  { certificate }: SecretFacts,
): Decision | undefined {
  if (owner === undefined) return undefined;
  const what = `The Secret ${name} ${purpose}`;
  if (certificate === undefined) {
    const message = `${what} has no certificate in tls.crt with its key in tls.key: put both there, PEM.`;
    return stopUntil('SecretRefused', message);
  }
  const { names } = certificate;
  const lacking = hostsOf(view, owner).find((host) => !isFor(names, host));
  if (lacking === undefined) return undefined;
  const { cluster } = view.observation;
  const wildcard = `*.${peersServiceName(cluster)}.${namespaceOf(cluster)}.svc`;
  const wanted = owner === 'client' ? `${clientServiceHost(cluster)} and ${wildcard}` : wildcard;
  return stopUntil(
    'SecretRefused',
    `${what} is not for ${lacking}, but for ${names.join(', ') || 'no name'}: issue it for ${wanted}.`,
  );
}

/** By which those who show it are called now. */
function hostsOf(
  { observation: { cluster }, members }: ClusterView,
  owner: NonNullable<GivenSecret['owner']>,
): readonly string[] {
  if (owner === 'operator') return [];
  if (owner === 'client') return [clientServiceHost(cluster)];
  const present = members.map(({ name }) => name);
  const names = present.length > 0 ? present : [memberName(cluster, 1)];
  return names.map((name) => memberHost(cluster, name));
}

/** A wildcard stands for one label, as members have it. */
function isFor(names: readonly string[], host: string): boolean {
  const wildcard = `*${host.slice(host.indexOf('.'))}`;
  return names.includes(host) || names.includes(wildcard);
}
