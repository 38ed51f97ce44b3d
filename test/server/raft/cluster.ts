import { defined } from '../../../server/base/assert.ts';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import type { LogIndex, MemberId } from '../../../server/base/ids.ts';
import { compareIds, type EntryId } from '../../../server/base/ids.ts';
import type { Random } from '../../../server/base/random.ts';
import { type ConfState, type Entry, type HardState } from '../../../server/raft/entry.ts';
import type { Message, Proposal } from '../../../server/raft/messages.ts';
import { type Append, Raft, type Ready } from '../../../server/raft/raft.ts';
import type { RaftOptions } from '../../../server/raft/state.ts';
import { describeAppend, describeBatch, describeEntry, describeMessage } from './describe.ts';

/** What a member has applied: a stand-in for the whole state store. */
interface State {
  readonly applied: EntryId;
  readonly conf: ConfState;
  /** Every applied entry, described. */
  readonly history: readonly string[];
}

/** What survives a crash. */
interface Disk {
  hardState: HardState;
  base: EntryId;
  entries: Entry[];
  owed: EntryId | undefined;
  state: State;
}

/** A message in flight; a snapshot carries its state along. */
export interface Envelope {
  readonly message: Message;
  readonly image: State | undefined;
}

interface DeliverOptions {
  isDropped: boolean;
  /** Its sending was noted: that says enough. */
  isSilent: boolean;
  accepts: (message: Message) => boolean;
}

export interface MemberSetup {
  readonly conf: ConfState;
  readonly options?: Partial<RaftOptions>;
  /** Terms of the log's entries, from index 1 on. */
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly vote?: MemberId;
  readonly commit?: LogIndex;
  /** Appends become durable only by `writeAppend`. */
  readonly isAsync?: boolean;
  readonly random?: Random;
}

const defaults: Omit<RaftOptions, 'id'> = {
  electionTicks: 10,
  heartbeatTicks: 2,
  appendBytesMax: 1_000_000,
  inflightAppendsMax: 16,
  uncommittedBytesMax: 1_000_000,
  applyBytesMax: 1_000_000,
};

/** One member: a `Raft`, its disk and its state, driven as `server/raft/raft.ts` asks for it. */
export class TestMember {
  readonly id: MemberId;
  readonly disk: Disk;
  readonly #random: Random;
  readonly #options: RaftOptions;
  readonly #cluster: TestCluster;
  readonly isAsync: boolean;
  raft: Raft;
  /** Handed to the disk, not yet durable; oldest first. */
  appends: Append[] = [];
  /** States that came with snapshot messages. */
  #staged: State[] = [];
  reads: Array<{ requestId: number; index: LogIndex }> = [];
  refusedBatches: number[] = [];

  constructor(cluster: TestCluster, id: MemberId, setup: MemberSetup) {
    const { conf, terms = [], commit = 0, term = terms.at(-1) ?? 0, vote = 0n } = setup;
    this.#cluster = cluster;
    this.id = id;
    this.isAsync = setup.isAsync ?? false;
    this.#options = { ...defaults, ...setup.options, id };
    this.#random = setup.random ?? fixedTimeout(this.#options);
    this.disk = {
      hardState: { term, vote, commit },
      base: { index: 0, term: 0 },
      entries: terms.map((entryTerm, at) => entryOf(at + 1, entryTerm)),
      owed: undefined,
      state: { applied: { index: 0, term: 0 }, conf, history: [] },
    };
    this.raft = this.#start();
  }

  get state(): State {
    return this.disk.state;
  }

