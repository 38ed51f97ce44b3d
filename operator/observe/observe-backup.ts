// [io] 1. One observation of a backup or a schedule: everything read live, nothing from a cache.
import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import type { KubeList, Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import { hasTools } from '../api/versions.ts';
import type { KubeClient } from '../kube/client.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import {
  archivePodName,
  listPodName,
  prunePodName,
  savePodName,
  verifyPodName,
} from '../resources/backup-names.ts';
import { backupLabel, scheduleLabel } from '../resources/backup-pod.ts';
import {
  type BackupObservation,
  byAge,
  isSamePlace,
  type ScheduleObservation,
} from './backup-observation.ts';
import { observeArchive, observeProgress, type ReadLog } from './backup-words.ts';
import { type ClusterKey, completeSpecOf } from './observe.ts';

export interface BackupObserveModules {
  readonly kube: KubeClient;
  readonly wallMs: () => number;
  readonly imageRepository: string;
  readonly readLog: ReadLog;
}

/** undefined when the StoreBackup is gone. */
export async function observeBackup(
  modules: BackupObserveModules,
  key: ClusterKey,
): Promise<BackupObservation | undefined> {
  const backup = await modules.kube.get<StoreBackup>(objectPath('StoreBackup', key));
  if (backup === undefined || backup.metadata.deletionTimestamp !== undefined) return undefined;
  const [about, pods] = await Promise.all([
    observeCluster(modules, key.namespace, backup.spec.cluster),
    podsOf(modules.kube, key.namespace, `${backupLabel}=${key.name}`),
  ]);
  const named = (name: string) => ownPod(pods, name, backup.metadata.uid);
  const [save, verify] = [named(savePodName(backup)), named(verifyPodName(backup))];
  const progress = await observeProgress(modules.readLog, [save, verify]);
  return { ...about, backup, save, verify, progress };
}

/** undefined when the StoreBackupSchedule is gone. */
export async function observeSchedule(
  modules: BackupObserveModules,
  key: ClusterKey,
): Promise<ScheduleObservation | undefined> {
  const { kube } = modules;
  const schedule = await kube.get<StoreBackupSchedule>(objectPath('StoreBackupSchedule', key));
  if (schedule === undefined || schedule.metadata.deletionTimestamp !== undefined) return undefined;
  const selector = `${scheduleLabel}=${key.name}`;
  const [about, pods, backups, schedules] = await Promise.all([
    observeCluster(modules, key.namespace, schedule.spec.cluster),
    podsOf(kube, key.namespace, selector),
    kube.list<KubeList<StoreBackup>>(collectionPath('StoreBackup', key.namespace)),
    kube.list<KubeList<StoreBackupSchedule>>(collectionPath('StoreBackupSchedule', key.namespace)),
  ]);
  const { cluster, target } = schedule.spec;
  const ofCluster = backups.items
    .filter(({ spec }) => spec.cluster === cluster)
    .toSorted(byAge(about.now));
  const others = schedules.items.filter(
    ({ metadata, spec }) => metadata.name !== key.name && spec.cluster === cluster,
  );
  const named = (name: string) => ownPod(pods, name, schedule.metadata.uid);
  const archive = named(archivePodName(schedule));
  return {
    ...about,
    schedule,
    backups: ofCluster.filter(({ metadata }) => metadata.labels?.[scheduleLabel] === key.name),
    inTarget: ofCluster.filter(({ spec }) => isSamePlace(spec.target, target)),
    sharing: others
      .filter(({ spec }) => isSamePlace(spec.target, target))
      .map(({ metadata }) => metadata.name),
    list: named(listPodName(schedule)),
    prune: named(prunePodName(schedule)),
    archive,
    archived: await observeArchive(modules.readLog, archive),
  };
}

async function observeCluster(modules: BackupObserveModules, namespace: string, name: string) {
  const at = objectPath('StoreCluster', { namespace, name });
  const cluster = await modules.kube.get<StoreCluster>(at);
  return {
    now: new Date(modules.wallMs()).toISOString(),
    cluster,
    spec:
      cluster && withPresentImage(completeSpecOf(cluster, [], modules.imageRepository), cluster),
  };
}

/**
 * What a store holds before a change is written by the tools of the version that it has: should the change be taken back,
 * they have to read it.
 */
export function withPresentImage(spec: CompleteSpec, { status }: StoreCluster): CompleteSpec {
  const { image: present } = status ?? {};
  return present === undefined || !hasTools(present) ? spec : { ...spec, image: present };
}

async function podsOf(kube: KubeClient, namespace: string, labelSelector: string) {
  return (await kube.list<KubeList<Pod>>(collectionPath('Pod', namespace), { labelSelector }))
    .items;
}

/** A pod of an earlier object of the same name is on its way out, and nobody's. */
function ownPod(pods: readonly Pod[], name: string, uid: string | undefined): Pod | undefined {
  return pods.find(
    ({ metadata }) =>
      metadata.name === name && metadata.ownerReferences?.some((owner) => owner.uid === uid),
  );
}
