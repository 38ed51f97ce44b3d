import { clientPort } from '../../../operator/api/defaults.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import type { Loaded } from '../../../operator/observe/loaded-certificates.ts';
import type { Observation } from '../../../operator/observe/observation.ts';
import type { Permission, StoreAuth } from '../../../operator/observe/store-admin.ts';
import { certificateRequests, ownSides } from '../../../operator/resources/certificates.ts';
import {
  childLabels,
  clusterUidLabel,
  rotationAnnotation,
  writtenAnnotation,
} from '../../../operator/resources/labels.ts';
import { mirrorSecrets } from '../../../operator/resources/mirror.ts';
import {
  authoritySecretName,
  clientServiceHost,
  connectionSecretName,
  operatorAuthSecretName,
  schemeOf,
} from '../../../operator/resources/names.ts';
import type { CertificateFacts, SecretFacts } from '../../../operator/resources/secret-facts.ts';
import { givenSecrets, ownSecretNames } from '../../../operator/resources/secrets.ts';

// The part of an observation that is about Secrets, certificates and users. What is left out is as it should be.
//
//   secret NAME none | foreign | broken | WORD...        words: expiring, next (a CA beside it), two (an old CA is trusted),
//          signer=2 (of a certificate: number of its CA), trust=T, password=P, cn=X, names=a,b, written=09:59,
//          rotation=V, lacks=KEY, with=KEY (one more entry), keyless=KEY (an entry that holds no key of encryption)
//   loaded demo-1 client=SERIAL/TRUST [peer=SERIAL/TRUST]
//   auth on|off root:root app:reader,writer [reader[Read:a:b]]
//   applied root=P app=P role:reader
//   access root | refused

const domain = 'cluster.local';

type Part = Pick<
  Observation,
  'secrets' | 'clusterDomain' | 'reloadMs' | 'access' | 'accessRefused' | 'storeAuth' | 'loaded'
>;

export function parseSecurity(cluster: StoreCluster, lines: readonly string[][]): Part {
  const access = lines.find(([first]) => first === 'access')?.[1];
  return {
    secrets: parseSecrets(cluster, lines),
    clusterDomain: domain,
    reloadMs: 120_000,
    access: { user: access === 'root' ? 'root' : 'operator', members: [] },
    accessRefused:
      access === 'refused'
        ? 'etcdserver: authentication failed, invalid user ID or password'
        : undefined,
    storeAuth: parseAuth(lines.find(([first]) => first === 'auth')),
    loaded: new Map(
      lines
        .filter(([first]) => first === 'loaded')
        .map(([, name = '', ...words]) => [name, parseLoaded(words)]),
    ),
  };
}

function parseLoaded(words: readonly string[]): Loaded {
  const sides = words.map((word) => {
    const [side = '', serial = '', trust = ''] = word.split(/[=/]/);
    return [side, { serial, trust }];
  });
  return Object.fromEntries(sides) as Loaded;
}

function parseAuth(line: readonly string[] | undefined): StoreAuth | undefined {
  if (line === undefined) return undefined;
  const [, enabled, ...words] = line;
  const users = new Map<string, string[]>();
  const roles = new Map<string, Permission[]>();
  for (const word of words) {
    const role = /^(.*)\[(.*)\]$/.exec(word);
    if (role === null) {
      const [user = '', has = ''] = word.split(':');
      users.set(
        user,
        has.split(',').filter((name) => name !== ''),
      );
      continue;
    }
    const permissions = (role[2] ?? '').split(';').filter((text) => text !== '');
    roles.set(
      role[1] ?? '',
      permissions.map((text) => {
        const [access, key = '', rangeEnd = ''] = text.split(':');
        return { access: access as Permission['access'], key, rangeEnd };
      }),
    );
  }
  return { enabled: enabled === 'on', users, roles };
}

function parseSecrets(
  cluster: StoreCluster,
  lines: readonly string[][],
): ReadonlyMap<string, SecretFacts> {
  const facts = new Map<string, SecretFacts>();
  const applied = parseApplied(lines.find(([first]) => first === 'applied') ?? []);
  const removed = Object.keys(applied.users).filter((user) => user !== 'root');
  const lineOf = (name: string) =>
    lines.find(([first, second]) => first === 'secret' && second === name)?.slice(2) ?? [];
  const account = applied.users['root'] === undefined ? [] : [operatorAuthSecretName(cluster)];
  for (const name of new Set([...ownSecretNames(cluster, removed), ...account])) {
    const words = lineOf(name);
    if (words.includes('none')) continue;
    const own = ownFacts(cluster, name, { words, applied });
    facts.set(name, words.includes('foreign') ? foreign(own) : own);
  }
  const { namespace = 'default', name: cn } = cluster.metadata;
  const names = [clientServiceHost(cluster), `*.${cn}-peers.${namespace}.svc`];
  for (const { name, keys: needed } of [...givenSecrets(cluster), ...mirrorSecrets(cluster.spec)]) {
    const words = lineOf(name);
    if (words.includes('none') || facts.has(name)) continue;
    const password = valueOf(words, 'password') ?? 'secret';
    const lacks = valueOf(words, 'lacks');
    const further = valueOf(words, 'with');
    const keys = further === undefined ? needed : [...needed, further];
    const keyless = valueOf(words, 'keyless');
    const isCertificate = keys.includes('tls.crt');
    facts.set(name, {
      ...empty(name),
      keys: keys.filter((key) => key !== lacks),
      encryptionKeys: keys.filter((key) => key !== lacks && key !== keyless),
      digests: Object.fromEntries(
        keys.filter((key) => key !== lacks).map((key) => [key, password]),
      ),
      ...(isCertificate ? leafFacts({ words, commonName: 'given', names, side: 'client' }) : {}),
    });
  }
  return facts;
}

