import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { CallContext, StreamCall, UnaryCall } from '../../../server/api/call.ts';
import { StatusError } from '../../../server/api/errors.ts';
import { servicesOf } from '../../../server/api/services.ts';
import { AuditLog, type AuditLogOptions } from '../../../server/audit/audit-log.ts';
import { Auditor } from '../../../server/audit/auditor.ts';
import { AuditRules } from '../../../server/audit/rules.ts';
import { type AuditRow, auditRows } from '../../../server/audit/subject.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { type AuditRule, auditRules } from '../../../server/config/audit.ts';
import { Election } from '../../../server/proto/gen/election.ts';
import { Lock } from '../../../server/proto/gen/lock.ts';
import {
  Auth,
  DeleteRangeRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
  Watch,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { contextOf, FakeMember } from '../api/fake-member.ts';
import { ManualClock } from '../wal/memory-file-system.ts';

interface Line {
  readonly seq: number;
  readonly kind: string;
  readonly call: string;
  readonly outcome: string;
  readonly via?: string;
  readonly error?: string;
  readonly user?: string;
  readonly ranges?: readonly Readonly<Record<string, string>>[];
  readonly moreRanges?: number;
}

class Audited {
  readonly member = new FakeMember();
  readonly #clock = new ManualClock();
  readonly #services;
  #text = '';
  /** The disk writes nothing until it is resolved. */
  stuck: Promise<void> | undefined;
  readonly log: AuditLog;

  constructor(rules: readonly AuditRule[], options: AuditLogOptions = { whenFull: 'drop' }) {
    const sink = {
      write: async (bytes: Buffer) => {
        await this.stuck;
        this.#text += bytes.toString();
        return bytes.length;
      },
      close: async () => {},
    };
    const clock = this.#clock;
    const log = new AuditLog({ sink, clock, logger: silentLogger }, options);
    this.log = log;
    const leaseKeys = (): Uint8Array[] => this.member.leaseKeys();
    const auditor = new Auditor({ log, rules: new AuditRules(rules), clock, leaseKeys }, 'a1');
    const audit = (call: Parameters<Auditor['audit']>[0]) => auditor.audit(call);
    this.#services = servicesOf(this.member, { txnOpsMax: 500, messageBytesMax: 1e6, audit });
  }

  unary<Request>(method: Method<Request, unknown>): UnaryCall<Request> {
    return this.#services.find(method.path) as UnaryCall<Request>;
  }

  stream<Request>(method: Method<Request, unknown>): StreamCall<Request> {
    return this.#services.find(method.path) as StreamCall<Request>;
  }

  get text(): string {
    return this.#text;
  }

  async later(): Promise<void> {
    this.#clock.fire();
    for (let count = 0; count < 10; count++) await turn();
  }

  async lines(): Promise<Line[]> {
    await this.later();
    const lines = this.#text.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as Line);
  }
}

const silent = { send: () => true, end() {}, fail() {} };
const context = (): CallContext => contextOf();
const key = (text: string): Uint8Array => Buffer.from(text);

test('reads and writes by rule, with their outcome, and no value', async () => {
  const audited = new Audited(auditRules('write:/a/,read:/b/'));
  const put = audited.unary(KV.methods.put);
  const canary = key('CANARY');
  await put.run(PutRequest.create({ key: key('/a/1'), value: canary }), context());
  await put.run(PutRequest.create({ key: key('/b/1'), value: canary }), context());
  const range = audited.unary(KV.methods.range);
  await range.run(RangeRequest.create({ key: key('/b/1') }), context());
  await range.run(RangeRequest.create({ key: key('/a/1') }), context());
  await assert.rejects(
    range.run(RangeRequest.create({ key: key('/b/2'), revision: 99 }), context()),
  );
  const lines = await audited.lines();
  assert.deepEqual(
    lines.map(({ seq, call, outcome, ranges }) => [seq, call, outcome, ranges?.[0]?.['key']]),
    [
      [1, 'etcdserverpb.KV/Put', 'OK', '/a/1'],
      [2, 'etcdserverpb.KV/Range', 'OK', '/b/1'],
      [3, 'etcdserverpb.KV/Range', 'OUT_OF_RANGE', '/b/2'],
    ],
  );
  assert.doesNotMatch(JSON.stringify(lines), /CANARY/);
});

test('a call that is refused before anything is done for it is written down too', async () => {
  const audited = new Audited(auditRules('read:*'));
  await assert.rejects(audited.unary(KV.methods.range).run(RangeRequest.create(), context()));
  const [line] = await audited.lines();
  assert.equal(line?.error, 'etcdserver: key is not provided');
});

test('a transaction is what it may do, nested ones included', async () => {
  const audited = new Audited(auditRules('write:/deep/'));
  const put = {
    request: { kind: 'requestPut', value: PutRequest.create({ key: key('/deep/1') }) },
  };
  const inner = TxnRequest.create({ success: [put as never] });
  const nested = { request: { kind: 'requestTxn', value: inner } };
  const txn = audited.unary(KV.methods.txn);
  await txn.run(TxnRequest.create({ failure: [nested as never] }), context());
  await txn
    .run(TxnRequest.create({ compare: [{ key: key('/deep/1') } as never] }), context())
    .catch(() => undefined);
  const lines = await audited.lines();
  assert.deepEqual(
    lines.map(({ kind, ranges }) => [kind, ranges]),
    [['write', [{ op: 'write', key: '/deep/1' }]]],
  );
});

test('a write that answers with what was there before is a read, also within a transaction', async () => {
  const audited = new Audited(auditRules('read:/secrets/'));
  const put = PutRequest.create({ key: key('/secrets/1'), prevKv: true, ignoreValue: true });
  const deletion = DeleteRangeRequest.create({ key: key('/secrets/2'), prevKv: true });
  const run = async <Request>(method: Method<Request, unknown>, request: Request) =>
    audited
      .unary(method)
      .run(request, context())
      .catch(() => undefined);
  await run(KV.methods.put, put);
  await run(KV.methods.put, { ...put, prevKv: false });
  await run(KV.methods.deleteRange, deletion);
  await run(KV.methods.deleteRange, { ...deletion, prevKv: false });
  const ops = [
    { request: { kind: 'requestPut', value: put } },
    { request: { kind: 'requestDeleteRange', value: deletion } },
  ] as const;
  await run(KV.methods.txn, TxnRequest.create({ success: ops as never }));
  const lines = await audited.lines();
  const [first, second] = ['/secrets/1', '/secrets/2'].map((name) => [
    { op: 'write', key: name },
    { op: 'read', key: name },
  ]);
  assert.deepEqual(
    lines.map(({ call, ranges }) => [call.split('/')[1], ranges]),
    [
      ['Put', first],
      ['DeleteRange', second],
      ['Txn', [...(first ?? []), ...(second ?? [])]],
    ],
  );
});

test('a key, a name or an error cannot end a line for those who read it, nor turn it about', async () => {
  const audited = new Audited(auditRules('write:*'));
  const bad = '\n\r\u0000\u001b[2J\u007f\u0085\u009b2J\u2028\u2029\u202e\u2066\ufeff';
  await audited.unary(KV.methods.put).run(PutRequest.create({ key: key(bad) }), context());
  await audited
    .unary(Auth.methods.userDelete)
    .run({ name: bad }, context())
    .catch(() => undefined);
  const lines = await audited.lines();
  assert.equal(lines[0]?.ranges?.[0]?.['key'], bad);
  assert.equal((lines[1] as unknown as { name: string }).name, bad);
  assert.doesNotMatch(audited.text.replaceAll('\n', ''), /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u);
});

test('a token of before the rights changed is no good token', async () => {
  const audited = new Audited([]);
  audited.member.read = () => Promise.reject(new EtcdError('AuthOldRevision'));
  await audited
    .unary(KV.methods.range)
    .run(RangeRequest.create({ key: key('/b') }), context())
    .catch(() => undefined);
  const [line] = await audited.lines();
  assert.equal(line?.error, 'etcdserver: revision of auth store is old');
});

test('many and long keys are shown in part, and it is said', async () => {
  const audited = new Audited(auditRules('write:*'));
  const ops = Array.from({ length: 200 }, (_, index) => ({
    request: { kind: 'requestPut', value: PutRequest.create({ key: key(`k${index}`) }) },
  }));
  await audited.unary(KV.methods.txn).run(TxnRequest.create({ success: ops as never }), context());
  const put = audited.unary(KV.methods.put);
  await put.run(PutRequest.create({ key: Buffer.alloc(5_000, 'x') }), context());
  await put.run(PutRequest.create({ key: Uint8Array.of(0xff, 0) }), context());
  const [txn, long, binary] = await audited.lines();
  assert.equal(txn?.ranges?.length, 128);
  assert.equal(txn?.moreRanges, 72);
  const [shown] = long?.ranges ?? [];
  assert.equal(shown?.['keyHex']?.length, 1_024);
  assert.equal(shown?.['keyBytes'], 5_000);
  assert.equal(binary?.ranges?.[0]?.['keyHex'], 'ff00');
});

test('a revoked lease is a write of the keys that it deletes', async () => {
  const audited = new Audited(auditRules('write:k'));
  const request = LeaseRevokeRequest.create({ ID: 1n });
  await audited
    .unary(Lease.methods.leaseRevoke)
    .run(request, context())
    .catch(() => undefined);
  const [line] = await audited.lines();
  assert.deepEqual(line?.ranges, [{ op: 'write', key: 'k' }]);
});

test('each watch is written down when it is answered, and what had no answer at the end', async () => {
  const audited = new Audited(auditRules('read:/w/'));
  const requests = audited.stream(Watch.methods.watch).open(silent, context());
  const create = (name: string) =>
    ({
      requestUnion: { kind: 'createRequest', value: WatchCreateRequest.create({ key: key(name) }) },
    }) as never;
  await requests.next(create('/w/1'));
  await requests.next(create('/other'));
  await requests.next({ requestUnion: { kind: 'progressRequest', value: {} } } as never);
  await requests.next(create('/w/2'));
  requests.closed();
  const lines = await audited.lines();
  assert.deepEqual(
    lines.map(({ outcome, ranges }) => [outcome, ranges?.[0]?.['key']]),
    [
      ['OK', '/w/1'],
      ['OK', '/w/2'],
    ],
  );
});

test('a stream that is refused as it begins is written down', async () => {
  const audited = new Audited(auditRules('lease'));
  audited.member.raft.isLearner = true;
  assert.throws(
    () => audited.stream(Lease.methods.leaseKeepAlive).open(silent, context()),
    EtcdError,
  );
  const [line] = await audited.lines();
  assert.equal(line?.error, 'etcdserver: rpc not supported for learner');
});

test('where callers block, an answer waits for room, and a refusal as well', async () => {
  const audited = new Audited(auditRules('write:*'), { whenFull: 'block', queueBytesMax: 100 });
  let goOn = (): void => {};
  audited.stuck = new Promise((resolve) => {
    goOn = resolve;
  });
  const put = audited.unary(KV.methods.put);
  // Its line fills the queue.
  await put.run(PutRequest.create({ key: key('1') }), context());
  const outcomes: string[] = [];
  void put.run(PutRequest.create({ key: key('2') }), context()).then(() => outcomes.push('put'));
  void audited
    .unary(Lease.methods.leaseGrant)
    .run(LeaseGrantRequest.create({ TTL: 5 }), context())
    .then(() => outcomes.push('grant'));
  put
    .run(PutRequest.create({ key: key('3'), lease: 9n, ignoreLease: true }), context())
    .catch(() => outcomes.push('refused put'));
  for (let count = 0; count < 10; count++) await turn();
  // What is not written down waits for nothing.
  assert.deepEqual(outcomes, ['grant']);
  goOn();
  await turn();
  const lines = await audited.lines();
  assert.deepEqual(outcomes.toSorted(), ['grant', 'put', 'refused put']);
  // Refusals are quicker than what goes through the log of the store.
  const written = lines.map(({ outcome }) => outcome).toSorted();
  assert.deepEqual(written, ['INVALID_ARGUMENT', 'OK', 'OK']);
});

/** A member that blocks, and whose queue is full. */
async function full(rules = 'write:*,read:*'): Promise<{ audited: Audited; goOn: () => void }> {
  const audited = new Audited(auditRules(rules), { whenFull: 'block', queueBytesMax: 100 });
  let goOn = (): void => {};
  audited.stuck = new Promise((resolve) => {
    goOn = resolve;
  });
  await audited.unary(KV.methods.put).run(PutRequest.create({ key: key('1') }), context());
  assert.equal(audited.log.isFull, true);
  return { audited, goOn };
}

test('what clients give up and ask again while the disk is stuck does not fill the memory', async () => {
  const { audited } = await full();
  const heldBytes = audited.log.queueBytes;
  const put = audited.unary(KV.methods.put);
  const refusals: unknown[] = [];
  for (let number = 0; number < 3_000; number++) {
    put
      .run(PutRequest.create({ key: Buffer.alloc(500, 'k') }), context())
      .catch((error: unknown) => refusals.push(error));
  }
  for (let count = 0; count < 10; count++) await turn();
  assert.equal(audited.log.queueBytes, heldBytes, 'nothing was done, and no line is kept');
  assert.equal(refusals.length, 2_000, 'not all may wait');
  await audited.later();
  assert.equal(refusals.length, 3_000, 'nobody waits for ever');
  assert.match(String(refusals[0]), /the audit log is full.*nothing was done/);
});

test('refusals that no rule asks for do not fill the memory either', async () => {
  const { audited } = await full('write:*');
  const heldBytes = audited.log.queueBytes;
  audited.member.read = () => Promise.reject(new EtcdError('PermissionDenied'));
  const range = audited.unary(KV.methods.range);
  for (let number = 0; number < 100; number++) {
    await range.run(RangeRequest.create({ key: key('/b') }), context()).catch(() => undefined);
  }
  assert.equal(audited.log.queueBytes, heldBytes);
  assert.equal(audited.log.counters.dropped, 100);
});

test('a request that waited for room is not served to a client that is gone', async () => {
  const { audited, goOn } = await full();
  const requests = audited.stream(Watch.methods.watch).open(silent, context());
  const value = WatchCreateRequest.create({ key: key('/w/1') });
  const waits = requests.next({ requestUnion: { kind: 'createRequest', value } } as never);
  assert.ok(waits instanceof Promise);
  requests.closed();
  goOn();
  await waits;
  const lines = await audited.lines();
  assert.deepEqual(
    lines.map(({ call }) => call),
    ['etcdserverpb.KV/Put'],
  );
  assert.deepEqual(audited.member.streams[0]?.calls, ['close']);
});

test('locks and elections are about the keys below their name', () => {
  const rules = new AuditRules(auditRules('write:/jobs/,read:/jobs/'));
  const name = key('/jobs');
  const { lock } = Lock.methods;
  const { campaign, leader, observe } = Election.methods;
  for (const { path } of [lock, campaign, leader, observe]) {
    const row = auditRows.get(path) as AuditRow<unknown> | undefined;
    assert.ok(row);
    const subject = { kind: row.kind, ...row.describe({ name }) };
    assert.equal(rules.wants(subject), true, path);
    const [range] = subject.ranges ?? [];
    assert.deepEqual([range?.key, range?.rangeEnd].map(String), ['/jobs/', '/jobs0'], path);
  }
});

test('a client of gRPC cannot pass for the gateway, nor make a line as long as its request', async () => {
  const audited = new Audited(auditRules('write:*'));
  const spoofed = contextOf({ 'grpcgateway-accept': '*/*' });
  const request = PutRequest.create({ key: key('a') });
  await audited.unary(KV.methods.put).run(request, spoofed);
  audited.member.answer = () => Promise.reject(new StatusError('UNKNOWN', 'x'.repeat(100_000)));
  await assert.rejects(audited.unary(KV.methods.put).run(request, context()));
  const [put, failed] = await audited.lines();
  assert.equal(put?.via, 'grpc');
  assert.equal(failed?.outcome, 'UNKNOWN');
  assert.ok((failed?.error?.length ?? 0) < 1_000, String(failed?.error?.length));
});
