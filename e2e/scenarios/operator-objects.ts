import { leaseRules, nodeRules, workRules } from '../../operator/resources/permissions.ts';

export const operatorName = 'mainstay-operator';

export interface OperatorOptions {
  readonly namespace: string;
  readonly image: string;
  /** Image before the tag, for stores that name no image. */
  readonly imageRepository: string;
}

/** An object of any kind, with the path of its collection. */
export interface Manifest {
  readonly collection: string;
  readonly object: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: {
      readonly name: string;
      readonly namespace?: string;
      readonly labels?: Readonly<Record<string, string>>;
    };
    readonly [field: string]: unknown;
  };
}

/**
 * A namespace with an operator of its own, that may do in it what its rules say and nothing elsewhere but see nodes. What
 * is in no namespace has the namespace's name.
 */
export function operatorObjects(options: OperatorOptions): readonly Manifest[] {
  const { namespace } = options;
  const metadata = { name: operatorName, namespace };
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const rbacVersion = 'rbac.authorization.k8s.io/v1';
  return [
    {
      collection: '/api/v1/namespaces',
      object: {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: namespace, labels: hardened },
      },
    },
    {
      collection: `/api/v1/namespaces/${namespace}/serviceaccounts`,
      object: { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    },
    {
      collection: `${rbac}/roles`,
      object: {
        apiVersion: rbacVersion,
        kind: 'Role',
        metadata,
        rules: [...workRules, ...leaseRules],
      },
    },
    {
      collection: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
      object: {
        apiVersion: rbacVersion,
        kind: 'ClusterRole',
        metadata: { name: namespace },
        rules: nodeRules,
      },
    },
    {
      collection: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
      object: {
        apiVersion: rbacVersion,
        kind: 'ClusterRoleBinding',
        metadata: { name: namespace },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: namespace },
        subjects: [{ kind: 'ServiceAccount', name: operatorName, namespace }],
      },
    },
    {
      collection: `${rbac}/rolebindings`,
      object: {
        apiVersion: rbacVersion,
        kind: 'RoleBinding',
        metadata,
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: operatorName },
        subjects: [{ kind: 'ServiceAccount', name: operatorName, namespace }],
      },
    },
    {
      collection: `/apis/apps/v1/namespaces/${namespace}/deployments`,
      object: deployment(options),
    },
  ];
}

/** What runs in the namespace keeps to the strictest Pod Security standard. */
const hardened = { 'pod-security.kubernetes.io/enforce': 'restricted' };

function deployment(options: OperatorOptions): Manifest['object'] {
  const { namespace } = options;
  const labels = { app: operatorName };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: operatorName, namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: operatorName,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 10001,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [operatorContainer(options)],
        },
      },
    },
  };
}

function operatorContainer({ namespace, image, imageRepository }: OperatorOptions) {
  const probe = (path: string) => ({
    httpGet: { path, port: 'health' },
    periodSeconds: 2,
    failureThreshold: 5,
  });
  return {
    name: 'operator',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['mainstay-operator'],
    args: ['--leader-elect', `--namespace=${namespace}`, `--image-repository=${imageRepository}`],
    ports: [{ name: 'health', containerPort: 8081 }],
    livenessProbe: probe('/livez'),
    readinessProbe: probe('/readyz'),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}
