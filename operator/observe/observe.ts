// [io] 1. One observation: everything read live, nothing from a cache.

import { completeSpec } from '../api/defaults.ts';
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
import { podEndpoint, storeEndpoints } from '../resources/endpoints.ts';
import { clusterLabel, isOurs, selectedNodeAnnotation } from '../resources/labels.ts';
import { clientServiceName, memberOfPeerUrl, peersServiceName } from '../resources/names.ts';
import { type NodeSource, readNodes } from './nodes.ts';
import type { MemberStatus, Observation, StoreAnswer } from './observation.ts';
import type { StoreAdmin } from './store-admin.ts';

export interface ObserveModules {
  readonly kube: KubeClient;
  readonly store: StoreAdmin;
  readonly wallMs: () => number;
  readonly newNonce: () => string;
  readonly imageRepository: string;
  /** Without it, asked anew in each pass. */
  readonly nodes?: NodeSource;
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
  const children = await observeChildren(modules, cluster, key);
  const members = children.pods.filter((pod) => isOurs(cluster, pod) && podEndpoint(cluster, pod));
  const memberStatuses = await askMembers(modules.store, cluster, members);
  const asked = { members, memberStatuses };
  const store = await askStore(modules.store, cluster, asked);
  const statuses =
    store.kind === 'answered' ? memberStatuses : await hashes(modules.store, cluster, asked);
  return Object.freeze({
    now: new Date(modules.wallMs()).toISOString(),
    nonce: modules.newNonce(),
    cluster,
    spec: completeSpec(cluster.spec, {
      repository: modules.imageRepository,
      present: presentImages(cluster, children.pods),
    }),
    ...children,
    store,
    memberStatuses: statuses,
  });
}

async function observeChildren(
  { kube, nodes: nodeSource = (names) => readNodes(kube, names) }: ObserveModules,
  cluster: StoreCluster,
  { namespace, name }: ClusterKey,
) {
  const ofCluster = { labelSelector: `${clusterLabel}=${name}` };
  const service = (serviceName: string) =>
    kube.get<Service>(objectPath('Service', { namespace, name: serviceName }));
  const [pods, volumes, peersService, clientService, budget, networkPolicy] = await Promise.all([
    kube.list<KubeList<Pod>>(collectionPath('Pod', namespace), ofCluster),
    kube.list<KubeList<PersistentVolumeClaim>>(
      collectionPath('PersistentVolumeClaim', namespace),
      ofCluster,
    ),
    service(peersServiceName(cluster)),
    service(clientServiceName(cluster)),
    kube.get<PodDisruptionBudget>(objectPath('PodDisruptionBudget', { namespace, name })),
    kube.get<NetworkPolicy>(objectPath('NetworkPolicy', { namespace, name })),
  ]);
  const names = nodeNames(pods.items, volumes.items);
  const nodes = names.size === 0 ? undefined : await nodeSource(names);
  const services = { peersService, clientService };
  return { pods: pods.items, volumes: volumes.items, ...services, budget, networkPolicy, nodes };
}

/** The recorded one first; release 0.1 recorded none. */
function presentImages(cluster: StoreCluster, pods: readonly Pod[]): readonly string[] {
  const running = pods
    .filter((pod) => isOurs(cluster, pod) && pod.metadata.deletionTimestamp === undefined)
    .flatMap((pod) => pod.spec.containers[0]?.image ?? []);
  const recorded = cluster.status?.image;
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

async function askMembers(
  store: StoreAdmin,
  cluster: StoreCluster,
  pods: readonly Pod[],
): Promise<ReadonlyMap<string, MemberStatus>> {
  const answers = await Promise.all(
    pods.map(async (pod): Promise<[string, MemberStatus] | undefined> => {
      const endpoint = podEndpoint(cluster, pod);
      if (endpoint === undefined) return undefined;
      try {
        return [pod.metadata.name, await store.status(endpoint)];
      } catch {
        // Not answering is an observation, not a failure: the member is absent from the map.
        return undefined;
      }
    }),
  );
  return new Map(answers.filter((answer) => answer !== undefined));
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
