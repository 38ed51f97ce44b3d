import { createHash } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { hexId } from '../base/ids.ts';
import {
  type Command,
  CommandError,
  type CommandSpec,
  commandOf,
  type Terminal,
} from '../client/ctl/command.ts';
import type { CommandLine } from '../client/ctl/command-line.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { table } from '../client/ctl/table.ts';
import { decimalSize, jsonOf } from '../client/ctl/text.ts';
import { type Config, readCommandLine } from '../config/config.ts';
import { UsageError as ConfigError } from '../config/flags.ts';
import { DataDirectoryError, restoreData } from '../member/restored-data.ts';
import { RevisionOverflowError } from '../snapshot/restored-records.ts';
import { SnapshotFile } from '../snapshot/snapshot-file.ts';
import { type SnapshotStatus, snapshotStatusOf } from '../snapshot/snapshot-status.ts';
import { writeAll, writeWholeFile } from '../snapshot/whole-file.ts';
import { fileFailure } from './file-failures.ts';
import { Progress } from './progress.ts';

const chapter = 'Files and other clusters';

/** Of the member that a restored data directory is for. */
export const memberFlags: readonly Flag[] = [
  { name: 'name', value: 'NAME', default: 'default', summary: 'the name of the member' },
  {
    name: 'data-dir',
    value: 'DIRECTORY',
    summary: 'where its data are to be; must not be there yet',
  },
  {
    name: 'initial-cluster',
    value: 'NAME=URL,...',
    summary: 'the members of the new cluster, with their peer URLs',
  },
  { name: 'initial-cluster-token', value: 'WORD', summary: 'tells this new cluster from others' },
  {
    name: 'initial-advertise-peer-urls',
    value: 'URL,...',
    summary: 'where the other members reach this one',
  },
];

/** What mainstayctl does with snapshots in files. */
export const snapshotCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'snapshot save',
    operands: 'FILE',
    chapter,
    summary: "Write everything that one member has into a file, which etcd's tools read too.",
    formats: ['simple'],
    examples: [
      { words: 'snapshot save backup.db' },
      { words: 'snapshot save backup.db --endpoints 127.0.0.1:2379', note: 'of this member' },
    ],
    endsItself: true,
    run: told(save),
  }),
  commandOf({
    name: 'snapshot status',
    operands: 'FILE',
    chapter,
    summary: 'What is in a snapshot: hash, revision, keys, size and storage version.',
    formats: ['simple', 'table', 'json'],
    examples: [{ words: 'snapshot status backup.db -w table' }],
    endsItself: true,
    run: told(status),
  }),
  commandOf({
    name: 'snapshot restore',
    operands: 'FILE',
    chapter,
    summary:
      'Make a data directory for a member of a new cluster, from a snapshot of Mainstay or etcd.',
    formats: ['simple'],
    flags: [
      ...memberFlags,
      { name: 'skip-hash-check', summary: 'the file was copied from a data directory' },
      {
        name: 'bump-revision',
        value: 'COUNT',
        default: '0',
        summary:
          'the revision grows by so much, so that no client takes the restored state for an older one of its own',
      },
      {
        name: 'mark-compacted',
        summary: 'with --bump-revision: watches from before are ended, caches are filled anew',
      },
      {
        name: 'wal-dir',
        value: 'DIRECTORY',
        summary: 'refused: the log stands in the data directory',
      },
    ],
    examples: [
      { words: 'snapshot restore backup.db --data-dir restored/one' },
      {
        words:
          'snapshot restore backup.db --name a --data-dir restored/a --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 --initial-cluster-token restored',
        note: 'of a cluster of several, on each machine, from the same file',
      },
      {
        words:
          'snapshot restore backup.db --data-dir restored/bumped --bump-revision 1000000000 --mark-compacted',
      },
    ],
    endsItself: true,
    run: told(restore),
  }),
];

/** Whatever is wrong with files and directories, in one line for the person. */
function told(run: (command: Command) => Promise<boolean>): (command: Command) => Promise<boolean> {
  return async (command) => {
    try {
      return await run(command);
    } catch (error) {
      throw fileFailure(
        command,
        error,
        (each) => each instanceof DataDirectoryError || each instanceof RevisionOverflowError,
      );
    }
  };
}

async function save({ line, client, terminal }: Command): Promise<boolean> {
  const [path = ''] = line.operands;
  if (line.endpoints.length > 1) {
    throw new UsageError('snapshot save takes one endpoint: a snapshot is of one member');
  }
  const version = await writeWholeFile(path, (descriptor) =>
    download({ client, terminal }, descriptor),
  );
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

async function status({ line, terminal }: Command): Promise<boolean> {
  const [path = ''] = line.operands;
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
    default:
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

async function restore({ line, terminal }: Command): Promise<boolean> {
  const [path = ''] = line.operands;
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
