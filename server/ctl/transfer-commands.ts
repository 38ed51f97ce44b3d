import { fstatSync } from 'node:fs';
import {
  type Command,
  CommandError,
  type CommandSpec,
  commandOf,
  type Terminal,
} from '../client/ctl/command.ts';
import { UsageError } from '../client/ctl/flags.ts';
import { jsonOf, sizeText } from '../client/ctl/text.ts';
import { MirrorError } from '../mirror/failure.ts';
import { SnapshotFile } from '../snapshot/snapshot-file.ts';
import { writeWholeFile } from '../snapshot/whole-file.ts';
import { clusterContent } from '../transfer/cluster-content.ts';
import { type Content, TransferError } from '../transfer/content.ts';
import { ExportFile, looksLikeExport, writeExport } from '../transfer/export-file.ts';
import { Import } from '../transfer/import.ts';
import { snapshotContent, snapshotIdentity } from '../transfer/snapshot-content.ts';
import { fileFailure } from './file-failures.ts';
import { mappingFlags, mappingOf, prefixFlag, reservedFlag, txnOpsMaxOf } from './mapping-flags.ts';
import { Progress } from './progress.ts';

const chapter = 'Files and other clusters';
const skipHashFlag = {
  name: 'skip-hash-check',
  summary: 'the snapshot was copied from a data directory, and has no checksum',
};

/** What mainstayctl does with keys in files that are no snapshots. */
export const transferCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'export',
    operands: 'FILE',
    chapter,
    summary:
      'Write keys, values and leases as they are at one revision into a file of JSON lines, from a cluster or from a snapshot.',
    flags: [
      prefixFlag,
      { name: 'rev', value: 'REVISION', default: 'now', summary: 'as they were at that revision' },
      {
        name: 'from-snapshot',
        value: 'SNAPSHOT',
        summary: 'what is in a snapshot of Mainstay or etcd; no cluster is asked',
      },
      skipHashFlag,
      reservedFlag,
    ],
    examples: [
      { words: 'export keys.jsonl' },
      { words: 'export config.jsonl --prefix config/ -w json' },
      { words: 'export keys.jsonl --from-snapshot backup.db' },
    ],
    notes: [
      'The first line is {"mainstay":"export","version":1,"revision":R,"clusterId":"HEX"}, then come',
      '{"lease":"HEX","ttl":SECONDS} and {"key":"BASE64","value":"BASE64","lease":"HEX","createRevision":R,"modRevision":R,"version":N},',
      'a lease before its keys, and last {"end":true,"keys":N,"leases":N,"sha256":"HEX"}, the hash being over all lines before.',
      'History, users and roles stay behind. The file is there in full, or not at all. A key whose lease ends meanwhile is left out.',
      'Exit status: 0 written, 1 failed, 2 wrong command line.',
    ],
    endsItself: true,
    run: told(exportKeys),
  }),
  commandOf({
    name: 'import',
    operands: 'FILE',
    chapter,
    summary:
      'Put what is in a file into a cluster: an export, or a snapshot of Mainstay or etcd. Checked in full before anything is written.',
    flags: [
      ...mappingFlags,
      {
        name: 'overwrite',
        summary: 'write over keys that are there; keys that the file does not have are left',
      },
      {
        name: 'max-txn-ops',
        value: 'COUNT',
        default: '128',
        summary: 'operations in a transaction',
      },
      skipHashFlag,
    ],
    examples: [
      { words: 'import keys.jsonl --dest-prefix imported/' },
      {
        words: 'import backup.db --prefix config/ --dest-prefix old-config/',
        note: 'a part of a snapshot',
      },
      {
        words: 'import keys.jsonl --overwrite -w json',
        note: 'what is as in the file is left as it is',
      },
    ],
    notes: [
      'Refused where keys are already, saying which would be written over. When it broke off, the same command goes on.',
      'Leases are granted for their full time, under the same id where that is free, and nobody keeps them alive afterwards.',
      'Exit status: 0 done, 1 failed or refused, 2 wrong command line.',
    ],
    isWrite: true,
    endsItself: true,
    run: told(importKeys),
  }),
];

/** What is wrong with files, clusters and ranges, in one line for the person. */
function told(run: (command: Command) => Promise<boolean>): (command: Command) => Promise<boolean> {
  return async (command) => {
    try {
      return await run(command);
    } catch (error) {
      const failure = fileFailure(
        command,
        error,
        (each) => each instanceof TransferError || each instanceof MirrorError,
      );
      if (failure === error && command.terminal.signal.aborted) {
        throw new CommandError('interrupted', { cause: error });
      }
      throw failure;
    } finally {
      command.terminal.progress?.('');
    }
  };
}

