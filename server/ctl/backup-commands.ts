import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { archiveChanges } from '../backup/archive.ts';
import { BackupError } from '../backup/failure.ts';
import { type Manifest } from '../backup/manifest.ts';
import { checkedId, parseTimeName } from '../backup/names.ts';
import { pruneBackups } from '../backup/prune.ts';
import {
  type FoundBackup,
  findBackup,
  inventoryOf,
  manifestOrFailure,
} from '../backup/repository.ts';
import { planRestore, type RestorePlan, readThrough, restoreBackup } from '../backup/restore.ts';
import type { Point } from '../backup/restore-point.ts';
import { isTimeZone } from '../backup/retention.ts';
import { saveBackup } from '../backup/save.ts';
import type { Target } from '../backup/target.ts';
import { verifyBackup } from '../backup/verify.ts';
import { type Window, windowsOf } from '../backup/windows.ts';
import { hexId } from '../base/ids.ts';
import { type Command, type CommandSpec, commandOf } from '../client/ctl/command.ts';
import type { CommandLine } from '../client/ctl/command-line.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { table } from '../client/ctl/table.ts';
import { jsonOf, sizeText } from '../client/ctl/text.ts';
import type { RevisionBump } from '../snapshot/restored-records.ts';
import { type Outcome, progressOf, reported, writeResult } from './backup-report.ts';
import { backupFlags, duration, encryptionKeysOf, targetOf } from './backup-target.ts';
import { memberFlags, memberOf } from './snapshot-commands.ts';

const chapter = 'Backups';
const periods: Readonly<Record<string, string>> = {
  daily: 'days',
  weekly: 'weeks',
  monthly: 'months',
};

const clusterFlag: Flag = {
  name: 'cluster',
  value: 'NAME',
  summary: 'what people call the cluster',
};
const namespaceFlag: Flag = {
  name: 'namespace',
  value: 'NAMESPACE',
  summary: 'where in Kubernetes the cluster is',
};
const createTargetFlag: Flag = {
  name: 'create-target',
  summary: 'make the directory of --target where it is not there',
};
const dryRunFlag: Flag = { name: 'dry-run', summary: 'only look: change nothing' };

function specOf(
  verb: string,
  spec: Pick<CommandSpec, 'summary' | 'flags' | 'examples'> & Partial<CommandSpec>,
  run: (command: Command) => Promise<Outcome>,
): CommandSpec {
  return commandOf({
    chapter,
    ...spec,
    name: `backup ${verb}`,
    flags: [...spec.flags, ...backupFlags],
    endsItself: true,
    run: reported(verb, run),
  });
}

