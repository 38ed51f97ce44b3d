import { equalBytes } from '../../../server/base/bytes.ts';
import { hexId, type LogIndex, type MemberId, type Term } from '../../../server/base/ids.ts';
import type { ConfState, Entry } from '../../../server/raft/entry.ts';
import type { AppendResponseMessage, Message } from '../../../server/raft/messages.ts';
import { demand } from './violation.ts';

/** What the invariants look at in one member. */
export interface RaftView {
  readonly id: MemberId;
  readonly term: Term;
  readonly vote: MemberId;
  readonly role: string;
  readonly conf: ConfState;
  readonly log: {
    readonly firstIndex: LogIndex;
    readonly lastIndex: LogIndex;
    readonly lastTerm: Term;
    readonly commit: LogIndex;
    readonly applied: LogIndex;
    readonly stable: LogIndex;
    term(index: LogIndex): Term | undefined;
    slice(start: LogIndex, bytesMax: number, end?: LogIndex): readonly Entry[];
  };
}

/** What is known of an entry, whoever holds it. */
interface GhostEntry {
  readonly entry: Entry;
  readonly previousTerm: Term;
}

interface CommittedEntry {
  readonly entry: Entry;
  /** The term of the first member seen to have it committed: its leader's. */
  readonly commitTerm: Term;
}

/** One member's log as it was when last looked at, and what it promised to keep. Outlives restarts. */
interface Shadow {
  /** terms[i] is the term of entry i as this member last held it. */
  terms: Term[];
  lastIndex: LogIndex;
  lastTerm: Term;
  /** Of the running incarnation. */
  term: Term;
  commit: LogIndex;
  applied: LogIndex;
  role: string;
  conf: ConfState | undefined;
  /** Durable, as it told others or itself: the log up to here, the term, and votes by term. */
  durable: { index: LogIndex; term: Term };
  promisedTerm: Term;
  readonly votes: Map<Term, MemberId>;
  isDamaged: boolean;
}

/**
 * Raft's invariants I1 to I7 and I9 of the reliability notes, checked after every event of a member against ghosts that
 * no crash can touch. Each check costs what changed since the last one.
 */
export class RaftInvariants {
  readonly #leaders = new Map<Term, MemberId>();
  /** By index, then by term. */
  readonly #entries: Array<Map<Term, GhostEntry> | undefined> = [];
  readonly #committed: Array<CommittedEntry | undefined> = [];
  #lastCommitted = 0;
  readonly #shadows = new Map<MemberId, Shadow>();
  /** The configuration as of an applied index, by the first member seen there. */
  readonly #confs = new Map<LogIndex, string>();
  readonly #confHistory: Array<{ index: LogIndex; conf: ConfState }> = [];

  get lastCommitted(): LogIndex {
    return this.#lastCommitted;
  }

  committedEntry(index: LogIndex): Entry | undefined {
    return this.#committed[index]?.entry;
  }

  /** Its disk was damaged on purpose: what it promised may be gone, as long as it says so. */
  diskDamaged(member: MemberId): void {
    this.#shadow(member).isDamaged = true;
  }

  /** A new incarnation: it must hold everything that the ones before it promised. */
  restarted(view: RaftView): void {
    const shadow = this.#shadow(view.id);
    if (!shadow.isDamaged) this.#checkPromises(view, shadow);
    shadow.term = view.term;
    shadow.commit = 0;
    shadow.applied = 0;
    shadow.role = 'follower';
    shadow.conf = undefined;
    // What was never durable may come back another way: look at the whole log again.
    shadow.terms = [];
    shadow.lastIndex = -1;
    this.observe(view);
  }