function parseApplied([, ...words]: readonly string[]) {
  const roles = words.filter((word) => word.startsWith('role:')).map((word) => word.slice(5));
  const users = words.filter((word) => word.includes('=')).map((word) => word.split('='));
  return { users: Object.fromEntries(users) as Record<string, string>, roles };
}

function ownFacts(
  cluster: StoreCluster,
  name: string,
  { words, applied }: { words: readonly string[]; applied: unknown },
): SecretFacts {
  const written = valueOf(words, 'written');
  const rotation = valueOf(words, 'rotation') ?? cluster.spec.tls?.rotateCA;
  const base: SecretFacts = {
    ...empty(name),
    metadata: {
      name,
      labels: childLabels(cluster),
      annotations: {
        [writtenAnnotation]: `2026-01-01T${written ?? '09:00'}:00.000Z`,
        ...(rotation === undefined ? {} : { [rotationAnnotation]: rotation }),
      },
    },
  };
  for (const side of ownSides(cluster)) {
    if (name === authoritySecretName(cluster, side))
      return { ...base, ...authorityFacts(side, words) };
  }
  const request = certificateRequests(cluster, domain).find(({ secret }) => secret === name);
  const leaf = request === undefined ? {} : leafFacts({ ...request, words });
  if (name === operatorAuthSecretName(cluster)) {
    return {
      ...base,
      keys: ['username', 'password', 'salt'],
      texts: { applied: JSON.stringify(applied) },
    };
  }
  return { ...base, ...leaf, ...connectionFacts(cluster, name, words) };
}

function connectionFacts(
  cluster: StoreCluster,
  name: string,
  words: readonly string[],
): Partial<SecretFacts> {
  const user = (cluster.spec.auth?.users ?? []).find(
    (each) => connectionSecretName(cluster, each.name) === name,
  );
  if (user === undefined && name !== connectionSecretName(cluster)) return {};
  const host = clientServiceHost(cluster);
  const endpoints = `${schemeOf(cluster.spec.tls?.client)}://${host}:${clientPort}`;
  const trust =
    cluster.spec.tls?.client === undefined
      ? {}
      : { trust: trustFacts(valueOf(words, 'trust') ?? 't1') };
  if (user === undefined) return { texts: { endpoints }, ...trust };
  const password = valueOf(words, 'password') ?? 'secret';
  return {
    keys: ['endpoints', 'username', 'password'],
    texts: { endpoints, username: user.name },
    digests: { password },
    ...trust,
  };
}

function authorityFacts(side: string, words: readonly string[]): Partial<SecretFacts> {
  if (words.includes('broken')) return {};
  const isTwo = words.includes('next') || words.includes('two');
  const number = words.includes('two') ? 2 : 1;
  const end = words.includes('expiring') ? '2026-01-10' : '2035-01-01';
  return {
    certificate: certificate(caName(side, number), caName(side, number), { end }),
    next: words.includes('next')
      ? certificate(caName(side, 2), caName(side, 2), { end })
      : undefined,
    trust: trustFacts(isTwo ? 't12' : 't1', isTwo ? 2 : 1),
  };
}

function leafFacts(leaf: {
  readonly words: readonly string[];
  readonly commonName: string;
  readonly names: readonly string[];
  readonly side: string;
}): Partial<SecretFacts> {
  const { words, side } = leaf;
  const trust = trustFacts(valueOf(words, 'trust') ?? 't1');
  if (words.includes('broken')) return { trust };
  const issuer = caName(side, Number(valueOf(words, 'signer') ?? '1'));
  const commonName = valueOf(words, 'cn') ?? leaf.commonName;
  const names = valueOf(words, 'names')?.split(',') ?? leaf.names;
  const end = words.includes('expiring') ? '2026-01-05' : '2026-03-20';
  return { trust, certificate: { ...certificate(commonName, issuer, { end }), commonName, names } };
}

/** Begins in December. */
function certificate(
  subject: string,
  issuer: string,
  { end }: { readonly end: string },
): CertificateFacts {
  const notAfter = `${end}T00:00:00.000Z`;
  const notBefore = '2025-12-11T00:00:00.000Z';
  return { serial: 's1', subject, issuer, commonName: subject, names: [], notBefore, notAfter };
}

function caName(side: string, number: number): string {
  return `${side} CA ${number}`;
}

function trustFacts(sha256: string, count = 1) {
  const certificates = Array.from({ length: count }, (_, at) =>
    certificate(`CA ${at}`, `CA ${at}`, { end: '2035-01-01' }),
  );
  return { sha256, certificates };
}

function empty(name: string): SecretFacts {
  return {
    metadata: { name },
    keys: [],
    certificate: undefined,
    next: undefined,
    trust: undefined,
    encryptionKeys: [],
    texts: {},
    digests: {},
  };
}

function foreign(facts: SecretFacts): SecretFacts {
  const labels = { ...facts.metadata.labels, [clusterUidLabel]: 'other' };
  return { ...facts, metadata: { ...facts.metadata, labels } };
}

function valueOf(words: readonly string[], key: string): string | undefined {
  return words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
}
