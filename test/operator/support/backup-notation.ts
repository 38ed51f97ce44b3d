import { load } from 'js-yaml';
import type { StoreBackup, StoreBackupSchedule } from '../../../operator/api/backup-types.ts';
import { completeSpec } from '../../../operator/api/defaults.ts';
import type { Pod } from '../../../operator/api/objects.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import {
  type BackupObservation,
  byAge,
  type ScheduleObservation,
} from '../../../operator/observe/backup-observation.ts';
import { scheduleLabel } from '../../../operator/resources/backup-pod.ts';
import { foundAnnotation } from '../../../operator/resources/found-backup.ts';

// A compact text for what a pass knows of a StoreBackup or a StoreBackupSchedule. Times are of 2026-01-01 unless they
// have a date; what is left out is as it should be.
//
//   now 10:00                                             10:00 by default
//   cluster missing|starting|changing|restoring|old       Available by default; `changing` to another image, `old`: of 0.1.0
//   spec {keep: {last: 3}}, status {scheduledAt: 09:00}   fields in YAML's flow style, over the usual ones
//   created 08:00
//   sharing NAME                                          (another schedule of the store with the same target)
//   new                                                   (a schedule that has not looked into its target yet)
//   found {name: b1, id: a}                               (a StoreBackup that was found in the target)
//   backup NAME 09:00 Complete|Failed|Running... [asked] {object: b1}    of the schedule; `asked`: made by hand
//   pod save|verify|list|prune|archive running|pending|terminating|done|failed|lost|crashing|restarted {name: b1, revision: 7}   and what it said
//   pod save homeless, pod save waiting {reason: ImagePullBackOff, message: not found}
//   pod save waiting@IMAGE,08:00 {...}                    of another image; made then
//   said {step: saving, doneBytes: 5, totalBytes: 10} | {revision: 7, at: 09:59}

