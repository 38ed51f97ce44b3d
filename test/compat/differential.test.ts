import { AssertionError, deepStrictEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { LeaseTimeToLiveResponse } from '../../server/proto/gen/rpc.ts';
import type { Outcome } from '../support/grpc.ts';
import { needs } from '../support/tools.ts';
import { isWhole } from '../support/whole.ts';
import {
  largeSequence,
  longHistory,
  requestBytesMax,
  ruledSequence,
  sequence,
  txnOpsMax,
  watchedSequence,
} from './arbitraries.ts';
import { type AuthOperation, Session } from './auth-operations.ts';
import { type Operation, perform } from './operations.ts';
import { checkSequences, short } from './property.ts';
import { comparable, type StoreUnderTest, withStores } from './store-under-test.ts';
import { type WatchStep, watchSequence } from './watch-run.ts';

// Random sequences of KV, transaction, lease and user operations, each performed on this store and on etcd: every field of
// every answer must be the same, and every code and message of a refusal.

const flags = ['--max-txn-ops', `${txnOpsMax}`, '--max-request-bytes', `${requestBytesMax}`];
const options = { ...needs('etcd'), timeout: (isWhole ? 30 : 10) * 60_000 };

test('random sequences get equal answers from this store and from etcd', options, () =>
  withStores({ flags }, (stores) =>
    checkSequences({
      sequences: sequence,
      runs: isWhole ? 5000 : 50,
      compare: (operations) => compareCleared(stores, operations),
    }),
  ),
);

test('sequences through a follower get equal answers', options, () =>
  withStores({ flags, size: 3 }, (stores) =>
    checkSequences({
      // Only a leader knows which lease expires first, so a follower lists them in an order of its own.
      sequences: sequence.map((operations) => operations.filter(({ kind }) => kind !== 'leases')),
      runs: isWhole ? 500 : 8,
      compare: (operations) => compareCleared(stores, operations),
    }),
  ),
);

test('sequences over two thousand keys get equal answers', options, () =>
  withStores({}, (stores) =>
    checkSequences({
      sequences: largeSequence,
      runs: isWhole ? 60 : 3,
      compare: (operations) => compareCleared(stores, operations),
    }),
  ),
);

test('a history that is only compacted late gets equal answers', options, () =>
  checkSequences({
    sequences: longHistory,
    runs: isWhole ? 10 : 1,
    // Each on stores of its own: nothing but a new store was never compacted.
    compare: (operations) => withStores({ flags }, (stores) => compare(stores, operations, [1, 1])),
  }),
);

test('what users do and may do gets equal answers', options, () =>
  withStores({ flags: [...flags, '--bcrypt-cost', '4'] }, (stores) =>
    checkSequences({
      sequences: ruledSequence,
      runs: isWhole ? 700 : 12,
      compare: (steps) => compareRuled(stores, steps),
    }),
  ),
);

test('users of a follower get equal answers', options, () =>
  withStores({ flags: [...flags, '--bcrypt-cost', '4'], size: 3 }, (stores) =>
    checkSequences({
      // As above: only a leader knows which lease expires first.
      sequences: ruledSequence.map((steps) =>
        steps.filter((step) => step.kind !== 'as' || step.operation.kind !== 'leases'),
      ),
      runs: isWhole ? 100 : 3,
      compare: (steps) => compareRuled(stores, steps),
    }),
  ),
);

test('watchers see the same events from this store and from etcd', options, () =>
  withStores({ flags }, (stores) =>
    checkSequences({
      sequences: watchedSequence,
      runs: isWhole ? 500 : 20,
      compare: (steps) => compareWatchers(stores, steps),
    }),
  ),
);

test('watchers of a follower see the same events', options, () =>
  withStores({ flags, size: 3 }, (stores) =>
    checkSequences({
      sequences: watchedSequence,
      runs: isWhole ? 100 : 10,
      compare: (steps) => compareWatchers(stores, steps),
    }),
  ),
);

async function compareWatchers(
  stores: readonly StoreUnderTest[],
  steps: readonly WatchStep[],
): Promise<string | undefined> {
  const [tested, etcd] = await Promise.all(
    stores.map(async (store) => watchSequence(store.channel, steps, await store.clear())),
  );
  return isDeepStrictEqual(tested, etcd) ? undefined : diffOf(tested, etcd);
}

async function compareRuled(
  stores: readonly StoreUnderTest[],
  steps: readonly AuthOperation[],
): Promise<string | undefined> {
  const [tested = [], etcd = []] = await Promise.all(
    stores.map(async (store) => {
      const session = await Session.open(store);
      const answers: unknown[] = [];
      for (const step of steps) {
        answers.push(comparable(undated(await session.perform(step)), session.base));
      }
      return answers;
    }),
  );
  return firstDifference(stores, tested, etcd);
}

async function compareCleared(
  stores: readonly StoreUnderTest[],
  operations: readonly Operation[],
): Promise<string | undefined> {
  const bases = await Promise.all(stores.map((store) => store.clear()));
  return compare(stores, operations, bases);
}

type Answer = Outcome<unknown>;

async function compare(
  stores: readonly StoreUnderTest[],
  operations: readonly Operation[],
  bases: readonly number[],
): Promise<string | undefined> {
  const [tested = [], etcd = []] = await Promise.all(
    stores.map((store, i) => performAll(store, operations, bases[i] ?? 0)),
  );
  return firstDifference(stores, tested, etcd);
}

function firstDifference(
  stores: readonly StoreUnderTest[],
  tested: readonly unknown[],
  etcd: readonly unknown[],
): string | undefined {
  const dead = stores.find((store) => !store.cluster.member(0).isRunning);
  if (dead !== undefined) throw new Error(`${dead.cluster.program} has died`);
  const place = etcd.findIndex((answer, i) => !isDeepStrictEqual(tested[i], answer));
  if (place < 0) return undefined;
  return [
    `operation ${place} of these, counted from 0, is answered`,
    `  by the store tested: ${short(tested[place])}`,
    `  by etcd:             ${short(etcd[place])}`,
  ].join('\n');
}

async function performAll(
  store: StoreUnderTest,
  operations: readonly Operation[],
  base: number,
): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const operation of operations) {
    answers.push(comparable(undated(await perform(store.channel, operation, base)), base));
  }
  return answers;
}

/** Without what depends on the moment: how much of a TTL is left. And etcd lists a lease's keys in no order. */
function undated(answer: Answer): Answer {
  if (answer.kind === 'error' || !isTimeToLive(answer.response)) return answer;
  const { TTL, grantedTTL, keys } = answer.response;
  const isNearlyFull = grantedTTL - TTL <= 10;
  return {
    kind: 'ok',
    response: {
      ...answer.response,
      TTL: TTL > 0 && isNearlyFull ? grantedTTL : TTL,
      keys: keys.toSorted(Buffer.compare),
    },
  };
}

function isTimeToLive(response: unknown): response is LeaseTimeToLiveResponse {
  return typeof response === 'object' && response !== null && 'grantedTTL' in response;
}

/** Both, with the first lines that differ marked: what assert says of two values. */
function diffOf(tested: unknown, etcd: unknown): string {
  try {
    deepStrictEqual(tested, etcd);
  } catch (error) {
    if (error instanceof AssertionError) return `tested + and etcd - differ:\n${error.message}`;
    throw error;
  }
  return '';
}
