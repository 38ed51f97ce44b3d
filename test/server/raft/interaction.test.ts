import { type Command, datadrivenTests } from '../../support/datadriven.ts';
import { TestCluster, type TestMember } from './cluster.ts';
import { describeEntries, describeId } from './describe.ts';

// Scripts of commands with the full trace of what every member does: see testdata/*.txt.

datadrivenTests('test/server/raft/testdata', () => {
  const script = new Script();
  return (command) => script.run(command);
});

type Action = (command: Command) => void;

class Script {
  readonly #cluster = new TestCluster({ isTraced: true });

  readonly #actions: Readonly<Record<string, Action>> = {
    'add-nodes': (command) => this.#addNodes(command),
    campaign: (command) => this.#each(command, ({ raft }) => raft.campaign()),
    'compact-log': (command) => {
      const leftBehind = command.options.get('leaving')?.split(',').map(BigInt) ?? [];
      this.#first(command).compact(Number(command.words[1]), leftBehind);
    },
    'deliver-msgs': (command) => this.#deliver(command),
    'drop-msgs': (command) => this.#deliver(command),
    'duplicate-msgs': () => {
      this.#cluster.inFlight = this.#cluster.inFlight.flatMap((envelope) => [envelope, envelope]);
    },
    'reverse-msgs': () => {
      this.#cluster.inFlight.reverse();
    },
    elect: (command) => this.#elect(command),
    'lose-log': (command) => {
      const isNoticed = command.options.get('noticed') !== 'false';
      this.#first(command).loseLog(numberOf(command, 'keep'), isNoticed);
    },
    'process-append': (command) => this.#each(command, (member) => member.writeAppend()),
    'process-ready': (command) => this.#each(command, (member) => member.processReady()),
    propose: (command) =>
      this.#note(this.#first(command).propose(...proposed(command.words.slice(1)))),
    'propose-conf-change': (command) =>
      this.#note(this.#first(command).proposeConfChange(command.words.slice(1).join(' '))),
    'raft-log': (command) => this.#each(command, (member) => this.#printLog(member)),
    'read-index': (command) => this.#first(command).raft.readIndex(Number(command.words[1])),
    'report-snapshot': (command) => {
      const [, to = '', outcome] = command.words;
      this.#first(command).raft.reportSnapshot(BigInt(to), outcome === 'installed');
    },
    restart: (command) => this.#each(command, (member) => member.restart()),
    stabilize: ({ words }) => this.#cluster.stabilize(...words.map(Number)),
    status: (command) => this.#each(command, (member) => this.#printStatus(member)),
    tick: (command) => this.#cluster.tick(this.#first(command).id, Number(command.words[1] ?? 1)),
    'tick-election': (command) => this.#each(command, ({ id }) => this.#cluster.tick(id, 10)),
    'tick-heartbeat': (command) => this.#each(command, ({ id }) => this.#cluster.tick(id, 2)),
    'transfer-leadership': (command) => {
      const target = BigInt(command.words[1] ?? '');
      const isStarted = this.#first(command).raft.transferLeadership(target);
      this.#note(isStarted ? 'started' : 'refused');
    },
  };

  run(command: Command): readonly string[] {
    const action = this.#actions[command.name];
    if (action === undefined) throw new Error(`no command ${command.name}`);
    action(command);
    this.#cluster.noteChanges();
    return this.#cluster.takeTrace();
  }

  #note(line: string): void {
    this.#cluster.note(line);
  }

  #first({ words }: Command): TestMember {
    return this.#cluster.member(Number(words[0]));
  }

  /** The members that the command names, or all. */
  #each({ words }: Command, action: (member: TestMember) => void): void {
    const named = words.map((word) => this.#cluster.member(Number(word)));
    for (const member of named.length > 0 ? named : this.#cluster.members.values()) action(member);
  }

  #addNodes(command: Command): void {
    const { words, options } = command;
    const terms = idsOf(options.get('terms')).map(Number);
    const limit = (name: string, key: string): object =>
      options.has(name) ? { [key]: numberOf(command, name) } : {};
    for (const word of words) {
      this.#cluster.add(BigInt(word), {
        conf: { voters: idsOf(options.get('voters')), learners: idsOf(options.get('learners')) },
        options: {
          ...limit('append-bytes', 'appendBytesMax'),
          ...limit('inflight', 'inflightAppendsMax'),
          ...limit('uncommitted-bytes', 'uncommittedBytesMax'),
          ...limit('apply-bytes', 'applyBytesMax'),
        },
        terms,
        term: Number(options.get('term') ?? terms.at(-1) ?? 0),
        vote: BigInt(options.get('vote') ?? 0),
        commit: Number(options.get('commit') ?? 0),
        isAsync: options.get('appends') === 'async',
      });
    }
  }

  /** An election among all members, or the named ones: only its end is told. */
  #elect({ words }: Command): void {
    const [id = 0, ...among] = words.map(Number);
    this.#cluster.elect(id, ...(among.length > 0 ? [id, ...among] : []));
    this.#cluster.takeTrace();
    const { raft } = this.#cluster.member(id);
    this.#note(`${id} leads term ${raft.term}`);
  }

  #deliver(command: Command): void {
    const { options } = command;
    const isDropped = command.name === 'drop-msgs';
    const from = options.get('from');
    const kind = options.get('kind');
    this.#each(command, (member) => {
      this.#cluster.deliver(member, {
        isDropped,
        accepts: (message) =>
          (from === undefined || message.from === BigInt(from)) &&
          (kind === undefined || message.kind === kind),
      });
    });
  }

  #printStatus({ id, raft, disk }: TestMember): void {
    const { role, term, vote, log, conf, owed } = raft;
    const last = describeId({ index: log.lastIndex, term: log.lastTerm });
    const marks = `last=${last} stable=${log.stable} commit=${log.commit} applied=${log.applied}`;
    const debt = owed === undefined ? '' : ` owes=${describeId(owed)}`;
    this.#note(`${id}: ${role} term=${term} vote=${vote} ${marks}${debt}`);
    this.#note(`  voters=${conf.voters} learners=${conf.learners} first=${disk.base.index + 1}`);
    for (const member of [...conf.voters, ...conf.learners]) {
      const progress = raft.progressOf(member);
      if (progress === undefined) continue;
      const { match, state, recentlyActive, pendingSnapshot } = progress;
      const pending = pendingSnapshot > 0 ? ` pending=${pendingSnapshot}` : '';
      const active = recentlyActive ? ' active' : '';
      this.#note(`  ${member}: ${state} match=${match}${pending}${active}`);
    }
  }

  #printLog({ id, disk }: TestMember): void {
    this.#note(`${id}: after ${describeId(disk.base)} ${describeEntries(disk.entries)}`);
  }
}

/** `x20` stands for twenty bytes. */
function proposed(words: readonly string[]): string[] {
  return words.map((word) => (/^x\d+$/.test(word) ? 'x'.repeat(Number(word.slice(1))) : word));
}

function idsOf(list: string | undefined): bigint[] {
  return list === undefined || list === '' ? [] : list.split(',').map(BigInt);
}

function numberOf(command: Command, name: string): number {
  const text = command.options.get(name);
  if (text === undefined) throw new Error(`${command.name} needs ${name}=`);
  return Number(text);
}
