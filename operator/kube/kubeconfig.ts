// [io] The only importer of client-node: it reads kubeconfigs and knows every way to authenticate.
import { KubeConfig } from '@kubernetes/client-node';
import type { Connection } from './client.ts';

/** `--kubeconfig`, else what kubectl would use, else the service account of the pod. */
export function loadConnection(file: string | undefined): Connection {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no current context with a cluster');
  if (cluster.server.startsWith('http:')) return plainConnection(config, cluster.server);
  return { server: cluster.server, authorize: (options) => config.applyToHTTPSOptions(options) };
}

/** The namespace of the kubeconfig's context. */
export function currentNamespace(file: string | undefined): string | undefined {
  const config = new KubeConfig();
  if (file === undefined) config.loadFromDefault();
  else config.loadFromFile(file);
  return config.getContextObject(config.getCurrentContext())?.namespace;
}

/** client-node refuses http:// unless certificates are not checked, which means nothing there. */
function plainConnection(config: KubeConfig, server: string): Connection {
  config.clusters = config.clusters.map((cluster) => ({ ...cluster, skipTLSVerify: true }));
  return { server, authorize: (options) => config.applyToHTTPSOptions(options) };
}
