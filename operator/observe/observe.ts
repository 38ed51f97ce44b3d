// [io] 1. One observation: everything read live, nothing from a cache.

import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import { type CompleteSpec, completeSpec } from '../api/defaults.ts';
import type {
  KubeList,
  NetworkPolicy,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import { appliedOf } from '../resources/applied.ts';
import { operatorUser, ownSides } from '../resources/certificates.ts';
import { podEndpoint, storeEndpoints } from '../resources/endpoints.ts';
import {
  clusterLabel,
  isOurs,
  parkedLabel,
  parkedUidLabel,
  selectedNodeAnnotation,
} from '../resources/labels.ts';
import {
  authoritySecretName,
  clientServiceName,
  memberOfPeerUrl,
  observersServiceName,
  operatorAuthSecretName,
  peersServiceName,
} from '../resources/names.ts';
import { type RestoreSource, restoreSource } from '../resources/restore.ts';
import { isReplaced } from '../resources/secret-facts.ts';
import { accessesOf } from './access.ts';
import type { ReadLog } from './backup-words.ts';
import { observeLoaded, type ReadMetrics } from './loaded-certificates.ts';
import { observeMirror } from './mirror.ts';
import { type NodeSource, readNodes } from './nodes.ts';
import type { BackupFirst, MemberStatus, Observation, StoreAnswer } from './observation.ts';
import { type ObservedSecrets, observeSecrets } from './secrets.ts';
import { AccessRefused, type StoreAccess, type StoreAdmin, type StoreAuth } from './store-admin.ts';
import { isImageMissing } from './view.ts';

export interface ObserveModules {
  readonly kube: KubeClient;
  readonly store: StoreAdmin;
  readonly wallMs: () => number;
  readonly newNonce: () => string;
  readonly imageRepository: string;
  /** Without it, asked anew in each pass. */
  readonly nodes?: NodeSource;
  readonly readMetrics: ReadMetrics;
  readonly readLog: ReadLog;
  /** DNS domain of the Kubernetes cluster. */
  readonly clusterDomain: string;
  /** How long applications get to read new contents of a Secret that they mount. */
  readonly reloadMs: number;
}

export interface ClusterKey {
  readonly namespace: string;
  readonly name: string;
}

/** undefined when the StoreCluster is gone. */
export async function observe(
  modules: ObserveModules,
  key: ClusterKey,
): Promise<Observation | undefined> {
  const cluster = await modules.kube.get<StoreCluster>(objectPath('StoreCluster', key));
  if (cluster === undefined) return undefined;
  const [children, secrets] = await Promise.all([
    observeChildren(modules, cluster, key),
    observeSecrets(modules.kube, cluster),
  ]);
  const members = children.pods.filter((pod) => isOurs(cluster, pod) && podEndpoint(cluster, pod));
  const isRotating = ownSides(cluster).some((side) =>
    isReplaced(secrets.facts.get(authoritySecretName(cluster, side))),
  );
  const spec = completeSpecOf(cluster, children.pods, modules.imageRepository);
  return Object.freeze({
    now: new Date(modules.wallMs()).toISOString(),
    nonce: modules.newNonce(),
    cluster,
    spec,
    ...children,
    backupFirst: await observeBackupFirst(modules.kube, cluster, spec),
    restore: await observeRestore(modules.kube, cluster),
    mirror: await observeMirror(modules, cluster),
    parked: await observeParked(modules.kube, cluster),
    secrets: secrets.facts,
    clusterDomain: modules.clusterDomain,
    reloadMs: modules.reloadMs,
    ...(await observeStore(modules.store, { cluster, secrets, members })),
    loaded: isRotating ? await observeLoaded(modules.readMetrics, members) : new Map(),
  });
}

/** The spec of a cluster with what it runs already. */
export function completeSpecOf(
  cluster: StoreCluster,
  pods: readonly Pod[],
  repository: string,
): CompleteSpec {
  return completeSpec(cluster.spec, { repository, present: presentImages(cluster, pods) });
}

/** Asked for only while the members are to change to another image and nothing is known of a backup. */
async function observeBackupFirst(
  kube: KubeClient,
  { metadata, status }: StoreCluster,
  { image }: CompleteSpec,
): Promise<BackupFirst | undefined> {
  const { clusterID, image: present, beforeChange } = status ?? {};
  if (clusterID === undefined || present === undefined || present === image) return undefined;
  const isPlanned = beforeChange?.image === image;
  if (isPlanned && beforeChange.takenAt !== undefined) return undefined;
  const { name, namespace = 'default' } = metadata;
  const path = collectionPath('StoreBackupSchedule', namespace);
  const { items } = await kube.list<KubeList<StoreBackupSchedule>>(path);
  const [schedule] = items
    .filter((each) => each.spec.cluster === name && each.spec.suspend !== true)
    .filter((each) => each.metadata.deletionTimestamp === undefined)
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  if (schedule === undefined) return undefined;
  const at = { namespace, name: isPlanned ? beforeChange.backup : '' };
  const backup = isPlanned ? await kube.get<StoreBackup>(objectPath('StoreBackup', at)) : undefined;
  return { schedule, backup };
}

/** While it can still be wanted: before the store began, or where one is to take its place. */
async function observeRestore(
  kube: KubeClient,
  { metadata, spec, status }: StoreCluster,
): Promise<RestoreSource | undefined> {
  const begins = status?.clusterID === undefined ? spec.bootstrap?.restore : undefined;
  const wanted = spec.restore ?? begins;
  if (wanted === undefined) return undefined;
  if (wanted.target !== undefined) {
    return restoreSource(wanted, {
      target: wanted.target,
      object: undefined,
      clusterUID: undefined,
    });
  }
  const at = { namespace: metadata.namespace ?? 'default', name: wanted.backup ?? '' };
  const backup = await kube.get<StoreBackup>(objectPath('StoreBackup', at));
  if (backup?.status?.object === undefined) return undefined;
  const { object, clusterUID } = backup.status;
  return restoreSource(wanted, { ...backup.spec, object, clusterUID });
}

async function observeParked(
  kube: KubeClient,
  { metadata, spec }: StoreCluster,
): Promise<readonly PersistentVolumeClaim[]> {
  if (spec.restore === undefined) return [];
  const labelSelector = `${parkedLabel}=${metadata.name},${parkedUidLabel}=${metadata.uid}`;
  const path = collectionPath('PersistentVolumeClaim', metadata.namespace ?? 'default');
  return (await kube.list<KubeList<PersistentVolumeClaim>>(path, { labelSelector })).items;
}

interface Observed {
  readonly cluster: StoreCluster;
  readonly secrets: ObservedSecrets;
  /** Pods with an address. */
  readonly members: readonly Pod[];
}

type StorePart = Pick<
  Observation,
  'store' | 'memberStatuses' | 'access' | 'accessRefused' | 'storeAuth'
>;

async function observeStore(
  admin: StoreAdmin,
  { cluster, secrets, members }: Observed,
): Promise<StorePart> {
  const [first, ...others] = accessesOf(cluster, secrets, members);
  let reached = await reachMembers(admin, { cluster, members, access: first });
  for (const access of others) {
    if (reached.accessRefused === undefined || reached.memberStatuses.size > 0) break;
    const again = await reachMembers(admin, { cluster, members, access });
    if (again.memberStatuses.size > 0) reached = again;
  }
  const { access, accessRefused, memberStatuses } = reached;
  const as = admin.as(access);
  const asked = { members, memberStatuses };
  const store = await askStore(as, cluster, asked);
  const isAnswered = store.kind === 'answered';
  return {
    access,
    accessRefused: memberStatuses.size === 0 ? accessRefused : undefined,
    store,
    memberStatuses: isAnswered ? memberStatuses : await hashes(as, cluster, asked),
    storeAuth: isAnswered ? await askAuth(as, { cluster, secrets, members }, asked) : undefined,
  };
}

async function observeChildren(
  { kube, nodes: nodeSource = (names) => readNodes(kube, names) }: ObserveModules,
  cluster: StoreCluster,
  { namespace, name }: ClusterKey,
) {
  const ofCluster = { labelSelector: `${clusterLabel}=${name}` };
  const service = (serviceName: string) =>
    kube.get<Service>(objectPath('Service', { namespace, name: serviceName }));
  const [pods, volumes, peersService, clientService, observersService, budget, networkPolicy] =
    await Promise.all([
      kube.list<KubeList<Pod>>(collectionPath('Pod', namespace), ofCluster),
      kube.list<KubeList<PersistentVolumeClaim>>(
        collectionPath('PersistentVolumeClaim', namespace),
        ofCluster,
      ),
      service(peersServiceName(cluster)),
      service(clientServiceName(cluster)),
      mayHaveObservers(cluster) ? service(observersServiceName(cluster)) : undefined,
      kube.get<PodDisruptionBudget>(objectPath('PodDisruptionBudget', { namespace, name })),
      kube.get<NetworkPolicy>(objectPath('NetworkPolicy', { namespace, name })),
    ]);
  const names = nodeNames(pods.items, volumes.items);
  const nodes = names.size === 0 ? undefined : await nodeSource(names);
  const services = { peersService, clientService, observersService };
  return { pods: pods.items, volumes: volumes.items, ...services, budget, networkPolicy, nodes };
}

/** Where the spec wants none and the status knows none, their Service is not asked for. */
function mayHaveObservers({ spec, status }: StoreCluster): boolean {
  return spec.observers !== undefined || status?.observers !== undefined;
}

/**
 * The recorded one first; release 0.1 recorded none. Before there is a store, nothing has shown that it runs, and no image
 * that cannot be had: where the status was lost, to take that one out of the spec brings the store back.
 */
function presentImages(cluster: StoreCluster, pods: readonly Pod[]): readonly string[] {
  const { image: recorded, clusterID } = cluster.status ?? {};
  const running = pods
    .filter((pod) => isOurs(cluster, pod) && pod.metadata.deletionTimestamp === undefined)
    .filter((pod) => clusterID !== undefined && !isImageMissing(pod))
    .flatMap((pod) => pod.spec.containers[0]?.image ?? []);
  return [...(recorded === undefined ? [] : [recorded]), ...running];
}

/** Where a pod runs, and where its volume was made for. */
function nodeNames(
  pods: readonly Pod[],
  volumes: readonly PersistentVolumeClaim[],
): ReadonlySet<string> {
  const placed = pods.flatMap(({ spec }) => spec.nodeName ?? []);
  const selected = volumes.flatMap(
    ({ metadata }) => metadata.annotations?.[selectedNodeAnnotation] ?? [],
  );
  return new Set([...placed, ...selected]);
}

async function reachMembers(
  admin: StoreAdmin,
  {
    cluster,
    members,
    access,
  }: Pick<Observed, 'cluster' | 'members'> & { readonly access: StoreAccess },
) {
  const store = admin.as(access);
  let accessRefused: string | undefined;
  const answers = await Promise.all(
    members.map(async (pod): Promise<[string, MemberStatus] | undefined> => {
      const endpoint = podEndpoint(cluster, pod);
      if (endpoint === undefined) return undefined;
      try {
        return [pod.metadata.name, await store.status(endpoint)];
      } catch (error) {
        // Not answering is an observation, not a failure: the member is absent from the map.
        if (error instanceof AccessRefused) accessRefused = error.message;
        return undefined;
      }
    }),
  );
  const memberStatuses = new Map(answers.filter((answer) => answer !== undefined));
  return { access, accessRefused, memberStatuses };
}

/** Only where the spec has a say in it, or had. */
async function askAuth(
  store: StoreAdmin,
  { cluster, secrets }: Observed,
  { members, memberStatuses }: Asked,
): Promise<StoreAuth | undefined> {
  const own = secrets.facts.get(operatorAuthSecretName(cluster));
  if (own === undefined || !isOurs(cluster, own)) return undefined;
  const { users = [], roles = [] } = cluster.spec.auth ?? {};
  const applied = appliedOf(own);
  const question = {
    users: [
      ...new Set([
        'root',
        operatorUser,
        ...users.map(({ name }) => name),
        ...Object.keys(applied.users),
      ]),
    ],
    roles: [
      ...new Set([
        ...roles.map(({ name }) => name),
        ...users.flatMap((user) => user.roles ?? []),
        ...applied.roles,
      ]),
    ],
  };
  try {
    return await store.auth(storeEndpoints(cluster, members, memberStatuses), question);
  } catch {
    // It answered a moment ago and will again: nothing is decided about users meanwhile.
    return undefined;
  }
}

/** Without a quorum, what each member holds by itself is what a person has to choose from. */
async function hashes(
  store: StoreAdmin,
  cluster: StoreCluster,
  { members, memberStatuses }: Asked,
): Promise<ReadonlyMap<string, MemberStatus>> {
  const answers = await Promise.all(
    [...memberStatuses].map(async ([name, status]): Promise<[string, MemberStatus]> => {
      const pod = members.find(({ metadata }) => metadata.name === name);
      const endpoint = pod && podEndpoint(cluster, pod);
      try {
        return [
          name,
          endpoint === undefined ? status : { ...status, hash: await store.hash(endpoint) },
        ];
      } catch {
        // Not answering is an observation, not a failure.
        return [name, status];
      }
    }),
  );
  return new Map(answers);
}

interface Asked {
  readonly members: readonly Pod[];
  readonly memberStatuses: ReadonlyMap<string, MemberStatus>;
}

async function askStore(
  store: StoreAdmin,
  cluster: StoreCluster,
  asked: Asked,
): Promise<StoreAnswer> {
  const { members: pods, memberStatuses } = asked;
  if (pods.length === 0) return { kind: 'silent', reason: 'no pod has an address yet' };
  if (memberStatuses.size === 0) return { kind: 'silent', reason: 'no member answers' };
  const endpoints = storeEndpoints(cluster, pods, memberStatuses);
  if (endpoints.length === 0) return { kind: 'silent', reason: 'no member knows a leader' };
  try {
    const { clusterId, members } = await store.memberList(endpoints);
    const recorded = cluster.status?.clusterID;
    if (recorded !== undefined && recorded !== clusterId) {
      const reason = `the members answer for the store ${clusterId}, not for ${recorded}`;
      return { kind: 'silent', reason };
    }
    // Addresses are used again: before an id is recorded, only the members' own names tell whose store this is.
    const isThisStore = members.some(({ peerUrls }) =>
      peerUrls.some((url) => memberOfPeerUrl(cluster, url) !== undefined),
    );
    if (!isThisStore)
      return { kind: 'silent', reason: `another store (${clusterId}) answers there` };
    const alarms = await store.alarms(endpoints);
    return { kind: 'answered', clusterId, members, alarms };
  } catch (error) {
    return { kind: 'silent', reason: error instanceof Error ? error.message : String(error) };
  }
}
