import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Entry } from '../../../server/raft/entry.ts';
import type { Message, SnapshotMessage } from '../../../server/raft/messages.ts';
import { SeededRandom } from '../../sim/random.ts';
import {
  type Envelope,
  entryOf,
  type MemberSetup,
  TestCluster,
  type TestMember,
} from './cluster.ts';

// One test for each rule of "In Search of an Understandable Consensus Algorithm" (Ongaro and Ousterhout 2014), and of
// Ongaro's thesis where we lean on it. Each name begins with the section.

const voters = [1n, 2n, 3n];
const conf = { voters, learners: [] };

/** Member 1 of three (or as said), alone with the messages that the test gives it. */
function alone(setup: Partial<MemberSetup> = {}): TestMember {
  return new TestCluster().add(1, { conf, ...setup });
}

type Kind = Message['kind'];
type OfKind<M, K extends Kind> = M extends { readonly kind: infer U }
  ? K extends U
    ? M
    : never
  : never;
type Body<K extends Kind> = Omit<OfKind<Message, K>, 'kind' | 'from' | 'to'>;

function give<K extends Kind>(
  member: TestMember,
  kind: K,
  body: Body<K> & { from?: bigint },
): Message[] {
  const message = { from: 2n, to: member.id, kind, ...body } as unknown as Message;
  const image = message.kind === 'snapshot' ? stateOf(message) : undefined;
  member.receive({ message, image });
  return sent(member);
}

function stateOf({ snapshot }: SnapshotMessage): Envelope['image'] {
  return { applied: snapshot, conf: snapshot.confState, history: ['a snapshot'] };
}

/** Everything that the member sends now. */
function sent(member: TestMember): Message[] {
  while (member.processReady() !== undefined);
  return member.takeSent();
}

function ofKind<K extends Kind>(messages: readonly Message[], kind: K): Array<OfKind<Message, K>> {
  const isOfKind = (message: Message): message is OfKind<Message, K> & Message =>
    message.kind === kind;
  return messages.filter(isOfKind);
}

/** Makes the lone member 1 a leader; its first entry is not yet committed. */
function leaderOf(setup: Partial<MemberSetup> = {}): TestMember {
  const member = alone(setup);
  campaign(member);
  grant(member, 'voteResponse', member.raft.term);
  assert.equal(member.raft.role, 'leader');
  return member;
}

/** Wins the rehearsal; returns what was sent then. */
function campaign(member: TestMember): Message[] {
  member.raft.campaign();
  sent(member);
  const term = member.raft.term + 1;
  const requests = grant(member, 'preVoteResponse', term);
  assert.equal(member.raft.role, 'candidate');
  return requests;
}

/** From as many as make a majority with the member itself. */
function grant(
  member: TestMember,
  kind: 'voteResponse' | 'preVoteResponse',
  term: number,
): Message[] {
  const others = member.raft.conf.voters.filter((voter) => voter !== member.id);
  const majority = others.slice(0, Math.floor(member.raft.conf.voters.length / 2));
  return majority.flatMap((from) => give(member, kind, { from, term, reject: false }));
}

const accept = (term: number, index: number) =>
  ({ term, index, reject: false, hintIndex: 0, hintTerm: 0 }) as const;

function append(
  term: number,
  previous: readonly [index: number, term: number],
  entries: readonly Entry[],
  commit = 0,
): Body<'append'> {
  return { term, previousIndex: previous[0], previousTerm: previous[1], entries, commit };
}

function termsOf(member: TestMember): number[] {
  const { log } = member.raft;
  return log.slice(log.firstIndex, Infinity).map(({ term }) => term);
}

suite('raft paper §5.1: terms', () => {
  for (const role of ['follower', 'candidate', 'leader'] as const) {
    test(`§5.1: a ${role} that hears of a newer term adopts it and follows`, () => {
      const member = role === 'leader' ? leaderOf() : alone();
      if (role === 'candidate') campaign(member);
      assert.equal(member.raft.role, role);
      give(member, 'append', append(5, [0, 0], []));
      assert.equal(member.raft.role, 'follower');
      assert.equal(member.raft.term, 5);
      assert.equal(member.raft.leader, 2n);
    });
  }

  test('§5.1: a request of an older term is refused with the newer one', () => {
    const member = alone({ term: 4 });
    const [answer] = give(member, 'append', append(3, [0, 0], [entryOf(1, 3)]));
    assert.equal(answer?.term, 4);
    assert.equal(member.raft.log.lastIndex, 0);
    assert.deepEqual(
      give(member, 'vote', { term: 3, lastIndex: 9, lastTerm: 3, transfer: false }),
      [],
    );
    const [refusal] = give(member, 'preVote', {
      term: 3,
      lastIndex: 9,
      lastTerm: 3,
      transfer: false,
    });
    assert.deepEqual([refusal?.kind, refusal?.term], ['preVoteResponse', 4]);
  });

  test('§5.1, figure 2: term and vote are durable before an answer leaves', () => {
    const member = alone({ isAsync: true });
    assert.deepEqual(
      give(member, 'vote', { term: 7, lastIndex: 0, lastTerm: 0, transfer: false }),
      [],
    );
    member.writeAppend();
    assert.deepEqual(member.disk.hardState, { term: 7, vote: 2n, commit: 0 });
    assert.deepEqual(
      sent(member).map(({ kind }) => kind),
      ['voteResponse'],
    );
  });
});

