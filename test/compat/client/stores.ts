import assert from 'node:assert/strict';
import { after, afterEach, before, suite } from 'node:test';
import { Client, type ClientOptions } from '../../../server/client/client.ts';
import { ClientError } from '../../../server/client/errors.ts';
import { type ClusterOptions, type Program, TestCluster } from '../../support/server-process.ts';
import { onOracle } from '../../support/whole.ts';

// The tests of the TypeScript client run on this store and on etcd: it is a client of the protocol, not of one server.

export interface StoreToUse {
  readonly program: Program;
  readonly cluster: TestCluster;
  /** A client that is closed after the test. */
  client(options?: Partial<ClientOptions>): Client;
}

/** A suite for each of the two programs, whose tests share one cluster. */
export function onBoth(
  name: string,
  options: Omit<ClusterOptions, 'program'>,
  define: (store: StoreToUse) => void,
): void {
  for (const program of ['mainstay', 'etcd'] as const) {
    const skip = program === 'etcd' ? onOracle : {};
    suite(`${name}, on ${program}`, { ...skip, timeout: 5 * 60_000 }, () => {
      const store = new SharedStore(program);
      before(() => store.start(options));
      after(() => store.stop());
      afterEach(() => {
        store.closeClients();
      });
      define(store);
    });
  }
}

class SharedStore implements StoreToUse {
  readonly program: Program;
  readonly #clients: Client[] = [];
  #cluster: TestCluster | undefined;

  constructor(program: Program) {
    this.program = program;
  }

  get cluster(): TestCluster {
    assert(this.#cluster !== undefined);
    return this.#cluster;
  }

  client(options: Partial<ClientOptions> = {}): Client {
    const client = new Client({ endpoints: this.cluster.endpoints, timeoutMs: 15_000, ...options });
    this.#clients.push(client);
    return client;
  }

  async start({ flags = [], ...options }: Omit<ClusterOptions, 'program'>): Promise<void> {
    const fast = this.program === 'etcd' ? ['--unsafe-no-fsync'] : [];
    const { program } = this;
    this.#cluster = await TestCluster.start({ ...options, program, flags: [...flags, ...fast] });
  }

  closeClients(): void {
    for (const client of this.#clients.splice(0)) client.close();
  }

  async stop(): Promise<void> {
    this.closeClients();
    await this.#cluster?.stop();
  }
}

/** What a call failed with. */
export async function failureOf(call: Promise<unknown>): Promise<ClientError> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof ClientError, String(error));
    return error;
  }
  return assert.fail('the call succeeded');
}

export async function leaderOf(cluster: TestCluster, client: Client): Promise<number> {
  for (;;) {
    const statuses = await Promise.allSettled(
      cluster.endpoints.map((url) => client.status(url, { timeoutMs: 2_000 })),
    );
    const leader = statuses.findIndex((each) => {
      return each.status === 'fulfilled' && each.value.leader === each.value.header?.memberId;
    });
    if (leader >= 0) return leader;
  }
}
