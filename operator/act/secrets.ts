// [io] What is written into Secrets. What goes in is made or read here, so that no decision ever holds a key.
import { randomBytes } from 'node:crypto';
import { unreachable } from '../../server/base/assert.ts';
import type { ObjectMeta, Secret } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import type { SecretAction, SecretContent } from '../plan/action.ts';
import { isOurs, rotationAnnotation, writtenAnnotation } from '../resources/labels.ts';
import {
  authoritySecretName,
  clientTlsSecretName,
  namespaceOf,
  peerTlsSecretName,
  type TlsSide,
} from '../resources/names.ts';
import { entriesOf, passwordOf, pemCertificates } from '../resources/secret-facts.ts';
import { secretMetadata } from '../resources/secrets.ts';
import { issue, makeAuthority } from './issue.ts';

export interface SecretTask {
  readonly cluster: StoreCluster;
  /** RFC 3339. */
  readonly now: string;
}

/** null takes an entry away. */
type Entries = Readonly<Record<string, string | null>>;

const certificateDaysDefault = 90;
/** 256 bits, and the shortest lines that people have to type. */
const passwordBytes = 24;

export async function performOnSecret(
  kube: KubeClient,
  task: SecretTask,
  action: SecretAction,
): Promise<void> {
  switch (action.kind) {
    case 'makeAuthority':
      return makeAuthoritySecret(kube, task, action);
    case 'changeAuthority':
      return changeAuthority(kube, task, action);
    case 'issueCertificate': {
      const { request, seen } = action;
      const name = authoritySecretName(task.cluster, request.side);
      const authority = await readOwn(kube, task.cluster, name);
      const signer = { cert: entry(authority, 'tls.crt'), key: entry(authority, 'tls.key') };
      const days = task.cluster.spec.tls?.certificateDays ?? certificateDaysDefault;
      const { cert, key } = await issue(signer, request, { now: task.now, days });
      const entries = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': entry(authority, 'ca.crt') };
      return write(kube, task, { name: request.secret, seen, entries, type: 'kubernetes.io/tls' });
    }
    case 'writeSecret': {
      const { content, seen } = action;
      const entries = await entriesFor(kube, task.cluster, content);
      return write(kube, task, { name: content.name, seen, entries });
    }
    case 'recordApplied': {
      const entries = { applied: JSON.stringify(action.applied) };
      return write(kube, task, { name: action.seen.name, seen: action.seen, entries });
    }
    case 'deleteSecret': {
      const { uid = '', resourceVersion = '' } = action.seen;
      await kube.remove(pathTo(task.cluster, action.seen.name), { uid, resourceVersion });
      return;
    }
    default:
      return unreachable(action);
  }
}

/** What the members trusted before stays trusted until they have certificates of the new one. */
async function makeAuthoritySecret(
  kube: KubeClient,
  task: SecretTask,
  { side, rotation, seen }: Extract<SecretAction, { kind: 'makeAuthority' }>,
): Promise<void> {
  const { cluster } = task;
  const made = await makeAuthority(authorityTitle(cluster, side), task.now);
  const used = side === 'client' ? clientTlsSecretName(cluster) : peerTlsSecretName(cluster);
  const leaf = await kube.get<Secret>(pathTo(cluster, used));
  const before = leaf === undefined ? '' : (entriesOf(leaf).get('ca.crt')?.toString() ?? '');
  const entries = {
    'tls.crt': made.cert,
    'tls.key': made.key,
    'ca.crt': [made.cert, ...pemCertificates(before)].join(''),
  };
  const name = authoritySecretName(cluster, side);
  await write(kube, task, { name, seen, entries, rotation, type: 'kubernetes.io/tls' });
}