  #start(): Raft {
    const { hardState, base, entries, owed, state } = this.disk;
    return new Raft({ random: this.#random }, this.#options, {
      hardState,
      base,
      entries: [...entries],
      applied: state.applied.index,
      confState: state.conf,
      owed,
    });
  }

  /** The process dies: what was not durable is gone; then it starts again. */
  restart(): void {
    this.appends = [];
    this.#staged = [];
    this.#adoptState();
    this.raft = this.#start();
  }

  /** A crash between the installation of a snapshot and the reset of the log. */
  #adoptState(): void {
    const { disk } = this;
    const { applied } = disk.state;
    const entry = disk.entries[applied.index - disk.base.index - 1];
    const isHeld = applied.index === disk.base.index || entry?.term === applied.term;
    if (!isHeld) Object.assign(disk, { base: applied, entries: [] });
  }

  /** A repair found the entries after `index` damaged: what the state does not have is owed. */
  loseLog(index: LogIndex, isNoticed = true): void {
    const { disk } = this;
    const { applied } = disk.state;
    const debts = [
      disk.entries.at(-1) ?? disk.base,
      ...(disk.owed === undefined ? [] : [disk.owed]),
    ];
    disk.entries.splice(Math.max(0, index - disk.base.index));
    this.#adoptState();
    const last = disk.entries.at(-1) ?? applied;
    if (isNoticed)
      disk.owed = debts
        .filter((debt) => compareIds(debt, last) > 0)
        .sort(compareIds)
        .at(-1);
    this.restart();
  }

  /** Takes one ready and does what it says; undefined when there was nothing to do. */
  processReady(): Ready | undefined {
    const ready = this.raft.ready();
    if (isEmpty(ready)) return undefined;
    const cluster = this.#cluster;
    cluster.note(`ready ${this.id}`);
    for (const message of ready.messages) this.#send(message);
    for (const { requestId, index } of ready.reads) {
      cluster.note(`  read ${requestId} at index ${index}`);
    }
    for (const batch of ready.refusedBatches)
      cluster.note(`  batch ${describeBatch(batch)} was refused`);
    this.reads.push(...ready.reads);
    this.refusedBatches.push(...ready.refusedBatches);
    if (ready.append !== undefined) this.#append(ready.append);
    for (const entry of ready.committed) this.#apply(entry);
    cluster.noteChanges();
    return ready;
  }

  #send(message: Message): void {
    this.#cluster.note(`  send ${describeMessage(message)}`);
    const image = message.kind === 'snapshot' ? this.state : undefined;
    this.#cluster.inFlight.push({ message, image });
  }

  #append(append: Append): void {
    const isDeferred = this.isAsync;
    for (const line of describeAppend(append, { isDeferred })) this.#cluster.note(`  ${line}`);
    if (append.snapshot !== undefined) this.#install(append.snapshot);
    this.appends.push(append);
    if (!this.isAsync) this.writeAppend();
  }

  #install(mark: EntryId): void {
    const staged = this.#staged.find(({ applied }) => compareIds(applied, mark) === 0);
    this.disk.state = defined(staged, 'the state of the snapshot');
    this.#staged = [];
  }

  /** Takes out of the network what this member has sent. */
  takeSent(): Message[] {
    const isOwn = ({ message }: Envelope): boolean => message.from === this.id;
    const own = this.#cluster.inFlight.filter(isOwn).map(({ message }) => message);
    this.#cluster.inFlight = this.#cluster.inFlight.filter((envelope) => !isOwn(envelope));
    return own;
  }

  /** The oldest append becomes durable. */
  writeAppend(): boolean {
    const append = this.appends.shift();
    if (append === undefined) return false;
    const { disk } = this;
    if (append.snapshot !== undefined) Object.assign(disk, { base: append.snapshot, entries: [] });
    for (const entry of append.entries) {
      disk.entries.length = entry.index - disk.base.index - 1;
      disk.entries.push(entry);
    }
    disk.hardState = append.hardState;
    if (this.isAsync) this.#cluster.note(`${this.id} has written up to ${append.last.index}`);
    this.raft.appended(append);
    disk.owed = this.raft.owed;
    for (const message of append.messages) this.#send(message);
    this.#cluster.noteChanges();
    return true;
  }

  #apply(entry: Entry): void {
    const { disk } = this;
    const described = describeEntry(entry);
    this.#cluster.note(`  apply ${described}`);
    this.#cluster.onApplied(this, entry);
    const conf = entry.kind === 'confChange' ? changed(disk.state.conf, entry) : disk.state.conf;
    const history = [...disk.state.history, described];
    disk.state = { applied: { index: entry.index, term: entry.term }, conf, history };
    this.raft.appliedTo(entry.index);
    if (entry.kind === 'confChange') this.raft.setConf(conf);
  }

  /** Some may be left behind, though they are being sent a snapshot. */
  compact(index: LogIndex, leftBehind: readonly MemberId[] = []): void {
    this.raft.compactTo(index, (member) => leftBehind.includes(member));
    const { disk } = this;
    const first = this.raft.log.firstIndex;
    const dropped = disk.entries.splice(0, Math.max(0, first - 1 - disk.base.index)).at(-1);
    if (dropped !== undefined) disk.base = { index: dropped.index, term: dropped.term };
  }

  /** A message arrives. */
  receive({ message, image }: Envelope): void {
    if (image !== undefined) this.#staged.push(image);
    this.raft.step(message);
    this.#cluster.noteChanges();
  }

  propose(...data: string[]): string {
    return this.proposeAll(data.map((text) => ({ kind: 'normal', data: fromLatin1(text) })));
  }

  proposeConfChange(change: string): string {
    return this.proposeAll([{ kind: 'confChange', data: fromLatin1(change) }]);
  }

  proposeAll(proposals: readonly Proposal[]): string {
    const outcome = this.raft.propose(proposals);
    switch (outcome.kind) {
      case 'appended':
        return `appended in term ${outcome.term}`;
      case 'forwarded':
        return `forwarded in term ${outcome.term} as batch ${describeBatch(outcome.batchId)}`;
      case 'refused':
        return `refused: ${outcome.reason}`;
    }
  }
}

/** Members, and the messages between them. Nothing moves by itself. */
export class TestCluster {
  readonly members = new Map<MemberId, TestMember>();
  inFlight: Envelope[] = [];
  /** What happened since the last `takeTrace`. */
  #trace: string[] = [];
  readonly #seen = new Map<MemberId, string>();
  readonly isTraced: boolean;
  onApplied: (member: TestMember, entry: Entry) => void = () => {};

