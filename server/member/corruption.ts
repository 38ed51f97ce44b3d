import { StateDamagedError } from '../backend/damage.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import { hexId, type MemberId, noMember, type Revision } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { KvHash } from '../mvcc/hash.ts';

/** A member's hash, and its revision when it answered. */
export interface MemberHash extends KvHash {
  readonly revision: Revision;
}

export interface CorruptionModules {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly member: {
    readonly memberId: MemberId;
    isLeader(): boolean;
    /** 0: of the current revision. Rejects with EtcdError Compacted or FutureRevision. */
    hash(revision: Revision): Promise<MemberHash>;
    compactionHashes(): readonly KvHash[];
    linearizableRead(): Promise<void>;
    /** Everyone but this member. */
    peers(): readonly MemberId[];
    /** Asks a peer for its {@link hash}; rejects when it cannot answer. */
    askHash(peer: MemberId, revision: Revision): Promise<MemberHash>;
    /** Proposes the CORRUPT alarm for a member; 0n: nobody knows for which. */
    raiseCorrupt(memberId: MemberId): void;
  };
}

export interface CorruptionOptions {
  /** 0: never. */
  readonly corruptCheckMs: number;
  /** 0: never. */
  readonly compactHashCheckMs: number;
}

/** This member's data is not what the others have. */
export class DataMismatchError extends Error {
  override name = 'DataMismatchError';
}

interface PeerAnswer {
  readonly peer: MemberId;
  readonly hash: MemberHash | undefined;
}

/**
 * Compares what the members hold, by hashes at a common revision. The leader alone compares; whom the majority disagrees
 * with gets the CORRUPT alarm, after which nobody writes. The rules are etcd's (server/etcdserver/corrupt.go).
 */
export class CorruptionChecker {
  readonly #modules: CorruptionModules;
  readonly #timers = new Map<string, Timer>();
  #checkedRevision: Revision = 0;
  /** By peer: the newest revision that it was said not to know. */
  readonly #saidUnknown = new Map<MemberId, Revision>();
  #isStopped = false;

  constructor(modules: CorruptionModules) {
    this.#modules = modules;
  }

  start({ corruptCheckMs, compactHashCheckMs }: CorruptionOptions): void {
    if (corruptCheckMs > 0) this.#every(corruptCheckMs, 'all', () => this.checkAll());
    if (compactHashCheckMs > 0) {
      this.#every(compactHashCheckMs, 'compacted', () => this.checkCompacted());
    }
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  #every(intervalMs: number, name: string, check: () => Promise<void>): void {
    const { clock, logger, member } = this.#modules;
    const run = async (): Promise<void> => {
      try {
        if (member.isLeader()) await check();
      } catch (error) {
        // Data that cannot be read ends the process: a restart mends it, or says what is wrong.
        if (error instanceof StateDamagedError) throw error;
        logger.warn({ error: String(error) }, 'could not compare the data of the members');
      }
      if (!this.#isStopped) this.#every(intervalMs, name, check);
    };
    this.#timers.set(
      name,
      clock.after(intervalMs, () => void run()),
    );
  }

  /** Before this member serves. Throws {@link DataMismatchError}; a peer that cannot answer says nothing against it. */
  async checkInitially(): Promise<void> {
    const { logger, member } = this.#modules;
    const own = await member.hash(0);
    for (const { peer, hash } of await this.#ask(own.hashRevision)) {
      if (hash === undefined || hash.hash === own.hash) continue;
      const isSame = hash.compactRevision === own.compactRevision;
      const fields = { 'remote-peer-id': hexId(peer), ...fieldsOf(own), 'remote-hash': hash.hash };
      if (!isSame) logger.warn(fields, 'cannot compare with a peer: another compact revision');
      else {
        throw new DataMismatchError(
          `member ${hexId(member.memberId)} found data inconsistency with peer ${hexId(peer)} at revision ${own.hashRevision}`,
        );
      }
    }
    logger.info(fieldsOf(own), 'initial corruption checking passed; no corruption');
  }

