import { BackupError } from './failure.ts';

// What objects are called, below the target's prefix:
//
//   UID/backups/TIME-ID-ATTEMPT.db                   the snapshot, as it is (.db.enc: encrypted)
//   UID/backups/TIME-ID-ATTEMPT-rREVISION.json       its manifest, written last: only this makes it a backup
//   UID/backups/TIME-ID-ATTEMPT-vTIME-ok.json        a restore of it was tried, and was right (-failed.json: was not)
//   UID/changes/CLUSTER/FROM-TO-STAMP-STAMP-WORD.changes
//
// Times are UTC, revisions have sixteen digits, so names sort by both. UID is the cluster's, in Kubernetes or its own id.

/** What all objects of one backup begin with, after the folder. */
export interface BackupStem {
  readonly time: string;
  readonly id: string;
  readonly attempt: string;
}

export type BackupObject =
  | { readonly kind: 'data'; readonly stem: BackupStem; readonly isEncrypted: boolean }
  | { readonly kind: 'manifest'; readonly stem: BackupStem; readonly revision: number }
  | {
      readonly kind: 'verification';
      readonly stem: BackupStem;
      readonly time: string;
      readonly isOk: boolean;
    };

const word = '[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?';
const idPattern = new RegExp(`^${word}$`);
const timeText = '\\d{8}T\\d{9}Z';
const objectPattern = new RegExp(
  `^(${timeText})-(${word})-([0-9a-f]{16})(?:(\\.db(?:\\.enc)?)|-r(\\d{16})\\.json|-v(${timeText})-(ok|failed)\\.json)$`,
);

/** Throws `Invalid` unless the text can be part of a name. */
export function checkedId(id: string, what: string): string {
  if (idPattern.test(id)) return id;
  const rule =
    'lower-case letters, digits, dots and dashes, 63 at most, and begins and ends with no dash or dot';
  throw new BackupError('Invalid', `${what} "${id}" is no name: it consists of ${rule}`);
}

export function backupsFolder(uid: string): string {
  return `${uid}/backups/`;
}

export function stemName({ time, id, attempt }: BackupStem): string {
  return `${time}-${id}-${attempt}`;
}

export function dataName(uid: string, stem: BackupStem, isEncrypted: boolean): string {
  return `${backupsFolder(uid)}${stemName(stem)}.db${isEncrypted ? '.enc' : ''}`;
}

export function manifestName(uid: string, stem: BackupStem, revision: number): string {
  return `${backupsFolder(uid)}${stemName(stem)}-r${revisionText(revision)}.json`;
}

export function verificationName(
  uid: string,
  stem: BackupStem,
  { time, isOk }: { readonly time: string; readonly isOk: boolean },
): string {
  return `${backupsFolder(uid)}${stemName(stem)}-v${time}-${isOk ? 'ok' : 'failed'}.json`;
}

/** Undefined for what is not ours. `name`: with its folders. */
export function parseBackupObject(
  name: string,
): (BackupObject & { readonly uid: string }) | undefined {
  const [uid = '', folder, file = '', ...more] = name.split('/');
  if (folder !== 'backups' || more.length > 0 || !idPattern.test(uid)) return undefined;
  const [, time = '', id = '', attempt = '', data, revision, verified = '', outcome] =
    objectPattern.exec(file) ?? [];
  if (attempt === '') return undefined;
  const stem = { time, id, attempt };
  if (data !== undefined) return { uid, kind: 'data', stem, isEncrypted: data === '.db.enc' };
  if (revision !== undefined) return { uid, kind: 'manifest', stem, revision: Number(revision) };
  return { uid, kind: 'verification', stem, time: verified, isOk: outcome === 'ok' };
}

export interface ChangesName {
  readonly clusterId: string;
  readonly from: number;
  readonly to: number;
  readonly minStampMs: number;
  readonly maxStampMs: number;
  /** Tells apart what several archives write. */
  readonly word: string;
  readonly isEncrypted: boolean;
}

export function changesFolder(uid: string, clusterId = ''): string {
  return `${uid}/changes/${clusterId === '' ? '' : `${clusterId}/`}`;
}

export function changesName(uid: string, name: ChangesName): string {
  const revisions = `${revisionText(name.from)}-${revisionText(name.to)}`;
  const stamps = `${timeName(name.minStampMs)}-${timeName(name.maxStampMs)}`;
  const end = `changes${name.isEncrypted ? '.enc' : ''}`;
  return `${changesFolder(uid, name.clusterId)}${revisions}-${stamps}-${name.word}.${end}`;
}

const changesPattern = new RegExp(
  `^(\\d{16})-(\\d{16})-(${timeText})-(${timeText})-([0-9a-f]{16})\\.changes(\\.enc)?$`,
);

/** Undefined for what is not ours. */
export function parseChangesName(name: string): ChangesName | undefined {
  const [, folder, clusterId = '', file = '', ...more] = name.split('/');
  if (folder !== 'changes' || more.length > 0 || !/^[0-9a-f]+$/.test(clusterId)) return undefined;
  const [, from, to, min = '', max = '', word = '', encrypted] = changesPattern.exec(file) ?? [];
  if (from === undefined) return undefined;
  return {
    clusterId,
    from: Number(from),
    to: Number(to),
    minStampMs: parseTimeName(min),
    maxStampMs: parseTimeName(max),
    word,
    isEncrypted: encrypted !== undefined,
  };
}

/** `20261127T110405123Z`. */
export function timeName(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:.]/g, '');
}

export function parseTimeName(time: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/.exec(time)?.slice(1) ?? [];
  const [year = '', month = '', day = '', hour = '', minute = '', second = '', ms = ''] = parts;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
}

export function revisionText(revision: number): string {
  return String(revision).padStart(16, '0');
}
