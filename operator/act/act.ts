// [io] 3. One action: one API call.
import { unreachable } from '../../server/base/assert.ts';
import type { KubeObject, ObjectMeta, PersistentVolumeClaim, Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient, Preconditions } from '../kube/client.ts';
import { isNotFound, KubeError } from '../kube/errors.ts';
import type { Fence } from '../kube/leader-lease.ts';
import { collectionPath, objectPath, pathOf } from '../kube/paths.ts';
import type { Recorder } from '../kube/recorder.ts';
import type { Observation } from '../observe/observation.ts';
import type { AuthChange, StoreAdmin } from '../observe/store-admin.ts';
import type { Action, SecretAction } from '../plan/action.ts';
import type { Plan } from '../plan/plan.ts';
import { podEndpoint, storeEndpoints } from '../resources/endpoints.ts';
import {
  clusterLabel,
  clusterUidLabel,
  finalizer,
  memberIdAnnotation,
  parkedLabel,
  parkedUidLabel,
  recoveredAnnotation,
  restoredAnnotation,
  roleLabel,
} from '../resources/labels.ts';
import { namespaceOf } from '../resources/names.ts';
import { performOnSecret } from './secrets.ts';
import { performAuth } from './store-auth.ts';

export interface ActModules {
  readonly kube: KubeClient;
  readonly store: StoreAdmin;
  readonly recorder: Recorder;
  readonly fence: Fence;
}

/** What came of it, and the StoreCluster as it is now where the action changed it. */
export type Outcome =
  | { readonly kind: 'done'; readonly cluster: StoreCluster }
  /** Not now: the world will be ready for it, or has changed. Nothing is wrong. */
  | { readonly kind: 'refused'; readonly cluster: StoreCluster; readonly error: Error }
  | { readonly kind: 'failed'; readonly cluster: StoreCluster; readonly error: Error };

/** Never throws what the world did to it: a failure is an outcome, and reported in the status. */
export async function act(
  modules: ActModules,
  observation: Observation,
  plan: Plan,
): Promise<Outcome> {
  const { cluster } = observation;
  if (plan.kind !== 'act') return { kind: 'done', cluster };
  const { reason, message } = plan;
  try {
    modules.fence();
    const changed = await perform(modules, observation, plan.action);
    modules.recorder.record(cluster, { type: 'Normal', reason, message });
    return { kind: 'done', cluster: changed ?? cluster };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (isNotYet(error) || isGone(plan.action, error)) return { kind: 'refused', cluster, error };
    const warning = `${message} Failed: ${error.message}`;
    modules.recorder.record(cluster, { type: 'Warning', reason, message: warning });
    return { kind: 'failed', cluster, error };
  }
}

/** What a store answers while it is getting ready: etcd's texts, which are its contract. */
const notYetTexts = [
  // A member has not been connected to all others for five seconds.
  'etcdserver: unhealthy cluster',
  'etcdserver: can only promote a learner member which is in sync with leader',
  'etcdserver: re-configuration failed due to not enough started members',
  'etcdserver: an observer can be added once every member that was started answers',
];

function isNotYet(error: Error): boolean {
  const isStale = error instanceof KubeError && error.reason === 'Conflict';
  return isStale || notYetTexts.some((text) => error.message.includes(text));
}

const deletions: readonly Action['kind'][] = [
  'deletePod',
  'deleteVolume',
  'deleteSecret',
  'remove',
];

/** Somebody else has deleted it, which is what was wanted. */
function isGone({ kind }: Action, error: Error): boolean {
  return deletions.includes(kind) && isNotFound(error);
}

/** The StoreCluster when it was changed. */
async function perform(
  modules: ActModules,
  observation: Observation,
  action: Action,
): Promise<StoreCluster | undefined> {
  switch (action.kind) {
    case 'addFinalizer':
    case 'removeFinalizer':
    case 'recordStatus':
      return performOnCluster(modules.kube, observation.cluster, action);
    case 'addLearner':
    case 'addObserver':
    case 'promoteLearner':
    case 'removeMember':
    case 'moveLeader':
    case 'disarm':
      await performOnStore(storeOf(modules, observation), observation, action);
      return undefined;
    case 'compact':
    case 'defragment':
      return freeSpace(storeOf(modules, observation), observation, action);
    case 'growVolume':
      return growVolume(modules.kube, observation, action);
    case 'makeAuthority':
    case 'changeAuthority':
    case 'issueCertificate':
    case 'writeSecret':
    case 'deleteSecret':
    case 'recordApplied':
      await performOnSecret(modules.kube, observation, action);
      return undefined;
    case 'createBackup': {
      const namespace = namespaceOf(observation.cluster);
      await modules.kube.create(collectionPath('StoreBackup', namespace), action.backup);
      return undefined;
    }
    case 'changeAuth':
      await changeAuth(modules, observation, action.change);
      return undefined;
    default:
      await performOnChild(modules.kube, observation.cluster, action);
      return undefined;
  }
}

