// The parts of Kubernetes' own objects that the operator reads or writes, as they are in JSON.

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export type Labels = Readonly<Record<string, string>>;

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** An API server leaves `apiVersion` and `kind` out of the items of its built-in kinds: do not read them there. */
export interface KubeList<Item> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Item[];
}

export interface Pod extends KubeObject {
  readonly kind: 'Pod';
  readonly spec: PodSpec;
  readonly status?: PodStatus;
}

/** Only these fields are read back; the rest is written as it is. */
export interface PodSpec {
  readonly nodeName?: string;
  readonly containers: readonly Container[];
  readonly [field: string]: unknown;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly [field: string]: unknown;
}

export interface PodStatus {
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly podIP?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly conditions?: readonly PodCondition[];
  readonly containerStatuses?: readonly ContainerStatus[];
}

export interface PodCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
}

export interface ContainerStatus {
  readonly restartCount?: number;
  readonly state?: ContainerState;
  /** How it ended before. */
  readonly lastState?: ContainerState;
}

export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: {
    readonly reason?: string;
    readonly exitCode?: number;
    /** What the container left in its `terminationMessagePath`. */
    readonly message?: string;
  };
}

/** Cluster-scoped: it has no namespace. */
export interface Node extends KubeObject {
  readonly kind: 'Node';
  readonly spec: { readonly unschedulable?: boolean };
  readonly status?: { readonly conditions?: readonly PodCondition[] };
}

export interface PersistentVolumeClaim extends KubeObject {
  readonly kind: 'PersistentVolumeClaim';
  readonly spec: {
    readonly accessModes: readonly string[];
    readonly resources: { readonly requests: Labels };
    readonly storageClassName?: string;
    readonly [field: string]: unknown;
  };
  readonly status?: {
    readonly phase?: string;
    readonly capacity?: Labels;
    readonly conditions?: readonly PodCondition[];
  };
}

export interface Service extends KubeObject {
  readonly kind: 'Service';
  readonly spec: {
    readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
    readonly clusterIP?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly loadBalancerClass?: string;
    readonly selector: Labels;
    readonly ports: readonly ServicePort[];
  };
}

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'TCP';
  readonly targetPort: number;
  readonly nodePort?: number;
}

export interface PodDisruptionBudget extends KubeObject {
  readonly kind: 'PodDisruptionBudget';
  readonly spec: {
    readonly minAvailable: number;
    readonly selector: { readonly matchLabels: Labels };
  };
}

export interface NetworkPolicy extends KubeObject {
  readonly kind: 'NetworkPolicy';
  readonly spec: {
    readonly podSelector: { readonly matchLabels: Labels };
    readonly policyTypes: readonly 'Ingress'[];
    readonly ingress: readonly unknown[];
  };
}

/** Read by its name only, never listed or watched. */
export interface Secret extends KubeObject {
  readonly kind: 'Secret';
  readonly type?: string;
  /** Base64. */
  readonly data?: Labels;
}

export interface Lease extends KubeObject {
  readonly kind: 'Lease';
  readonly spec: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface KubeEvent extends KubeObject {
  readonly kind: 'Event';
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly action?: string;
  readonly count?: number;
  readonly firstTimestamp?: string;
  readonly lastTimestamp?: string;
  readonly involvedObject: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
  readonly source?: { readonly component: string };
  readonly reportingComponent?: string;
  readonly reportingInstance?: string;
}
