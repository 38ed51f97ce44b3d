import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyValue } from '../../server/proto/gen/kv.ts';
import {
  Compare,
  CompareTarget,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../server/proto/gen/rpc.ts';
import { GrpcChannel, type GrpcStream, type Outcome } from '../support/grpc.ts';
import { type Program, type TestCluster, withCluster } from '../support/server-process.ts';
import { onOracle } from '../support/whole.ts';

// The requests of kube-apiserver, message by message as its storage layer (apiserver/pkg/storage/etcd3 over
// clientv3/kubernetes) sends them, and what it relies on in the answers.

const bytes = (text: string) => Buffer.from(text);
const textOf = (value: Uint8Array | undefined) => Buffer.from(value ?? []).toString();

/** The first key after all that begin so. */
function prefixEnd(prefix: string): Uint8Array {
  const end = bytes(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

const compactKey = 'compact_rev_key';

/** One resource type's storage, with a connection of its own, as the API server has. */
class Storage {
  readonly channel: GrpcChannel;

  constructor(url: string) {
    this.channel = new GrpcChannel(url);
  }

  async range(request: Partial<RangeRequest>) {
    return must(await this.channel.call(KV.methods.range, request));
  }

  async get(key: string): Promise<KeyValue | undefined> {
    return (await this.range({ key: bytes(key), limit: 1 })).kvs[0];
  }

  /** Create when `expected` is 0: then without a get on failure. */
  async put(key: string, value: string, expected: number, lease = 0n): Promise<TxnResponse> {
    const failure = expected === 0 ? [] : [getOp(key)];
    return this.txn({
      compare: [modRevisionIs(key, expected)],
      success: [putOp(key, value, lease)],
      failure,
    });
  }

  async remove(key: string, expected: number): Promise<TxnResponse> {
    const value = { key: bytes(key), rangeEnd: new Uint8Array(), prevKv: false };
    return this.txn({
      compare: [modRevisionIs(key, expected)],
      success: [{ request: { kind: 'requestDeleteRange', value } }],
      failure: [getOp(key)],
    });
  }

  async txn(request: Partial<TxnRequest>): Promise<TxnResponse> {
    return must(await this.channel.call(KV.methods.txn, request));
  }

  watch(): GrpcStream<WatchRequest, WatchResponse> {
    return this.channel.stream(Watch.methods.watch, { hasleader: 'true' });
  }
}

function must<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

function modRevisionIs(key: string, value: number): Compare {
  const targetUnion = { kind: 'modRevision', value } as const;
  return Compare.create({ key: bytes(key), target: CompareTarget.MOD, targetUnion });
}

function getOp(key: string): RequestOp {
  return { request: { kind: 'requestRange', value: RangeRequest.create({ key: bytes(key) }) } };
}

function putOp(key: string, value: string, lease = 0n): RequestOp {
  const put = PutRequest.create({ key: bytes(key), value: bytes(value), lease });
  return { request: { kind: 'requestPut', value: put } };
}

/** The object that a failed guard has found. */
function found({ responses }: TxnResponse): KeyValue | undefined {
  const response = responses[0]?.response;
  assert(response?.kind === 'responseRange');
  return response.value.kvs[0];
}

const revisionOf = ({ header }: { header: { revision: number } | undefined }) =>
  header?.revision ?? 0;

function createRequest(prefix: string, startRevision: number): WatchRequest {
  const value = WatchCreateRequest.create({
    key: bytes(prefix),
    rangeEnd: prefixEnd(prefix),
    startRevision,
    prevKv: true,
    progressNotify: true,
  });
  return { requestUnion: { kind: 'createRequest', value } };
}

const progressRequest: WatchRequest = { requestUnion: { kind: 'progressRequest', value: {} } };

async function objectsAndPages(storage: Storage): Promise<void> {
  const prefix = '/registry/configmaps/';
  const key = (n: number) => `${prefix}default/cm-${String(n).padStart(4, '0')}`;
  const created = await storage.put(key(0), 'v1', 0);
  assert.equal(created.succeeded, true);
  const again = await storage.put(key(0), 'v1', 0);
  assert.deepEqual([again.succeeded, again.responses], [false, []]);
  const updated = await storage.put(key(0), 'v2', revisionOf(created));
  assert.equal(revisionOf(updated), revisionOf(created) + 1);
  const stale = await storage.put(key(0), 'v3', revisionOf(created));
  assert.equal(stale.succeeded, false);
  assert.equal(found(stale)?.modRevision, revisionOf(updated));
  assert.equal(found(await storage.remove(key(0), revisionOf(created)))?.version, 2);
  for (let n = 1; n < 25; n++) await storage.put(key(n), String(n), 0);

  const end = prefixEnd(prefix);
  const first = await storage.range({ key: bytes(prefix), rangeEnd: end, limit: 10 });
  assert.deepEqual([first.kvs.length, first.count, first.more], [10, 25, true]);
  const revision = revisionOf(first);
  await storage.put(key(12), 'changed', found(await storage.put(key(12), '', 1))?.modRevision ?? 0);
  await storage.put(key(99), 'new', 0);
  let last = first.kvs.at(-1);
  const pages = [first.kvs.length];
  for (let rest = 15; rest > 0; rest -= 10) {
    const next = Buffer.concat([last?.key ?? bytes(''), Buffer.from([0])]);
    const page = await storage.range({ key: next, rangeEnd: end, limit: 10, revision });
    // What is left from this key on tells whether there is another page.
    assert.equal(page.count, rest);
    assert(page.kvs.every(({ value }) => textOf(value) !== 'changed'));
    pages.push(page.kvs.length);
    last = page.kvs.at(-1);
  }
  assert.deepEqual(pages, [10, 10, 5]);
  const counted = await storage.range({ key: bytes(prefix), rangeEnd: end, countOnly: true });
  assert.deepEqual([counted.count, counted.kvs.length], [26, 0]);
  const keys = await storage.range({ key: bytes(prefix), rangeEnd: end, keysOnly: true });
  assert(keys.kvs.every(({ value }) => value.length === 0));
  const removed = await storage.remove(key(0), revisionOf(updated));
  assert.equal(removed.succeeded, true);
  assert.equal(await storage.get(key(0)), undefined);
}

/** From 1.37 on lists come in streams, and again as above from a server that has none. */
async function listsInStreams(storage: Storage): Promise<'streams' | 'pages'> {
  const prefix = '/registry/streamed/';
  for (let n = 0; n < 30; n++) await storage.put(`${prefix}${n}`, String(n), 0);
  const request = { key: bytes(prefix), rangeEnd: prefixEnd(prefix) };
  const parts = async (more: Partial<RangeRequest>) => {
    const stream = storage.channel.stream(KV.methods.rangeStream);
    stream.send(RangeRequest.create({ ...request, ...more }));
    stream.halfClose();
    const end = await stream.ended();
    const ranges = stream.responses.flatMap(({ rangeResponse }) => rangeResponse ?? []);
    return { end, ranges, kvs: ranges.flatMap(({ kvs }) => kvs) };
  };
  const whole = await storage.range(request);
  const { end, ranges, kvs } = await parts({});
  if (end.kind === 'error' && end.code === 12) return 'pages';
  assert.deepEqual(kvs, whole.kvs);
  assert(ranges.length > 1);
  const last = ranges.at(-1);
  assert.deepEqual([last?.header?.revision, last?.more], [revisionOf(whole), false]);
  await storage.put(`${prefix}new`, '', 0);
  const limited = await parts({ limit: 12, revision: revisionOf(whole) });
  assert.deepEqual(limited.kvs, whole.kvs.slice(0, 12));
  assert.equal(limited.ranges.at(-1)?.more, true);
  assert.equal(limited.ranges.at(-1)?.count, 30);
  return 'streams';
}

async function watchesAndProgress(storage: Storage): Promise<void> {
  const prefix = '/registry/pods/';
  const list = await storage.range({ key: bytes(prefix), rangeEnd: prefixEnd(prefix), limit: 1 });
  const watch = storage.watch();
  watch.send(createRequest(prefix, revisionOf(list) + 1));
  watch.send(createRequest('/registry/leases/', revisionOf(list) + 1));
  await received(watch, 2);
  assert.deepEqual(
    watch.responses.map(({ created, watchId }) => [created, watchId]),
    [
      [true, 0n],
      [true, 1n],
    ],
  );
  const created = await storage.put(`${prefix}a`, '1', 0);
  const updated = await storage.put(`${prefix}a`, '2', revisionOf(created));
  const removed = await storage.remove(`${prefix}a`, revisionOf(updated));
  await eventsOf(watch, 3);
  const events = watch.responses.flatMap((response) => response.events);
  assert.deepEqual(
    events.map(({ type, kv, prevKv }) => [
      type,
      kv?.modRevision,
      kv?.createRevision === kv?.modRevision,
      textOf(prevKv?.value),
    ]),
    [
      [0, revisionOf(created), true, ''],
      [0, revisionOf(updated), false, '1'],
      [1, revisionOf(removed), false, '2'],
    ],
  );
  // A consistent read from the cache: the newest revision, then progress until the cache has it.
  const { header } = await storage.txn({ success: [putOp('/registry/other', '')] });
  const newest = await storage.range({ key: bytes(prefix), rangeEnd: prefixEnd(prefix), limit: 1 });
  assert.equal(revisionOf(newest), header?.revision);
  const progressed = () =>
    watch.responses.some((response) => {
      const isProgress = response.watchId === -1n && response.events.length === 0;
      return isProgress && revisionOf(response) >= revisionOf(newest);
    });
  for (let tries = 0; !progressed(); tries++) {
    assert(tries < 100, 'no progress');
    watch.send(progressRequest);
    await sleep(100);
  }
  watch.cancel();
}

async function received(watch: GrpcStream<WatchRequest, WatchResponse>, count: number) {
  for (let next = 0; next < count; ) ({ next } = await watch.find(next, () => true));
}

async function eventsOf(watch: GrpcStream<WatchRequest, WatchResponse>, count: number) {
  const deadline = performance.now() + 20_000;
  const seen = () => watch.responses.reduce((sum, { events }) => sum + events.length, 0);
  while (seen() < count) {
    assert(performance.now() < deadline, `${seen()} events of ${count}`);
    await sleep(10);
  }
}

/** The compactor: one member of the fleet moves the key on by version, then compacts what was the newest then. */
async function compaction(storage: Storage): Promise<void> {
  const turn = (version: number, revision: number) =>
    storage.txn({
      compare: [
        Compare.create({
          key: bytes(compactKey),
          target: CompareTarget.VERSION,
          targetUnion: { kind: 'version', value: version },
        }),
      ],
      success: [putOp(compactKey, String(revision))],
      failure: [getOp(compactKey)],
    });
  const first = await turn(0, 0);
  assert.equal(first.succeeded, true);
  const lost = await turn(0, 0);
  assert.equal(lost.succeeded, false);
  const kv = found(lost);
  assert.deepEqual([kv?.version, textOf(kv?.value)], [1, '0']);
  const revision = revisionOf(first);
  const second = await turn(1, revision);
  assert.equal(second.succeeded, true);
  const { channel } = storage;
  must(await channel.call(KV.methods.compact, { revision }));
  const twice = await channel.call(KV.methods.compact, { revision });
  assert.deepEqual(twice, {
    kind: 'error',
    code: 11,
    message: 'etcdserver: mvcc: required revision has been compacted',
  });
  const old = await channel.call(KV.methods.range, { key: bytes('/'), revision: revision - 1 });
  assert.equal(old.kind === 'error' && old.message, twice.kind === 'error' && twice.message);
  const future = await channel.call(KV.methods.range, { key: bytes('/'), revision: 1_000_000 });
  assert.equal(
    future.kind === 'error' && future.message,
    'etcdserver: mvcc: required revision is a future revision',
  );
  const watch = storage.watch();
  watch.send(createRequest('/registry/', 2));
  await received(watch, 2);
  const [, over] = watch.responses;
  assert.deepEqual([over?.canceled, over?.compactRevision], [true, revision]);
  watch.cancel();
}

/** Events share leases: reused until it is a minute old or has a thousand objects, never renewed nor revoked. */
async function leases(storage: Storage): Promise<void> {
  const { ID, TTL } = must(
    await storage.channel.call(Lease.methods.leaseGrant, { TTL: 3_600 + 60 }),
  );
  assert.equal(TTL, 3_660);
  for (let n = 0; n < 20; n++) await storage.put(`/registry/events/e${n}`, 'e', 0, ID);
  assert.equal((await storage.get('/registry/events/e7'))?.lease, ID);
  const short = must(await storage.channel.call(Lease.methods.leaseGrant, { TTL: 2 }));
  await storage.put('/registry/masterleases/10.0.0.1', 'ip', 0, short.ID);
  const deadline = performance.now() + 20_000;
  while ((await storage.get('/registry/masterleases/10.0.0.1')) !== undefined) {
    assert(performance.now() < deadline, 'the lease does not expire');
    await sleep(200);
  }
}

async function healthAndVersion(storage: Storage, url: string): Promise<void> {
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 200);
  assert.equal(JSON.parse(await health.text()).health, 'true');
  await storage.range({ key: bytes('/registry/health'), limit: 1 });
  const status = must(await storage.channel.call(Maintenance.methods.status, {}));
  // RequestWatchProgress is used from 3.5.13 (and 3.4.31) on.
  const [major = 0, minor = 0, patch = 0] = status.version.split('.').map(Number);
  assert.match(status.version, /^\d+\.\d+\.\d+$/);
  assert(major === 3 && (minor > 5 || (minor === 5 && patch >= 13)), status.version);
  assert(status.dbSize > 0);
}

/** List, watch and optimistic updates while the leader dies: the watch is reopened at the next revision, nothing is lost. */
async function leaderKill(cluster: TestCluster): Promise<void> {
  const storages = cluster.endpoints.map((url) => new Storage(url));
  const at = await leaderOf(storages);
  const alive = storages.filter((_, index) => index !== at);
  const [writer, watcher] = alive;
  assert(writer !== undefined && watcher !== undefined);
  const prefix = '/registry/nodes/';
  const start = revisionOf(await watcher.range({ key: bytes(prefix) }));
  const seen: KeyValue[] = [];
  const follow = async (isOver: () => boolean) => {
    while (!isOver()) {
      const watch = watcher.watch();
      watch.send(createRequest(prefix, (seen.at(-1)?.modRevision ?? start) + 1));
      let taken = 0;
      while (!isOver() && watch.end === undefined) {
        for (const { events } of watch.responses.slice(taken)) {
          for (const { kv } of events) if (kv !== undefined) seen.push(kv);
        }
        taken = watch.responses.length;
        await sleep(5);
      }
      watch.cancel();
    }
  };
  const written: number[] = [];
  let isDone = false;
  const following = follow(() => isDone && seen.length >= written.length);
  let [expected, value] = [0, 0];
  const update = async () => {
    const outcome = await writer.channel.call(KV.methods.txn, {
      compare: [modRevisionIs(`${prefix}n`, expected)],
      success: [putOp(`${prefix}n`, String(value++))],
      failure: expected === 0 ? [] : [getOp(`${prefix}n`)],
    });
    if (outcome.kind === 'ok' && outcome.response.succeeded) {
      expected = revisionOf(outcome.response);
      written.push(expected);
    } else {
      // As the API server does: read what is there and try again on top of it.
      await sleep(20);
      const read = await writer.channel.call(KV.methods.range, { key: bytes(`${prefix}n`) });
      const current = read.kind === 'ok' ? (read.response.kvs[0]?.modRevision ?? 0) : expected;
      if (current > expected) written.push(current);
      expected = current;
    }
  };
  for (let n = 0; n < 30; n++) await update();
  await cluster.member(at).stop('SIGKILL');
  for (const wanted = written.length + 30; written.length < wanted; ) await update();
  isDone = true;
  await following;
  assert.deepEqual(
    seen.map(({ modRevision }) => modRevision),
    written,
  );
  for (const { channel } of storages) channel.close();
}

async function leaderOf(storages: readonly Storage[]): Promise<number> {
  const statuses = await Promise.all(
    storages.map(({ channel }) => channel.call(Maintenance.methods.status, {})),
  );
  return statuses.map(must).findIndex(({ leader, header }) => leader === header?.memberId);
}

for (const program of ['mainstay', 'etcd'] satisfies Program[]) {
  const options = { ...(program === 'etcd' ? onOracle : {}), timeout: 3 * 60_000 };
  test(`the requests of kube-apiserver, on ${program}`, options, (context) =>
    withCluster({ program, size: 3 }, async (cluster) => {
      const [url = ''] = cluster.endpoints;
      const storage = new Storage(url);
      const part = (name: string, run: () => Promise<void>) => context.test(name, run);
      await part('objects and pages', () => objectsAndPages(storage));
      await part('lists in streams', async () => {
        assert.equal(await listsInStreams(storage), program === 'etcd' ? 'pages' : 'streams');
      });
      await part('watches and progress', () => watchesAndProgress(storage));
      await part('compaction', () => compaction(storage));
      await part('leases', () => leases(storage));
      await part('health and version', () => healthAndVersion(storage, url));
      storage.channel.close();
      await part('a leader that is killed', () => leaderKill(cluster));
    }),
  );
}
