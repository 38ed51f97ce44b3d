import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { MemberId } from '../../../server/base/ids.ts';
import { SeededRandom } from '../../sim/random.ts';
import { type Envelope, TestCluster, type TestMember } from './cluster.ts';
import { describeEntry, describeId } from './describe.ts';

// Random schedules: messages lost, repeated and reordered, disks that are slow, crashes, snapshots, membership changes,
// lost logs. After every step the properties of paper figure 3 must hold; in the end, with everything healed, progress.

const weights = {
  exchange: 16,
  deliver: 40,
  ready: 30,
  write: 20,
  tick: 12,
  propose: 10,
  drop: 3,
  duplicate: 3,
  read: 3,
  crash: 1,
  compact: 5,
  transfer: 1,
  change: 2,
  loseLog: 2,
} as const;
type StepKind = keyof typeof weights;
const kinds = Object.keys(weights) as StepKind[];

interface Step {
  readonly kind: StepKind;
  /** Which member, or which message. */
  readonly choice: number;
  readonly detail: number;
}

/** Each seed has its own mixture: some things often, some never. */
function mixture(random: SeededRandom, without: readonly StepKind[]): Record<StepKind, number> {
  const mixed: Record<StepKind, number> = { ...weights };
  for (const kind of kinds) {
    const isVital = kind === 'exchange' || kind === 'tick' || kind === 'propose';
    const factor = isVital ? random.pick([0.3, 1, 1, 2]) : random.pick([0, 0.3, 1, 1, 3, 10]);
    mixed[kind] = without.includes(kind) ? 0 : weights[kind] * factor;
  }
  return mixed;
}

/** A cluster, and what no member may ever contradict. */
class Schedule {
  readonly cluster = new TestCluster();
  readonly #members: TestMember[];
  readonly #leaders = new Map<number, MemberId>();
  /** By index: entries that some member knows to be committed. */
  readonly #committed: string[] = [];
  /** By `index/term`: the entry there, and the one before it. */
  readonly #entries = new Map<string, string>();
  readonly #terms = new Map<MemberId, number>();
  readonly #readFloors = new Map<number, number>();
  #lastNumber = 0;
  /** What came to pass: a schedule in which nothing happens proves nothing. */
  readonly seen = { leaders: 0, committed: 0, snapshots: 0, changes: 0, reads: 0, repairs: 0 };

  constructor(voters: number, random: SeededRandom) {
    const ids = Array.from({ length: voters }, (_, at) => BigInt(at + 1));
    for (let id = 1; id <= Math.max(4, voters); id += 1) {
      this.cluster.add(id, {
        conf: { voters: ids, learners: [] },
        options: {
          electionTicks: 8,
          heartbeatTicks: 1,
          inflightAppendsMax: 4,
          appendBytesMax: 100,
          applyBytesMax: 200,
        },
        isAsync: true,
        random: random.fork(),
      });
    }
    this.#members = [...this.cluster.members.values()];
    this.cluster.onApplied = (_, entry) => {
      if (entry.kind === 'confChange') this.seen.changes += 1;
      const known = this.#committed[entry.index];
      assert.equal(describeEntry(entry), known ?? describeEntry(entry), 'state machine safety');
    };
  }

  run(step: Step): void {
    const member = this.#members[step.choice % this.#members.length] as TestMember;
    this.#act(member, step);
    this.#check(member);
  }