suite('raft paper §5.2: leader election', () => {
  test('§5.2: a member starts as a follower, and stays one while it hears a leader', () => {
    const member = alone();
    assert.equal(member.raft.role, 'follower');
    for (let tick = 0; tick < 100; tick += 1) {
      member.raft.tick();
      if (tick % 9 === 0)
        give(member, 'heartbeat', { term: 1, commit: 0, commitTerm: 0, readId: 0 });
    }
    assert.equal(member.raft.role, 'follower');
  });

  test('§5.2: a follower that hears nobody for an election timeout campaigns: next term, own vote, asks all', () => {
    const member = alone({ term: 3 });
    for (let tick = 0; tick < 10; tick += 1) member.raft.tick();
    sent(member);
    const requests = give(member, 'preVoteResponse', { term: 4, reject: false });
    assert.equal(member.raft.term, 4);
    assert.equal(member.raft.vote, 1n);
    assert.deepEqual(
      ofKind(requests, 'vote').map(({ to, term }) => [to, term]),
      [
        [2n, 4],
        [3n, 4],
      ],
    );
  });

  for (const [size, needed] of [
    [1, 0],
    [2, 1],
    [3, 1],
    [4, 2],
    [5, 2],
    [7, 3],
  ] as const) {
    test(`§5.2: of ${size} voters a candidate needs ${needed} besides itself`, () => {
      const others = Array.from({ length: size - 1 }, (_, at) => BigInt(at + 2));
      const member = alone({ conf: { voters: [1n, ...others], learners: [] } });
      member.raft.campaign();
      sent(member);
      for (const from of others) give(member, 'preVoteResponse', { from, term: 1, reject: false });
      for (const [count, from] of others.slice(0, needed).entries()) {
        assert.equal(member.raft.role, 'candidate', `${count} votes are too few`);
        // The same vote twice is one.
        give(member, 'voteResponse', { from, term: 1, reject: false });
        if (count + 1 < needed) give(member, 'voteResponse', { from, term: 1, reject: false });
      }
      assert.equal(member.raft.role, 'leader');
    });
  }

  test('§5.2: each member votes for at most one candidate of a term, first come first served', () => {
    const member = alone();
    const ask = (from: bigint): boolean | undefined => {
      const request = { from, term: 2, lastIndex: 0, lastTerm: 0, transfer: false };
      return ofKind(give(member, 'vote', request), 'voteResponse')[0]?.reject;
    };
    assert.equal(ask(2n), false);
    assert.equal(ask(3n), true);
    assert.equal(ask(2n), false, 'the same candidate may ask again');
    member.restart();
    assert.equal(ask(3n), true, 'nor after a restart');
  });

  test('§5.2: a candidate that hears a leader of its term follows it; one of an older term is refused', () => {
    const member = alone({ term: 3 });
    campaign(member);
    give(member, 'append', append(3, [0, 0], []));
    assert.equal(member.raft.role, 'candidate');
    give(member, 'append', append(4, [0, 0], []));
    assert.equal(member.raft.role, 'follower');
    assert.equal(member.raft.leader, 2n);
    assert.equal(member.raft.vote, 1n, 'the vote of this term is spent');
  });

  test('§5.2: nobody wins: the candidate starts a new election after its timeout', () => {
    const member = alone();
    campaign(member);
    for (let tick = 0; tick < 20; tick += 1) member.raft.tick();
    assert.equal(member.raft.role, 'preCandidate');
    sent(member);
    give(member, 'preVoteResponse', { term: 2, reject: false });
    assert.equal(member.raft.term, 2);
  });

  test('§5.2: who knows the leader of a term votes for nobody else in it', () => {
    const member = alone();
    give(member, 'heartbeat', { term: 2, commit: 0, commitTerm: 0, readId: 0 });
    const request = { from: 3n, term: 2, lastIndex: 9, lastTerm: 2, transfer: false };
    assert.equal(ofKind(give(member, 'vote', request), 'voteResponse')[0]?.reject, true);
  });

  test('§5.2: who has just voted waits a whole timeout before it campaigns itself', () => {
    const member = alone({ terms: [1] });
    give(member, 'vote', { from: 3n, term: 2, lastIndex: 0, lastTerm: 0, transfer: false });
    assert.equal(member.raft.vote, 0n);
    for (let tick = 0; tick < 9; tick += 1) member.raft.tick();
    give(member, 'vote', { term: 2, lastIndex: 1, lastTerm: 1, transfer: false });
    assert.equal(member.raft.vote, 2n);
    for (let tick = 0; tick < 9; tick += 1) member.raft.tick();
    assert.equal(member.raft.role, 'follower');
  });

  test('§5.2: a voter’s first answer counts', () => {
    const member = alone();
    campaign(member);
    give(member, 'voteResponse', { term: 1, reject: true });
    give(member, 'voteResponse', { term: 1, reject: false });
    assert.equal(member.raft.role, 'candidate');
  });

  test('§5.2: a majority of refusals ends a campaign', () => {
    const member = alone();
    campaign(member);
    give(member, 'voteResponse', { from: 2n, term: 1, reject: true });
    assert.equal(member.raft.role, 'candidate');
    give(member, 'voteResponse', { from: 3n, term: 1, reject: true });
    assert.equal(member.raft.role, 'follower');
  });

  test('§5.2: election timeouts are spread over [T, 2T)', () => {
    const random = new SeededRandom(3);
    const timeouts = new Set<number>();
    for (let round = 0; round < 300; round += 1) {
      const member = alone({ random });
      let ticks = 0;
      for (; member.raft.role === 'follower'; ticks += 1) member.raft.tick();
      timeouts.add(ticks);
    }
    assert.deepEqual(
      [...timeouts].sort((a, b) => a - b),
      [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    );
  });

  test('§5.2: a leader sends heartbeats to all', () => {
    const member = leaderOf();
    sent(member);
    member.raft.tick();
    member.raft.tick();
    assert.deepEqual(
      ofKind(sent(member), 'heartbeat').map(({ to }) => to),
      [2n, 3n],
    );
  });
});

suite('raft paper §5.3: log replication', () => {
  test('§5.3: the leader appends a proposal and sends it to all in parallel', () => {
    const member = leaderOf();
    for (const from of [2n, 3n]) give(member, 'appendResponse', { from, ...accept(1, 1) });
    member.propose('a');
    const messages = ofKind(sent(member), 'append');
    assert.deepEqual(
      messages.map(({ to, previousIndex, entries }) => [to, previousIndex, entries.length]),
      [
        [2n, 1, 1],
        [3n, 1, 1],
      ],
    );
  });

  test('§5.3: proposals that the network brings twice are appended once', () => {
    const member = leaderOf();
    const proposals = [{ kind: 'normal' as const, data: new Uint8Array(1) }];
    give(member, 'propose', { term: 1, batchId: 7, proposals });
    give(member, 'propose', { term: 1, batchId: 7, proposals });
    give(member, 'propose', { from: 3n, term: 1, batchId: 7, proposals });
    assert.equal(member.raft.log.lastIndex, 3);
  });

  test('§5.3: an entry is committed once a majority has stored it, with all before it, and then applied in order', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n, 3n, 4n, 5n], learners: [] }, terms: [] });
    assert.equal(member.raft.role, 'leader');
    member.propose('a', 'b');
    sent(member);
    give(member, 'appendResponse', { from: 2n, ...accept(1, 3) });
    assert.equal(member.raft.log.commit, 0);
    give(member, 'appendResponse', { from: 3n, ...accept(1, 2) });
    assert.equal(member.raft.log.commit, 2);
    give(member, 'appendResponse', { from: 4n, ...accept(1, 3) });
    assert.equal(member.raft.log.commit, 3);
    assert.deepEqual(member.state.history, ['1/1 ""', '2/1 "a"', '3/1 "b"']);
  });

  test('§5.3: followers learn from the leader what is committed, and apply it', () => {
    const member = alone();
    give(member, 'append', append(1, [0, 0], [entryOf(1, 1, 'a'), entryOf(2, 1, 'b')], 0));
    assert.equal(member.raft.log.commit, 0);
    give(member, 'append', append(1, [2, 1], [], 1));
    assert.deepEqual(member.state.history, ['1/1 "a"']);
    give(member, 'heartbeat', { term: 1, commit: 2, commitTerm: 1, readId: 0 });
    assert.deepEqual(member.state.history, ['1/1 "a"', '2/1 "b"']);
  });

  test('figure 2: a follower commits at most up to the last entry that the message vouches for', () => {
    const member = alone({ terms: [1, 1, 1], term: 2 });
    give(member, 'append', append(2, [1, 1], [entryOf(2, 1)], 3));
    assert.equal(member.raft.log.commit, 2, 'the third one may be another than the leader’s');
    give(member, 'heartbeat', { term: 2, commit: 3, commitTerm: 2, readId: 0 });
    assert.equal(member.raft.log.commit, 2, 'and so says the term');
  });

  test('§5.3: a follower refuses entries after one that it does not have', () => {
    const member = alone({ terms: [1, 1, 2], term: 3 });
    for (const previous of [
      [4, 2],
      [3, 1],
      [3, 3],
    ] as const) {
      const [answer] = ofKind(
        give(member, 'append', append(3, previous, [entryOf(previous[0] + 1, 3)])),
        'appendResponse',
      );
      assert.equal(answer?.reject, true);
    }
    assert.deepEqual(termsOf(member), [1, 1, 2]);
  });

  test('§5.3: a conflicting entry and all after it give way to the leader’s', () => {
    const member = alone({ terms: [1, 1, 2, 2, 2], term: 3 });
    give(member, 'append', append(3, [2, 1], [entryOf(3, 3)]));
    assert.deepEqual(termsOf(member), [1, 1, 3]);
    assert.deepEqual(
      member.disk.entries.map(({ term }) => term),
      [1, 1, 3],
    );
  });

  test('§5.3: entries that are there already are left alone: an old message never shortens the log', () => {
    const member = alone({ terms: [1, 1, 2, 2, 2], term: 2 });
    const [answer] = ofKind(
      give(member, 'append', append(2, [2, 1], [entryOf(3, 2)])),
      'appendResponse',
    );
    assert.deepEqual(termsOf(member), [1, 1, 2, 2, 2]);
    assert.equal(answer?.index, 3, 'and only what was compared is acknowledged');
  });

  test('§5.3: a leader goes back until the logs agree, and makes the follower’s the same as its own', () => {
    const cluster = new TestCluster();
    cluster.add(1, { conf, terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6] });
    cluster.add(2, { conf, terms: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], term: 6 });
    cluster.elect(1);
    assert.deepEqual(termsOf(cluster.member(2)), termsOf(cluster.member(1)));
  });

  test('§5.3, Leader Append-Only: whatever followers answer, the leader’s own log only grows', () => {
    const member = leaderOf({ terms: [1, 1] });
    const before = termsOf(member);
    const rejection = {
      term: 2,
      index: 2,
      reject: true,
      hintIndex: 0,
      hintTerm: 0,
    };
    give(member, 'appendResponse', rejection);
    give(member, 'appendResponse', rejection);
    give(member, 'appendResponse', accept(2, 1));
    assert.deepEqual(termsOf(member), before);
  });
});

