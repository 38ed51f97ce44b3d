import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkTxn } from '../../../server/api/validate.ts';
import type { ApplyResult } from '../../../server/apply/applier.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import { keyRange } from '../../../server/mvcc/key-range.ts';
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type CompareTargetUnion,
  type PutRequest,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import { Applying, brief, briefOp, compare, deleteOp, putOp, rangeOp, txnOp } from './applying.ts';
import { Model } from './txn-model.ts';

/** Random transactions, puts, revocations and compactions give the model's answers, states, leases and events. */

const key = fc.constantFrom('a', 'b', 'ba', 'c', '\xff');
const end = fc.constantFrom('', '', 'b', 'c', '\0', '\xff\xff');
const number = fc.integer({ min: 0, max: 6 });
const text = fc.constantFrom('', 'x', 'y');
const lease = fc.constantFrom(0n, 0n, 1n, 2n);

const targetUnion: fc.Arbitrary<CompareTargetUnion | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.record({
    kind: fc.constantFrom('version' as const, 'createRevision' as const, 'modRevision' as const),
    value: number,
  }),
  fc.record({ kind: fc.constant('value' as const), value: text.map(fromLatin1) }),
  fc.record({ kind: fc.constant('lease' as const), value: lease }),
);

const anyCompare: fc.Arbitrary<Compare> = fc
  .tuple(
    key,
    fc.constantFrom(...(Object.keys(CompareTarget) as (keyof typeof CompareTarget)[])),
    fc.constantFrom(...(Object.keys(CompareResult) as (keyof typeof CompareResult)[])),
    targetUnion,
    end,
  )
  .map((parts) => compare(...parts));

const putFlags: fc.Arbitrary<Partial<PutRequest>> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ lease, prevKv: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ ignoreValue: fc.constant(true), lease }) },
  { weight: 1, arbitrary: fc.record({ ignoreLease: fc.constant(true), prevKv: fc.boolean() }) },
);
const anyPut = fc
  .tuple(key, text, putFlags)
  .map(([key, value, flags]) => putOp(key, flags.ignoreValue === true ? '' : value, flags));

const anyRange = fc
  .tuple(key, end, fc.constantFrom(0, 0, 0, -1, 1, 2, 3, 5, 9), fc.integer({ min: -1, max: 2 }))
  .map(([key, end, revision, limit]) => rangeOp(key, end, { revision, limit }));
const anyDelete = fc
  .tuple(key, end, fc.boolean())
  .map(([key, end, prevKv]) => deleteOp(key, end, prevKv));

const { txn } = fc.letrec<{ txn: Partial<TxnRequest>; op: RequestOp }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 2 },
    { weight: 6, arbitrary: anyPut },
    { weight: 3, arbitrary: anyRange },
    { weight: 2, arbitrary: anyDelete },
    { weight: 2, arbitrary: tie('txn').map((txn) => txnOp(txn)) },
  ),
  txn: fc.record({
    compare: fc.array(anyCompare, { maxLength: 2 }),
    success: fc.array(tie('op'), { maxLength: 4 }),
    failure: fc.array(tie('op'), { maxLength: 3 }),
  }),
}));

type Step =
  | { kind: 'txn'; request: Partial<TxnRequest> }
  | { kind: 'put'; op: RequestOp }
  | { kind: 'grant' | 'revoke'; id: bigint }
  | { kind: 'compact'; back: number };

const id = fc.constantFrom(1n, 2n);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: txn
      .filter((request) => isValid(request))
      .map((request) => ({ kind: 'txn' as const, request })),
  },
  { weight: 4, arbitrary: anyPut.map((op) => ({ kind: 'put' as const, op })) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('grant' as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const), id }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(4) }),
  },
);

test('what is applied is what the model says, field by field', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
      const applying = await Applying.open();
      const model = new Model();
      const events: string[] = [];
      watchAll(applying, events);
      for (const step of steps) {
        events.length = 0;
        const [answer, expected] = run(step, applying, model);
        assert.equal(answer, expected);
        check(applying, model);
        assert.deepEqual(events, answer === expected && changes(step) ? model.changes : []);
      }
    }),
    { numRuns: Number(process.env.TXN_MODEL_RUNS ?? 80) },
  );
});

/** Only these make events; the model keeps those of the last one that did. */
function changes({ kind }: Step): boolean {
  return kind === 'txn' || kind === 'put' || kind === 'revoke';
}

function isValid(request: Partial<TxnRequest>): boolean {
  try {
    checkTxn(TxnRequest.create(request), 128);
    return true;
  } catch {
    return false;
  }
}

function watchAll(applying: Applying, events: string[]): void {
  const stream = applying.watches.openStream({
    send(response) {
      for (const { kv } of response.events) events.push(brief(kv));
      return true;
    },
  });
  const everything = { key: fromLatin1('\0'), rangeEnd: fromLatin1('\0') };
  stream.create(WatchCreateRequest.create(everything));
}

function run(step: Step, applying: Applying, model: Model): [string, string] {
  switch (step.kind) {
    case 'txn': {
      const result = applying.txn(step.request);
      return [briefTxn(result), model.txn(TxnRequest.create(step.request))];
    }
    case 'put': {
      assert.ok(step.op.request?.kind === 'requestPut');
      const { value } = step.op.request;
      const result = applying.apply({ kind: 'put', value });
      if (result.error) return [result.error.error, model.put(value)];
      const response = { kind: 'responsePut', value: result.response as never } as const;
      return [briefOp({ response }), model.put(value)];
    }
    case 'grant': {
      const expected = model.leases.has(step.id) ? 'LeaseExists' : 'granted';
      model.leases.add(step.id);
      return [applying.grant(step.id).error?.error ?? 'granted', expected];
    }
    case 'revoke': {
      const value = { id: step.id, term: 0 };
      const result = applying.apply({ kind: 'leaseRevoke', value });
      return [result.error?.error ?? `@${result.revision}`, model.revoke(step.id)];
    }
    case 'compact': {
      const revision = model.revision - step.back;
      const value = { revision, physical: false };
      const result = applying.apply({ kind: 'compaction', value });
      return [result.error?.error ?? `@${result.revision}`, model.compact(revision)];
    }
  }
}

function briefTxn({ error, response }: ApplyResult): string {
  if (error !== undefined) return error.error;
  return briefOp({ response: { kind: 'responseTxn', value: response as TxnResponse } });
}

function check({ store, lessor }: Applying, model: Model): void {
  const everything = keyRange(fromLatin1('\0'), fromLatin1('\0'));
  assert.equal(store.revision, model.revision);
  assert.deepEqual(store.range({ range: everything }).kvs.map(brief), model.all);
  for (const id of [1n, 2n]) {
    assert.equal(lessor.has(id), model.leases.has(id));
    const attached = [...model.state.values()].filter((kv) => kv.lease === id);
    assert.equal(lessor.keysOf(id).length, attached.length);
  }
}