  /** Everything up to the current revision. The first mismatch is alarmed. */
  async checkAll(): Promise<void> {
    const { logger, member } = this.#modules;
    const first = await member.hash(0);
    const answers = await this.#ask(first.hashRevision);
    await member.linearizableRead();
    const second = await member.hash(0);
    const isSteady =
      second.hashRevision === first.hashRevision &&
      second.compactRevision === first.compactRevision;
    if (isSteady && second.hash !== first.hash) {
      return this.#alarm(member.memberId, 'the leader reads its data differently each time');
    }
    for (const { peer, hash } of answers) {
      if (hash === undefined) continue;
      if (hash.revision > second.revision) {
        return this.#alarm(peer, 'its revision is ahead of the leader');
      }
      if (hash.compactRevision > second.compactRevision) {
        return this.#alarm(peer, 'its compact revision is ahead of the leader');
      }
      if (hash.compactRevision === first.compactRevision && hash.hash !== first.hash) {
        return this.#alarm(peer, 'its data is not what the leader has');
      }
    }
    logger.info({ 'peers-checked': answers.length }, 'finished peer corruption check');
  }

  /** What was there at the last compaction that all members remember. */
  async checkCompacted(): Promise<void> {
    const hashes = this.#modules.member.compactionHashes();
    for (const own of hashes.filter(({ hashRevision }) => hashRevision > this.#checkedRevision)) {
      const answers = await this.#ask(own.hashRevision);
      if (answers.length === 0 || this.#compare(own, answers)) return;
    }
  }

  /** False when not everybody could be compared, so that an older compaction is worth a look. */
  #compare(own: KvHash, answers: readonly PeerAnswer[]): boolean {
    const { logger, member } = this.#modules;
    const members = new Map([[own.hash, [member.memberId]]]);
    let compared = 0;
    for (const { peer, hash } of answers) {
      if (hash?.compactRevision !== own.compactRevision) continue;
      compared++;
      members.set(hash.hash, [...(members.get(hash.hash) ?? []), peer]);
    }
    if (members.size === 1) {
      if (compared < answers.length) return false;
      this.#checkedRevision = Math.max(this.#checkedRevision, own.hashRevision);
      logger.info(fieldsOf(own), 'successfully checked hash on whole cluster');
      return true;
    }
    const groups = [...members.values()];
    const quorum = Math.floor((answers.length + 1) / 2) + 1;
    const majority = groups.find((group) => group.length >= quorum);
    const reason = `another hash at compacted revision ${own.hashRevision}`;
    if (majority === undefined) this.#alarm(noMember, reason);
    else {
      for (const group of groups) {
        if (group !== majority) for (const odd of group) this.#alarm(odd, reason);
      }
    }
    return true;
  }

  #alarm(memberId: MemberId, reason: string): void {
    const { logger, member } = this.#modules;
    logger.error({ 'corrupt-member-id': hexId(memberId), reason }, 'found corrupt data');
    member.raiseCorrupt(memberId);
  }

  #ask(revision: Revision): Promise<PeerAnswer[]> {
    const { logger, member } = this.#modules;
    const answers = member.peers().map(async (peer): Promise<PeerAnswer> => {
      try {
        return { peer, hash: await member.askHash(peer, revision) };
      } catch (error) {
        const isUnknown = error instanceof EtcdError && unknowing.has(error.error);
        if (isUnknown) this.#sayUnknown(peer, revision);
        else {
          const fields = { 'remote-peer-id': hexId(peer), revision, error: String(error) };
          logger.warn(fields, 'a peer does not tell its hash');
        }
        return { peer, hash: undefined };
      }
    });
    return Promise.all(answers);
  }

  /** Ordinary: it has compacted, was started or fell behind meanwhile. Said once, not with each check. */
  #sayUnknown(peer: MemberId, revision: Revision): void {
    if (revision <= (this.#saidUnknown.get(peer) ?? 0)) return;
    this.#saidUnknown.set(peer, revision);
    const fields = { 'remote-peer-id': hexId(peer), revision };
    this.#modules.logger.info(fields, 'skipped a peer: it has no hash of this revision');
  }
}

/** How a peer says that it cannot know the hash of a revision. */
const unknowing: ReadonlySet<ErrorName> = new Set<ErrorName>(['Compacted', 'FutureRevision']);

function fieldsOf({ hash, hashRevision, compactRevision }: KvHash): Record<string, number> {
  return { hash, revision: hashRevision, 'compact-revision': compactRevision };
}
