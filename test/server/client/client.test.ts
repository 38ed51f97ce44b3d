import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, suite, test } from 'node:test';
import { type ErrorName, EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Client, type ClientOptions } from '../../../server/client/client.ts';
import { ClientError, CompactedError } from '../../../server/client/errors.ts';
import { keysFrom, keysUnder, oneKey } from '../../../server/client/keys.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import { RangeResponse } from '../../../server/proto/gen/rpc.ts';
import { ClientListener } from '../../../server/transport/client-listener.ts';
import { FakeMember } from '../api/fake-member.ts';

interface Served {
  readonly member: FakeMember;
  readonly listener: ClientListener;
  readonly url: string;
}

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serve(url = 'http://127.0.0.1:0'): Promise<Served> {
  const member = new FakeMember();
  const config = { listenClientUrls: [url], requestBytesMax: 1_572_864, txnOpsMax: 128 };
  const listener = await ClientListener.open({ port: member, logger: silentLogger }, config);
  closers.push(() => listener.stop());
  return { member, listener, url: `http://${listener.addresses[0]}` };
}

function clientOf(urls: readonly string[], options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ endpoints: urls, timeoutMs: 3_000, ...options });
  closers.push(() => {
    client.close();
  });
  return client;
}

/** An address that nothing listens on. */
async function nowhere(): Promise<string> {
  const { listener, url } = await serve();
  await listener.stop();
  return url;
}

function refusing(member: FakeMember, name: ErrorName): void {
  member.answer = () => {
    throw new EtcdError(name);
  };
  member.read = () => Promise.reject(new EtcdError(name));
}

async function failure(call: Promise<unknown>): Promise<ClientError> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof ClientError, String(error));
    return error;
  }
  return assert.fail('the call succeeded');
}

suite('calls', () => {
  test('keys and values', async () => {
    const { member, url } = await serve();
    const client = clientOf([url]);
    const put = await client.put('k', 'v', { lease: 5n, prevKv: true });
    assert.equal(put.header?.revision, 6);
    const [request] = member.proposed;
    assert(request?.kind === 'put');
    assert.equal(`${Buffer.from(request.value.key)} ${Buffer.from(request.value.value)}`, 'k v');
    assert.equal(request.value.lease, 5n);
    assert.equal(await client.get('k'), undefined);
    member.range = () => RangeResponse.create({ kvs: [KeyValue.create({ version: 3 })] });
    assert.equal((await client.get('k'))?.version, 3);
    assert.equal((await client.delete(oneKey('k'))).deleted, 2);
    assert.equal((await client.txn({})).succeeded, true);
  });

  test('leases and members', async () => {
    const { member, url } = await serve();
    const client = clientOf([url]);
    assert.equal((await client.leaseGrant(60)).ID, 77n);
    assert.equal(await client.leaseKeepAlive(1n), 60);
    assert.equal(await client.leaseKeepAlive(2n), 0);
    assert.equal((await client.leaseTimeToLive(2n)).TTL, -1);
    await client.leaseRevoke(1n);
    assert.equal((await client.memberList()).members.length, 2);
    assert.equal(
      (await client.memberAdd(['http://c:1'], { isLearner: true })).member?.isLearner,
      true,
    );
    await client.memberPromote(0xc3n);
    await client.memberRemove(0xc3n);
    assert.deepEqual(
      member.changes.map(({ kind }) => kind),
      ['addLearner', 'promote', 'remove'],
    );
    assert.equal((await client.status(url)).leader, 0xa1n);
  });

  test('leadership is moved at the leader, wherever it is', async () => {
    const leader = await serve();
    const follower = await serve();
    for (const { member } of [leader, follower]) {
      member.memberList = member.memberList.map((each) => ({ ...each, isLearner: false }));
    }
    const [own, other] = leader.member.memberList;
    assert(own !== undefined && other !== undefined);
    Object.assign(follower.member, { memberId: other.id });
    follower.member.memberList = [{ ...own, clientUrls: [leader.url] }, other];
    follower.member.raft.isLeader = false;
    await clientOf([follower.url, leader.url]).moveLeader(other.id);
    await clientOf([follower.url]).moveLeader(other.id);
    assert.deepEqual(leader.member.calls, ['transferLeadership b2', 'transferLeadership b2']);
  });
});