/** What mainstayctl does with backups in buckets and directories. */
export const backupCommands: readonly CommandSpec[] = [
  specOf(
    'save',
    {
      summary: 'Take a backup: a snapshot of a follower, read back and compared.',
      flags: [
        {
          name: 'backup-id',
          value: 'ID',
          default: 'random',
          summary: 'a retry with the same one makes no second backup',
        },
        clusterFlag,
        namespaceFlag,
        createTargetFlag,
      ],
      examples: [
        { words: 'backup save --target /backups' },
        { words: 'backup save --target s3://backups/prod --s3-endpoint https://minio:9000' },
        { words: 'backup save --target /backups --encryption-key-file key' },
        { words: 'backup save --target /backups --cluster-uid prod --backup-id nightly-1 -w json' },
      ],
    },
    withTarget(save),
  ),
  specOf(
    'list',
    {
      summary: 'Which backups there are, found by what is in the bucket alone.',
      flags: [
        { name: 'brief', summary: 'the newest five, with what fits into a result file' },
        { name: 'before', value: 'NAME', summary: 'with --brief: of those older than this one' },
        {
          name: 'cluster',
          value: 'NAME',
          summary: 'with --brief: of the cluster that people call so, whatever its UID',
        },
        {
          name: 'namespace',
          value: 'NAMESPACE',
          summary: 'with --brief: and of no other namespace, where it is known of which they are',
        },
        createTargetFlag,
      ],
      examples: [
        { words: 'backup list --target /backups' },
        { words: 'backup list --target s3://backups/prod -w json' },
        { words: 'backup list --target /backups --brief --cluster prod -w json' },
      ],
    },
    withTarget(list),
  ),
  specOf(
    'verify',
    {
      operands: '[NAME]',
      summary:
        'Restore a backup, by default the latest, into a scratch directory, open it, and compare it with what was recorded.',
      flags: [
        {
          name: 'scratch-dir',
          value: 'DIRECTORY',
          default: "the system's",
          summary: 'needs room for twice the backup',
        },
        { name: 'no-record', summary: 'write nothing beside the backup' },
      ],
      examples: [
        { words: 'backup verify --target /backups', note: 'the latest one' },
        { words: 'backup verify --target /backups NAME --scratch-dir /scratch' },
      ],
    },
    withTarget(verify),
  ),
  specOf(
    'restore',
    {
      operands: '[NAME]',
      summary:
        'Make a data directory for a member of a new cluster, from a backup, by default the latest.',
      flags: [
        ...memberFlags,
        { name: 'revision', value: 'REVISION', summary: 'as it was then, with what was archived' },
        {
          name: 'time',
          value: 'TIME',
          summary: 'as it was at 2026-11-27T10:00:00Z, with what was archived',
        },
        {
          name: 'object',
          value: 'NAME',
          summary: 'any object that is a snapshot, instead of a backup',
        },
        {
          name: 'above-revision',
          value: 'REVISION',
          summary:
            'the next revision is above it, the history up to it is compacted: no client takes the restored state for an older one of its own',
        },
        {
          name: 'bump-revision',
          value: 'COUNT',
          summary: "the same, by so many more than the backup's revision",
        },
        {
          name: 'restore-id',
          value: 'ID',
          summary: 'makes a retry one: a directory that a restore with this id has made is let be',
        },
        { name: 'dry-run', summary: 'read and check everything, change nothing' },
      ],
      examples: [
        { words: 'backup restore --target /backups --data-dir restored/latest' },
        { words: 'backup restore --target /backups NAME --data-dir restored/named' },
        { words: 'backup restore --target /backups --revision 1234 --data-dir restored/revision' },
        {
          words:
            'backup restore --target /backups --time 2026-11-27T10:00:00Z --data-dir restored/time',
        },
        {
          words:
            'backup restore --target s3://bucket --object old/etcd.db --data-dir restored/object',
        },
        { words: 'backup restore --target /backups --dry-run' },
      ],
      notes: [
        'Of a cluster of several: on each machine, from the same NAME and revision, with its own name and URLs, as',
        '"mainstayctl snapshot restore --help" shows.',
      ],
    },
    withTarget(restore),
  ),
  specOf(
    'archive',
    {
      summary:
        'Write down every change behind the newest backup, so that any revision and any time in between can be restored.',
      flags: [
        {
          name: 'interval',
          value: 'DURATION',
          default: '10s',
          summary: 'what has changed is written so often, in objects of about 4 MiB at most',
        },
        {
          name: 'silence',
          value: 'DURATION',
          default: '1m',
          summary: 'how often it is written that nothing has changed',
        },
        { name: 'once', summary: 'what has happened up to now, and no more' },
        clusterFlag,
      ],
      examples: [
        { words: 'backup archive --target /backups', goesOn: true },
        { words: 'backup archive --target /backups --once' },
      ],
    },
    // What it holds is written when it is to end: its target goes on until then.
    withTarget(archive, new AbortController().signal),
  ),
  specOf(
    'prune',
    {
      summary:
        'Delete the backups that are not to be kept. The last good and the last verified one always are.',
      flags: [
        ...['last', 'daily', 'weekly', 'monthly'].map((which) => ({
          name: `keep-${which}`,
          value: 'COUNT',
          default: '0',
          summary:
            which === 'last'
              ? 'the newest ones'
              : `the last one of each of the newest ${periods[which]}`,
        })),
        {
          name: 'time-zone',
          value: 'ZONE',
          default: 'UTC',
          summary: 'in which days begin and end',
        },
        {
          name: 'at-most',
          value: 'COUNT',
          summary: 'no more than so many at once, the oldest first',
        },
        dryRunFlag,
      ],
      examples: [
        { words: 'backup prune --target /backups --cluster-uid UID --keep-last 3 --dry-run' },
        {
          words:
            'backup prune --target /backups --cluster-uid UID --keep-last 3 --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --time-zone Europe/Berlin',
        },
      ],
    },
    withTarget(prune),
  ),
];

type TargetRun = (command: Command, target: Target) => Promise<Outcome>;

function withTarget(run: TargetRun, signal?: AbortSignal): (command: Command) => Promise<Outcome> {
  return async (command) => {
    const target = targetOf(command.line, process.env, signal ?? command.terminal.signal);
    try {
      return await run(command, target);
    } finally {
      target.close();
    }
  };
}

const wallMs = (): number => Date.now();

function uidOf(line: CommandLine): string | undefined {
  const uid = line.text('cluster-uid');
  return uid === undefined ? undefined : checkedId(uid, '--cluster-uid');
}