  constructor(options: { isTraced?: boolean } = {}) {
    this.isTraced = options.isTraced ?? false;
  }

  /** Members 1 to `voters`, all voters, with empty logs. */
  static ofVoters(voters: number, setup: Partial<MemberSetup> = {}): TestCluster {
    const cluster = new TestCluster();
    const ids = Array.from({ length: voters }, (_, at) => BigInt(at + 1));
    for (const id of ids) cluster.add(id, { conf: { voters: ids, learners: [] }, ...setup });
    return cluster;
  }

  add(id: number | bigint, setup: MemberSetup): TestMember {
    const member = new TestMember(this, BigInt(id), setup);
    this.members.set(member.id, member);
    this.#seen.set(member.id, roleOf(member));
    return member;
  }

  member(id: number | bigint): TestMember {
    return defined(this.members.get(BigInt(id)), `member ${id}`);
  }

  /** Processes readies and delivers messages among these members until nothing moves; the others see nothing. */
  stabilize(...ids: ReadonlyArray<number | bigint>): void {
    const chosen = ids.length > 0 ? ids.map((id) => this.member(id)) : [...this.members.values()];
    for (let turn = 0; ; turn += 1) {
      if (turn > 500) throw new Error('the members do not come to rest');
      let moved = false;
      for (const member of chosen) {
        if (member.processReady() !== undefined) moved = true;
        while (member.writeAppend()) moved = true;
      }
      for (const member of chosen) {
        if (this.deliver(member, { isSilent: true }) > 0) moved = true;
      }
      if (!moved) return;
    }
  }

  /** Delivers, or drops, what is on its way to `member`; returns how many. */
  deliver(member: TestMember, how: Partial<DeliverOptions> = {}): number {
    const { isDropped = false, isSilent = false, accepts = () => true } = how;
    const isChosen = ({ message }: Envelope): boolean =>
      message.to === member.id && accepts(message);
    const arriving = this.inFlight.filter(isChosen);
    this.inFlight = this.inFlight.filter((envelope) => !isChosen(envelope));
    for (const envelope of arriving) {
      const verb = isDropped ? 'drop' : 'deliver';
      if (!isSilent) this.note(`${verb} ${describeMessage(envelope.message)}`);
      if (!isDropped) member.receive(envelope);
    }
    return arriving.length;
  }

  dropAll(): void {
    this.inFlight = [];
  }

  /** Lets this member win an election among all (or the given) members. */
  elect(id: number | bigint, ...among: number[]): TestMember {
    const member = this.member(id);
    member.raft.campaign();
    this.stabilize(...among);
    if (member.raft.role !== 'leader') throw new Error(`${id} was not elected`);
    return member;
  }

  tick(id: number | bigint, count = 1): void {
    const member = this.member(id);
    for (let tick = 0; tick < count; tick += 1) member.raft.tick();
    this.noteChanges();
  }

  note(line: string): void {
    if (this.isTraced) this.#trace.push(line);
  }

  /** Notes every change of role, term and leader since the last time. */
  noteChanges(): void {
    if (!this.isTraced) return;
    for (const member of this.members.values()) {
      const role = roleOf(member);
      if (role === this.#seen.get(member.id)) continue;
      this.#seen.set(member.id, role);
      this.note(`  * ${role}`);
    }
  }

  takeTrace(): string[] {
    const trace = this.#trace;
    this.#trace = [];
    return trace;
  }
}

export function entryOf(index: LogIndex, term: number, data = ''): Entry {
  return { index, term, kind: 'normal', data: fromLatin1(data) };
}

/** Random numbers that give member n the timeout electionTicks + n - 1: distinct, and the same in each run. */
function fixedTimeout({ id, electionTicks }: RaftOptions): Random {
  const skew = (Number(id) - 1) % electionTicks;
  const value = Math.ceil((skew / electionTicks) * 0x1_0000_0000);
  return { uint32: () => value };
}

function isEmpty(ready: Ready): boolean {
  const { messages, append, committed, reads, refusedBatches } = ready;
  const work = messages.length + committed.length + reads.length + refusedBatches.length;
  return append === undefined && work === 0;
}

function roleOf({ raft }: TestMember): string {
  const leader = raft.leader === 0n ? 'no leader' : `leader ${raft.leader}`;
  return `${raft.id} is ${raft.role} in term ${raft.term}, ${leader}`;
}

/** Applies `add|learner|promote|remove ID`. */
function changed(conf: ConfState, entry: Entry): ConfState {
  const [verb = '', word = ''] = latin1(entry.data).split(' ');
  const id = BigInt(word);
  const voters = conf.voters.filter((member) => member !== id);
  const learners = conf.learners.filter((member) => member !== id);
  switch (verb) {
    case 'add':
    case 'promote':
      return { voters: [...voters, id], learners };
    case 'learner':
      return { voters, learners: [...learners, id] };
    case 'remove':
      return { voters, learners };
    default:
      throw new Error(`unknown change ${verb}`);
  }
}
