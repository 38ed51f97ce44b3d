import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Backend } from '../../../server/backend/backend.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Membership } from '../../../server/member/membership.ts';
import { ConfChange, ConfChangeKind, Member } from '../../../server/proto/gen/internal.ts';

async function open(disk = new MemoryDisk()): Promise<{ backend: Backend; members: Membership }> {
  const backend = new Backend({ logger: silentLogger });
  const members = new Membership({ backend });
  await backend.open(new MemoryStore({ disk }), [members]);
  return { backend, members };
}

function addLearner(members: Membership, id: bigint, learnersMaxPlusOne: number) {
  const member = Member.create({ id, peerUrls: [`http://m${id}:1`] });
  const kind = ConfChangeKind.ADD_LEARNER;
  return members.apply(ConfChange.create({ kind, member, learnersMaxPlusOne }))?.error;
}

suite('membership', () => {
  test('how many learners there may be is said by the change, so that all members agree', async () => {
    const { members } = await open();
    assert.equal(addLearner(members, 1n, 1), 'TooManyLearners', '--max-learners=0');
    assert.equal(addLearner(members, 1n, 3), undefined);
    assert.equal(addLearner(members, 2n, 2), 'TooManyLearners');
    assert.equal(addLearner(members, 2n, 3), undefined);
    assert.equal(addLearner(members, 3n, 3), 'TooManyLearners');
    assert.equal(addLearner(members, 3n, 0), 'TooManyLearners', 'an entry of before: one');
    assert.equal(members.confState.learners.length, 2);
  });

  test('an observer is a learner to raft and its limits, and stays what it is when it tells about itself', async () => {
    const disk = new MemoryDisk();
    const { backend, members } = await open(disk);
    const change = (kind: ConfChangeKind, member: Partial<Member>) =>
      members.apply(
        ConfChange.create({ kind, member: Member.create(member), learnersMaxPlusOne: 3 }),
      );
    const { ADD_LEARNER, ADD_VOTER, PROMOTE } = ConfChangeKind;
    change(ADD_LEARNER, { id: 1n, peerUrls: ['http://a:1'], isObserver: true });
    change(ADD_VOTER, { id: 2n, peerUrls: ['http://b:1'], isObserver: true });
    const attributes = { memberId: 1n, name: 'a', clientUrls: [], version: '', incarnation: 'x' };
    members.setAttributes(attributes);
    assert.deepEqual(members.confState, { voters: [2n], learners: [1n] });
    assert.equal(members.member(2n)?.isObserver, false, 'a voter is none');
    backend.setApplied({ index: 1, term: 1 });
    await new Promise((resolve) => backend.flush(resolve));
    assert.equal((await open(disk)).members.member(1n)?.isObserver, true);
    assert.equal(addLearner(members, 3n, 2), 'TooManyLearners');
    // A leader of a release before proposes it, and everybody has to come to the same.
    assert.equal(change(PROMOTE, { id: 1n }), undefined);
    assert.deepEqual(members.confState, { voters: [1n, 2n], learners: [] });
    assert.equal(members.member(1n)?.isObserver, false);
  });

  test('the version, and the one to go back to, are found again', async () => {
    const disk = new MemoryDisk();
    const { backend, members } = await open(disk);
    assert.equal(members.downgradeTarget, '');
    members.setVersion('3.6.0');
    members.setDowngradeTarget('3.5.0');
    backend.setApplied({ index: 1, term: 1 });
    await new Promise((resolve) => backend.flush(resolve));
    const again = (await open(disk)).members;
    assert.deepEqual([again.version, again.downgradeTarget], ['3.6.0', '3.5.0']);
    again.setDowngradeTarget('');
    assert.deepEqual([again.version, again.downgradeTarget], ['3.6.0', '']);
  });

  test('an update takes other URLs, but nobody else’s', async () => {
    const { members } = await open();
    const change = (kind: ConfChangeKind, id: bigint, url: string) => {
      const member = Member.create({ id, peerUrls: [url] });
      return members.apply(ConfChange.create({ kind, member }))?.error;
    };
    const { ADD_VOTER, UPDATE } = ConfChangeKind;
    assert.equal(change(ADD_VOTER, 1n, 'http://a:1'), undefined);
    assert.equal(change(ADD_VOTER, 2n, 'http://b:1'), undefined);
    members.setAttributes({
      memberId: 1n,
      name: 'a',
      clientUrls: [],
      version: '',
      incarnation: 'x',
    });
    assert.equal(change(UPDATE, 1n, 'http://b:1'), 'PeerUrlExists');
    assert.equal(change(UPDATE, 9n, 'http://c:1'), 'MemberNotFound');
    assert.equal(change(UPDATE, 1n, 'http://c:1'), undefined);
    const { name, incarnation, peerUrls } = members.member(1n) ?? Member.create();
    assert.deepEqual(
      { name, incarnation, peerUrls },
      { name: 'a', incarnation: 'x', peerUrls: ['http://c:1'] },
    );
  });
});
