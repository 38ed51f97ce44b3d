import type { FileSystem } from '../base/file-system.ts';
import type { FileIdentity } from './frame.ts';

/** `SEQUENCE-WALID.wal`, both in hex: a segment of another member's log is not mistaken for one of ours. */
export interface SegmentName extends FileIdentity {
  readonly file: string;
}

const pattern = /^([0-9a-f]{16})-([0-9a-f]{8})\.wal$/;

export function segmentName(file: FileIdentity): SegmentName {
  const sequence = file.sequence.toString(16).padStart(16, '0');
  const walId = file.walId.toString(16).padStart(8, '0');
  return { ...file, file: `${sequence}-${walId}.wal` };
}

/** The segments in order of their sequence. */
export function listSegments(fileSystem: FileSystem, directory: string): SegmentName[] {
  return fileSystem.list(directory).flatMap((file) => {
    const match = pattern.exec(file);
    if (match === null) return [];
    const [, sequence = '', walId = ''] = match;
    return [{ file, sequence: Number.parseInt(sequence, 16), walId: Number.parseInt(walId, 16) }];
  });
}

/** Writes a whole file so that it is there in full or not at all: temporary name, sync, rename, sync of the directory. */
export function writeFileDurably(
  fileSystem: FileSystem,
  directory: string,
  file: { name: string; bytes: Uint8Array },
): void {
  const temporary = `${directory}/${file.name}.tmp`;
  if (fileSystem.exists(temporary)) fileSystem.remove(temporary);
  const written = fileSystem.create(temporary);
  written.writeSync(file.bytes, 0);
  written.datasyncSync();
  written.close();
  fileSystem.rename(temporary, `${directory}/${file.name}`);
  fileSystem.syncDirectory(directory);
}
