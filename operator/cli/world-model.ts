import type {
  KubeObject,
  NetworkPolicy,
  ObjectMeta,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreCluster, StoreClusterStatus } from '../api/types.ts';
import type { MemberStatus, Observation, RaftMember } from '../observe/observation.ts';
import { isTerminating } from '../observe/view.ts';
import type { Action, SecretContent } from '../plan/action.ts';
import {
  childLabels,
  clusterUidLabel,
  finalizer,
  memberIdAnnotation,
  mirrorLabel,
  roleLabel,
} from '../resources/labels.ts';
import { followerPodName } from '../resources/mirror.ts';
import {
  memberOfPeerUrl,
  observersServiceName,
  peersServiceName,
  peerUrl,
} from '../resources/names.ts';
import type { SecretFacts } from '../resources/secret-facts.ts';

// A world in which everything succeeds at once: an action has its effect, a pod that is made is ready, a learner has
// caught up. What was sick before stays so. Observations in, observations out.

/** What would be observed after the action; undefined when this model does not know it. */
export function after(observation: Observation, action: Action): Observation | undefined {
  switch (action.kind) {
    case 'addFinalizer': {
      const { metadata } = observation.cluster;
      const finalizers = [...(metadata.finalizers ?? []), finalizer];
      return withCluster(observation, { metadata: { ...metadata, finalizers } });
    }
    case 'recordStatus':
      return withStatus(observation, action.fields);
    case 'apply':
    case 'remove':
      return afterChild(observation, action.object, action.kind === 'apply');
    case 'createVolume':
      return { ...observation, volumes: [...observation.volumes, withUid(action.volume)] };
    case 'recordMemberId':
      return withVolume(observation, action.volume, ({ metadata }) => ({
        annotations: { ...metadata.annotations, [memberIdAnnotation]: action.id },
      }));
    case 'adoptVolume':
      return withVolume(observation, action.volume, ({ metadata }) => ({
        labels: { ...metadata.labels, [clusterUidLabel]: observation.cluster.metadata.uid ?? '' },
      }));
    case 'growVolume':
      return grown(observation, action.volume, action.size);
    case 'deleteVolume': {
      const { name } = action.volume.metadata;
      const volumes = observation.volumes.filter(({ metadata }) => metadata.name !== name);
      return { ...observation, volumes };
    }
    case 'createPod':
    case 'labelPod':
    case 'deletePod':
      return afterPod(observation, action);
    case 'createBackup': {
      const { backupFirst } = observation;
      const backup = { ...action.backup, status: { phase: 'Complete' as const } };
      return { ...observation, backupFirst: backupFirst && { ...backupFirst, backup } };
    }
    case 'writeSecret':
      return withSecret(observation, action.content);
    case 'deleteSecret': {
      const secrets = new Map(observation.secrets);
      secrets.delete(action.seen.name);
      return { ...observation, secrets };
    }
    default:
      return afterStoreChange(observation, action);
  }
}

/** Some time later, when nothing was done: what was going is gone. */
export function later(observation: Observation): Observation {
  const pods = observation.pods.filter((pod) => !isTerminating(pod));
  const left = new Set(pods.map(({ metadata }) => metadata.name));
  const memberStatuses = new Map(
    [...observation.memberStatuses].filter(([name]) => left.has(name)),
  );
  const volumes = observation.volumes.filter(
    (volume) => !isTerminating(volume) || left.has(volume.metadata.name),
  );
  const isSame =
    pods.length === observation.pods.length && volumes.length === observation.volumes.length;
  return isSame ? observation : { ...observation, pods, volumes, memberStatuses };
}

function afterChild(
  observation: Observation,
  object: Service | PodDisruptionBudget | NetworkPolicy,
  isApplied: boolean,
): Observation {
  const present = isApplied ? withUid(object) : undefined;
  switch (object.kind) {
    case 'PodDisruptionBudget':
      return { ...observation, budget: present as PodDisruptionBudget | undefined };
    case 'NetworkPolicy':
      return { ...observation, networkPolicy: present as NetworkPolicy | undefined };
    case 'Service': {
      const service = present as Service | undefined;
      return { ...observation, [serviceField(observation.cluster, object)]: service };
    }
  }
}

