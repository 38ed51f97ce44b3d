import { openClusterEnvironment } from './cluster-environment.ts';
import type { Environment, EnvironmentOptions } from './environment.ts';
import { openLocalEnvironment } from './local-environment.ts';
import { realKubeconfig } from './real-cluster.ts';

/** localkube, or a real cluster where one was named. */
export function openEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const kubeconfig = realKubeconfig();
  return kubeconfig === undefined
    ? openLocalEnvironment(options)
    : openClusterEnvironment(kubeconfig, options);
}