const volume = { volume: { claimName: 'backups' } } as const;
const cluster: StoreCluster = {
  apiVersion: 'mainstay.dev/v1alpha1',
  kind: 'StoreCluster',
  metadata: { name: 'demo', namespace: 'default', uid: 'u1' },
  spec: { storage: { size: '1Gi' } },
  status: {
    conditions: [
      {
        type: 'Available',
        status: 'True',
        reason: 'Serving',
        message: '',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ],
  },
};

const spec = completeSpec(cluster.spec, { repository: 'mainstay', present: [] });

const states: Readonly<Record<string, Partial<StoreCluster>>> = {
  starting: { status: {} },
  changing: {
    status: {
      ...cluster.status,
      clusterID: 'abc',
      beforeChange: { image: 'mainstay:0.2.0', backup: 'demo-before-1' },
    },
  },
  restoring: {
    spec: { ...cluster.spec, restore: { backup: 'b', confirmUID: 'u1' } },
    status: { ...cluster.status, clusterID: 'abc' },
  },
};

export function parseScheduleObservation(lines: readonly string[]): ScheduleObservation {
  const { now, about, fields, pod } = common(lines);
  const spec = { cluster: 'demo', schedule: '0 * * * *', target: volume, ...fields('spec') };
  const created = lines.find((line) => line.startsWith('created '))?.split(' ')[1] ?? '08:30';
  const schedule: StoreBackupSchedule = {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreBackupSchedule',
    metadata: { ...metadataOf('nightly'), creationTimestamp: timeOf(created) },
    spec,
    // Once it has looked into its target.
    status: {
      ...(lines.includes('new') ? {} : { listed: { at: '2026-01-01T08:30:00.000Z' } }),
      ...fields('status'),
    },
  };
  const all = lines
    .filter((line) => line.startsWith('backup '))
    .map(parseBackup)
    .toSorted(byAge(now));
  return {
    now,
    ...about,
    schedule,
    backups: all.filter(({ metadata }) => metadata.labels?.[scheduleLabel] !== undefined),
    inTarget: all,
    sharing: lines.filter((line) => line.startsWith('sharing ')).map((line) => line.slice(8)),
    list: pod('list'),
    prune: pod('prune'),
    archive: pod('archive'),
    archived: said(lines),
  };
}

export function parseBackupObservation(lines: readonly string[]): BackupObservation {
  const { now, about, fields, pod } = common(lines);
  const status = fields('status');
  const found = lines.find((line) => line.startsWith('found '));
  const backup: StoreBackup = {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreBackup',
    metadata: {
      ...metadataOf('first'),
      ...(found === undefined
        ? {}
        : { annotations: { [foundAnnotation]: JSON.stringify(yaml(found.slice(6))) } }),
    },
    spec: { cluster: 'demo', target: volume, ...fields('spec') },
    ...(Object.keys(status).length === 0 ? {} : { status }),
  };
  return { now, ...about, backup, save: pod('save'), verify: pod('verify'), progress: said(lines) };
}

function common(lines: readonly string[]) {
  const words = (first: string) =>
    lines.find((line) => line.startsWith(`${first} `))?.slice(first.length + 1);
  const now = timeOf(words('now') ?? '10:00');
  const state = words('cluster');
  const found = { ...cluster, ...states[state ?? ''] };
  const ofStore = state === 'old' ? { ...spec, image: 'mainstay:0.1.0' } : spec;
  return {
    now,
    about:
      state === 'missing'
        ? { cluster: undefined, spec: undefined }
        : { cluster: found, spec: ofStore },
    fields: (what: 'spec' | 'status') => yaml<object>(words(what)),
    pod: (name: string) => {
      const line = words(`pod ${name}`);
      return line === undefined ? undefined : parsePod(name, line);
    },
  };
}

function metadataOf(name: string) {
  return { name, namespace: 'default', uid: `uid-of-${name}`, resourceVersion: '1', generation: 1 };
}

/** `10:00`, `10:00:30` or a whole one. */
function timeOf(text: string): string {
  const whole = text.includes('T') ? text : `2026-01-01T${text}${text.length > 5 ? '' : ':00'}Z`;
  return new Date(whole).toISOString();
}

/** Times of day become whole ones. */
function yaml<T>(text: string | undefined): T {
  const timed = (text ?? '{}').replaceAll(
    /(?<=[ {])(\d\d:\d\d)(?=[,} ]|$)/g,
    (time) => `"${timeOf(time)}"`,
  );
  return load(timed) as T;
}

function parseBackup(line: string): StoreBackup {
  const [, name = '', created = '', phase = '', more = ''] =
    /^backup (\S+) (\S+) (\S+) ?(.*)$/.exec(line) ?? [];
  const isAsked = more.startsWith('asked');
  const status = yaml<object>(more.replace(/^asked ?/, '') || undefined);
  return {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreBackup',
    metadata: {
      ...metadataOf(name),
      creationTimestamp: timeOf(created),
      ...(isAsked ? {} : { labels: { [scheduleLabel]: 'nightly' } }),
    },
    spec: { cluster: 'demo', target: volume, verify: true },
    status: { phase: phase as 'Complete', ...status },
  };
}

function parsePod(name: string, line: string): Pod {
  const [, head = '', words = ''] = /^(\S+) ?(.*)$/.exec(line) ?? [];
  const [state = '', more = ''] = head.split('@');
  const [image = '', created = '09:58'] = more.split(',');
  const message = words === '' ? undefined : JSON.stringify(yaml(words));
  const terminated = { exitCode: state === 'done' ? 0 : 1, ...(message && { message }) };
  const phases = {
    done: 'Succeeded',
    failed: 'Failed',
    lost: 'Failed',
    pending: 'Pending',
    homeless: 'Pending',
    waiting: 'Pending',
  };
  const phase = phases[state as keyof typeof phases] ?? 'Running';
  const statuses = {
    done: [{ state: { terminated } }],
    failed: [{ state: { terminated } }],
    waiting: [{ state: { waiting: yaml(words) } }],
    restarted: [{ state: { running: {} }, lastState: { terminated } }],
    crashing: [{ state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: { terminated } }],
  }[state];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadataOf(name),
      creationTimestamp: timeOf(created),
      ...(state === 'terminating' ? { deletionTimestamp: '2026-01-01T10:00:00Z' } : {}),
    },
    spec: { containers: [{ image: image || spec.image }] },
    status: {
      phase,
      ...(state === 'homeless'
        ? { conditions: [{ type: 'PodScheduled', status: 'False', message: 'no room' }] }
        : {}),
      ...(state === 'lost' ? { reason: 'Evicted', message: 'The node was low on memory.' } : {}),
      ...(statuses === undefined ? {} : { containerStatuses: statuses }),
    },
  } as unknown as Pod;
}

function said<T>(lines: readonly string[]): T | undefined {
  const line = lines.find((each) => each.startsWith('said '));
  return line === undefined ? undefined : yaml<T>(line.slice('said '.length));
}
