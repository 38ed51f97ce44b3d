import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { equalBytes } from '../base/bytes.ts';
import { hexId } from '../base/ids.ts';
import type { CommandLine } from '../client/ctl/command-line.ts';
import { UsageError } from '../client/ctl/command-line.ts';
import {
  type Command,
  type FileCommands,
  operands,
  type Terminal,
} from '../client/ctl/commands.ts';
import { CommandError } from '../client/ctl/ctl.ts';
import { table } from '../client/ctl/table.ts';
import { jsonOf } from '../client/ctl/text.ts';
import { type Config, readCommandLine } from '../config/config.ts';
import { UsageError as ConfigError } from '../config/flags.ts';
import { DataDirectoryError, restoreData } from '../member/restored-data.ts';
import { BoltDamageError } from '../snapshot/bolt-reader.ts';
import { RevisionOverflowError } from '../snapshot/restored-records.ts';
import { SnapshotChecksumError, SnapshotFile } from '../snapshot/snapshot-file.ts';
import { type SnapshotStatus, snapshotStatusOf } from '../snapshot/snapshot-status.ts';
import { Progress } from './progress.ts';

type SnapshotCommands = Pick<FileCommands, Extract<keyof FileCommands, `snapshot ${string}`>>;

/** What mainstayctl does with snapshots in files. */
export const snapshotCommands: SnapshotCommands = {
  'snapshot save': told(save),
  'snapshot status': told(status),
  'snapshot restore': told(restore),
};

/** What can be wrong with files and directories, in one line for the person. */
function told(run: (command: Command) => Promise<boolean>): (command: Command) => Promise<boolean> {
  return async (command) => {
    try {
      return await run(command);
    } catch (error) {
      if (error instanceof BoltDamageError || error instanceof SnapshotChecksumError) {
        throw new CommandError(`${command.line.operands[0]}: ${error.message}`, { cause: error });
      }
      const isExpected =
        error instanceof DataDirectoryError ||
        error instanceof RevisionOverflowError ||
        (error instanceof Error && 'syscall' in error);
      if (isExpected) throw new CommandError(error.message, { cause: error });
      throw error;
    }
  };
}

/** The file is there in full, or not at all. */
async function save({ line, client, terminal }: Command): Promise<boolean> {
  const [path = ''] = operands(line, 1, 'snapshot save FILE');
  if (line.endpoints.length > 1) {
    throw new UsageError('snapshot save takes one endpoint: a snapshot is of one member');
  }
  const partial = `${path}.part`;
  rmSync(partial, { force: true });
  const descriptor = openSync(partial, 'wx', 0o600);
  let version = '';
  try {
    version = await download({ client, terminal }, descriptor);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
  renameSync(partial, path);
  syncDirectory(dirname(path));
  terminal.write(`Snapshot saved at ${path}\n`);
  if (version !== '') terminal.write(`Server version ${version}\n`);
  return true;
}

/** Checks what comes against the checksum at its end. Resolves with the member's storage version. */
async function download(
  { client, terminal }: Pick<Command, 'client' | 'terminal'>,
  descriptor: number,
): Promise<string> {
  const hash = createHash('sha256');
  let progress: Progress | undefined;
  let former: Uint8Array | undefined;
  let version = '';
  for await (const response of client.snapshotParts({ signal: terminal.signal })) {
    const { blob, remainingBytes } = response;
    const totalBytes = blob.length + remainingBytes;
    progress ??= new Progress(terminal, { what: 'saving', totalBytes });
    progress.add(blob.length);
    if (former !== undefined) hash.update(former);
    former = blob;
    version = response.version;
    writeAll(descriptor, blob);
  }
  progress?.end();
  if (former === undefined || !equalBytes(former, hash.digest())) {
    throw new CommandError('what came does not match the checksum at its end; try again');
  }
  return version;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(descriptor, bytes, written);
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

async function status({ line, terminal }: Command): Promise<boolean> {
  const [path = ''] = operands(line, 1, 'snapshot status FILE');
  const found = withFile(path, (file) => {
    const progress = new Progress(terminal, { what: 'reading', totalBytes: file.sizeBytes });
    const read = snapshotStatusOf(file.database(), (bytes) => progress.add(bytes));
    progress.end();
    return read;
  });
  switch (line.format('simple')) {
    case 'json':
      terminal.write(jsonOf(found));
      break;
    case 'table':
      terminal.write(table([statusHead, statusRow(found)]));
      break;
    case 'simple':
      terminal.write(`${statusRow(found).join(', ')}\n`);
  }
  return true;
}

function withFile<T>(path: string, use: (file: SnapshotFile) => T): T {
  const file = new SnapshotFile(path);
  try {
    return use(file);
  } finally {
    file.close();
  }
}

const statusHead = ['HASH', 'REVISION', 'TOTAL KEYS', 'TOTAL SIZE', 'VERSION'];

function statusRow({ hash, revision, totalKey, totalSize, version }: SnapshotStatus): string[] {
  return [hash.toString(16), String(revision), String(totalKey), decimalSize(totalSize), version];
}

/** As etcdutl prints sizes: powers of 1000, two digits at least. */
function decimalSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  if (bytes < 10) return `${bytes} B`;
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const size = Math.floor((bytes / 1000 ** unit) * 10 + 0.5) / 10;
  return `${size.toFixed(size < 10 ? 1 : 0)} ${units[unit]}`;
}

async function restore({ line, terminal }: Command): Promise<boolean> {
  const [path = ''] = operands(line, 1, 'snapshot restore FILE --data-dir DIR');
  const bumpRevision = line.whole('bump-revision');
  if (bumpRevision > 0 !== line.flag('mark-compacted')) {
    throw new UsageError('--bump-revision and --mark-compacted go together');
  }
  if (line.text('wal-dir') !== undefined) {
    throw new UsageError('--wal-dir is not supported: the log stands in the data directory');
  }
  const member = memberOf(line);
  const file = new SnapshotFile(path);
  try {
    if (!line.flag('skip-hash-check')) await verify(file, terminal);
    const progress = new Progress(terminal, { what: 'restoring', totalBytes: file.sizeBytes });
    const onRecord = (bytes: number) => progress.add(bytes);
    const restored = await restoreData(file.database(), member, { bumpRevision, onRecord });
    progress.end();
    const ids = `cluster ${hexId(restored.clusterId)}, member ${hexId(restored.memberId)}`;
    terminal.write(`Restored ${path} into ${member.dataDir}: ${ids}\n`);
  } finally {
    file.close();
  }
  return true;
}

async function verify(file: SnapshotFile, terminal: Terminal): Promise<void> {
  const progress = new Progress(terminal, { what: 'checking', totalBytes: file.sizeBytes });
  await file.verify((bytes) => progress.add(bytes));
  progress.end();
}

/** The flags of the member that will be started in the directory, read as that will read them. */
export function memberOf(line: CommandLine): Config {
  const flags = [
    'name',
    'data-dir',
    'initial-cluster',
    'initial-cluster-token',
    'initial-advertise-peer-urls',
  ].flatMap((flag) => {
    const value = line.text(flag);
    return value === undefined ? [] : [`--${flag}=${value}`];
  });
  try {
    const read = readCommandLine(flags, {});
    if (read.kind === 'serve') return read.config;
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
  throw new UsageError('these are no flags of a member');
}