/** What the last word is, and nothing behind it. */
function operandOf(line: CommandLine, usage: string): string | undefined {
  const [operand, ...more] = line.operands;
  if (more.length > 0) throw new UsageError(`usage: ${usage}`);
  return operand;
}

async function save(command: Command, target: Target): Promise<Outcome> {
  const { line, client, terminal } = command;
  const id = line.text('backup-id') ?? randomBytes(4).toString('hex');
  const [key] = encryptionKeysOf(line);
  const startedMs = performance.now();
  const { name, manifest, wasThere } = await saveBackup(
    { client, target, wallMs },
    {
      id: checkedId(id, '--backup-id'),
      cluster: line.text('cluster'),
      namespace: line.text('namespace'),
      clusterUid: uidOf(line),
      key,
      onProgress: progressOf(command),
      signal: terminal.signal,
    },
  );
  const durationMs = Math.round(performance.now() - startedMs);
  const { revision, keys, sizeBytes } = manifest;
  const what = `${keys} keys at revision ${revision}, ${sizeText(sizeBytes)}`;
  return {
    fields: { name, ...manifest, kind: 'save', target: target.place, wasThere, durationMs },
    text: `${wasThere ? 'Was there already' : 'Saved'} ${name} in ${target.place}: ${what}\n`,
  };
}

async function list({ line }: Command, target: Target): Promise<Outcome> {
  if (line.flag('brief')) return listBriefly(line, target);
  const { backups } = await inventoryOf(target, uidOf(line));
  const listed: ListedBackup[] = [];
  const unreadable: Record<string, string>[] = [];
  for (const found of backups) {
    const manifest = await manifestOrFailure(target, found);
    if (!(manifest instanceof BackupError)) listed.push({ found, manifest });
    else
      unreadable.push({ name: found.name, failure: manifest.failure, message: manifest.message });
  }
  const windows = await windowsOf(
    target,
    listed.map(({ manifest }) => manifest),
  );
  const texts = [
    table([listHead, ...listed.map(listRow)]),
    ...unreadable.map(({ message }) => `Cannot be read: ${message}\n`),
    ...windows.map(windowText),
  ];
  return {
    fields: { backups: listed.map(listedFields), windows, unreadable },
    text: texts.join(''),
  };
}

/** So many fit into what a pod can say at its end. */
const briefMax = 5;

/** Whoever has forgotten all finds it again here, five at a time from the newest on. */
async function listBriefly(line: CommandLine, target: Target): Promise<Outcome> {
  const [cluster, namespace] = [line.text('cluster'), line.text('namespace')];
  const before = line.text('before');
  const { backups } = await inventoryOf(target, uidOf(line));
  const newestFirst = backups.toSorted((a, b) => (a.name > b.name ? -1 : 1));
  const listed: ListedBackup[] = [];
  let unreadable = 0;
  for (const found of newestFirst) {
    if (listed.length === briefMax) break;
    if (before !== undefined && found.name >= before) continue;
    const manifest = await manifestOrFailure(target, found);
    if (manifest instanceof BackupError) unreadable++;
    else if (isOf(manifest, { cluster, namespace })) listed.push({ found, manifest });
  }
  const cannot =
    unreadable === 0 ? '' : `Cannot be read: ${unreadable} (mainstayctl backup list)\n`;
  return {
    fields: { backups: listed.map(briefFields), unreadable },
    text: table([listHead, ...listed.map(listRow)]) + cannot,
  };
}

/** What does not say of which namespace it is may be of any. */
function isOf(
  manifest: Manifest,
  wanted: { readonly cluster: string | undefined; readonly namespace: string | undefined },
): boolean {
  const { cluster = manifest.cluster, namespace = manifest.namespace } = wanted;
  return manifest.cluster === cluster && (manifest.namespace ?? namespace) === namespace;
}

function briefFields({ found, manifest }: ListedBackup): Record<string, unknown> {
  const { id, clusterUid, revision, keys, sizeBytes, hash, storageVersion, finishedAt } = manifest;
  const isVerified = found.verified === 'yes';
  const verifiedAt = isVerified ? new Date(parseTimeName(found.verifiedTime)) : undefined;
  return {
    name: found.name,
    id,
    clusterUid,
    revision,
    keys,
    sizeBytes,
    hash,
    storageVersion,
    finishedAt,
    verified: found.verified,
    ...(verifiedAt === undefined ? {} : { verifiedAt: verifiedAt.toISOString() }),
  };
}

/** Nothing where there is only the backup itself. */
function windowText({ clusterUid, fromRevision, toRevision, toTime }: Window): string {
  if (fromRevision === toRevision) return '';
  return `Any revision of ${clusterUid} from ${fromRevision} to ${toRevision} (until ${toTime})\n`;
}