suite('raft paper §5.4: safety', () => {
  for (const { own, last, granted } of [
    { own: [1, 1], last: [3, 1], granted: true },
    { own: [1, 1], last: [2, 1], granted: true },
    { own: [1, 1], last: [1, 1], granted: false },
    { own: [1, 1], last: [1, 2], granted: true },
    { own: [1, 2], last: [9, 1], granted: false },
    { own: [], last: [0, 0], granted: true },
  ] as const) {
    const name = `ending in ${own.length}/${own.at(-1) ?? 0}`;
    test(`§5.4.1: a log ${name} ${granted ? 'grants' : 'refuses'} a candidate with ${last.join('/')}`, () => {
      for (const kind of ['vote', 'preVote'] as const) {
        const member = alone({ terms: own, term: 2 });
        const request = { term: 3, lastIndex: last[0], lastTerm: last[1], transfer: false };
        const [answer] = give(member, kind, request);
        assert.ok(answer?.kind === 'voteResponse' || answer?.kind === 'preVoteResponse');
        assert.equal(answer.kind, `${kind}Response`);
        assert.equal(answer.reject, !granted, kind);
      }
    });
  }

  test('§5.4.2: an entry of an older term is not committed by counting its copies', () => {
    const member = leaderOf({ terms: [1, 2] });
    assert.equal(member.raft.term, 3);
    give(member, 'appendResponse', { from: 2n, ...accept(3, 2) });
    give(member, 'appendResponse', { from: 3n, ...accept(3, 2) });
    assert.equal(member.raft.log.commit, 0, 'all three have entry 2');
    give(member, 'appendResponse', { from: 2n, ...accept(3, 3) });
    assert.equal(member.raft.log.commit, 3, 'with one of this term everything before it');
  });

  test('§5.4.3, Leader Completeness: who lacks a committed entry cannot be elected', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.member(1).propose('committed');
    cluster.stabilize(1, 2);
    cluster.dropAll();
    for (const id of [2, 3]) cluster.tick(id, 10);
    cluster.member(3).raft.campaign();
    cluster.stabilize(2, 3);
    assert.notEqual(cluster.member(3).raft.role, 'leader');
    cluster.member(2).raft.campaign();
    cluster.stabilize(2, 3);
    assert.equal(cluster.member(2).raft.role, 'leader');
    assert.deepEqual(cluster.member(3).state.history, cluster.member(2).state.history);
  });

  test('figure 3, State Machine Safety: a follower never replaces a committed entry', () => {
    const member = alone({ terms: [1, 1], term: 1, commit: 2 });
    assert.equal(member.raft.log.commit, 2);
    const [answer] = ofKind(
      give(member, 'append', append(2, [0, 0], [entryOf(1, 2)])),
      'appendResponse',
    );
    assert.equal(answer?.index, 2, 'says what it has committed instead');
    assert.deepEqual(termsOf(member), [1, 1]);
  });
});