/** As it was reached when it was observed. */
function storeOf({ store }: ActModules, { access }: Observation): StoreAdmin {
  return store.as(access);
}

function changeAuth(modules: ActModules, observation: Observation, change: AuthChange) {
  const { cluster, now, pods, memberStatuses } = observation;
  const endpoints = storeEndpoints(cluster, pods, memberStatuses);
  const store = storeOf(modules, observation);
  return performAuth({ kube: modules.kube, store }, { cluster, now, endpoints }, change);
}

type ClusterAction = Extract<Action, { kind: 'addFinalizer' | 'removeFinalizer' | 'recordStatus' }>;
type StoreAction = Extract<
  Action,
  {
    kind:
      | 'addLearner'
      | 'addObserver'
      | 'promoteLearner'
      | 'removeMember'
      | 'moveLeader'
      | 'disarm';
  }
>;
type SpaceAction = Extract<Action, { kind: 'compact' | 'defragment' }>;
type GrowAction = Extract<Action, { kind: 'growVolume' }>;
type AuthAction = Extract<Action, { kind: 'changeAuth' }>;
type BackupAction = Extract<Action, { kind: 'createBackup' }>;
type OtherAction =
  | ClusterAction
  | StoreAction
  | SpaceAction
  | GrowAction
  | SecretAction
  | AuthAction
  | BackupAction;
type ChildAction = Exclude<Action, OtherAction>;

async function performOnCluster(
  kube: KubeClient,
  cluster: StoreCluster,
  action: ClusterAction,
): Promise<StoreCluster> {
  const { resourceVersion, finalizers = [] } = cluster.metadata;
  switch (action.kind) {
    case 'addFinalizer': {
      const metadata = { resourceVersion, finalizers: [...finalizers, finalizer] };
      return kube.patch<StoreCluster>(pathOf(cluster), { metadata });
    }
    case 'removeFinalizer': {
      const kept = finalizers.filter((name) => name !== finalizer);
      const metadata = { resourceVersion, finalizers: kept };
      return kube.patch<StoreCluster>(pathOf(cluster), { metadata });
    }
    case 'recordStatus': {
      const fields = Object.entries({ ...cluster.status, ...action.fields });
      const status = Object.fromEntries(fields.filter(([, value]) => value !== undefined));
      return kube.replace(pathOf(cluster, 'status'), { ...cluster, status });
    }
    default:
      return unreachable(action);
  }
}

async function performOnChild(
  kube: KubeClient,
  cluster: StoreCluster,
  action: ChildAction,
): Promise<void> {
  const namespace = namespaceOf(cluster);
  switch (action.kind) {
    case 'apply':
      await kube.apply(pathOf(action.object), asSeen(action.object, action.seen));
      return;
    case 'createVolume':
      await kube.create(collectionPath('PersistentVolumeClaim', namespace), action.volume);
      return;
    case 'createPod':
      await kube.create(collectionPath('Pod', namespace), action.pod);
      return;
    case 'recordMemberId': {
      const { resourceVersion } = action.volume.metadata;
      const annotations = { [memberIdAnnotation]: action.id };
      await kube.patch(volumePath(action.volume), { metadata: { resourceVersion, annotations } });
      return;
    }
    case 'labelPod': {
      const { resourceVersion } = action.pod.metadata;
      const labels = { [roleLabel]: action.role };
      await kube.patch(podPath(action.pod), { metadata: { resourceVersion, labels } });
      return;
    }
    case 'adoptVolume': {
      const { resourceVersion } = action.volume.metadata;
      const labels = { [clusterUidLabel]: cluster.metadata.uid };
      await kube.patch(volumePath(action.volume), { metadata: { resourceVersion, labels } });
      return;
    }
    case 'markRecovered': {
      const { resourceVersion } = action.volume.metadata;
      const annotations = { [recoveredAnnotation]: action.isRecovered ? 'true' : null };
      await kube.patch(volumePath(action.volume), { metadata: { resourceVersion, annotations } });
      return;
    }
    case 'parkVolume': {
      const { resourceVersion } = action.volume.metadata;
      const labels = {
        [clusterLabel]: null,
        [clusterUidLabel]: null,
        [parkedLabel]: cluster.metadata.name,
        [parkedUidLabel]: cluster.metadata.uid,
      };
      await kube.patch(volumePath(action.volume), { metadata: { resourceVersion, labels } });
      return;
    }
    case 'markRestored': {
      const { resourceVersion } = action.volume.metadata;
      const annotations = { [restoredAnnotation]: action.id };
      await kube.patch(volumePath(action.volume), { metadata: { resourceVersion, annotations } });
      return;
    }
    case 'remove':
      await kube.remove(pathOf(action.object), preconditionsOf(action.object));
      return;
    case 'deletePod':
      await kube.remove(podPath(action.pod), preconditionsOf(action.pod));
      return;
    case 'deleteVolume':
      await kube.remove(volumePath(action.volume), preconditionsOf(action.volume));
      return;
    default:
      unreachable(action);
  }
}