interface ListedBackup {
  readonly found: FoundBackup;
  readonly manifest: Manifest;
}

function listedFields({ found, manifest }: ListedBackup): Record<string, unknown> {
  const { kind: _, ...fields } = manifest;
  return { name: found.name, ...fields, verified: found.verified };
}

const listHead = ['NAME', 'CLUSTER', 'UID', 'REVISION', 'KEYS', 'SIZE', 'TAKEN', 'KEY', 'VERIFIED'];

function listRow({ found, manifest }: ListedBackup): string[] {
  const { namespace, clusterUid, revision, keys, sizeBytes, startedAt, encryption } = manifest;
  const cluster = `${namespace === undefined ? '' : `${namespace}/`}${manifest.cluster}`;
  return [
    found.name,
    cluster,
    clusterUid,
    String(revision),
    String(keys),
    sizeText(sizeBytes),
    startedAt,
    encryption?.keyId ?? '',
    found.verified,
  ];
}

async function verify(command: Command, target: Target): Promise<Outcome> {
  const { line } = command;
  const wanted = operandOf(line, 'backup verify [NAME] --target TARGET') ?? 'latest';
  const found = await findBackup(target, { uid: uidOf(line), wanted });
  const startedMs = performance.now();
  const { manifest, restored, verifiedAt } = await verifyBackup({ target, wallMs }, found, {
    keys: encryptionKeysOf(line),
    scratchDir: line.text('scratch-dir') ?? tmpdir(),
    isRecorded: !line.flag('no-record'),
    onProgress: progressOf(command),
  });
  const durationMs = Math.round(performance.now() - startedMs);
  const { id, clusterUid } = manifest;
  const { revision, keys, hash } = restored;
  return {
    fields: { name: found.name, id, clusterUid, ...restored, verifiedAt, durationMs },
    text: `Verified ${found.name}: ${keys} keys at revision ${revision}, hash ${hash}\n`,
  };
}

async function restore(command: Command, target: Target): Promise<Outcome> {
  const { line } = command;
  const plan = await planOf(line, target);
  if (line.flag('dry-run')) {
    await readThrough(plan, progressOf(command));
    return {
      fields: { ...planFields(plan), isDryRun: true },
      text: `${planText(plan)} can be restored: everything is there and as it was written\n`,
    };
  }
  if (line.text('data-dir') === undefined) throw new UsageError('--data-dir is missing');
  const member = memberOf(line);
  const id = line.text('restore-id');
  const { clusterId, memberId, wasThere } = await restoreBackup(target, plan, {
    member,
    id: id === undefined ? undefined : checkedId(id, '--restore-id'),
    ...bumpOf(line),
    onProgress: progressOf(command),
  });
  const ids = `cluster ${hexId(clusterId)}, member ${hexId(memberId)}`;
  return {
    fields: { ...planFields(plan), wasThere, dataDir: member.dataDir, clusterId, memberId },
    text: `${wasThere ? 'There already: ' : 'Restored '}${planText(plan)} into ${member.dataDir}: ${ids}\n`,
  };
}

async function planOf(line: CommandLine, target: Target): Promise<RestorePlan> {
  const operand = operandOf(line, 'backup restore [NAME] --target TARGET --data-dir DIR');
  const object = line.text('object');
  if (operand !== undefined && object !== undefined) {
    throw new UsageError('NAME and --object exclude each other');
  }
  const point = pointOf(line);
  if (point !== undefined && object !== undefined) {
    throw new UsageError('--object excludes --revision and --time');
  }
  const options = { uid: uidOf(line), keys: encryptionKeysOf(line) };
  if (object !== undefined) return planRestore(target, { kind: 'object', name: object }, options);
  if (point === undefined) {
    return planRestore(target, { kind: 'backup', wanted: operand ?? 'latest' }, options);
  }
  return planRestore(target, { kind: 'point', point, wanted: operand }, options);
}

function pointOf(line: CommandLine): Point | undefined {
  const [revision, time] = [line.text('revision'), line.text('time')];
  if (revision !== undefined && time !== undefined) {
    throw new UsageError('--revision and --time exclude each other');
  }
  if (revision !== undefined) return { kind: 'revision', revision: line.whole('revision') };
  if (time === undefined) return undefined;
  const isRfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)$/.test(time);
  const timeMs = isRfc3339 ? Date.parse(time) : Number.NaN;
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs };
  throw new UsageError(`--time: "${time}" is no time like 2026-11-27T10:00:00Z`);
}