suite('raft paper §5.5, §5.6: crashes and timing', () => {
  test('§5.5: a follower that crashed gets what it missed; repeated requests do no harm', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.member(1).propose('a');
    cluster.member(1).processReady();
    cluster.inFlight.push(...cluster.inFlight);
    cluster.stabilize(1, 2);
    cluster.member(3).restart();
    cluster.dropAll();
    cluster.tick(1, 2);
    cluster.stabilize();
    assert.deepEqual(cluster.member(3).state.history, cluster.member(1).state.history);
    assert.deepEqual(cluster.member(2).state.history, ['1/1 ""', '2/1 "a"']);
  });

  test('§5.6: heartbeats come several times within the shortest election timeout: nobody else campaigns', () => {
    const cluster = TestCluster.ofVoters(5);
    cluster.elect(3);
    for (let tick = 0; tick < 200; tick += 1) {
      for (const id of cluster.members.keys()) cluster.tick(id);
      cluster.stabilize();
    }
    assert.equal(cluster.member(3).raft.role, 'leader');
    assert.equal(cluster.member(3).raft.term, 1);
  });
});

suite('raft paper §6 as single-server changes (thesis §4)', () => {
  test('thesis §4.1: a second change is refused while the first is not yet applied', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.proposeConfChange('remove 3');
    member.proposeConfChange('remove 2');
    const kinds = member.raft.log.slice(2, Infinity).map(({ kind }) => kind);
    assert.deepEqual(kinds, ['confChange', 'refusedConfChange']);
  });

  test('thesis §4.1 (raft-dev 2015): no change before an entry of the leader’s own term is committed', () => {
    const member = leaderOf();
    member.proposeConfChange('remove 3');
    assert.equal(member.raft.log.kind(2), 'refusedConfChange');
    give(member, 'appendResponse', accept(1, 2));
    member.proposeConfChange('remove 3');
    assert.equal(member.raft.log.kind(3), 'confChange');
  });

  test('thesis §4.1: a change that an earlier leader left unapplied blocks the next leader’s', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.member(1).proposeConfChange('learner 4');
    cluster.member(1).processReady();
    cluster.deliver(cluster.member(2));
    cluster.member(2).processReady();
    cluster.dropAll();
    for (const id of [2, 3]) cluster.tick(id, 10);
    cluster.member(2).raft.campaign();
    cluster.stabilize(2, 3);
    assert.equal(cluster.member(2).raft.role, 'leader');
    assert.deepEqual(cluster.member(2).raft.conf.learners, [4n]);
  });

  test('thesis §4.1: not even when that change is committed, but not yet applied here', () => {
    const change: Entry = { ...entryOf(1, 1, 'learner 4'), kind: 'confChange' };
    const member = alone();
    give(member, 'append', append(1, [0, 0], [change]));
    for (let tick = 0; tick < 10; tick += 1) member.raft.tick();
    sent(member);
    grant(member, 'preVoteResponse', 2);
    grant(member, 'voteResponse', 2);
    const answer = { from: 2n, to: 1n, kind: 'appendResponse', ...accept(2, 2) } as const;
    member.receive({ message: answer, image: undefined });
    assert.equal(member.raft.log.commit, 2);
    assert.equal(member.raft.log.applied, 0);
    member.proposeConfChange('remove 3');
    assert.equal(member.raft.log.kind(3), 'refusedConfChange');
  });

  test('thesis §4.1: the new majority counts as soon as the change is applied', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n, 3n, 4n], learners: [] } });
    for (const from of [2n, 3n]) give(member, 'appendResponse', { from, ...accept(1, 1) });
    member.proposeConfChange('remove 4');
    member.propose('a');
    sent(member);
    give(member, 'appendResponse', { from: 2n, ...accept(1, 3) });
    assert.equal(member.raft.log.commit, 1);
    give(member, 'appendResponse', { from: 3n, ...accept(1, 2) });
    assert.equal(member.raft.log.commit, 3, '1 and 2 are two of three');
  });

  test('thesis §4.2.1: a new member is brought up to date before it counts', () => {
    const cluster = TestCluster.ofVoters(2);
    cluster.add(3, { conf: { voters: [1n, 2n], learners: [] } });
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.proposeConfChange('learner 3');
    cluster.stabilize();
    assert.equal(leader.raft.progressOf(3n)?.match, leader.raft.log.lastIndex);
    leader.propose('a');
    cluster.stabilize(1, 3);
    assert.equal(leader.raft.log.commit, 2, 'a learner is not counted');
    cluster.stabilize();
    leader.proposeConfChange('promote 3');
    cluster.stabilize();
    leader.propose('b');
    cluster.stabilize(1, 3);
    assert.equal(leader.raft.log.commit, 5, 'a voter is');
  });

  test('thesis §4.2.1: learners neither vote for themselves nor campaign, and their grants do not count', () => {
    const cluster = TestCluster.ofVoters(2, { conf: { voters: [1n, 2n], learners: [3n] } });
    const learner = cluster.add(3, { conf: { voters: [1n, 2n], learners: [3n] } });
    for (let tick = 0; tick < 50; tick += 1) learner.raft.tick();
    learner.raft.campaign();
    assert.equal(learner.raft.role, 'follower');
    const member = alone({ conf: { voters: [1n, 2n], learners: [3n] } });
    member.raft.campaign();
    sent(member);
    give(member, 'preVoteResponse', { from: 3n, term: 1, reject: false });
    assert.equal(member.raft.role, 'preCandidate');
  });

  test('thesis §4.2.2: a leader that removes itself leads until that is committed, then steps down', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.proposeConfChange('remove 1');
    leader.processReady();
    assert.equal(leader.raft.role, 'leader');
    cluster.stabilize();
    assert.equal(leader.raft.role, 'follower');
    assert.deepEqual(leader.raft.conf.voters, [2n, 3n]);
    for (const id of [2, 3]) assert.deepEqual(cluster.member(id).raft.conf.voters, [2n, 3n]);
    leader.raft.campaign();
    assert.equal(leader.raft.role, 'follower');
  });

  test('thesis §4.2.2: a removed voter’s copies are not counted any more', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    const leader = cluster.member(1);
    leader.proposeConfChange('remove 3');
    cluster.stabilize();
    leader.propose('a');
    cluster.stabilize(1, 3);
    assert.equal(leader.raft.log.commit, 2);
    cluster.stabilize(1, 2);
    assert.equal(leader.raft.log.commit, 3);
  });

  test('thesis §4.2.3: who hears its leader ignores requests for votes, and keeps its term', () => {
    const member = alone();
    give(member, 'heartbeat', { term: 2, commit: 0, commitTerm: 0, readId: 0 });
    for (const kind of ['vote', 'preVote'] as const) {
      const request = { from: 3n, term: 9, lastIndex: 9, lastTerm: 9, transfer: false };
      assert.deepEqual(give(member, kind, request), []);
    }
    assert.equal(member.raft.term, 2);
    for (let tick = 0; tick < 9; tick += 1) member.raft.tick();
    const request = { from: 3n, term: 9, lastIndex: 9, lastTerm: 9, transfer: false };
    assert.deepEqual(give(member, 'vote', request), []);
    member.raft.tick();
    sent(member);
    assert.equal(give(member, 'vote', request)[0]?.kind, 'voteResponse');
  });

  test('etcd #7280: nobody campaigns with a committed change that it has not applied', () => {
    const member = alone({ isAsync: true });
    const change: Entry = { ...entryOf(1, 1, 'remove 3'), kind: 'confChange' };
    give(member, 'append', append(1, [0, 0], [change], 1));
    assert.equal(member.raft.log.commit, 1);
    assert.equal(member.raft.log.applied, 0);
    member.raft.campaign();
    assert.equal(member.raft.role, 'follower');
    member.writeAppend();
    sent(member);
    member.raft.campaign();
    assert.equal(member.raft.role, 'preCandidate');
  });
});

