import { BackupError } from './failure.ts';
import { decodeManifest, type Manifest } from './manifest.ts';
import {
  type BackupStem,
  backupsFolder,
  dataName,
  manifestName,
  parseBackupObject,
  stemName,
} from './names.ts';
import { readObject, type Target } from './target.ts';

/** A backup: something with a manifest. */
export interface FoundBackup {
  readonly uid: string;
  readonly stem: BackupStem;
  /** What it is called on a command line: the stem. */
  readonly name: string;
  readonly revision: number;
  readonly manifestName: string;
  /** The names of its other objects that are there. */
  readonly verifications: readonly string[];
  /** What the last verification came to. */
  readonly verified: 'yes' | 'no' | 'never';
  /** The name's time of that verification; nothing without. */
  readonly verifiedTime: string;
}

/** An object of a backup that has no manifest: one that is being written, or whose writer was stopped. */
export interface Leftover {
  readonly name: string;
  readonly modifiedMs: number;
}

export interface Inventory {
  /** Oldest first. */
  readonly backups: readonly FoundBackup[];
  readonly leftovers: readonly Leftover[];
}

interface Gathered {
  readonly uid: string;
  readonly stem: BackupStem;
  revision?: number;
  readonly verifications: {
    readonly name: string;
    readonly time: string;
    readonly isOk: boolean;
  }[];
  readonly objects: Leftover[];
}

/** All backups of a cluster, or, without its UID, of every cluster. Only names are read. */
export async function inventoryOf(target: Target, uid?: string): Promise<Inventory> {
  const gathered = new Map<string, Gathered>();
  for await (const { name, modifiedMs } of target.list(
    uid === undefined ? '' : backupsFolder(uid),
  )) {
    const object = parseBackupObject(name);
    if (object === undefined) continue;
    const place = `${object.uid}/${stemName(object.stem)}`;
    const { uid: of, stem } = object;
    const known: Gathered = gathered.get(place) ?? {
      uid: of,
      stem,
      verifications: [],
      objects: [],
    };
    gathered.set(place, known);
    known.objects.push({ name, modifiedMs });
    if (object.kind === 'manifest') known.revision = object.revision;
    if (object.kind === 'verification') {
      known.verifications.push({ name, time: object.time, isOk: object.isOk });
    }
  }
  const all = [...gathered.values()];
  const backups = all.flatMap((each) =>
    each.revision === undefined ? [] : [foundOf(each, each.revision)],
  );
  backups.sort((a, b) => (sortText(a) < sortText(b) ? -1 : 1));
  const leftovers = all.filter(({ revision }) => revision === undefined);
  return { backups, leftovers: leftovers.flatMap(({ objects }) => objects) };
}

function foundOf({ uid, stem, verifications }: Gathered, revision: number): FoundBackup {
  const last = verifications.toSorted((a, b) => (a.time < b.time ? -1 : 1)).at(-1);
  return {
    uid,
    stem,
    name: stemName(stem),
    revision,
    manifestName: manifestName(uid, stem, revision),
    verifications: verifications.map(({ name }) => name),
    verified: last === undefined ? 'never' : last.isOk ? 'yes' : 'no',
    verifiedTime: last?.time ?? '',
  };
}

function sortText({ uid, stem, revision }: FoundBackup): string {
  return `${uid} ${stem.time} ${String(revision).padStart(16, '0')} ${stemName(stem)}`;
}

export async function manifestOf(target: Target, found: FoundBackup): Promise<Manifest> {
  const manifest = decodeManifest(await readObject(target, found.manifestName), found.manifestName);
  const { uid, stem, revision } = found;
  const data = dataName(uid, stem, manifest.encryption !== undefined);
  if (manifest.data !== data || manifest.revision !== revision || manifest.clusterUid !== uid) {
    throw new BackupError('Damaged', `${found.manifestName} is the manifest of another backup`);
  }
  return manifest;
}

/** One that is damaged, or newer than this version, must not hide the others: why it cannot be read, instead. */
export async function manifestOrFailure(
  target: Target,
  found: FoundBackup,
): Promise<Manifest | BackupError> {
  try {
    return await manifestOf(target, found);
  } catch (error) {
    const isItsOwn =
      error instanceof BackupError &&
      (error.failure === 'Damaged' || error.failure === 'NewerFormat');
    if (isItsOwn) return error;
    throw error;
  }
}

/** By the name, the id, or `latest`. Fails with `NotFound`, which says what there is. */
export async function findBackup(
  target: Target,
  { uid, wanted }: { readonly uid: string | undefined; readonly wanted: string },
): Promise<FoundBackup> {
  const { backups } = await inventoryOf(target, uid);
  const uids = [...new Set(backups.map((each) => each.uid))];
  if (wanted === 'latest' && uids.length > 1) {
    throw new BackupError(
      'Invalid',
      `${target.place} has backups of ${uids.length} clusters: say which one with --cluster-uid: ${uids.join(', ')}`,
    );
  }
  const found =
    wanted === 'latest'
      ? backups.at(-1)
      : backups.findLast(({ name, stem }) => name === wanted || stem.id === wanted);
  if (found !== undefined) return found;
  const names = backups.slice(-3).map(({ name }) => name);
  const there = names.length === 0 ? 'there is none at all' : `the newest are ${names.join(', ')}`;
  throw new BackupError(
    'NotFound',
    `${target.place} has no backup "${wanted}": ${there} (mainstayctl backup list)`,
  );
}
