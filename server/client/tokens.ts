import { status } from '@grpc/grpc-js';
import { Auth } from '../proto/gen/rpc.ts';
import type { Endpoint, SendOptions } from './endpoint.ts';
import { ClientError } from './errors.ts';
import { etcdTexts } from './etcd-texts.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/**
 * Asked whenever a token is needed, so that passwords can be replaced while the client runs. Of several, the next is tried
 * where the store does not know the one before: a new password, then the one that it takes the place of.
 */
export type CredentialSource = () => Offered | Promise<Offered>;

type Offered = Credentials | readonly Credentials[];

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

  async #authenticate(endpoint: Endpoint, options: SendOptions): Promise<string> {
    const offered = await this.#offered(endpoint);
    // Between two tries the store may take the new password: then the first is right after all.
    const tries = offered.length > 1 ? [...offered, ...offered] : offered;
    let refused = unauthenticated(endpoint, 'no credentials');
    for (const credentials of tries) {
      try {
        return await this.#login(endpoint, credentials, options);
      } catch (error) {
        refused = endpoint.failure(error);
        if (refused.text !== etcdTexts.authFailed) break;
      }
    }
    throw refused;
  }

  async #login(
    endpoint: Endpoint,
    { username, password }: Credentials,
    { timeoutMs }: SendOptions,
  ): Promise<string> {
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

  async #offered(endpoint: Endpoint): Promise<readonly Credentials[]> {
    const credentials = this.#credentials;
    if (typeof credentials !== 'function') return [credentials];
    try {
      return [await credentials()].flat();
    } catch (error) {
      throw unauthenticated(endpoint, `no credentials: ${String(error)}`, error);
    }
  }
}

function unauthenticated({ url }: Endpoint, text: string, cause?: unknown): ClientError {
  const what = { code: status.UNAUTHENTICATED, text, endpoint: url, isUncertain: false };
  return new ClientError(what, { cause });
}