suite('raft paper §7: log compaction', () => {
  const snapshot = { index: 5, term: 2, confState: { voters: [1n, 2n], learners: [4n] } };

  test('§7: a leader that has discarded the next entry sends its state, and what follows later', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.member(1).propose('a', 'b');
    cluster.stabilize(1, 2);
    cluster.dropAll();
    cluster.member(1).compact(3);
    cluster.tick(1, 2);
    cluster.stabilize();
    const late = cluster.member(3);
    assert.deepEqual(late.state.history, cluster.member(1).state.history);
    assert.equal(late.disk.base.index, 3);
    cluster.member(1).propose('c');
    cluster.stabilize();
    assert.deepEqual(late.state.history, cluster.member(1).state.history);
  });

  test('§7: a snapshot replaces a log that does not contain its end, and brings its membership', () => {
    const member = alone({ terms: [1, 1, 1, 1, 1, 1, 1], term: 2 });
    const [answer] = ofKind(give(member, 'snapshot', { term: 2, snapshot }), 'appendResponse');
    assert.equal(answer?.index, 5);
    const { log, conf: adopted } = member.raft;
    assert.deepEqual([log.firstIndex, log.lastIndex, log.commit, log.applied], [6, 5, 5, 5]);
    assert.deepEqual(adopted, snapshot.confState);
    member.restart();
    assert.deepEqual(member.raft.conf, snapshot.confState);
    assert.equal(member.raft.log.lastTerm, 2);
  });

  test('§7: a snapshot of a prefix of the log leaves the rest of it alone', () => {
    const member = alone({ terms: [1, 1, 2, 2, 2, 2, 2], term: 2 });
    give(member, 'snapshot', { term: 2, snapshot });
    assert.equal(member.raft.log.lastIndex, 7);
    assert.equal(member.raft.log.commit, 5);
    assert.equal(member.state.history.length, 5, 'applied from the log');
  });

  test('§7: a snapshot that is older than what is committed changes nothing', () => {
    const member = alone({ terms: [1, 1, 2, 2, 2, 2], term: 2, commit: 6 });
    sent(member);
    const [answer] = ofKind(give(member, 'snapshot', { term: 2, snapshot }), 'appendResponse');
    assert.equal(answer?.index, 6);
    assert.equal(member.state.history.length, 6);
    member.compact(6);
    give(member, 'snapshot', { term: 2, snapshot });
    assert.equal(member.raft.log.applied, 6, 'nor when the log has forgotten it');
  });

  test('§7: the acknowledgement of a snapshot waits for the disk', () => {
    const member = alone({ isAsync: true });
    assert.deepEqual(ofKind(give(member, 'snapshot', { term: 2, snapshot }), 'appendResponse'), []);
    member.writeAppend();
    assert.equal(ofKind(sent(member), 'appendResponse').length, 1);
  });

  test('§7: no state is sent to a follower that has not been heard of', () => {
    const member = alone({ terms: [1, 1, 1], commit: 3 });
    sent(member);
    member.compact(2);
    campaign(member);
    const appends = give(member, 'voteResponse', { term: 2, reject: false });
    assert.deepEqual(ofKind(appends, 'snapshot'), []);
    const rejection = {
      term: 2,
      index: 3,
      reject: true,
      hintIndex: 1,
      hintTerm: 1,
    };
    const answers = give(member, 'appendResponse', { from: 3n, ...rejection });
    assert.deepEqual(
      ofKind(answers, 'snapshot').map(({ to, snapshot: mark }) => [to, mark.index]),
      [[3n, 3]],
    );
  });

  test('§7: entries after a snapshot on its way are kept, whatever the driver would discard', () => {
    const member = leaderOf({ terms: [] });
    give(member, 'appendResponse', accept(1, 1));
    member.propose('a', 'b');
    sent(member);
    give(member, 'appendResponse', accept(1, 3));
    member.compact(3);
    give(member, 'heartbeatResponse', { from: 3n, term: 1, readId: 0, lostLog: false });
    const rejection = {
      term: 1,
      index: 3,
      reject: true,
      hintIndex: 0,
      hintTerm: 0,
    };
    give(member, 'appendResponse', { from: 3n, ...rejection, index: 0 });
    assert.equal(member.raft.progressOf(3n)?.state, 'snapshot');
    member.propose('c');
    sent(member);
    give(member, 'appendResponse', accept(1, 4));
    member.compact(4);
    assert.equal(member.raft.log.firstIndex, 4, 'entry 4 follows the snapshot of 3');
    give(member, 'appendResponse', { from: 3n, ...accept(1, 3) });
    member.compact(4);
    assert.equal(member.raft.log.firstIndex, 5);
  });
});

