import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';

/** What a person waits for: how many members are ready, and what the operator does until they are. */
export interface ClusterView {
  readonly ready: number;
  readonly wanted: number;
  readonly doing: string;
  /** The operator has nothing left to do. */
  readonly isSettled: boolean;
}

interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** `kubectl apply --server-side -f FILE`. */
export async function applyFile(url: string, path: string): Promise<void> {
  const object = load(readFileSync(path, 'utf8')) as KubeObject;
  const response = await fetch(`${url}${pathOf(object)}?fieldManager=npm-start&force=true`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/apply-patch+yaml' },
    body: JSON.stringify(object),
  });
  if (!response.ok) throw new Error(`${object.kind} was refused: ${await response.text()}`);
}

function pathOf({ apiVersion, kind, metadata: { name } }: KubeObject): string {
  const plural = `${kind.toLowerCase()}s`;
  const scope = kind === 'CustomResourceDefinition' ? '' : '/namespaces/default';
  return `/apis/${apiVersion}${scope}/${plural}/${name}`;
}

/** Undefined while there is none. What is ready is asked of the pods: a status may be that of an earlier run. */
export async function readCluster(url: string, name: string): Promise<ClusterView | undefined> {
  const path = `/apis/mainstay.dev/v1alpha1/namespaces/default/storeclusters/${name}`;
  const cluster = (await get(url, path)) as StoredCluster | undefined;
  if (cluster === undefined) return undefined;
  const { spec, status = {} } = cluster;
  return {
    ready: await readyPods(url, status.selector),
    wanted: spec.replicas,
    isSettled: status.plan?.decision === 'Idle',
    doing: status.plan?.message ?? 'waiting for the operator',
  };
}

interface StoredCluster {
  readonly spec: { readonly replicas: number };
  readonly status?: {
    readonly selector?: string;
    readonly plan?: { readonly decision: string; readonly message: string };
  };
}

async function readyPods(url: string, selector: string | undefined): Promise<number> {
  if (selector === undefined) return 0;
  const query = `labelSelector=${encodeURIComponent(selector)}`;
  const pods = (await get(url, `/api/v1/namespaces/default/pods?${query}`)) as {
    items: Array<{ status?: { conditions?: Array<{ type: string; status: string }> } }>;
  };
  const isReady = (pod: (typeof pods.items)[number]): boolean =>
    (pod.status?.conditions ?? []).some(
      ({ type, status }) => type === 'Ready' && status === 'True',
    );
  return pods.items.filter(isReady).length;
}

/** Where clients reach the cluster: `http://IP:2379`. */
export async function readService(url: string, name: string): Promise<string> {
  const service = await get(url, `/api/v1/namespaces/default/services/${name}`);
  const { clusterIP } = (service as { spec: { clusterIP: string } }).spec;
  return `http://${clusterIP}:2379`;
}

async function get(url: string, path: string): Promise<unknown> {
  const response = await fetch(`${url}${path}`);
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  return response.json();
}
