import { openClusterEnvironment } from './cluster-environment.ts';
import type { Environment, EnvironmentOptions } from './environment.ts';
import { openLocalEnvironment } from './local-environment.ts';

/** localkube, or the cluster of `KUBECONFIG` where that is set. */
export function openEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const kubeconfig = process.env['KUBECONFIG'] ?? '';
  return kubeconfig === ''
    ? openLocalEnvironment(options)
    : openClusterEnvironment(kubeconfig, options);
}