suite('raft paper §8: clients (thesis §6)', () => {
  test('§8: a leader begins its term with an entry of its own', () => {
    const member = leaderOf({ terms: [1, 1] });
    const last = member.raft.log.slice(3, Infinity);
    assert.deepEqual(
      last.map(({ index, term, data }) => [index, term, data.length]),
      [[3, 2, 0]],
    );
  });

  test('§8: a leader answers no read before an entry of its term is committed', () => {
    const member = leaderOf();
    member.raft.readIndex(1);
    give(member, 'heartbeatResponse', { term: 1, readId: 99, lostLog: false });
    assert.deepEqual(member.reads, []);
    const [heartbeat] = ofKind(give(member, 'appendResponse', accept(1, 1)), 'heartbeat');
    give(member, 'heartbeatResponse', { term: 1, readId: heartbeat?.readId ?? 0, lostLog: false });
    assert.deepEqual(member.reads, [{ requestId: 1, index: 1 }]);
  });

  test('thesis §6.2: a leader that a majority does not answer for an election timeout steps down', () => {
    const member = leaderOf();
    for (let tick = 0; tick < 10; tick += 1) member.raft.tick();
    assert.equal(member.raft.role, 'follower', 'nobody but the voter of the election answered');
    const answered = leaderOf();
    for (let tick = 0; tick < 100; tick += 1) {
      answered.raft.tick();
      sent(answered);
      if (tick % 4 === 0)
        give(answered, 'heartbeatResponse', { term: 1, readId: 0, lostLog: false });
    }
    assert.equal(answered.raft.role, 'leader');
  });

  test('thesis §6.2: members that do not vote do not keep a leader', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n], learners: [3n] } });
    for (let tick = 0; tick < 10; tick += 1) {
      member.raft.tick();
      sent(member);
      give(member, 'heartbeatResponse', { from: 3n, term: 1, readId: 0, lostLog: false });
    }
    assert.equal(member.raft.role, 'follower');
  });

  test('thesis §6.4: a read is confirmed by heartbeats that were sent after it was asked for', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.raft.readIndex(1);
    const [first] = ofKind(sent(member), 'heartbeat');
    member.raft.readIndex(2);
    const [second] = ofKind(sent(member), 'heartbeat');
    assert.ok(first !== undefined && second !== undefined && first.readId < second.readId);
    give(member, 'heartbeatResponse', { term: 1, readId: first.readId, lostLog: false });
    assert.deepEqual(
      member.reads.map(({ requestId }) => requestId),
      [1],
    );
    give(member, 'heartbeatResponse', { term: 1, readId: second.readId, lostLog: false });
    assert.deepEqual(
      member.reads.map(({ requestId }) => requestId),
      [1, 2],
    );
  });

  test('thesis §6.4: the read index is the commit index when the read came, not when it was confirmed', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.raft.readIndex(1);
    const [heartbeat] = ofKind(sent(member), 'heartbeat');
    member.propose('a');
    sent(member);
    give(member, 'appendResponse', accept(1, 2));
    give(member, 'heartbeatResponse', { term: 1, readId: heartbeat?.readId ?? 0, lostLog: false });
    assert.deepEqual(member.reads, [{ requestId: 1, index: 1 }]);
  });

  test('thesis §6.4: a read asked for at a follower is answered through the leader', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(2);
    cluster.member(3).raft.readIndex(8);
    cluster.stabilize();
    assert.deepEqual(cluster.member(3).reads, [{ requestId: 8, index: 1 }]);
  });

  test('thesis §6.4: a read that waited for a voter who was removed is confirmed by the others', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n], learners: [] } });
    give(member, 'appendResponse', accept(1, 1));
    member.raft.readIndex(1);
    member.proposeConfChange('remove 2');
    sent(member);
    assert.deepEqual(member.reads, []);
    give(member, 'appendResponse', accept(1, 2));
    assert.deepEqual(member.reads, [{ requestId: 1, index: 1 }]);
  });

  test('thesis §6.4: learners confirm no read', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n], learners: [3n] } });
    give(member, 'appendResponse', accept(1, 1));
    member.raft.readIndex(1);
    const [heartbeat] = ofKind(sent(member), 'heartbeat');
    const answer = { term: 1, readId: heartbeat?.readId ?? 0, lostLog: false };
    give(member, 'heartbeatResponse', { from: 3n, ...answer });
    assert.deepEqual(member.reads, []);
    give(member, 'heartbeatResponse', answer);
    assert.equal(member.reads.length, 1);
  });
});

