import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { UnaryCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import { PrefixQuotas } from '../../../server/api/prefix-quotas.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import type { Applied } from '../../../server/propose/proposer.ts';
import {
  DeleteRangeRequest,
  KV,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
} from '../../../server/proto/gen/rpc.ts';
import type { Method } from '../../../server/proto/wire.ts';
import { ApplyingMember } from './applying-member.ts';
import { contextOf } from './fake-member.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** A put of a key and so many bytes. */
function putOf(key: string, size: number, more: Partial<PutRequest> = {}): PutRequest {
  return PutRequest.create({ key: bytes(key), value: Buffer.alloc(size), ...more });
}

const op = (value: PutRequest): RequestOp => ({ request: { kind: 'requestPut', value } });

class Quotas {
  readonly member: ApplyingMember;
  readonly quotas: PrefixQuotas;
  readonly #services: Services;

  static async open(sizes: Readonly<Record<string, number>>): Promise<Quotas> {
    return new Quotas(await ApplyingMember.open(), sizes);
  }

  private constructor(member: ApplyingMember, sizes: Readonly<Record<string, number>>) {
    this.member = member;
    const quotas = Object.entries(sizes).map(([prefix, sizeBytes]) => ({ prefix, sizeBytes }));
    member.applying.store.keepUsageOf(Object.keys(sizes));
    this.quotas = new PrefixQuotas({ port: member }, quotas);
    const options = { txnOpsMax: 128, messageBytesMax: 1 << 20, quotas: this.quotas };
    this.#services = servicesOf(member, options);
  }

  async ends<Request>(method: Method<Request, unknown>, request: Request): Promise<string> {
    try {
      await (this.#services.find(method.path) as UnaryCall).run(request, contextOf());
      return 'ok';
    } catch (error) {
      const { code, message } = toStatus(error);
      return `${code} ${message}`;
    }
  }

  put(key: string, size: number, more: Partial<PutRequest> = {}): Promise<string> {
    return this.ends(KV.methods.put, putOf(key, size, more));
  }
}

const full = /^8 mainstay: the keys with prefix "a\/" have a quota of 100 bytes/;

suite('a quota of a prefix', () => {
  test('refuses what would make it more, there and nowhere else', async () => {
    const at = await Quotas.open({ 'a/': 100 });
    assert.equal(await at.put('a/1', 97), 'ok');
    assert.equal(
      await at.put('a/2', 0),
      '8 mainstay: the keys with prefix "a/" have a quota of 100 bytes and take 100: there is no room for 3 more',
    );
    assert.equal(await at.put('b/2', 1000), 'ok');
    assert.equal(await at.put('a', 1000), 'ok');
    assert.match(await at.put('a/1', 98), full);
    // What does not grow goes on: the same, less, a lease.
    assert.equal(await at.put('a/1', 97), 'ok');
    assert.equal(await at.put('a/1', 0, { ignoreValue: true }), 'ok');
    assert.equal(await at.put('a/1', 90), 'ok');
    assert.equal(await at.put('a/2', 4), 'ok');
    assert.match(await at.put('a/3', 0), full);
    const all = DeleteRangeRequest.create({ key: bytes('a/'), rangeEnd: bytes('a0') });
    assert.equal(await at.ends(KV.methods.deleteRange, all), 'ok');
    assert.equal(await at.put('a/3', 97), 'ok');
    assert.deepEqual([...at.quotas.refused], [['a/', 3]]);
    assert.deepEqual([...at.quotas.usage()], [{ prefix: 'a/', usedBytes: 100, quotaBytes: 100 }]);
  });

  test('of a transaction counts the branch that puts more, nested ones too', async () => {
    const at = await Quotas.open({ 'a/': 100, 'a/b/': 50 });
    const txn = (request: Partial<TxnRequest>) =>
      at.ends(KV.methods.txn, TxnRequest.create(request));
    const [small, large] = [op(putOf('a/1', 7)), op(putOf('a/2', 98))];
    assert.match(await txn({ success: [small], failure: [large] }), full);
    const nested: RequestOp = {
      request: {
        kind: 'requestTxn',
        value: TxnRequest.create({ success: [op(putOf('a/2', 90))] }),
      },
    };
    assert.match(await txn({ success: [small, nested] }), full);
    assert.match(await txn({ success: [op(putOf('a/b/1', 46))] }), /"a\/b\/" have a quota of 50/);
    assert.equal(await txn({ success: [small, op(putOf('a/b/1', 45))] }), 'ok');
    const range: RequestOp = {
      request: { kind: 'requestRange', value: RangeRequest.create({ key: bytes('a/1') }) },
    };
    assert.equal(await txn({ success: [range], failure: [range] }), 'ok');
    assert.deepEqual(
      [...at.quotas.usage()].map(({ usedBytes }) => usedBytes),
      [60, 50],
    );
  });

  test('is not overrun by what is under way, and gets back what failed', async () => {
    const at = await Quotas.open({ 'a/': 100 });
    const applied: (() => void)[] = [];
    const propose = at.member.propose.bind(at.member);
    at.member.propose = async (...args): Promise<Applied> => {
      await new Promise<void>((resolve) => applied.push(resolve));
      return propose(...args);
    };
    const puts = Array.from({ length: 9 }, (_, number) => at.put(`a/${number}`, 22));
    while (applied.length < 4) await new Promise(setImmediate);
    for (const apply of applied) apply();
    const ends = await Promise.all(puts);
    assert.deepEqual(
      ends.map((end) => end === 'ok'),
      [true, true, true, true, false, false, false, false, false],
    );
    at.member.propose = () => {
      throw new Error('a fault');
    };
    const free = DeleteRangeRequest.create({ key: bytes('a/'), rangeEnd: bytes('a0') });
    await propose({ kind: 'deleteRange', value: free });
    for (let time = 0; time < 9; time++) assert.match(await at.put('a/1', 97), /internal/);
    at.member.propose = propose;
    assert.equal(await at.put('a/1', 97), 'ok');
  });

  test('of 0 takes nothing, and leases that end make room', async () => {
    const none = await Quotas.open({ 'a/': 0 });
    assert.match(await none.put('a/', 0), /a quota of 0 bytes/);
    const at = await Quotas.open({ 'a/': 100 });
    at.member.applying.grant(7n);
    assert.equal(await at.put('a/1', 97, { lease: 7n }), 'ok');
    assert.match(await at.put('a/2', 0), full);
    at.member.applying.apply({ kind: 'leaseRevoke', value: { id: 7n, term: 0 } });
    assert.equal(await at.put('a/2', 97), 'ok');
  });
});