  observe(view: RaftView): void {
    const shadow = this.#shadow(view.id);
    const { log } = view;
    const isLogChanged = log.lastIndex !== shadow.lastIndex || log.lastTerm !== shadow.lastTerm;
    this.#observeMonotonic(view, shadow);
    if (isLogChanged) this.#observeLog(view, shadow);
    this.#observeDurable(view, shadow);
    if (log.commit > shadow.commit) this.#observeCommit(view, shadow);
    if (view.role === 'leader' && shadow.role !== 'leader') this.#observeElection(view);
    if (log.applied !== shadow.applied || view.conf !== shadow.conf)
      this.#observeConf(view, shadow);
    shadow.term = view.term;
    shadow.commit = log.commit;
    shadow.applied = log.applied;
    shadow.role = view.role;
    shadow.conf = view.conf;
  }

  /** The base of a log may be that of a snapshot which is still being installed: no promise yet. */
  #observeDurable({ log }: RaftView, shadow: Shadow): void {
    if (log.stable <= shadow.durable.index || log.stable < log.firstIndex) return;
    shadow.durable = { index: log.stable, term: log.term(log.stable) ?? 0 };
  }

  /** Its log says no more of a write that an earlier term began; the entry that was answered for is as durable. */
  #observeLateAnswer(
    { log }: RaftView,
    { index, term }: AppendResponseMessage,
    shadow: Shadow,
  ): void {
    const entryTerm = log.term(index);
    if (entryTerm === undefined || entryTerm > term || index <= shadow.durable.index) return;
    shadow.durable = { index, term: entryTerm };
  }

  /** I6: what a message promises must be durable when it leaves. */
  sent(view: RaftView, message: Message): void {
    const shadow = this.#shadow(view.id);
    if (message.kind === 'voteResponse' && !message.reject) {
      const earlier = shadow.votes.get(message.term);
      demand(earlier === undefined || earlier === message.to, () => {
        return `I6: ${name(view.id)} votes for ${name(message.to)} in term ${message.term}, in which it voted for ${name(earlier ?? 0n)}`;
      });
      shadow.votes.set(message.term, message.to);
      shadow.promisedTerm = Math.max(shadow.promisedTerm, message.term);
    }
    if (message.kind === 'appendResponse' && !message.reject) {
      // An answer of an earlier term may leave late: its log was durable, and may be overwritten by now.
      const isCurrent = message.term === view.term && message.index >= view.log.firstIndex;
      demand(!isCurrent || message.index <= view.log.stable, () => {
        return `I6: ${name(view.id)} acknowledges entry ${message.index}, but holds ${view.log.stable} durably`;
      });
      // The member may be killed before the turn that sent this has ended.
      if (isCurrent) this.#observeDurable(view, shadow);
      else this.#observeLateAnswer(view, message, shadow);
      shadow.promisedTerm = Math.max(shadow.promisedTerm, message.term);
    }
  }

  /** Consecutive configurations differ by one voter, and nobody comes back. */
  finish(): void {
    const history = this.#confHistory.sort((a, b) => a.index - b.index);
    const removed = new Set<MemberId>();
    history.forEach(({ index, conf }, at) => {
      const { index: since, conf: before } = history[at - 1] ?? { index, conf };
      const changed = symmetricDifference(before.voters, conf.voters);
      demand(changed.length <= this.#changesBetween(since, index), () => {
        return `I7: voters changed by ${changed.length} between ${since} and ${index}`;
      });
      for (const member of membersOf(before)) {
        if (!membersOf(conf).includes(member)) removed.add(member);
      }
      for (const member of membersOf(conf)) {
        demand(!removed.has(member), () => `I9: ${name(member)} is back at ${index}`);
      }
    });
  }

  #changesBetween(from: LogIndex, to: LogIndex): number {
    let count = 0;
    for (let index = from + 1; index <= to; index++) {
      if (this.#committed[index]?.entry.kind === 'confChange') count++;
    }
    return count;
  }

  #checkPromises(view: RaftView, shadow: Shadow): void {
    const { log } = view;
    const { index, term } = shadow.durable;
    demand(view.term >= shadow.promisedTerm, () => {
      return `I5: ${name(view.id)} is back in term ${view.term}, but it had spoken in ${shadow.promisedTerm}`;
    });
    demand(log.lastIndex >= index, () => {
      return `I6: ${name(view.id)} is back with ${log.lastIndex} entries, but ${index} were durable`;
    });
    demand(index < log.firstIndex || log.term(index) === term, () => {
      return `I6: ${name(view.id)} is back with entry ${index} of term ${log.term(index)}, but that of ${term} was durable`;
    });
    const vote = shadow.votes.get(view.term);
    demand(vote === undefined || vote === view.vote, () => {
      return `I6: ${name(view.id)} is back without its vote in term ${view.term}`;
    });
  }

  /** I2: the same index and term mean the same entry, after the same entry. Back from the end to what is known. */
  #observeLog(view: RaftView, shadow: Shadow): void {
    const { log } = view;
    let index = log.lastIndex;
    while (index >= log.firstIndex && shadow.terms[index] !== log.term(index)) index--;
    // Equal at `index`, so equal before it. Everything behind it is new.
    const news = log.slice(index + 1, Number.POSITIVE_INFINITY);
    for (const entry of news) this.#observeEntry(view, entry, log.term(entry.index - 1) ?? 0);
    for (const entry of news) shadow.terms[entry.index] = entry.term;
    if (log.lastIndex < log.firstIndex) shadow.durable = { index: 0, term: 0 };
    else if (index < shadow.durable.index && log.firstIndex <= shadow.durable.index) {
      // What it held there was overwritten by a leader's entries; those are promised once they are stable.
      shadow.durable = { index, term: log.term(index) ?? 0 };
    }
    shadow.terms.length = log.lastIndex + 1;
    shadow.lastIndex = log.lastIndex;
    shadow.lastTerm = log.lastTerm;
  }

  #observeEntry(view: RaftView, entry: Entry, previousTerm: Term): void {
    let byTerm = this.#entries[entry.index];
    if (byTerm === undefined) {
      byTerm = new Map();
      this.#entries[entry.index] = byTerm;
    }
    const known = byTerm.get(entry.term);
    if (known === undefined) {
      byTerm.set(entry.term, { entry, previousTerm });
      if (entry.kind === 'confChange' && entry.index > view.log.commit) {
        this.#checkOnePending(view, entry);
      }
      return;
    }
    const isSame = known.entry === entry || sameEntry(known.entry, entry);
    demand(isSame && (previousTerm === 0 || known.previousTerm === previousTerm), () => {
      return `I2: ${name(view.id)} holds another entry ${entry.index} of term ${entry.term}`;
    });
  }

  /** I7, as the leader appends a change: no other one that is not known to be committed. */
  #checkOnePending(view: RaftView, change: Entry): void {
    const from = Math.max(this.#lastCommitted + 1, view.log.firstIndex);
    if (from >= change.index) return;
    const pending = view.log
      .slice(from, Number.POSITIVE_INFINITY, change.index - 1)
      .filter((entry) => entry.kind === 'confChange');
    demand(pending.length === 0, () => {
      return `I7: ${name(view.id)} appends membership change ${change.index} while ${pending[0]?.index} is pending`;
    });
  }

  #observeMonotonic(view: RaftView, shadow: Shadow): void {
    const { log, term } = view;
    demand(term >= shadow.term, () => `I5: ${name(view.id)}: term ${shadow.term} -> ${term}`);
    demand(log.commit >= shadow.commit, () => {
      return `I5: ${name(view.id)}: commit ${shadow.commit} -> ${log.commit}`;
    });
    demand(log.applied >= shadow.applied, () => {
      return `I5: ${name(view.id)}: applied ${shadow.applied} -> ${log.applied}`;
    });
    demand(log.applied <= log.commit, () => `${name(view.id)}: applied beyond commit`);
  }

  /** I4: what one member has committed, everybody has committed there. */
  #observeCommit(view: RaftView, shadow: Shadow): void {
    const { log } = view;
    const from = Math.max(shadow.commit + 1, log.firstIndex);
    if (from > log.commit) return;
    if (view.role === 'leader' && log.commit > this.#lastCommitted) this.#checkQuorum(view);
    for (const entry of log.slice(from, Number.POSITIVE_INFINITY, log.commit)) {
      const known = this.#committed[entry.index];
      if (known === undefined) {
        this.#committed[entry.index] = { entry, commitTerm: view.term };
        this.#lastCommitted = Math.max(this.#lastCommitted, entry.index);
      } else {
        demand(known.entry.term === entry.term, () => {
          return `I4: ${name(view.id)} has committed entry ${entry.index} of term ${entry.term}, others that of ${known.entry.term}`;
        });
      }
    }
  }

  /** What makes I3 true: a leader counts only entries of its own term (§5.4.2), each durable on a majority of voters. */
  #checkQuorum({ id, log, conf, term }: RaftView): void {
    const index = log.commit;
    demand(log.term(index) === term, () => {
      return `I3: leader ${name(id)} of term ${term} commits entry ${index} of term ${log.term(index)} by counting`;
    });
    const holders = conf.voters.filter((voter) => this.#holdsDurably(voter, { index, term }));
    demand(holders.length > conf.voters.length / 2, () => {
      return `I3: leader ${name(id)} commits entry ${index}, which only ${holders.map(name)} of ${conf.voters.map(name)} hold durably`;
    });
  }

  #holdsDurably(member: MemberId, entry: { index: LogIndex; term: Term }): boolean {
    const { durable, terms, isDamaged } = this.#shadow(member);
    return isDamaged || (durable.index >= entry.index && terms[entry.index] === entry.term);
  }

  /** I1 and I3. */
  #observeElection(view: RaftView): void {
    const other = this.#leaders.get(view.term);
    demand(other === undefined || other === view.id, () => {
      return `I1: ${name(view.id)} and ${name(other ?? 0n)} both lead term ${view.term}`;
    });
    this.#leaders.set(view.term, view.id);
    let index = this.#lastCommitted;
    while (index > 0 && (this.#committed[index]?.commitTerm ?? 0) >= view.term) index--;
    const committed = this.#committed[index];
    if (committed === undefined || index < view.log.firstIndex) return;
    demand(view.log.term(index) === committed.entry.term, () => {
      return `I3: ${name(view.id)} leads term ${view.term} without committed entry ${index}`;
    });
  }

  #observeConf(view: RaftView, shadow: Shadow): void {
    const { applied } = view.log;
    const key = confKey(view.conf);
    const known = this.#confs.get(applied);
    if (known === undefined) this.#confs.set(applied, key);
    demand(known === undefined || known === key, () => {
      return `I4: ${name(view.id)} has configuration ${key} at ${applied}, others ${known}`;
    });
    if (view.conf === shadow.conf || known !== undefined) return;
    this.#confHistory.push({ index: applied, conf: view.conf });
  }

  #shadow(member: MemberId): Shadow {
    let shadow = this.#shadows.get(member);
    if (shadow === undefined) {
      shadow = {
        terms: [],
        lastIndex: -1,
        lastTerm: 0,
        term: 0,
        commit: 0,
        applied: 0,
        role: 'follower',
        conf: undefined,
        durable: { index: 0, term: 0 },
        promisedTerm: 0,
        votes: new Map(),
        isDamaged: false,
      };
      this.#shadows.set(member, shadow);
    }
    return shadow;
  }
}

function sameEntry(a: Entry, b: Entry): boolean {
  return a.kind === b.kind && equalBytes(a.data, b.data);
}

function membersOf(conf: ConfState): MemberId[] {
  return [...conf.voters, ...conf.learners];
}

const confKeys = new WeakMap<ConfState, string>();

function confKey(conf: ConfState): string {
  let key = confKeys.get(conf);
  if (key === undefined) {
    const list = (members: readonly MemberId[]): string => [...members].map(name).sort().join(',');
    key = `${list(conf.voters)}/${list(conf.learners)}`;
    confKeys.set(conf, key);
  }
  return key;
}

function symmetricDifference<T>(a: readonly T[], b: readonly T[]): T[] {
  return [...a.filter((item) => !b.includes(item)), ...b.filter((item) => !a.includes(item))];
}

function name(member: MemberId): string {
  return hexId(member);
}