suite('thesis §3.10: leadership transfer', () => {
  test('thesis §3.10: the target is brought up to date, then told to start at once; proposals wait', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.propose('a');
    sent(member);
    assert.equal(member.raft.transferLeadership(2n), true);
    assert.deepEqual(ofKind(sent(member), 'timeoutNow'), []);
    assert.equal(member.propose('b'), 'refused: busy');
    const messages = give(member, 'appendResponse', accept(1, 2));
    assert.deepEqual(
      ofKind(messages, 'timeoutNow').map(({ to }) => to),
      [2n],
    );
  });

  test('thesis §3.10: the target campaigns at once, and is heard by those who hear their leader', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.member(1).raft.transferLeadership(3n);
    cluster.stabilize();
    assert.equal(cluster.member(3).raft.role, 'leader');
    assert.equal(cluster.member(3).raft.term, 2);
  });

  test('thesis §3.10: a transfer that does not come about ends after an election timeout', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.raft.transferLeadership(3n);
    for (let tick = 0; tick < 10; tick += 1) {
      assert.equal(member.propose('a'), 'refused: busy');
      give(member, 'heartbeatResponse', { term: 1, readId: 0, lostLog: false });
      member.raft.tick();
      sent(member);
    }
    assert.equal(member.raft.isTransferring, false);
    assert.equal(member.propose('a'), 'appended in term 1');
  });

  test('thesis §3.10: a target that is removed meanwhile ends the transfer', () => {
    const member = leaderOf();
    give(member, 'appendResponse', accept(1, 1));
    member.proposeConfChange('remove 3');
    member.raft.transferLeadership(3n);
    sent(member);
    give(member, 'appendResponse', accept(1, 2));
    assert.equal(member.raft.isTransferring, false);
  });

  test('thesis §3.10: nothing is handed to learners, strangers or itself', () => {
    const member = leaderOf({ conf: { voters: [1n, 2n], learners: [3n] } });
    for (const target of [3n, 9n, 1n]) assert.equal(member.raft.transferLeadership(target), false);
    assert.equal(alone().raft.transferLeadership(2n), false);
  });
});

suite('thesis §9.6: pre-vote', () => {
  test('thesis §9.6: a rehearsal changes no term and no vote, of neither side', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.member(1).raft.campaign();
    cluster.member(1).processReady();
    cluster.deliver(cluster.member(2));
    cluster.member(2).processReady();
    for (const id of [1, 2]) {
      const { term, vote } = cluster.member(id).raft;
      assert.deepEqual([term, vote], [0, 0n]);
    }
  });

  test('thesis §9.6: any number of rehearsals may be granted', () => {
    const member = alone();
    for (const from of [2n, 3n]) {
      const [answer] = give(member, 'preVote', {
        from,
        term: 1,
        lastIndex: 0,
        lastTerm: 0,
        transfer: false,
      });
      assert.ok(answer?.kind === 'preVoteResponse' && !answer.reject);
    }
  });

  test('thesis §9.6: who was cut off returns without raising the term', () => {
    const cluster = TestCluster.ofVoters(3);
    cluster.elect(1);
    cluster.tick(3, 200);
    cluster.member(3).processReady();
    assert.equal(cluster.member(3).raft.term, 1);
    cluster.stabilize();
    assert.equal(cluster.member(1).raft.role, 'leader');
    cluster.tick(1, 2);
    cluster.stabilize();
    assert.equal(cluster.member(3).raft.leader, 1n);
    assert.equal(cluster.member(1).raft.term, 1);
  });
});

