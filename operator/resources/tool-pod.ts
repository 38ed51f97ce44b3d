import type { CompleteSpec } from '../api/defaults.ts';
import { clientPort } from '../api/defaults.ts';
import type { Container, Labels, OwnerReference, Pod } from '../api/objects.ts';
import { fieldManager } from '../api/schema.ts';
import type { StoreCluster } from '../api/types.ts';
import {
  clientServiceHost,
  clientTlsSecretName,
  namespaceOf,
  operatorAuthSecretName,
  operatorTlsSecretName,
  schemeOf,
} from './names.ts';
import { containerSecurity, podSecurity } from './pod.ts';

// Pods that run `mainstayctl` of the store's own image, with what it needs mounted. They have no rights in Kubernetes; the
// operator reads their one line of result, and the last line of their log.

/** Where a container leaves its result for `terminated.message`; 4 KiB at most. */
const resultFile = '/dev/termination-log';
const storeTlsPath = '/etc/mainstay/store-tls';

const components = ['backup', 'mirror'] as const;

export interface Mount {
  readonly volume: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly mountPath: string;
  readonly readOnly?: true;
}

export interface ToolPodRequest {
  readonly name: string;
  readonly owner: OwnerReference;
  readonly labels: Labels;
  /** What of the store it is: its container's name as well. */
  readonly component: (typeof components)[number];
  /** The command of `mainstayctl`. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly object[];
  readonly mounts: readonly Mount[];
  /** MiB of Node's heap, and of the container. */
  readonly memory: { readonly heap: number; readonly request: number; readonly limit: number };
  readonly restartPolicy: 'Never' | 'OnFailure' | 'Always';
}

const componentLabel = 'app.kubernetes.io/component';

function storeLabels({ metadata }: StoreCluster): Labels {
  return {
    'app.kubernetes.io/name': 'mainstay',
    'app.kubernetes.io/instance': metadata.name,
  };
}

/** Each matches some of the pods of {@link buildToolPod} for this store, and together they match all. */
export function toolSelectors(cluster: StoreCluster): readonly Labels[] {
  return components.map((component) => ({ ...storeLabels(cluster), [componentLabel]: component }));
}

export function buildToolPod(
  cluster: StoreCluster,
  spec: CompleteSpec,
  request: ToolPodRequest,
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: request.name,
      namespace: namespaceOf(cluster),
      labels: {
        ...storeLabels(cluster),
        [componentLabel]: request.component,
        'app.kubernetes.io/managed-by': fieldManager,
        ...request.labels,
      },
      ownerReferences: [request.owner],
    },
    spec: {
      restartPolicy: request.restartPolicy,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      ...placementOf(spec),
      containers: [buildContainer(spec, request)],
      volumes: request.mounts.map(({ volume }) => volume),
    },
  };
}

function placementOf({ placement, imagePullSecrets }: CompleteSpec) {
  return {
    ...(placement?.tolerations === undefined ? {} : { tolerations: placement.tolerations }),
    ...(imagePullSecrets === undefined ? {} : { imagePullSecrets }),
  };
}

function buildContainer(
  { image, imagePullPolicy }: CompleteSpec,
  { component, command, args, env, mounts, memory }: ToolPodRequest,
): Container {
  return {
    name: component,
    image,
    ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
    command: ['node', `--max-old-space-size=${memory.heap}`, 'dist/server/ctl/main.js', command],
    args: [...args, `--result-file=${resultFile}`],
    env,
    terminationMessagePath: resultFile,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    resources: {
      requests: { cpu: '50m', memory: `${memory.request}Mi` },
      limits: { memory: `${memory.limit}Mi` },
    },
    securityContext: containerSecurity,
    volumeMounts: mounts.map(({ volume, mountPath, readOnly }) => ({
      name: volume.name,
      mountPath,
      ...(readOnly === undefined ? {} : { readOnly }),
    })),
  };
}

/** How a pod reaches the store, as the operator's own user where authentication is on. */
export interface StoreReach {
  readonly endpoint: string;
  /** Files. */
  readonly cacert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Secret with `username` and `password`. */
  readonly userSecret: string | undefined;
  readonly mounts: readonly Mount[];
}

export function storeReach(cluster: StoreCluster): StoreReach {
  const { client } = cluster.spec.tls ?? {};
  const isVerified = client?.verifyClients === true;
  const secret = isVerified ? operatorTlsSecretName(cluster) : clientTlsSecretName(cluster);
  const file = (name: string, isThere: boolean) =>
    isThere ? `${storeTlsPath}/${name}` : undefined;
  return {
    endpoint: `${schemeOf(client)}://${clientServiceHost(cluster)}:${clientPort}`,
    cacert: file('ca.crt', client !== undefined),
    cert: file('tls.crt', isVerified),
    key: file('tls.key', isVerified),
    userSecret: cluster.spec.auth === undefined ? undefined : operatorAuthSecretName(cluster),
    mounts: secretMount('store-tls', client === undefined ? undefined : secret, storeTlsPath),
  };
}

/** `--cacert`, `--cert` and `--key`, or with a prefix such as `--dest-cacert`. */
export function tlsFlags(
  { cacert, cert, key }: Pick<StoreReach, 'cacert' | 'cert' | 'key'>,
  prefix = '',
): string[] {
  return Object.entries({ cacert, cert, key }).flatMap(([name, file]) =>
    file === undefined ? [] : [`--${prefix}${name}=${file}`],
  );
}

/** Variables of the names `NAME_USER` and `NAME_PASSWORD`. */
export function userEnv(name: string, secret: string | undefined): readonly object[] {
  if (secret === undefined) return [];
  return [
    fromSecret(`${name}_USER`, secret, 'username'),
    fromSecret(`${name}_PASSWORD`, secret, 'password'),
  ];
}

export function fromSecret(name: string, secret: string, key: string): object {
  return { name, valueFrom: { secretKeyRef: { name: secret, key } } };
}

export function secretMount(
  name: string,
  secretName: string | undefined,
  mountPath: string,
): Mount[] {
  if (secretName === undefined) return [];
  return [{ volume: { name, secret: { secretName } }, mountPath, readOnly: true }];
}

export const tmpMount: Mount = {
  volume: { name: 'tmp', emptyDir: {} },
  mountPath: '/tmp',
};
