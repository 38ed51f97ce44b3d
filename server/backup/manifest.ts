import { Buffer } from 'node:buffer';
import { BackupError } from './failure.ts';

/** Of manifests and archived changes. Fields are added without a new number; what reads must not skip has one. */
export const formatVersion = 1;

/** What a backup says of itself. It is written when everything else of it is there, read back and compared. */
export interface Manifest {
  readonly format: number;
  readonly kind: 'mainstay-backup';
  /** Of the one who asked for it: a retry has the same. */
  readonly id: string;
  readonly cluster: string;
  /** Of Kubernetes; backups of before have none. */
  readonly namespace?: string;
  readonly clusterUid: string;
  /** Of the store, hex: another one after each restore. Changes of one do not fit backups of another. */
  readonly clusterId: string;
  /** The last one in it. */
  readonly revision: number;
  /** Reads before it are not possible; -1: never compacted. */
  readonly compactRevision: number;
  /** HashKV at the revision. */
  readonly hash: number;
  /** Whether the member says the same hash; why it could not be asked otherwise. */
  readonly memberHash: string;
  /** That exist at the revision. */
  readonly keys: number;
  /** The object with the content. */
  readonly data: string;
  /** Of the content, an etcd database file and its SHA-256, and of the object, which is larger when it is encrypted. */
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly sha256: string;
  readonly storedSha256: string;
  readonly encryption?: { readonly algorithm: 'AES-256-GCM'; readonly keyId: string };
  readonly storageVersion: string;
  /** RFC 3339. `pinnedAt`, by the leader's clock where it tells: nothing that was written later is in it. */
  readonly startedAt: string;
  readonly pinnedAt: string;
  readonly finishedAt: string;
  readonly member: { readonly endpoint: string; readonly id: string; readonly role: string };
}

export function encodeManifest(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
}

const wanted: Readonly<Record<string, 'string' | 'number'>> = {
  id: 'string',
  cluster: 'string',
  clusterUid: 'string',
  clusterId: 'string',
  revision: 'number',
  compactRevision: 'number',
  hash: 'number',
  keys: 'number',
  data: 'string',
  sizeBytes: 'number',
  storedBytes: 'number',
  sha256: 'string',
  storedSha256: 'string',
  startedAt: 'string',
  pinnedAt: 'string',
  finishedAt: 'string',
};

/** Throws a {@link BackupError}: `Damaged`, or `NewerFormat`. `name`: for the message. */
export function decodeManifest(body: Buffer, name: string): Manifest {
  const json = jsonOf(body);
  if (json === undefined) throw new BackupError('Damaged', `${name} is no manifest: it is no JSON`);
  if (json['kind'] !== 'mainstay-backup' || typeof json['format'] !== 'number') {
    throw new BackupError('Damaged', `${name} is no manifest of a backup`);
  }
  refuseNewer(json['format'], name);
  const missing = Object.entries(wanted).find(([field, type]) => typeof json[field] !== type);
  if (missing !== undefined) {
    throw new BackupError('Damaged', `${name} is damaged: it has no ${missing[0]}`);
  }
  return json as unknown as Manifest;
}

export function refuseNewer(format: number, name: string): void {
  if (format <= formatVersion) return;
  throw new BackupError(
    'NewerFormat',
    `${name} has format ${format}, and this version knows ${formatVersion} at most: use the version of Mainstay that wrote it, or a later one`,
  );
}

/** Undefined when it is no JSON object. */
export function jsonOf(body: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