async function performOnStore(
  store: StoreAdmin,
  observation: Observation,
  action: StoreAction,
): Promise<void> {
  const endpoints = storeEndpoints(
    observation.cluster,
    observation.pods,
    observation.memberStatuses,
  );
  switch (action.kind) {
    case 'addLearner':
      return store.memberAddLearner(endpoints, action.peerUrl);
    case 'addObserver':
      return store.memberAddObserver(endpoints, action.peerUrl);
    case 'promoteLearner':
      return store.memberPromote(endpoints, action.id);
    case 'removeMember':
      return store.memberRemove(endpoints, action.id);
    case 'moveLeader':
      return store.moveLeader(leaderEndpoint(observation), action.targetId);
    case 'disarm':
      return store.disarm(endpoints, action.alarm);
    default:
      return unreachable(action);
  }
}

/** What was done is remembered with the status of this pass: forgotten, it is done once more. */
async function freeSpace(
  store: StoreAdmin,
  { cluster, now, pods, memberStatuses }: Observation,
  action: SpaceAction,
): Promise<StoreCluster> {
  const done = cluster.status?.space;
  if (action.kind === 'compact') {
    const endpoints = storeEndpoints(cluster, pods, memberStatuses);
    await store.compact(endpoints, action.revision);
    const space = { at: now, compacted: action.revision, defragmented: [] };
    return { ...cluster, status: { ...cluster.status, space } };
  }
  const endpoint = podEndpoint(cluster, action.pod);
  if (endpoint === undefined) throw new Error(`${action.member} cannot be reached`);
  await store.defragment(endpoint);
  const defragmented = [...(done?.defragmented ?? []), action.member];
  const space = { at: now, compacted: done?.compacted ?? 0, defragmented };
  return { ...cluster, status: { ...cluster.status, space } };
}

/** A refusal is remembered and holds nothing up: most likely the storage class does not allow it. */
async function growVolume(
  kube: KubeClient,
  { cluster, now }: Observation,
  { volume, size }: GrowAction,
): Promise<StoreCluster> {
  const { growthRefused: _growthRefused, ...status } = cluster.status ?? {};
  try {
    const { resourceVersion } = volume.metadata;
    const spec = { resources: { requests: { storage: size } } };
    await kube.patch(volumePath(volume), { metadata: { resourceVersion }, spec });
    return { ...cluster, status };
  } catch (error) {
    if (!(error instanceof KubeError) || (error.code !== 403 && error.code !== 422)) throw error;
    const growthRefused = { at: now, size, message: error.message.slice(0, 4_096) };
    return { ...cluster, status: { ...status, growthRefused } };
  }
}

/** Only the leader itself can hand over. */
function leaderEndpoint({ cluster, pods, memberStatuses }: Observation): string {
  const termOf = ({ metadata }: Pod): number => memberStatuses.get(metadata.name)?.raftTerm ?? 0;
  const leader = pods
    .filter(({ metadata }) => {
      const status = memberStatuses.get(metadata.name);
      return status !== undefined && status.memberId === status.leaderId;
    })
    // One that was deposed may not know it yet.
    .sort((a, b) => termOf(b) - termOf(a))
    .at(0);
  const endpoint = leader === undefined ? undefined : podEndpoint(cluster, leader);
  if (endpoint !== undefined) return endpoint;
  throw new Error('the leader cannot be reached');
}

/** By their kind as we know it: the items of a list do not say theirs. */
function podPath({ metadata }: Pod): string {
  return objectPath('Pod', { namespace: metadata.namespace ?? 'default', name: metadata.name });
}

function volumePath({ metadata }: PersistentVolumeClaim): string {
  const { namespace = 'default', name } = metadata;
  return objectPath('PersistentVolumeClaim', { namespace, name });
}

/** What changes, of the object that was seen and of no other that has its name by now. */
function asSeen<T extends KubeObject>(object: T, seen: ObjectMeta | undefined): T {
  if (seen?.resourceVersion === undefined) return object;
  const { resourceVersion } = seen;
  return { ...object, metadata: { ...object.metadata, resourceVersion } };
}

/** Deletes what was seen and nothing else, however late the request arrives. */
function preconditionsOf({ metadata }: KubeObject): Preconditions {
  const { uid = '', resourceVersion = '' } = metadata;
  return { uid, resourceVersion };
}
