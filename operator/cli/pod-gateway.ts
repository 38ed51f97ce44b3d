// [io] A member's JSON gateway, reached through the API server: whoever runs this has no way to the pods' network.
import { clientPort } from '../api/defaults.ts';
import type { Secret } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { HttpKubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { objectPath } from '../kube/paths.ts';
import { namespaceOf, schemeOf } from '../resources/names.ts';
import { entriesOf, passwordOf } from '../resources/secret-facts.ts';
import { passwordKey } from '../resources/secrets.ts';

export class PodGateway {
  readonly #kube: HttpKubeClient;
  readonly #cluster: StoreCluster;
  #token: string | undefined;

  constructor(kube: HttpKubeClient, cluster: StoreCluster) {
    this.#kube = kube;
    this.#cluster = cluster;
  }

  /** Calls from now on are root's, where the store wants to know whose they are. `pod`: of a member that answers. */
  async logIn(pod: string): Promise<void> {
    const source = this.#cluster.spec.auth?.rootPassword;
    if (source === undefined) return;
    const at = { namespace: namespaceOf(this.#cluster), name: source.name };
    const secret = await this.#kube.get<Secret>(objectPath('Secret', at));
    const password = secret && entriesOf(secret).get(passwordKey(source));
    if (password === undefined) {
      throw new Error(`the Secret ${source.name} has no password for root: the store wants one`);
    }
    const answer = await this.post(pod, '/v3/auth/authenticate', {
      name: 'root',
      password: passwordOf(password),
    });
    this.#token = String(answer['token'] ?? '');
  }

  /** 64-bit numbers are strings, in and out. */
  async post(pod: string, path: string, body: object): Promise<Readonly<Record<string, unknown>>> {
    const { client } = this.#cluster.spec.tls ?? {};
    const prefix = schemeOf(client) === 'https' ? 'https:' : '';
    const name = `${prefix}${pod}:${clientPort}`;
    const base = objectPath('Pod', { namespace: namespaceOf(this.#cluster), name: pod });
    // The API server keeps the header Authorization to itself.
    const headers = this.#token === undefined ? {} : { 'Grpc-Metadata-Token': this.#token };
    try {
      const text = await this.#kube.request({
        method: 'POST',
        path: `${base.slice(0, base.lastIndexOf('/'))}/${name}/proxy${path}`,
        headers,
        body,
      });
      return JSON.parse(text) as Record<string, unknown>;
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #explained(error: unknown): Error {
    if (!(error instanceof KubeError)) return new Error(String(error));
    if (error.code === 403 && error.reason === 'Forbidden') {
      return new Error(`${error.message}. The right to create pods/proxy is needed for this.`);
    }
    const wantsCertificate = this.#cluster.spec.tls?.client?.verifyClients === true;
    if (wantsCertificate && error.code >= 500) {
      return new Error(
        'the members want to see a certificate (tls.client.verifyClients), and the API server, through which this ' +
          'request goes, shows none. Use a client with a certificate: etcdctl move-leader, for example from a pod.',
      );
    }
    return error;
  }
}