  #act(member: TestMember, { kind, choice, detail }: Step): void {
    switch (kind) {
      case 'exchange':
        return this.#exchange((envelope) => this.#isHeldBack(envelope, choice));
      case 'deliver':
        return this.#takeMessage(choice, (envelope) => this.#deliver(envelope));
      case 'drop':
        return this.#takeMessage(choice, (envelope) => this.#reportSnapshot(envelope, false));
      case 'duplicate':
        return this.#takeMessage(choice, (envelope) => {
          this.cluster.inFlight.push(envelope, envelope);
        });
      case 'ready':
        return this.#processReady(member);
      case 'write':
        return this.#write(member);
      case 'tick':
        for (let tick = 0; tick <= detail % 4; tick += 1) member.raft.tick();
        return;
      case 'propose':
        member.propose(`p${this.#number()}`);
        return;
      case 'read':
        return this.#read(member);
      case 'crash':
        return member.restart();
      case 'loseLog':
        return this.#loseLog(detail);
      case 'compact':
        return member.compact(member.raft.log.applied - (detail % 3));
      case 'transfer':
        return void member.raft.transferLeadership(BigInt(1 + (detail % this.#members.length)));
      case 'change':
        return this.#change(member, detail);
    }
  }

  #takeMessage(choice: number, use: (envelope: Envelope) => void): void {
    const { inFlight } = this.cluster;
    if (inFlight.length === 0) return;
    // Mostly the oldest: else little would ever come to an end.
    const at = choice % 3 === 0 ? choice % inFlight.length : 0;
    const [envelope] = inFlight.splice(at, 1);
    if (envelope !== undefined) use(envelope);
  }

  #deliver(envelope: Envelope): void {
    const receiver = this.cluster.member(envelope.message.to);
    receiver.receive(envelope);
    this.#check(receiver);
    this.#reportSnapshot(envelope, true);
  }

  /** As the transport does: each snapshot's end is reported. */
  #reportSnapshot({ message }: Envelope, isInstalled: boolean): void {
    if (message.kind !== 'snapshot') return;
    this.cluster.member(message.from).raft.reportSnapshot(message.to, isInstalled);
  }

  #processReady(member: TestMember): void {
    const ready = member.processReady();
    if (ready?.append?.snapshot !== undefined) this.seen.snapshots += 1;
    for (const { requestId, index } of member.reads.splice(0)) {
      this.seen.reads += 1;
      const floor = this.#readFloors.get(requestId) ?? 0;
      assert.ok(index >= floor, `read ${requestId} at ${index}, but ${floor} was committed before`);
    }
  }

  #write(member: TestMember): void {
    const wasOwing = member.raft.owed !== undefined;
    member.writeAppend();
    if (wasOwing && member.raft.owed === undefined) this.seen.repairs += 1;
  }

  #read(member: TestMember): void {
    const requestId = this.#number();
    this.#readFloors.set(requestId, this.#committed.length - 1);
    member.raft.readIndex(requestId);
  }

  /** Always the same member: what one has lost, the others have. */
  #loseLog(detail: number): void {
    const member = this.cluster.member(1);
    const { log } = member.raft;
    const spread = log.lastIndex - log.applied + 1;
    member.loseLog(log.applied + (detail % spread));
  }

  #change(member: TestMember, detail: number): void {
    const id = 1 + (detail % this.#members.length);
    const verb = ['add', 'learner', 'promote', 'remove'][(detail >> 3) % 4] ?? 'add';
    const { voters } = member.raft.conf;
    if (verb === 'remove' && voters.length <= 1) return;
    if (verb === 'learner' && voters.includes(BigInt(id))) return;
    member.proposeConfChange(`${verb} ${id}`);
  }

  #number(): number {
    this.#lastNumber += 1;
    return this.#lastNumber;
  }

  // --- the properties of paper figure 3 --------------------------------------------------------

  #check(member: TestMember): void {
    const { raft, id, disk } = member;
    const { term } = disk.hardState;
    assert.ok(term >= (this.#terms.get(id) ?? 0), 'a term that was written never goes back');
    this.#terms.set(id, term);
    this.#checkLog(member);
    this.#noteCommitted(member);
    if (raft.role === 'leader') this.#checkLeader(member);
  }

  #checkLeader({ id, raft }: TestMember): void {
    const leader = this.#leaders.get(raft.term);
    if (leader === id) return;
    assert.equal(leader, undefined, `election safety: two leaders in term ${raft.term}`);
    this.#leaders.set(raft.term, id);
    this.seen.leaders += 1;
    const { log } = raft;
    assert.ok(log.lastIndex >= this.#committed.length - 1, 'leader completeness: shorter');
    for (const entry of log.slice(log.firstIndex, Infinity)) {
      const known = this.#committed[entry.index];
      assert.equal(describeEntry(entry), known ?? describeEntry(entry), 'leader completeness');
    }
  }

  /** Log matching: the entry before an entry is always the same. */
  #checkLog({ raft: { log } }: TestMember): void {
    let before = describeId({ index: log.firstIndex - 1, term: log.term(log.firstIndex - 1) ?? 0 });
    for (const entry of log.slice(log.firstIndex, Infinity)) {
      const key = describeId(entry);
      const value = `${describeEntry(entry)} after ${before}`;
      const known = this.#entries.get(key);
      if (known === undefined) this.#entries.set(key, value);
      else assert.equal(value, known, 'log matching');
      before = key;
    }
  }

  #noteCommitted({ raft: { log } }: TestMember): void {
    if (log.commit < this.#committed.length && this.#committed.length > 0) return;
    for (const entry of log.slice(log.firstIndex, Infinity, log.commit)) {
      const known = this.#committed[entry.index];
      assert.equal(describeEntry(entry), known ?? describeEntry(entry), 'committed for ever');
      if (known === undefined) this.seen.committed += 1;
      this.#committed[entry.index] = describeEntry(entry);
    }
  }

  // --- healed ----------------------------------------------------------------------------------

  /** Everything works again: soon there is a leader, and a proposal of each voter is applied everywhere. */
  heal(): void {
    this.#settle(60);
    const leaders = this.#members.filter(({ raft }) => raft.role === 'leader');
    const leader = leaders.reduce(
      (a, b) => (a.raft.term > b.raft.term ? a : b),
      leaders[0] ?? assert.fail('no leader'),
    );
    const before = leader.raft.log.applied;
    assert.match(leader.propose('healed'), /appended/);
    this.#settle(10);
    const { voters } = leader.raft.conf;
    for (const voter of voters) {
      const { raft, state } = this.cluster.member(voter);
      assert.ok(raft.log.applied > before, `${voter} has applied up to ${raft.log.applied}`);
      assert.equal(raft.owed, undefined);
      assert.deepEqual(state.history, leader.state.history);
    }
  }

  #settle(rounds: number): void {
    for (let round = 0; round < rounds; round += 1) {
      for (const { raft } of this.#members) raft.tick();
      for (let turn = 0; turn < 8; turn += 1) this.#exchange();
    }
  }

  /** Everyone does what there is to do, and all messages arrive that are not held back. */
  #exchange(isHeldBack: (envelope: Envelope) => boolean = () => false): void {
    for (const member of this.#members) {
      while (member.appends.length > 0) this.#write(member);
      this.#processReady(member);
      while (member.appends.length > 0) this.#write(member);
    }
    const arriving = this.cluster.inFlight.filter((envelope) => !isHeldBack(envelope));
    this.cluster.inFlight = this.cluster.inFlight.filter(isHeldBack);
    for (const envelope of arriving) this.#deliver(envelope);
    for (const member of this.#members) this.#check(member);
  }

  /** One member is cut off, or one link, in one direction; or nobody. */
  #isHeldBack({ message: { from, to } }: Envelope, choice: number): boolean {
    const one = BigInt(1 + (choice % 5));
    const other = BigInt(1 + ((choice >> 3) % 5));
    return choice % 2 === 0 ? from === one && to === other : to === one || from === one;
  }
}

