// [io] 1. One observation: everything read live, nothing from a cache.

import { completeSpec } from '../api/defaults.ts';
import type {
  KubeList,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import { podEndpoint, storeEndpoints } from '../resources/endpoints.ts';
import { clusterLabel, isOurs } from '../resources/labels.ts';
import { clientServiceName, memberOfPeerUrl, peersServiceName } from '../resources/names.ts';
import type { MemberStatus, Observation, StoreAnswer } from './observation.ts';
import type { StoreAdmin } from './store-admin.ts';

export interface ObserveModules {
  readonly kube: KubeClient;
  readonly store: StoreAdmin;
  readonly wallMs: () => number;
  readonly newNonce: () => string;
  readonly imageRepository: string;
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
  const children = await observeChildren(modules.kube, cluster, key);
  const members = children.pods.filter((pod) => isOurs(cluster, pod) && podEndpoint(pod));
  const memberStatuses = await askMembers(modules.store, members);
  const store = await askStore(modules.store, cluster, { members, memberStatuses });
  return Object.freeze({
    now: new Date(modules.wallMs()).toISOString(),
    nonce: modules.newNonce(),
    cluster,
    spec: completeSpec(cluster.spec, modules.imageRepository),
    ...children,
    store,
    memberStatuses,
  });
}

async function observeChildren(
  kube: KubeClient,
  cluster: StoreCluster,
  { namespace, name }: ClusterKey,
) {
  const ofCluster = { labelSelector: `${clusterLabel}=${name}` };
  const service = (serviceName: string) =>
    kube.get<Service>(objectPath('Service', { namespace, name: serviceName }));
  const [pods, volumes, peersService, clientService, budget] = await Promise.all([
    kube.list<KubeList<Pod>>(collectionPath('Pod', namespace), ofCluster),
    kube.list<KubeList<PersistentVolumeClaim>>(
      collectionPath('PersistentVolumeClaim', namespace),
      ofCluster,
    ),
    service(peersServiceName(cluster)),
    service(clientServiceName(cluster)),
    kube.get<PodDisruptionBudget>(objectPath('PodDisruptionBudget', { namespace, name })),
  ]);
  return { pods: pods.items, volumes: volumes.items, peersService, clientService, budget };
}

async function askMembers(
  store: StoreAdmin,
  pods: readonly Pod[],
): Promise<ReadonlyMap<string, MemberStatus>> {
  const answers = await Promise.all(
    pods.map(async (pod): Promise<[string, MemberStatus] | undefined> => {
      const endpoint = podEndpoint(pod);
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

async function askStore(
  store: StoreAdmin,
  cluster: StoreCluster,
  asked: {
    readonly members: readonly Pod[];
    readonly memberStatuses: ReadonlyMap<string, MemberStatus>;
  },
): Promise<StoreAnswer> {
  const { members: pods, memberStatuses } = asked;
  if (pods.length === 0) return { kind: 'silent', reason: 'no pod has an address yet' };
  if (memberStatuses.size === 0) return { kind: 'silent', reason: 'no member answers' };
  const endpoints = storeEndpoints(pods, memberStatuses);
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
    return { kind: 'answered', clusterId, members };
  } catch (error) {
    return { kind: 'silent', reason: error instanceof Error ? error.message : String(error) };
  }
}
