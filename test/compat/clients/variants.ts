import assert from 'node:assert/strict';
import { after, before, suite } from 'node:test';
import { Client, type ClientOptions } from '../../../server/client/client.ts';
import { Authority, Files } from '../../support/certificates.ts';
import { type Program, TestCluster } from '../../support/server-process.ts';
import { testedProgram } from '../store-under-test.ts';

// Clients that others have written, in clear and over TLS with authentication. With MAINSTAY_COMPAT=etcd they run on etcd.

export const rootUser = { username: 'root', password: 'a secret' };

export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** One member, and what a client needs to use it. */
export interface SecuredStore {
  readonly program: Program;
  readonly cluster: TestCluster;
  readonly url: string;
  /** `host:port`. */
  readonly address: string;
  /** Of the server and of the client alike, when the store speaks TLS. */
  readonly certificates: Certificates | undefined;
  /** Who must log in, when authentication is on. */
  readonly user: { username: string; password: string } | undefined;
  /** Our own client, closed after the suite. */
  client(options?: Partial<ClientOptions>): Client;
}

const variants = [
  { name: 'in clear', isSecured: false },
  { name: 'over TLS with authentication', isSecured: true },
] as const;

export function onVariants(
  name: string,
  options: { skip?: string | false },
  define: (store: SecuredStore) => void,
): void {
  for (const variant of variants) onVariant(name, { ...options, ...variant }, define);
}

export interface VariantOptions {
  readonly isSecured: boolean;
  readonly program?: Program;
  readonly skip?: string | false;
}

export function onVariant(
  name: string,
  { isSecured, program = testedProgram(), ...options }: VariantOptions,
  define: (store: SecuredStore) => void,
): void {
  const variant = variants.find((each) => each.isSecured === isSecured);
  const skip = options.skip ?? false;
  suite(`${name}, ${variant?.name}`, { skip, timeout: 3 * 60_000 }, () => {
    const store = new VariantStore(program, isSecured);
    before(() => store.start());
    after(() => store.stop());
    define(store);
  });
}

class VariantStore implements SecuredStore {
  readonly program: Program;
  certificates: Certificates | undefined;
  readonly user: SecuredStore['user'];
  readonly #isSecured: boolean;
  readonly #clients: Client[] = [];
  #files: Files | undefined;
  #cluster: TestCluster | undefined;

  constructor(program: Program, isSecured: boolean) {
    this.program = program;
    this.#isSecured = isSecured;
    this.user = isSecured ? rootUser : undefined;
  }

  get cluster(): TestCluster {
    assert(this.#cluster !== undefined);
    return this.#cluster;
  }

  get url(): string {
    return this.cluster.member(0).clientUrl;
  }

  get address(): string {
    return new URL(this.url).host;
  }

  client(options: Partial<ClientOptions> = {}): Client {
    const { certificates, user } = this;
    const client = new Client({
      endpoints: [this.url],
      timeoutMs: 20_000,
      tls: certificates,
      credentials: user,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  async start(): Promise<void> {
    const { program } = this;
    if (!this.#isSecured) {
      this.#cluster = await TestCluster.start({ program });
      return;
    }
    this.certificates = await this.#issue();
    const { certFile, keyFile, caFile } = this.certificates;
    const flags = [
      `--cert-file=${certFile}`,
      `--key-file=${keyFile}`,
      `--trusted-ca-file=${caFile}`,
      '--client-cert-auth=true',
      // Programs that end with each command log in each time.
      '--bcrypt-cost=4',
    ];
    this.#cluster = await TestCluster.start({ program, flags, schemes: { client: 'https' } });
    const { auth } = this.client({ credentials: undefined });
    await auth.userAdd('root', rootUser.password);
    await auth.userGrantRole({ user: 'root', role: 'root' });
    await auth.enable();
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#cluster?.stop();
    this.#files?.remove();
  }

  async #issue(): Promise<Certificates> {
    const authority = await Authority.create('test');
    const pair = await authority.issue();
    const files = new Files();
    this.#files = files;
    const caFile = files.write('ca.pem', authority.cert);
    return { ca: authority.cert, ...pair, caFile, ...files.writePair('both', pair) };
  }
}
