import { status } from '@grpc/grpc-js';
import { Auth } from '../proto/gen/rpc.ts';
import type { Endpoint, SendOptions } from './endpoint.ts';
import { ClientError } from './errors.ts';
import { etcdTexts } from './etcd-texts.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Asked whenever a token is needed, so that passwords can be replaced while the client runs. */
export type CredentialSource = () => Credentials | Promise<Credentials>;

/** The token of one user: asked for when it is first needed, and again when a server does not take it any more. */
export class Tokens {
  readonly #credentials: Credentials | CredentialSource;
  /** Empty while the cluster does without authentication. */
  #token: string | undefined;
  #asking: Promise<string> | undefined;

  constructor(credentials: Credentials | CredentialSource) {
    this.#credentials = credentials;
  }

  /** Asks the endpoint for a token when there is none. What it fails with says nothing of the call that needs one. */
  async current(endpoint: Endpoint, options: SendOptions): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    this.#asking ??= this.#authenticate(endpoint, options).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** A token that was refused. Another may have taken its place already. */
  forget(token = this.#token): void {
    if (this.#token === token) this.#token = undefined;
  }

  async #authenticate(endpoint: Endpoint, { timeoutMs }: SendOptions): Promise<string> {
    const { username, password } = await this.#current(endpoint);
    try {
      const request = { name: username, password };
      const { token } = await endpoint.unary(Auth.methods.authenticate, request, { timeoutMs });
      this.#token = token;
      return token;
    } catch (error) {
      const { code, text, endpoint: asked } = endpoint.failure(error);
      if (text === etcdTexts.authNotEnabled) {
        this.#token = '';
        return '';
      }
      const what = { code, text, endpoint: asked, isUncertain: false };
      throw new ClientError(what, { cause: error });
    }
  }

  async #current(endpoint: Endpoint): Promise<Credentials> {
    const credentials = this.#credentials;
    if (typeof credentials !== 'function') return credentials;
    try {
      return await credentials();
    } catch (error) {
      const text = `no credentials: ${String(error)}`;
      const what = { code: status.UNAUTHENTICATED, text, endpoint: endpoint.url };
      throw new ClientError({ ...what, isUncertain: false }, { cause: error });
    }
  }
}