function serviceField(
  cluster: StoreCluster,
  { metadata: { name } }: KubeObject,
): 'peersService' | 'clientService' | 'observersService' {
  if (name === peersServiceName(cluster)) return 'peersService';
  return name === observersServiceName(cluster) ? 'observersService' : 'clientService';
}

type PodAction = Extract<Action, { kind: 'createPod' | 'labelPod' | 'deletePod' }>;

function afterPod(observation: Observation, action: PodAction): Observation {
  const { name, labels } = action.pod.metadata;
  if (labels?.[mirrorLabel] !== undefined) return afterMirrorPod(observation, action);
  const others = observation.pods.filter(({ metadata }) => metadata.name !== name);
  switch (action.kind) {
    case 'createPod':
      return started(observation, action.pod);
    case 'deletePod':
      return { ...observation, pods: others, memberStatuses: without(observation, name) };
    case 'labelPod': {
      const { metadata } = action.pod;
      const labels = { ...metadata.labels, [roleLabel]: action.role };
      return {
        ...observation,
        pods: [...others, { ...action.pod, metadata: { ...metadata, labels } }],
      };
    }
  }
}

/** What it copies is not known here: it runs, and says nothing. */
function afterMirrorPod(observation: Observation, { kind, pod }: PodAction): Observation {
  const idle = { follower: undefined, cutOver: undefined, progress: undefined, notYet: undefined };
  const part = pod.metadata.name === followerPodName(observation.cluster) ? 'follower' : 'cutOver';
  const running = { ...withUid(pod), status: { phase: 'Running' as const } };
  const mirror = {
    ...idle,
    ...observation.mirror,
    [part]: kind === 'deletePod' ? undefined : running,
  };
  return { ...observation, mirror };
}

function without({ memberStatuses }: Observation, name: string): Map<string, MemberStatus> {
  return new Map([...memberStatuses].filter(([each]) => each !== name));
}

/** Its member runs at once; the first of all makes the store. */
function started(observation: Observation, pod: Pod): Observation {
  const { name } = pod.metadata;
  const { cluster } = observation;
  const url = peerUrl(cluster, name);
  const isFirst = pod.spec.containers[0]?.args?.includes('--initial-cluster-state=new') === true;
  const store =
    observation.store.kind === 'silent' && isFirst
      ? {
          kind: 'answered' as const,
          clusterId: 'f0',
          alarms: [],
          members: [{ id: 'f1', name, peerUrls: [url], learner: false }],
        }
      : observation.store;
  const members = store.kind === 'answered' ? store.members : [];
  const own = members.find(({ peerUrls }) => peerUrls.includes(url));
  const known = [...observation.memberStatuses.values()];
  const leaderId = known.find((status) => status.leaderId !== '0')?.leaderId ?? own?.id ?? '0';
  const memberStatuses = new Map(observation.memberStatuses);
  if (own !== undefined) memberStatuses.set(name, levelStatus(known, { id: own.id, leaderId }));
  const status = {
    phase: 'Running' as const,
    podIP: '192.0.2.1',
    conditions: [{ type: 'Ready', status: 'True' as const }],
  };
  return {
    ...observation,
    pods: [...observation.pods, { ...withUid(pod), status }],
    memberStatuses,
    store:
      store.kind === 'answered'
        ? { ...store, members: members.map((each) => (each === own ? { ...each, name } : each)) }
        : store,
  };
}

function levelStatus(
  known: readonly MemberStatus[],
  { id, leaderId }: { readonly id: string; readonly leaderId: string },
): MemberStatus {
  const [other] = known.toSorted((a, b) => b.raftIndex - a.raftIndex);
  const fresh = { raftTerm: 1, raftIndex: 1, raftAppliedIndex: 1, revision: 1 };
  const sizes = { databaseBytes: 0, databaseBytesInUse: 0 };
  const level = other && { ...other, raftAppliedIndex: other.raftIndex };
  return { ...fresh, ...sizes, ...level, memberId: id, leaderId };
}