async function changeAuthority(
  kube: KubeClient,
  task: SecretTask,
  { side, step, rotation, seen }: Extract<SecretAction, { kind: 'changeAuthority' }>,
): Promise<void> {
  const name = authoritySecretName(task.cluster, side);
  const present = await readOwn(kube, task.cluster, name);
  switch (step) {
    case 'trustNew': {
      const made = await makeAuthority(authorityTitle(task.cluster, side), task.now);
      const entries = {
        'next.crt': made.cert,
        'next.key': made.key,
        'ca.crt': entry(present, 'ca.crt') + made.cert,
      };
      return write(kube, task, { name, seen, entries, rotation });
    }
    case 'signWithNew': {
      const entries = {
        'tls.crt': entry(present, 'next.crt'),
        'tls.key': entry(present, 'next.key'),
        'next.crt': null,
        'next.key': null,
      };
      return write(kube, task, { name, seen, entries });
    }
    case 'dropOld':
      return write(kube, task, { name, seen, entries: { 'ca.crt': entry(present, 'tls.crt') } });
  }
}

function authorityTitle({ metadata: { name } }: StoreCluster, side: TlsSide): string {
  return `Mainstay ${name} ${side} CA`;
}

async function entriesFor(
  kube: KubeClient,
  cluster: StoreCluster,
  { texts, copies, passwords, removes = [] }: SecretContent,
): Promise<Entries> {
  const made = passwords.map((key) => [key, randomBytes(passwordBytes).toString('base64url')]);
  const copied = copies.map(async ({ from, key, to }): Promise<[string, string]> => {
    const source = await kube.get<Secret>(pathTo(cluster, from));
    const value = source && entriesOf(source).get(key);
    if (value === undefined) throw changed(`the Secret ${from} has no ${key} any more`);
    return [to, to === 'password' ? passwordOf(value) : value.toString()];
  });
  const gone = removes.map((key) => [key, null]);
  return { ...texts, ...Object.fromEntries([...made, ...(await Promise.all(copied)), ...gone]) };
}

interface Write {
  readonly name: string;
  readonly seen: ObjectMeta | undefined;
  readonly entries: Entries;
  /** Of a CA. */
  readonly rotation?: string | undefined;
  /** Of a new Secret. */
  readonly type?: string;
}

/** Made by POST, changed only as it was seen: a Secret that somebody else has put there is not overwritten. */
async function write(
  kube: KubeClient,
  { cluster, now }: SecretTask,
  { name, seen, entries, rotation, type = 'Opaque' }: Write,
): Promise<void> {
  const data = Object.fromEntries(
    Object.entries(entries).map(([key, value]) => [
      key,
      value === null ? null : Buffer.from(value).toString('base64'),
    ]),
  );
  const annotations = {
    [writtenAnnotation]: now,
    ...(rotation === undefined ? {} : { [rotationAnnotation]: rotation }),
  };
  if (seen !== undefined) {
    const { resourceVersion } = seen;
    await kube.patch(pathTo(cluster, name), { metadata: { resourceVersion, annotations }, data });
    return;
  }
  const metadata = { ...secretMetadata(cluster, name), annotations };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, type, data } as Secret;
  await kube.create(collectionPath('Secret', namespaceOf(cluster)), secret);
}

export async function readOwn(
  kube: KubeClient,
  cluster: StoreCluster,
  name: string,
): Promise<Secret> {
  const secret = await kube.get<Secret>(pathTo(cluster, name));
  if (secret !== undefined && isOurs(cluster, secret)) return secret;
  throw changed(`the Secret ${name} is not there any more`);
}

function entry(secret: Secret, key: string): string {
  const value = entriesOf(secret).get(key);
  if (value === undefined)
    throw changed(`the Secret ${secret.metadata.name} has no ${key} any more`);
  return value.toString();
}

/** It was there when it was decided: the next pass sees it as it is now. */
function changed(what: string): KubeError {
  return new KubeError(409, 'Conflict', what);
}

export function pathTo(cluster: StoreCluster, name: string): string {
  return objectPath('Secret', { namespace: namespaceOf(cluster), name });
}
