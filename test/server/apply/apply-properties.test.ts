import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Caller, noCaller } from '../../../server/auth/access.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import type { InternalRequestRequest } from '../../../server/proto/gen/internal.ts';
import { TxnRequest, WatchCreateRequest } from '../../../server/proto/gen/rpc.ts';
import { permission } from '../auth/support.ts';
import { Applying, brief, deleteOp, putOp } from './applying.ts';

// The applied state as a whole: the store, the leases and the watches under one applier.

type Step =
  | {
      kind: 'txn';
      by: string;
      changes: { key: string; value: string | undefined; lease: bigint }[];
    }
  | { kind: 'grant' | 'revoke'; id: bigint }
  | { kind: 'compact'; back: number }
  | { kind: 'rule'; request: InternalRequestRequest; by: string }
  | { kind: 'erase' | 'reopen' };

const id = fc.constantFrom(1n, 2n);
const change = fc.record({
  key: fc.constantFrom('a', 'b', 'c', 'd'),
  value: fc.option(fc.constantFrom('x', 'y'), { nil: undefined, freq: 2 }),
  lease: fc.constantFrom(0n, 0n, 1n, 2n),
});
const changes = fc.uniqueArray(change, { selector: ({ key }) => key, minLength: 1, maxLength: 3 });
/** Mostly those that lead to authentication being on. */
const rules: readonly InternalRequestRequest[] = [
  ...['root', 'u'].map((name) => {
    const hashedPassword = 'aGFzaA==';
    const value = { name, password: '', hashedPassword, options: undefined };
    return { kind: 'authUserAdd' as const, value };
  }),
  { kind: 'authUserGrantRole', value: { user: 'root', role: 'root' } },
  { kind: 'authEnable', value: {} },
  { kind: 'authRoleAdd', value: { name: 'r' } },
  { kind: 'authUserGrantRole', value: { user: 'u', role: 'r' } },
  ...[permission('READWRITE', 'a', 'c'), permission('WRITE', 'c')].map((perm) => ({
    kind: 'authRoleGrantPermission' as const,
    value: { name: 'r', perm },
  })),
  { kind: 'authRoleRevokePermission', value: { role: 'r', ...permission('WRITE', 'c') } },
  { kind: 'authUserDelete', value: { name: 'u' } },
  { kind: 'authDisable', value: {} },
  { kind: 'authenticate', value: { name: 'u', simpleToken: 'abc' } },
];
const by = fc.constantFrom('root', 'root', 'u', '');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('rule' as const),
      request: fc.constantFrom(...rules),
      by,
    }),
  },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('txn' as const), by, changes }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('grant' as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('compact' as const), back: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'erase' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
);
const runs = Number(process.env.APPLY_RUNS ?? 25);
const steps = fc.array(step, { maxLength: 40, size: 'max' });

suite('whatever is applied', () => {
  test('a watch from any revision that is not compacted shows what was published', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        let applying = await Applying.open();
        const published: string[][] = [];
        for (const step of steps) {
          const before = applying.store.revision;
          applying = await run(step, applying);
          for (const { revision, events } of applying.store.readRevisions(before + 1, Infinity)) {
            published[revision] = events.map(({ kv }) => brief(kv));
          }
        }
        const { compactRevision, revision } = applying.store;
        for (let from = Math.max(1, compactRevision); from <= revision; from += 1) {
          assert.deepEqual(history(applying, from), published.slice(from).flat());
        }
      }),
      { numRuns: runs },
    );
  });

  test('two members that apply the same entries have the same state, restarts or not', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        let restarted = await Applying.open();
        let steady = await Applying.open();
        for (const step of steps) {
          restarted = await run(step, restarted);
          if (step.kind !== 'reopen') steady = await run(step, steady);
        }
        for (const applying of [restarted, steady]) while (applying.store.compactionStep());
        assert.deepEqual(await recordsOf(restarted), await recordsOf(steady));
        assert.equal(restarted.auth.isEnabled, steady.auth.isEnabled);
        assert.equal(restarted.auth.revision, steady.auth.revision);
        assert.deepEqual(restarted.lessor.ids(), steady.lessor.ids());
        for (const id of [1n, 2n]) {
          assert.deepEqual(restarted.lessor.keysOf(id), steady.lessor.keysOf(id));
        }
      }),
      { numRuns: runs },
    );
  });
});

async function run(step: Step, applying: Applying): Promise<Applying> {
  switch (step.kind) {
    case 'txn': {
      const success = step.changes.map(({ key, value, lease }) =>
        value === undefined ? deleteOp(key) : putOp(key, value, { lease }),
      );
      applying.apply(
        { kind: 'txn', value: TxnRequest.create({ success }) },
        caller(applying, step),
      );
      return applying;
    }
    case 'grant':
      applying.grant(step.id);
      return applying;
    case 'revoke':
      applying.apply({ kind: 'leaseRevoke', value: { id: step.id, term: 0 } });
      return applying;
    case 'compact': {
      const revision = applying.store.revision - step.back;
      applying.apply({ kind: 'compaction', value: { revision, physical: false } });
      return applying;
    }
    case 'rule':
      applying.apply(step.request, caller(applying, step));
      return applying;
    case 'erase':
      while (applying.store.compactionStep());
      return applying;
    case 'reopen':
      return applying.reopen();
  }
}

function caller({ auth }: Applying, { by: username }: { readonly by: string }): Caller {
  return username === '' ? noCaller : { username, authRevision: auth.revision };
}

function history(applying: Applying, from: number): string[] {
  const events: string[] = [];
  const stream = applying.watches.openStream({
    send(response) {
      for (const { kv } of response.events) events.push(brief(kv));
      return true;
    },
  });
  const everything = { key: fromLatin1('\0'), rangeEnd: fromLatin1('\0') };
  stream.create(WatchCreateRequest.create({ ...everything, startRevision: from }));
  stream.close();
  return events;
}

async function recordsOf(applying: Applying): Promise<string[]> {
  const pinned = applying.backend.pin();
  const records: string[] = [];
  for await (const chunk of pinned.scan({ gte: Uint8Array.of(3) })) {
    for (const [key, value] of chunk) {
      records.push(`${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`);
    }
  }
  pinned.release();
  return records;
}
