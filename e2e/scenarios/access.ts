import { metricsPort } from '../../operator/api/defaults.ts';
import type { Connection, HttpKubeClient } from '../../operator/kube/client.ts';
import { objectPath } from '../../operator/kube/paths.ts';
import type { Environment } from './environment.ts';
import { sendRequest } from './requests.ts';

/** What is done alike on every Kubernetes, in one namespace. */
export function accessTo(
  modules: { readonly connection: Connection; readonly kube: HttpKubeClient },
  namespace: string,
): Pick<Environment, 'remove' | 'podLog' | 'podMetrics' | 'endpointOf'> {
  const { connection, kube } = modules;
  return {
    remove: async (path, gracePeriodSeconds) => {
      await sendRequest(connection, { method: 'DELETE', path, body: { gracePeriodSeconds } });
    },
    podLog: (pod) => {
      const path = `${objectPath('Pod', { namespace, name: pod })}/log`;
      return sendRequest(connection, { method: 'GET', path });
    },
    podMetrics: (pod) => {
      const path = `${objectPath('Pod', { namespace, name: `${pod}:${metricsPort}` })}/proxy/metrics`;
      return sendRequest(connection, { method: 'GET', path });
    },
    endpointOf: async (service) => {
      const path = objectPath('Service', { namespace, name: service });
      const found = await kube.get<{ spec: { clusterIP: string } }>(path);
      if (found === undefined) throw new Error(`there is no Service ${service}`);
      return `http://${found.spec.clusterIP}:2379`;
    },
  };
}

/** What the API server calls its own version. */
export async function versionOf(kube: HttpKubeClient): Promise<string> {
  const { gitVersion } = await kube.list<{ gitVersion: string }>('/version');
  return gitVersion;
}
