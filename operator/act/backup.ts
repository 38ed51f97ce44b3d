// [io] 3. One action for a backup or a schedule: one API call.
import { unreachable } from '../../server/base/assert.ts';
import type { StoreBackup } from '../api/backup-types.ts';
import type { KubeObject, Pod } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import type { Recorder } from '../kube/recorder.ts';
import type { BackupAction } from '../plan/backup.ts';
import type { ScheduleAction } from '../plan/schedule.ts';

export interface BackupActModules {
  readonly kube: KubeClient;
  readonly recorder: Recorder;
}

/** Throws what the world did to it, but for what was done already: names are given, so nothing is made twice. */
export async function actOnBackups(
  { kube }: BackupActModules,
  action: BackupAction | ScheduleAction | undefined,
): Promise<void> {
  if (action === undefined) return;
  switch (action.kind) {
    case 'createPod':
      return create(kube, 'Pod', action.pod);
    case 'createBackup':
      return create(kube, 'StoreBackup', action.backup);
    case 'deletePod':
      return kube.remove(pathAt('Pod', action.pod), preconditionsOf(action.pod));
    case 'deleteBackup':
      return kube.remove(pathAt('StoreBackup', action.backup), preconditionsOf(action.backup));
    default:
      return unreachable(action);
  }
}

async function create(
  kube: KubeClient,
  kind: 'Pod' | 'StoreBackup',
  object: Pod | StoreBackup,
): Promise<void> {
  try {
    await kube.create<KubeObject>(collectionPath(kind, object.metadata.namespace), object);
  } catch (error) {
    if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
  }
}

function pathAt(kind: 'Pod' | 'StoreBackup', { metadata }: KubeObject): string {
  const { namespace = 'default', name } = metadata;
  return objectPath(kind, { namespace, name });
}

function preconditionsOf({ metadata }: KubeObject) {
  const { uid = '', resourceVersion = '' } = metadata;
  return { uid, resourceVersion };
}