function planFields(plan: RestorePlan): Record<string, unknown> {
  const { name, revision, sizeBytes, manifest, isLate } = plan;
  const { id, clusterUid, revision: baseRevision } = manifest ?? {};
  return { name, revision, baseRevision, isLate, sizeBytes, id, clusterUid };
}

/** Of what is restored, for people. */
export function planText(
  plan: Pick<RestorePlan, 'name' | 'revision' | 'isLate'> & {
    readonly manifest: Pick<Manifest, 'revision'> | undefined;
  },
): string {
  const { name, revision, manifest, isLate } = plan;
  const isWhole = revision === undefined || revision === manifest?.revision;
  const changes = isWhole ? '' : ` and the changes up to revision ${revision}`;
  const late = isLate
    ? ' (what comes next was stamped late, and may have been there at that time)'
    : '';
  return `${name}${changes}${late}`;
}

/** By how much the revision grows. */
function bumpOf(line: CommandLine): RevisionBump {
  const bumpRevision = line.whole('bump-revision');
  if (line.text('above-revision') === undefined) return { bumpRevision };
  if (bumpRevision > 0) {
    throw new UsageError('--bump-revision and --above-revision exclude each other');
  }
  return { bumpRevision, aboveRevision: line.whole('above-revision') };
}

async function archive(command: Command, target: Target): Promise<Outcome> {
  const { line, client, terminal } = command;
  const isJson = line.format('simple') === 'json';
  const [key] = encryptionKeysOf(line);
  const { to, archivedAt } = await archiveChanges(
    { client, target, wallMs },
    {
      cluster: line.text('cluster'),
      clusterUid: uidOf(line),
      key,
      intervalMs: duration(line, 'interval', '10s'),
      silenceMs: duration(line, 'silence', '1m'),
      isOnce: line.flag('once'),
      signal: terminal.signal,
      onFollowing: (revision) => {
        const line = isJson ? jsonOf({ kind: 'following', revision }) : '';
        terminal.write(line || `Following what comes behind revision ${revision}\n`);
      },
      onWritten: (archived) => {
        const { from, to } = archived;
        const what = to < from ? `nothing behind revision ${to}` : `revisions ${from} to ${to}`;
        const told = isJson ? jsonOf({ kind: 'archived', ...archived }) : `Archived ${what}\n`;
        terminal.write(told);
        writeResult(command, { ok: true, kind: 'archive', to, archivedAt: archived.archivedAt });
      },
    },
  );
  return { fields: { to, archivedAt }, text: `The archive ends at revision ${to}\n` };
}

async function prune({ line }: Command, target: Target): Promise<Outcome> {
  const uid = uidOf(line);
  if (uid === undefined) throw new UsageError('--cluster-uid is missing: whose backups');
  const isDryRun = line.flag('dry-run');
  const pruned = await pruneBackups(target, {
    uid,
    retention: retentionOf(line),
    isDryRun,
    atMost: line.text('at-most') === undefined ? undefined : line.whole('at-most'),
  });
  const { deleted, leftovers, changes, unreadable } = pruned;
  const kept = pruned.kept.map(({ backup, reasons }) => ({ name: backup.name, reasons }));
  const verb = isDryRun ? 'Would delete' : 'Deleted';
  const lines = [
    ...deleted.map(({ name }) => `${verb} ${name}`),
    ...leftovers.map((name) => `${verb} ${name}, of a backup that never came to be`),
    ...changes.map((name) => `${verb} ${name}, which no backup needs`),
    ...unreadable.map((name) => `Left alone ${name}, which cannot be read`),
    ...kept.map(({ name, reasons }) => `Kept ${name}: ${reasons.join(', ')}`),
  ];
  return {
    fields: {
      isDryRun,
      deleted: deleted.map(({ name }) => name),
      leftovers,
      changes,
      unreadable,
      kept,
    },
    text: lines.map((each) => `${each}\n`).join(''),
  };
}

function retentionOf(line: CommandLine) {
  const [last, daily, weekly, monthly] = ['last', 'daily', 'weekly', 'monthly'].map((name) =>
    line.whole(`keep-${name}`),
  ) as [number, number, number, number];
  if (last + daily + weekly + monthly === 0) {
    throw new UsageError(
      'what is to be kept? --keep-last, --keep-daily, --keep-weekly, --keep-monthly',
    );
  }
  const timeZone = line.text('time-zone') ?? 'UTC';
  if (!isTimeZone(timeZone)) {
    throw new UsageError(`--time-zone: "${timeZone}" is no time zone like Europe/Berlin`);
  }
  return { last, daily, weekly, monthly, timeZone };
}