suite('thesis §3.8, §10.2.1: what must be durable, and when', () => {
  test('thesis §3.8: a follower acknowledges entries when its disk has them', () => {
    const member = alone({ isAsync: true });
    assert.deepEqual(give(member, 'append', append(1, [0, 0], [entryOf(1, 1)])), []);
    member.writeAppend();
    assert.equal(ofKind(sent(member), 'appendResponse')[0]?.index, 1);
  });

  test('thesis §3.8: a candidate counts its own vote when its disk has it', () => {
    const member = alone({ isAsync: true });
    member.raft.campaign();
    sent(member);
    give(member, 'preVoteResponse', { term: 1, reject: false });
    give(member, 'voteResponse', { term: 1, reject: false });
    assert.equal(member.raft.role, 'candidate');
    member.writeAppend();
    assert.equal(member.raft.role, 'leader');
  });

  test('thesis §10.2.1: a leader writes beside sending, and counts itself when its disk has it', () => {
    const member = alone({ isAsync: true });
    member.raft.campaign();
    sent(member);
    give(member, 'preVoteResponse', { term: 1, reject: false });
    member.writeAppend();
    const appends = ofKind(give(member, 'voteResponse', { term: 1, reject: false }), 'append');
    assert.equal(appends.length, 2, 'sent before it is written');
    give(member, 'appendResponse', accept(1, 1));
    assert.equal(member.raft.log.commit, 0);
    member.writeAppend();
    assert.equal(member.raft.log.commit, 1);
  });

  test('thesis §10.2.1: two followers commit without the leader’s disk, which applies when it has caught up', () => {
    const member = alone({ isAsync: true });
    member.raft.campaign();
    sent(member);
    give(member, 'preVoteResponse', { term: 1, reject: false });
    member.writeAppend();
    give(member, 'voteResponse', { term: 1, reject: false });
    for (const from of [2n, 3n]) give(member, 'appendResponse', { from, ...accept(1, 1) });
    assert.equal(member.raft.log.commit, 1);
    assert.equal(member.raft.log.applied, 0);
    member.writeAppend();
    sent(member);
    assert.equal(member.raft.log.applied, 1);
  });

  test('thesis §10.2.1: a late write of an earlier term proves nothing: a later one may be about to undo it', () => {
    const member = alone({ isAsync: true });
    const first = entryOf(1, 1);
    give(member, 'append', append(1, [0, 0], [first, entryOf(2, 1)]));
    give(member, 'append', { from: 3n, ...append(2, [1, 1], [entryOf(2, 2)]) });
    give(member, 'append', append(3, [1, 1], [entryOf(2, 1)]));
    assert.equal(member.appends.length, 3);
    member.writeAppend();
    assert.equal(
      member.raft.log.stable,
      0,
      'entry 2 of term 1 will be overwritten, and then written again',
    );
    member.writeAppend();
    member.writeAppend();
    assert.equal(member.raft.log.stable, 2);
  });

  test('etcd #14370: a single voter commits nothing before its own disk has it', () => {
    const member = alone({ conf: { voters: [1n], learners: [] }, isAsync: true });
    member.raft.campaign();
    sent(member);
    assert.equal(member.raft.role, 'candidate');
    member.writeAppend();
    sent(member);
    assert.equal(member.raft.role, 'leader');
    assert.equal(member.raft.log.commit, 0);
    member.writeAppend();
    assert.equal(member.raft.log.commit, 1);
  });
});

suite('PAR (FAST’18): a member that lost what it had acknowledged', () => {
  const lost = (): TestMember => {
    const member = alone({ terms: [1, 1, 2], term: 2 });
    member.loseLog(1);
    return member;
  };

  test('PAR: it does not campaign', () => {
    const member = lost();
    member.raft.campaign();
    assert.equal(member.raft.role, 'follower');
    assert.deepEqual(member.raft.owed && [member.raft.owed.index, member.raft.owed.term], [3, 2]);
  });

  test('PAR: it votes only for a log that is as good as the one it had', () => {
    for (const [index, term, granted] of [
      [2, 1, false],
      [9, 1, false],
      [2, 2, false],
      [3, 2, true],
      [1, 3, true],
    ] as const) {
      const request = { term: 5, lastIndex: index, lastTerm: term, transfer: false };
      const [answer] = give(lost(), 'vote', request);
      assert.ok(answer?.kind === 'voteResponse');
      assert.equal(answer.reject, !granted, `${index}/${term}`);
    }
  });

  test('PAR: it says so, gets the entries again, and is whole when its disk has them', () => {
    const member = lost();
    const [beat] = ofKind(
      give(member, 'heartbeat', { term: 2, commit: 3, commitTerm: 2, readId: 0 }),
      'heartbeatResponse',
    );
    assert.equal(beat?.lostLog, true);
    assert.equal(member.raft.log.commit, 0, 'and commits nothing that it does not hold');
    const [answer] = ofKind(give(member, 'append', append(2, [3, 2], [])), 'appendResponse');
    assert.equal(answer?.reject, true);
    give(member, 'append', append(2, [1, 1], [entryOf(2, 1)]));
    assert.notEqual(member.raft.owed, undefined);
    give(member, 'append', append(2, [2, 1], [entryOf(3, 2)]));
    assert.equal(member.raft.owed, undefined);
  });

  test('PAR: an entry of a later term ends the debt: that leader’s log has all that was ever committed', () => {
    const member = lost();
    give(member, 'append', append(4, [1, 1], [entryOf(2, 4)]));
    assert.equal(member.raft.owed, undefined);
  });

  test('PAR: the leader takes back what it thought the follower had, but nothing that is committed', () => {
    const member = leaderOf();
    member.propose('a');
    sent(member);
    give(member, 'appendResponse', accept(1, 2));
    assert.equal(member.raft.log.commit, 2);
    const rejection = { term: 1, index: 2, reject: true, hintIndex: 1, hintTerm: 1 };
    const [asked] = ofKind(give(member, 'appendResponse', rejection), 'append');
    assert.deepEqual([asked?.previousIndex, asked?.entries.length], [2, 0]);
    assert.equal(member.raft.progressOf(2n)?.match, 2, 'the answer may be an old one');
    const [again] = ofKind(give(member, 'appendResponse', rejection), 'append');
    assert.deepEqual([again?.previousIndex, again?.entries.length], [1, 1]);
    assert.equal(member.raft.progressOf(2n)?.match, 1);
    assert.equal(member.raft.log.commit, 2);
  });
});
