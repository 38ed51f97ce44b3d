import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ReadRounds } from '../../../server/raft/read-index.ts';

/** The leader itself is the other half. */
const quorumOfThree = (holds: (member: bigint) => boolean): boolean => [2n, 3n].some(holds);

suite('ReadRounds', () => {
  test('an answer confirms its round and all before it, oldest first', () => {
    const rounds = new ReadRounds();
    for (const requestId of [11, 12, 13]) rounds.add({ index: requestId, from: 1n, requestId });
    const newest = rounds.newest;
    rounds.acknowledge(2n, newest - 1);
    const confirmed = rounds.takeConfirmed(quorumOfThree).map(({ requestId }) => requestId);
    assert.deepEqual(confirmed, [11, 12]);
    assert.deepEqual(rounds.takeConfirmed(quorumOfThree), []);
    rounds.acknowledge(3n, newest);
    assert.equal(rounds.takeConfirmed(quorumOfThree).length, 1);
    assert.equal(rounds.newest, 0);
  });

  test('numbers are never used again, and an older answer takes nothing back', () => {
    const rounds = new ReadRounds();
    rounds.add({ index: 1, from: 1n, requestId: 1 });
    const first = rounds.newest;
    rounds.acknowledge(2n, first);
    rounds.takeConfirmed(quorumOfThree);
    rounds.add({ index: 1, from: 1n, requestId: 2 });
    assert.ok(rounds.newest > first);
    assert.deepEqual(rounds.takeConfirmed(quorumOfThree), [], 'the old answer is no proof');
    rounds.acknowledge(2n, rounds.newest);
    rounds.acknowledge(2n, first);
    assert.equal(rounds.takeConfirmed(quorumOfThree).length, 1);
  });
});
