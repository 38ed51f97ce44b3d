import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EtcdError } from '../../../server/base/errors.ts';
import { type Logger, silentLogger } from '../../../server/base/logger.ts';
import {
  CorruptionChecker,
  DataMismatchError,
  type MemberHash,
} from '../../../server/member/corruption.ts';
import type { KvHash } from '../../../server/mvcc/hash.ts';
import { VirtualClock } from '../../operator/support/virtual-clock.ts';

const good = 0xa0;
const bad = 0xb0;

type Told = Partial<MemberHash> | EtcdError;

class Bench {
  readonly clock = new VirtualClock();
  readonly alarms: bigint[] = [];
  readonly asked: string[] = [];
  readonly logged: string[] = [];
  isLeader = true;
  own: MemberHash = { hash: good, compactRevision: 3, hashRevision: 9, revision: 9 };
  ownHashes: readonly KvHash[] = [];
  /** What the peers 2, 3 and so on tell. */
  peers: Told[] = [{}, {}];
  readonly checker: CorruptionChecker;

  constructor() {
    this.checker = new CorruptionChecker({
      clock: this.clock,
      logger: this.#logger(),
      member: {
        memberId: 1n,
        isLeader: () => this.isLeader,
        hash: async () => this.own,
        compactionHashes: () => this.ownHashes,
        linearizableRead: async () => {},
        peers: () => this.peers.map((_, at) => BigInt(at + 2)),
        askHash: async (peer, revision) => {
          this.asked.push(`${peer}@${revision}`);
          const told = this.peers[Number(peer) - 2] ?? {};
          if (told instanceof EtcdError) throw told;
          return { ...this.own, hashRevision: revision, ...told };
        },
        raiseCorrupt: (member) => this.alarms.push(member),
      },
    });
  }

  #logger(): Logger {
    const at = (level: string) => (_: unknown, text: string) =>
      this.logged.push(`${level}: ${text}`);
    return { ...silentLogger, info: at('info'), warn: at('warn') };
  }
}

suite('comparing everything', () => {
  const cases: readonly (readonly [name: string, peers: Told[], alarms: bigint[]])[] = [
    ['all agree', [{}, {}], []],
    ['one differs', [{}, { hash: bad }], [3n]],
    ['two differ: the first is alarmed', [{ hash: bad }, { hash: bad }], [2n]],
    ['another compact revision cannot be compared', [{ hash: bad, compactRevision: 2 }], []],
    ['a compact revision ahead of the leader', [{ compactRevision: 4 }], [2n]],
    ['a revision ahead of the leader', [{ revision: 10 }], [2n]],
    ['a peer that does not answer', [new EtcdError('FutureRevision'), { hash: bad }], [3n]],
    ['nobody answers', [new EtcdError('Timeout'), new EtcdError('Compacted')], []],
  ];
  for (const [name, peers, alarms] of cases) {
    test(name, async () => {
      const bench = new Bench();
      bench.peers = peers;
      await bench.checker.checkAll();
      assert.deepEqual(bench.alarms, alarms);
    });
  }

  test('a leader whose own hash changes without a write is the corrupt one', async () => {
    const bench = new Bench();
    const checking = bench.checker.checkAll();
    bench.own = { ...bench.own, hash: bad };
    await checking;
    assert.deepEqual(bench.alarms, [1n]);
  });
});

suite('comparing what was compacted', () => {
  const hashAt = (hashRevision: number, hash = good): KvHash => ({
    hash,
    hashRevision,
    compactRevision: 3,
  });
  const cases: readonly (readonly [name: string, peers: Told[], alarms: bigint[]])[] = [
    ['all agree', [{}, {}], []],
    ['the odd one out', [{}, { hash: bad }], [3n]],
    ['the leader is the odd one out', [{ hash: bad }, { hash: bad }], [1n]],
    ['of two, nobody knows which', [{ hash: bad }], [0n]],
    ['three hashes, no majority', [{ hash: bad }, { hash: 5 }], [0n]],
    ['two of five', [{ hash: bad }, {}, { hash: 6 }, {}], [2n, 4n]],
    ['one is down, the others differ', [new EtcdError('Timeout'), { hash: bad }], [0n]],
    ['another compact revision says nothing', [{ hash: bad, compactRevision: 1 }, {}], []],
  ];
  for (const [name, peers, alarms] of cases) {
    test(name, async () => {
      const bench = new Bench();
      bench.ownHashes = [hashAt(7)];
      bench.peers = peers;
      await bench.checker.checkCompacted();
      assert.deepEqual(
        bench.alarms.toSorted((a, b) => (a < b ? -1 : 1)),
        alarms,
      );
    });
  }

  test('what all had is not compared again; what one lacked is, and an older one in its place', async () => {
    const bench = new Bench();
    bench.ownHashes = [hashAt(8), hashAt(7)];
    bench.peers = [{}, new EtcdError('Compacted')];
    await bench.checker.checkCompacted();
    assert.deepEqual(bench.asked, ['2@8', '3@8', '2@7', '3@7']);
    bench.peers = [{}, {}];
    await bench.checker.checkCompacted();
    await bench.checker.checkCompacted();
    assert.deepEqual(bench.asked.slice(4), ['2@8', '3@8']);
  });
});

test('a peer that has forgotten a hash is spoken of once, one that does not answer each time', async () => {
  const bench = new Bench();
  const hash = { hash: good, compactRevision: 3 };
  bench.ownHashes = [8, 7].map((hashRevision) => ({ ...hash, hashRevision }));
  bench.peers = [{}, new EtcdError('Compacted')];
  for (let times = 0; times < 3; times++) await bench.checker.checkCompacted();
  assert.equal(bench.asked.length, 12);
  assert.deepEqual(bench.logged, ['info: skipped a peer: it has no hash of this revision']);
  bench.ownHashes = [{ ...hash, hashRevision: 9 }];
  bench.peers = [new EtcdError('Timeout'), new EtcdError('Compacted')];
  for (let times = 0; times < 2; times++) await bench.checker.checkCompacted();
  assert.deepEqual(bench.logged.slice(1).toSorted(), [
    'info: skipped a peer: it has no hash of this revision',
    'warn: a peer does not tell its hash',
    'warn: a peer does not tell its hash',
  ]);
});

suite('comparing before serving', () => {
  test('a member whose data differs does not start', async () => {
    const bench = new Bench();
    bench.peers = [new EtcdError('Timeout'), { hash: bad }];
    await assert.rejects(bench.checker.checkInitially(), DataMismatchError);
  });

  test('who cannot be compared is no reason', async () => {
    const bench = new Bench();
    bench.peers = [{}, { hash: bad, compactRevision: 5 }, new EtcdError('FutureRevision')];
    await bench.checker.checkInitially();
    assert.deepEqual(bench.asked, ['2@9', '3@9', '4@9']);
  });
});

test('the leader alone compares, each check on its own interval', async () => {
  const bench = new Bench();
  bench.ownHashes = [{ hash: good, hashRevision: 7, compactRevision: 3 }];
  bench.checker.start({ corruptCheckMs: 1000, compactHashCheckMs: 300 });
  bench.isLeader = false;
  await bench.clock.advance(2500);
  assert.deepEqual(bench.asked, []);
  bench.isLeader = true;
  await bench.clock.advance(700);
  assert.deepEqual(bench.asked, ['2@7', '3@7', '2@9', '3@9']);
  bench.checker.stop();
  await bench.clock.advance(5000);
  assert.equal(bench.asked.length, 4);
});