function afterStoreChange(observation: Observation, action: Action): Observation | undefined {
  const { store } = observation;
  if (store.kind === 'silent') return undefined;
  const withMembers = (members: readonly RaftMember[]) => ({
    ...observation,
    store: { ...store, members },
  });
  switch (action.kind) {
    case 'addLearner':
    case 'addObserver': {
      const id = nextId(store.members);
      const observer = action.kind === 'addObserver' ? { observer: true } : {};
      const added = { id, name: '', peerUrls: [action.peerUrl], learner: true, ...observer };
      return withMembers([...store.members, added]);
    }
    case 'promoteLearner':
      return withMembers(
        store.members.map((each) => (each.id === action.id ? { ...each, learner: false } : each)),
      );
    case 'removeMember': {
      const gone = store.members.find(({ id }) => id === action.id);
      const name = gone?.peerUrls.map((url) => memberOfPeerUrl(observation.cluster, url))[0];
      const changed = withMembers(store.members.filter((each) => each !== gone));
      return { ...changed, memberStatuses: without(observation, name ?? '') };
    }
    case 'moveLeader': {
      const statuses = [...observation.memberStatuses].map(
        ([name, status]) => [name, { ...status, leaderId: action.targetId }] as const,
      );
      return { ...observation, memberStatuses: new Map(statuses) };
    }
    default:
      return undefined;
  }
}

/** In hexadecimal, and nobody's. */
function nextId(members: readonly RaftMember[]): string {
  const taken = new Set(members.map(({ id }) => id));
  let id = 0xf1;
  while (taken.has(id.toString(16))) id += 1;
  return id.toString(16);
}

function withCluster(observation: Observation, fields: Partial<StoreCluster>): Observation {
  return { ...observation, cluster: { ...observation.cluster, ...fields } };
}

function withStatus(observation: Observation, fields: object): Observation {
  const entries = Object.entries({ ...observation.cluster.status, ...fields });
  const status = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  return withCluster(observation, { status: status as StoreClusterStatus });
}

function withVolume(
  observation: Observation,
  volume: PersistentVolumeClaim,
  change: (volume: PersistentVolumeClaim) => Partial<ObjectMeta>,
): Observation {
  const volumes = observation.volumes.map((each) =>
    each.metadata.name === volume.metadata.name
      ? { ...each, metadata: { ...each.metadata, ...change(each) } }
      : each,
  );
  return { ...observation, volumes };
}

function grown(observation: Observation, volume: PersistentVolumeClaim, size: string): Observation {
  const volumes = observation.volumes.map((each) =>
    each.metadata.name === volume.metadata.name
      ? { ...each, spec: { ...each.spec, resources: { requests: { storage: size } } } }
      : each,
  );
  return { ...observation, volumes };
}

function withSecret(observation: Observation, content: SecretContent): Observation {
  const { cluster, secrets } = observation;
  const known = secrets.get(content.name);
  const copied = content.copies.map(({ from, key, to }) => ({ to, key, facts: secrets.get(from) }));
  const digests = copied.flatMap(({ to, key, facts }) => {
    const digest = facts?.digests[key];
    return digest === undefined ? [] : [[to, digest]];
  });
  const trust = copied.find(({ to }) => to === 'ca.crt')?.facts?.trust ?? known?.trust;
  const written = [...Object.keys(content.texts), ...copied.map(({ to }) => to)];
  const facts: SecretFacts = {
    metadata: known?.metadata ?? { name: content.name, labels: childLabels(cluster) },
    keys: [...new Set([...(known?.keys ?? []), ...written, ...content.passwords])],
    certificate: known?.certificate,
    next: known?.next,
    trust,
    encryptionKeys: known?.encryptionKeys ?? [],
    texts: { ...known?.texts, ...content.texts },
    digests: { ...known?.digests, ...(Object.fromEntries(digests) as Record<string, string>) },
  };
  return { ...observation, secrets: new Map(secrets).set(content.name, facts) };
}

function withUid<T extends KubeObject>(object: T): T {
  const { name, uid } = object.metadata;
  return { ...object, metadata: { ...object.metadata, uid: uid ?? `uid of ${name}` } };
}