async function exportKeys(command: Command): Promise<boolean> {
  const { line, terminal } = command;
  const [path = ''] = line.operands;
  const snapshot = line.text('from-snapshot');
  if (snapshot !== undefined && line.text('rev') !== undefined) {
    throw new UsageError('--rev and --from-snapshot exclude each other');
  }
  const { mapping } = mappingOf(line);
  const isIncluded = (key: Uint8Array) => mapping.toDestination(key) !== undefined;
  let leftOut = 0;
  const file = snapshot === undefined ? undefined : new SnapshotFile(snapshot);
  try {
    const content =
      file === undefined
        ? await clusterContent(command.client, {
            keys: mapping.source,
            revision: line.whole('rev'),
            isIncluded,
            onEnded: () => {
              leftOut++;
            },
            signal: terminal.signal,
          })
        : await ofSnapshot(command, file, isIncluded);
    const { sizeBytes, ...facts } = await writeWholeFile(path, async (descriptor) => {
      const written = await writeExport(descriptor, shown(content, terminal));
      return { ...written, sizeBytes: fstatSync(descriptor).size };
    });
    const { revision, keys, leases } = facts;
    const what = `${keys} keys and ${leases} leases of revision ${revision}, ${sizeText(sizeBytes)}`;
    const ended = leftOut === 0 ? '' : `; ${leftOut} keys left out, whose leases ended meanwhile`;
    terminal.progress?.('');
    const isJson = line.format('simple') === 'json';
    const fields = { file: path, ...facts, sizeBytes, leftOut };
    terminal.write(isJson ? jsonOf(fields) : `Exported to ${path}: ${what}${ended}\n`);
    return true;
  } finally {
    file?.close();
  }
}

/** Checked in full. */
async function ofSnapshot(
  { line, terminal }: Command,
  file: SnapshotFile,
  isIncluded: (key: Uint8Array) => boolean,
): Promise<Content> {
  if (!line.flag('skip-hash-check')) {
    const checking = new Progress(terminal, { what: 'checking', totalBytes: file.sizeBytes });
    await file.verify((bytes) => checking.add(bytes));
  }
  const reading = new Progress(terminal, { what: 'reading', totalBytes: 2 * file.sizeBytes });
  const onBytes = (bytes: number) => reading.add(bytes);
  return snapshotContent(file, { isIncluded, onBytes });
}

/** Says how many keys have passed: how many there are is not known before. */
function shown(content: Content, terminal: Terminal): Content {
  const { progress } = terminal;
  return {
    ...content,
    async *entries() {
      let count = 0;
      for await (const entry of content.entries()) {
        if (terminal.signal.aborted) throw new CommandError('interrupted');
        if (++count % 1_000 === 0) progress?.(`exporting: ${count} keys`);
        yield entry;
      }
    },
  };
}

async function importKeys(command: Command): Promise<boolean> {
  const { line, terminal, client } = command;
  const [path = ''] = line.operands;
  const options = { ...mappingOf(line), txnOpsMax: txnOpsMaxOf(line) };
  const opened = looksLikeExport(path)
    ? await exportToImport(command, path)
    : await snapshotToImport(command, path);
  try {
    const importing = new Import(client, {
      ...options,
      identity: opened.identity,
      overwrites: line.flag('overwrite'),
      signal: terminal.signal,
    });
    const { puts, unchanged, leases } = await importing.run(opened.content);
    terminal.progress?.('');
    const { revision } = opened.content;
    const isJson = line.format('simple') === 'json';
    const counts = `${puts} keys written, ${unchanged} left as they were, ${leases} leases`;
    const fields = { file: path, revision, puts, unchanged, leases };
    terminal.write(isJson ? jsonOf(fields) : `Imported ${path}: ${counts}\n`);
    return true;
  } finally {
    opened.close();
  }
}

interface Opened {
  readonly content: Content;
  /** Tells the file from others. */
  readonly identity: string;
  close(): void;
}

async function exportToImport({ terminal }: Command, path: string): Promise<Opened> {
  const file = new ExportFile(path);
  const totalBytes = file.sizeBytes;
  const checking = new Progress(terminal, { what: 'checking', totalBytes });
  const facts = await file.verify((bytes) => checking.add(bytes));
  const reading = new Progress(terminal, { what: 'importing', totalBytes });
  const content = file.content(facts, (bytes) => reading.add(bytes));
  return { content, identity: facts.sha256, close() {} };
}

async function snapshotToImport(command: Command, path: string): Promise<Opened> {
  const file = new SnapshotFile(path);
  try {
    const content = await ofSnapshot(command, file, () => true);
    return { content, identity: snapshotIdentity(file), close: () => file.close() };
  } catch (error) {
    file.close();
    throw error;
  }
}
