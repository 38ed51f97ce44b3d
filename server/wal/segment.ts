import type { FileSystem } from '../base/file-system.ts';
import type { FileIdentity } from './frame.ts';

/** `SEQUENCE-WALID.wal`, both in hex. */
export interface SegmentName extends FileIdentity {
  readonly file: string;
}

/** What is found is not a log that this version may go on with. */
export class ForeignLogError extends Error {
  override name = 'ForeignLogError';
}

const pattern = /^([0-9a-f]{16})-([0-9a-f]{8})\.wal$/;
/** Left over by a crash, or kept aside after damage. */
const ignored = /\.(tmp|damaged)$/;

export function segmentName(file: FileIdentity): SegmentName {
  const sequence = file.sequence.toString(16).padStart(16, '0');
  const walId = file.walId.toString(16).padStart(8, '0');
  return { ...file, file: `${sequence}-${walId}.wal` };
}

/**
 * The segments in order of their sequence. Throws {@link ForeignLogError} on files of another name (a newer version's
 * formats have another suffix) and on segments of two logs.
 */
export function listSegments(fileSystem: FileSystem, directory: string): SegmentName[] {
  const segments: SegmentName[] = [];
  for (const file of fileSystem.list(directory)) {
    if (ignored.test(file)) continue;
    const [, sequence, walId] = pattern.exec(file) ?? [];
    if (sequence === undefined || walId === undefined) {
      throw new ForeignLogError(`${directory}/${file} is not a segment of this version's log`);
    }
    const name = { sequence: Number.parseInt(sequence, 16), walId: Number.parseInt(walId, 16) };
    segments.push({ ...name, file });
  }
  const other = segments.find(({ walId }) => walId !== segments[0]?.walId);
  if (other !== undefined) {
    throw new ForeignLogError(`${directory}/${other.file} is of another log than its neighbours`);
  }
  return segments;
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
