import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { BackupTarget } from '../../operator/api/backup-types.ts';
import type { KubeObject } from '../../operator/api/objects.ts';
import { collectionPath } from '../../operator/kube/paths.ts';
import type { S3Credentials } from '../../server/backup/sigv4.ts';
import { type S3Program, startS3 } from '../../test/support/s3-servers.ts';
import { TcpProxy } from '../../test/support/tcp-proxy.ts';
import type { Environment } from './environment.ts';
import { isReal } from './real-cluster.ts';

/** Where a scenario keeps its backups. */
export interface BackupPlace {
  readonly target: BackupTarget;
  close(): Promise<void>;
}

export type PlaceKind = S3Program | 'volume';

/** An empty one that pods reach: a claim, or a bucket of a server on this machine, with its Secret. */
export async function openPlace(environment: Environment, kind: PlaceKind): Promise<BackupPlace> {
  if (kind === 'volume') return openVolume(environment);
  const server = await startS3(kind);
  const { bucket, credentials } = server;
  const gate = await openGate(server.endpoint);
  const secret = await putCredentials(environment, credentials);
  return {
    target: { s3: { endpoint: gate.url, bucket, prefix: 'e2e', credentialsSecretName: secret } },
    close: async () => {
      await gate.close();
      await server.stop();
    },
  };
}

/** Before a server on this machine: at an address that pods of the cluster reach, and where connections can be cut. */
export function openGate(endpoint: string): Promise<TcpProxy> {
  return TcpProxy.open(endpoint, isReal ? addressOfThisMachine() : '127.0.0.1');
}

/** A Secret with credentials, as a target names it; its name. */
export async function putCredentials(
  { kube, namespace }: Environment,
  { accessKeyId, secretAccessKey }: S3Credentials,
): Promise<string> {
  const name = `bucket-${randomBytes(3).toString('hex')}`;
  const stringData = { accessKeyId, secretAccessKey };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData };
  await kube.create(collectionPath('Secret', namespace), secret as KubeObject);
  return name;
}

async function openVolume({ kube, namespace }: Environment): Promise<BackupPlace> {
  const name = `backups-${randomBytes(3).toString('hex')}`;
  const resources = { requests: { storage: '1Gi' } };
  const spec = { accessModes: ['ReadWriteOnce'], resources };
  const metadata = { name, namespace };
  const claim = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec };
  await kube.create(collectionPath('PersistentVolumeClaim', namespace), claim as KubeObject);
  return { target: { volume: { claimName: name, path: 'e2e' } }, close: async () => {} };
}

/** The one that MAINSTAY_E2E_ADDRESS names, or the first one that others may reach. */
function addressOfThisMachine(): string {
  const named = process.env['MAINSTAY_E2E_ADDRESS'] ?? '';
  if (named !== '') return named;
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (found !== undefined) return found.address;
  throw new Error('this machine has no address that pods could reach: set MAINSTAY_E2E_ADDRESS');
}
