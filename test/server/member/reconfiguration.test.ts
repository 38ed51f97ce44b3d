import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorName } from '../../../server/base/errors.ts';
import {
  type ClusterHealth,
  healthyAfterMs,
  learnersAllowed,
  refuseAdd,
  refusePromote,
  refuseRemove,
} from '../../../server/member/reconfiguration.ts';
import { Member } from '../../../server/proto/gen/internal.ts';

/**
 * `voters` and `learner`: one letter per member, id 1n and up, the first is the member that is asked.
 * S started and connected, s started and just connected, d started and down, n not started.
 */
function health(voters: string, learner = ''): ClusterHealth {
  const states = (voters + learner).split('');
  const members = states.map((state, at) =>
    Member.create({ id: BigInt(at + 1), started: state !== 'n', isLearner: at >= voters.length }),
  );
  const connectedMs = (id: bigint): number | undefined => {
    const state = states[Number(id) - 1];
    if (state === 'S') return healthyAfterMs;
    return state === 's' ? 1 : undefined;
  };
  return { self: 1n, members, connectedMs };
}

suite("etcd's strict reconfiguration check", () => {
  const adds: ReadonlyArray<[string, boolean, ErrorName | undefined]> = [
    ['S', false, undefined],
    ['S', true, undefined],
    ['SS', false, undefined],
    ['SSS', false, undefined],
    ['Sn', false, 'MemberNotEnoughStarted'],
    ['SSn', false, 'MemberNotEnoughStarted'],
    ['Ss', false, 'Unhealthy'],
    ['Sd', true, 'Unhealthy'],
    ['SSd', true, 'Unhealthy'],
    ['SSSd', true, undefined],
  ];
  for (const [voters, isLearner, expected] of adds) {
    test(`add a ${isLearner ? 'learner' : 'voter'} to ${voters}: ${expected ?? 'allowed'}`, () => {
      assert.equal(refuseAdd(health(voters), isLearner), expected);
    });
  }

  const removals: ReadonlyArray<[string, bigint, ErrorName | undefined]> = [
    ['S', 1n, 'MemberNotEnoughStarted'],
    ['SS', 2n, undefined],
    ['SSS', 3n, undefined],
    ['SSd', 3n, undefined],
    ['SSd', 2n, 'Unhealthy'],
    ['Snn', 1n, 'MemberNotEnoughStarted'],
    ['SSS', 99n, undefined],
  ];
  for (const [voters, id, expected] of removals) {
    test(`remove ${id} from ${voters}: ${expected ?? 'allowed'}`, () => {
      assert.equal(refuseRemove(health(voters), id), expected);
    });
  }

  test('a learner may always be removed', () => {
    assert.equal(refuseRemove(health('Sd', 'n'), 3n), undefined);
  });

  test('promotion counts the learner as started', () => {
    assert.equal(refusePromote(health('S', 'S')), undefined);
    assert.equal(refusePromote(health('Snn', 'S')), 'MemberNotEnoughStarted');
  });
});

test('learners and observers have limits of their own, told as one number', () => {
  const members = [
    Member.create({ id: 1n }),
    Member.create({ id: 2n, isLearner: true }),
    Member.create({ id: 3n, isLearner: true, isObserver: true }),
    Member.create({ id: 4n, isLearner: true, isObserver: true }),
  ];
  assert.equal(learnersAllowed(members, { isObserver: false, max: 1 }), 3);
  assert.equal(learnersAllowed(members, { isObserver: true, max: 8 }), 9);
});