suite('failover', () => {
  test('an endpoint that is not there is passed over, for writes too', async () => {
    const { member, url } = await serve();
    const client = clientOf([await nowhere(), url]);
    await client.put('k', 'v');
    await client.put('k', 'v');
    assert.equal(member.proposed.length, 2);
  });

  test('reads go on to the next member, writes that may have taken effect do not', async () => {
    const [sick, well] = [await serve(), await serve()];
    refusing(sick.member, 'Timeout');
    const client = clientOf([sick.url, well.url]);
    const error = await failure(client.put('k', 'v'));
    assert.equal(error.text, 'etcdserver: request timed out');
    assert.equal(error.isUncertain, true);
    assert.equal(error.endpoint, sick.url);
    assert.equal(well.member.proposed.length, 0);
    await client.range(oneKey('k'));
    assert.deepEqual(well.member.calls, ['linearizableRead', 'range']);
    await client.put('k', 'v');
    assert.equal(well.member.proposed.length, 1);
  });

  test('a put that says so is repeated', async () => {
    const [sick, well] = [await serve(), await serve()];
    refusing(sick.member, 'Timeout');
    await clientOf([sick.url, well.url]).put('k', 'v', { mayRepeat: true });
    assert.equal(well.member.proposed.length, 1);
  });

  test('a refusal before proposing is safe to take elsewhere', async () => {
    const [learner, well] = [await serve(), await serve()];
    learner.member.raft.isLearner = true;
    await clientOf([learner.url, well.url]).put('k', 'v');
    assert.equal(well.member.proposed.length, 1);
  });

  test('what every member would say is told at once', async () => {
    const [first, second] = [await serve(), await serve()];
    const error = await failure(clientOf([first.url, second.url]).put('', 'v'));
    assert.equal(error.code, 3);
    assert.equal(error.isUncertain, false);
    assert.equal(second.member.proposed.length, 0);
  });

  test('a member that hangs is not waited for by reads', async () => {
    const [hanging, well] = [await serve(), await serve()];
    hanging.member.read = () => new Promise(() => {});
    await clientOf([hanging.url, well.url], { timeoutMs: 2_500 }).range(oneKey('k'));
    assert.deepEqual(well.member.calls, ['linearizableRead', 'range']);
  });

  test('a write ends with its time, and may have taken effect', async () => {
    const { member, url } = await serve();
    member.answer = () => new Promise(() => {});
    const error = await failure(clientOf([url], { timeoutMs: 200 }).put('k', 'v'));
    assert.equal(error.code, 4);
    assert.equal(error.isUncertain, true);
  });

  test('nobody there: told within the time', async () => {
    const client = clientOf([await nowhere(), await nowhere()], { timeoutMs: 600 });
    const start = performance.now();
    const error = await failure(client.put('k', 'v'));
    assert.equal(error.code, 14);
    assert.equal(error.isUncertain, false);
    assert(performance.now() - start < 1_500);
  });

  test('a member that comes back is found again', async () => {
    const first = await serve();
    const client = clientOf([first.url], { timeoutMs: 5_000 });
    await client.range(oneKey('k'));
    await first.listener.stop();
    const range = client.range(oneKey('k'));
    const second = await serve(first.url);
    await range;
    assert.deepEqual(second.member.calls, ['linearizableRead', 'range']);
  });

  test('names come from the hosts file, which may change', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mainstay-client-'));
    closers.push(() => {
      rmSync(directory, { recursive: true });
    });
    const hostsFile = join(directory, 'hosts');
    const first = await serve();
    const { port } = new URL(first.url);
    writeFileSync(hostsFile, '127.0.0.1 demo-0.demo.svc\n');
    const client = clientOf([`demo-0.demo.svc:${port}`], { hostsFile });
    await client.put('k', '1');
    const second = await serve(`http://127.0.0.2:${port}`);
    await first.listener.stop();
    writeFileSync(hostsFile, '127.0.0.2 demo-0.demo.svc\n');
    await client.range(oneKey('k'));
    assert.deepEqual(second.member.calls, ['linearizableRead', 'range']);
  });
});

