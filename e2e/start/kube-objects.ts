import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';

/** What a person waits for: how many members are ready, and what the operator does until they are. */
export interface ClusterView {
  readonly ready: number;
  readonly wanted: number;
  readonly doing: string;
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

/** Undefined while there is none. */
export async function readCluster(url: string, name: string): Promise<ClusterView | undefined> {
  const cluster = await get(
    url,
    `/apis/mainstay.dev/v1alpha1/namespaces/default/storeclusters/${name}`,
  );
  if (cluster === undefined) return undefined;
  const { spec, status = {} } = cluster as {
    spec: { replicas?: number };
    status?: { readyReplicas?: number; ready?: string; plan?: { message?: string } };
  };
  const ready = Number(status.ready?.split('/')[0] ?? 0);
  return {
    ready,
    wanted: spec.replicas ?? 3,
    doing: status.plan?.message ?? 'waiting for the operator',
  };
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
