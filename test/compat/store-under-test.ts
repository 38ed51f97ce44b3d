import assert from 'node:assert/strict';
import { latin1 } from '../../server/base/bytes.ts';
import { KV, Lease, Maintenance } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel, type Outcome } from '../support/grpc.ts';
import { type ClusterOptions, TestCluster } from '../support/server-process.ts';

/** One of the two stores that a test compares: a cluster and a connection to a member, a follower if there is one. */
export class StoreUnderTest {
  readonly cluster: TestCluster;
  readonly channel: GrpcChannel;

  static async start(options: ClusterOptions): Promise<StoreUnderTest> {
    const cluster = await TestCluster.start(options);
    try {
      return new StoreUnderTest(cluster, await connect(cluster));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private constructor(cluster: TestCluster, channel: GrpcChannel) {
    this.cluster = cluster;
    this.channel = channel;
  }

  /**
   * Takes away all keys, leases and history, so that the next sequence meets the same store as if it were the first.
   * Resolves with the revision then.
   */
  async clear(): Promise<number> {
    const everything = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };
    const { leases } = must(await this.channel.call(Lease.methods.leaseLeases, {}));
    for (const { ID } of leases) {
      // It may have expired meanwhile.
      await this.channel.call(Lease.methods.leaseRevoke, { ID });
    }
    const { header } = must(await this.channel.call(KV.methods.deleteRange, everything));
    const revision = header?.revision ?? 0;
    // Refused when the sequence before has compacted just here.
    await this.channel.call(KV.methods.compact, { revision });
    return revision;
  }

  async stop(): Promise<void> {
    this.channel.close();
    await this.cluster.stop();
  }
}

async function connect(cluster: TestCluster): Promise<GrpcChannel> {
  for (const { clientUrl } of cluster.members) {
    const channel = new GrpcChannel(clientUrl);
    const { header, leader } = must(await channel.call(Maintenance.methods.status, {}));
    if (cluster.members.length === 1 || leader !== header?.memberId) return channel;
    channel.close();
  }
  throw new Error('every member says that it leads');
}

export interface StoreOptions {
  readonly flags?: readonly string[];
  /** How many members the store has that is tested, 1 by default; etcd has one. */
  readonly size?: number;
}

/** Gives two stores with the same flags to `body`: the one that is tested and etcd, which says what is right. */
export async function withStores<T>(
  { flags = [], size = 1 }: StoreOptions,
  body: (stores: readonly [StoreUnderTest, StoreUnderTest]) => Promise<T>,
): Promise<T> {
  const [tested, etcd] = await startAll([
    { program: testedProgram(), flags, size },
    // Its disk is not what is compared here.
    { program: 'etcd', flags: [...flags, '--unsafe-no-fsync'] },
  ]);
  assert.ok(tested !== undefined && etcd !== undefined);
  try {
    return await tested.cluster.showLogsOnFailure(() =>
      etcd.cluster.showLogsOnFailure(() => body([tested, etcd])),
    );
  } finally {
    await Promise.all([tested.stop(), etcd.stop()]);
  }
}

/** MAINSTAY_COMPAT=etcd compares etcd with itself: what differs then is the fault of the test. */
export function testedProgram(): 'etcd' | 'mainstay' {
  return process.env['MAINSTAY_COMPAT'] === 'etcd' ? 'etcd' : 'mainstay';
}

async function startAll(options: readonly ClusterOptions[]): Promise<StoreUnderTest[]> {
  const started = await Promise.allSettled(options.map((option) => StoreUnderTest.start(option)));
  const stores = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed === undefined) return stores;
  await Promise.all(stores.map((store) => store.stop()));
  throw failed.reason;
}

function must<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

const idsOfTheStore: ReadonlySet<string> = new Set(['clusterId', 'memberId', 'raftTerm']);
const revisions: ReadonlySet<string> = new Set([
  'revision',
  'createRevision',
  'modRevision',
  'compactRevision',
]);

/**
 * An answer in the form in which two stores must agree: ids and terms left out, revisions counted from `base`, bytes as
 * latin-1 text. 0 and negative revisions stand for themselves.
 */
export function comparable(answer: unknown, base: number): unknown {
  if (answer instanceof Uint8Array) return shortened(latin1(answer));
  if (typeof answer === 'bigint') return String(answer);
  if (Array.isArray(answer)) return answer.map((element) => comparable(element, base));
  if (typeof answer !== 'object' || answer === null) return answer;
  const fields = Object.entries(answer).filter(([name]) => !idsOfTheStore.has(name));
  return Object.fromEntries(
    fields.map(([name, field]) => [
      name,
      revisions.has(name) && typeof field === 'number' && field > 0
        ? `base${signed(field - base)}`
        : comparable(field, base),
    ]),
  );
}

function signed(n: number): string {
  return n < 0 ? String(n) : `+${n}`;
}

/** Long values stand out in a report by their length alone. */
function shortened(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 10)}...(${text.length} bytes)`;
}