suite('watch', () => {
  const kv = (modRevision: number) => KeyValue.create({ key: Buffer.from('k'), modRevision });
  const events = (...revisions: number[]) =>
    revisions.map((revision) => ({ type: 0 as const, kv: kv(revision), prevKv: undefined }));

  async function opened(member: FakeMember, count: number): Promise<FakeMember['streams'][number]> {
    for (;;) {
      const stream = member.streams[count - 1];
      if (stream !== undefined && stream.calls.length > 0) return stream;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  test('goes on at another member where it left off', async () => {
    const [first, second] = [await serve(), await serve()];
    const watch = clientOf([first.url, second.url]).watch(keysUnder('k'));
    const seen: number[] = [];
    const done = (async () => {
      for await (const batch of watch) {
        seen.push(batch.revision);
        if (batch.revision === 9) break;
      }
    })();
    const stream = await opened(first.member, 1);
    stream.send({ watchId: 0n, events: events(6) }, 6);
    stream.send({ watchId: 0n, events: events(7, 7) }, 20);
    while (seen.length < 2) await new Promise(setImmediate);
    const starts: number[] = [];
    const create = second.member.openWatchStream.bind(second.member);
    second.member.openWatchStream = (sink) => {
      const made = create(sink);
      const original = made.create.bind(made);
      made.create = (request) => {
        starts.push(request.startRevision);
        original(request);
      };
      return made;
    };
    await first.listener.stop();
    const resumed = await opened(second.member, 1);
    resumed.send({ watchId: 0n, events: events(7) }, 9);
    resumed.send({ watchId: 0n, events: events(9) }, 9);
    await done;
    assert.deepEqual(starts, [8]);
    assert.deepEqual(seen, [6, 7, 9]);
  });

  test('compacted history is an error that says where to begin', async () => {
    const { member, url } = await serve();
    const watch = clientOf([url]).watch(oneKey('k'), { startRevision: 2 });
    const done = watch[Symbol.asyncIterator]().next();
    const stream = await opened(member, 1);
    stream.send({ watchId: 0n, canceled: true, compactRevision: 5 }, 0);
    await assert.rejects(
      done,
      (error) => error instanceof CompactedError && error.compactRevision === 5,
    );
  });

  test('a refused watch is an error', async () => {
    const { member, url } = await serve();
    const done = clientOf([url]).watch(oneKey('k'))[Symbol.asyncIterator]().next();
    const stream = await opened(member, 1);
    stream.send({ watchId: 0n, canceled: true, cancelReason: 'no' });
    await assert.rejects(done, { text: 'no' });
  });

  test('ends when it is cancelled, also by a signal', async () => {
    const { member, url } = await serve();
    const abort = new AbortController();
    const watch = clientOf([url]).watch(oneKey('k'), { signal: abort.signal });
    const done = (async () => {
      for await (const batch of watch) assert.fail(String(batch.revision));
    })();
    const stream = await opened(member, 1);
    abort.abort();
    await done;
    while (stream.calls.at(-1) !== 'close') await new Promise(setImmediate);
  });
});

suite('keys', () => {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

  test('prefixes and open ends', () => {
    const cases: readonly [ReturnType<typeof oneKey>, string, string][] = [
      [oneKey('a'), 'a', ''],
      [keysUnder('a'), 'a', 'b'],
      [keysUnder(Buffer.from('a\xff', 'latin1')), 'a\xff', 'b'],
      [keysUnder(Buffer.from('\xff', 'latin1')), '\xff', '\0'],
      [keysUnder(''), '\0', '\0'],
      [keysFrom('a'), 'a', '\0'],
      [keysFrom(''), '\0', '\0'],
    ];
    for (const [keys, key, end] of cases) {
      assert.deepEqual([text(keys.key), text(keys.rangeEnd)], [key, end]);
    }
  });
});