const seeds = Number(process.env['RAFT_SCHEDULES'] ?? 100);
const stepsPerSeed = 600;

/** Runs each seed's schedule; a failure names its seed. */
function forEachSeed(without: readonly StepKind[], end: (schedule: Schedule) => void): void {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const random = new SeededRandom(seed);
    const voters = random.pick([1, 3, 3, 3, 5]);
    const schedule = new Schedule(voters, random.fork());
    // A single voter that lost its log stays silent for ever, as it must.
    const mixed = mixture(random, voters === 1 ? [...without, 'loseLog'] : without);
    let count = 0;
    try {
      for (; count < stepsPerSeed; count += 1) {
        const kind = random.weighted(mixed);
        schedule.run({ kind, choice: random.below(1000), detail: random.below(1000) });
      }
      end(schedule);
    } catch (error) {
      throw new Error(`seed ${seed}, step ${count}: ${(error as Error).stack}`, { cause: error });
    }
  }
}

suite('random schedules', () => {
  test('figure 3 holds at every step, whatever happens', () => {
    const totals = { leaders: 0, committed: 0, snapshots: 0, changes: 0, reads: 0, repairs: 0 };
    forEachSeed([], ({ seen }) => {
      for (const name of Object.keys(totals) as Array<keyof typeof totals>) {
        totals[name] += seen[name];
      }
    });
    for (const [name, total] of Object.entries(totals)) {
      assert.ok(total > seeds / 20, `${name} happened ${total} times`);
    }
  });

  test('when everything is healed, members of a fixed set agree and go on', () => {
    forEachSeed(['change'], (schedule) => schedule.heal());
  });
});
