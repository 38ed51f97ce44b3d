import type { HttpKubeClient } from '../../operator/kube/client.ts';

/** A Kubernetes with the CRD and an operator that looks after one namespace: localkube, or a real one. */
export interface Environment {
  /** As the API server says it, `v1.36.2`. */
  readonly kubernetesVersion: string;
  readonly kubeconfigPath: string;
  readonly kube: HttpKubeClient;
  readonly namespace: string;
  readonly operator: OperatorControl;
  /** Images that the nodes have. */
  readonly images: Images;
  /** How to take the API server away and bring it back; undefined where nobody said how. */
  readonly apiServer: ApiServerControl | undefined;
  /** Deletes an object as it is, with so many seconds to stop in; 0 is SIGKILL. */
  remove(path: string, graceSeconds?: number): Promise<void>;
  /** The log of a pod's container. */
  podLog(pod: string): Promise<string>;
  /** What a member tells under `/metrics`. */
  podMetrics(pod: string): Promise<string>;
  /** Where clients here reach port 2379 of a Service. */
  endpointOf(service: string): Promise<string>;
  /** Takes everything down. What is in the namespace goes with it. */
  close(): Promise<void>;
}

export interface Images {
  /** Of this code; what a StoreCluster runs that names neither image nor version. */
  readonly now: string;
  /** The same name with a tag that is nowhere. */
  readonly missing: string;
  /** Of the release before; undefined where it is not there. */
  readonly before: string | undefined;
}

export interface EnvironmentOptions {
  /** Whether the release before is there too, as an image and as an operator. */
  readonly hasBefore: boolean;
  /** Which operator looks after it at first. */
  readonly operator: Release;
}

export type Release = 'now' | 'before';

export interface OperatorControl {
  start(): Promise<void>;
  /** Another release takes its place. */
  change(release: Release): Promise<void>;
  /** In good order. */
  stop(): Promise<void>;
  /** Ends it without a word, as a node that dies does; it comes back by itself. */
  kill(): Promise<void>;
  /** Whether the one that was started last has begun to work. */
  isWorking(): Promise<boolean>;
  log(): Promise<string>;
}

export interface ApiServerControl {
  stop(): Promise<void>;
  start(): Promise<void>;
}
