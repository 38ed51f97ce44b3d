import type { Clock } from '../base/clock.ts';
import type { MemberId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { AlarmAction, AlarmType } from '../proto/gen/rpc.ts';
import type { PeerQuestion } from '../transport/peer-question.ts';
import { AutoCompactor } from './auto-compaction.ts';
import { CorruptionChecker, type CorruptionModules, type MemberHash } from './corruption.ts';
import type { LocalMember } from './local-member.ts';
import type { Replica } from './replica.ts';

export interface UpkeepModules {
  readonly replica: Replica;
  readonly member: LocalMember;
  readonly peers: { ask(peer: MemberId, question: PeerQuestion): Promise<unknown> };
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a member does by itself, on a timer: it compacts, and compares its data with the others'. */
export class Upkeep {
  readonly #config: Config;
  readonly #checker: CorruptionChecker;
  readonly #compactor: AutoCompactor | undefined;

  constructor(modules: UpkeepModules, config: Config) {
    const { clock, logger } = modules;
    const { autoCompaction } = config.maintenance;
    this.#config = config;
    this.#checker = new CorruptionChecker({ clock, logger, member: checkedMember(modules) });
    this.#compactor =
      autoCompaction === undefined
        ? undefined
        : new AutoCompactor({ clock, logger, store: compactedStore(modules) }, autoCompaction);
  }

  /** Rejects with DataMismatchError. */
  checkInitially(): Promise<void> {
    return this.#checker.checkInitially();
  }

  start(): void {
    this.#checker.start(this.#config.maintenance);
    this.#compactor?.start();
  }

  stop(): void {
    this.#checker.stop();
    this.#compactor?.stop();
  }
}

function checkedMember({ replica, member, peers }: UpkeepModules): CorruptionModules['member'] {
  return {
    memberId: member.memberId,
    isLeader: () => member.raftStatus().isLeader,
    hash: (revision) => member.hash(revision),
    compactionHashes: () => member.compactionHashes(),
    linearizableRead: () => member.linearizableRead(),
    // Observers have no say in whose data is right, and none of theirs is worth everybody's writes.
    peers: () =>
      member
        .members()
        .filter(({ id, isObserver }) => id !== member.memberId && !isObserver)
        .map(({ id }) => id),
    askHash: async (peer, revision) =>
      (await peers.ask(peer, { kind: 'hash', revision })) as MemberHash,
    raiseCorrupt: (memberID) => {
      const value = { action: AlarmAction.ACTIVATE, memberID, alarm: AlarmType.CORRUPT };
      // Without a quorum nobody writes either; the next check raises it again.
      replica.propose({ kind: 'alarm', value }, () => {});
    },
  };
}

function compactedStore({ member }: UpkeepModules) {
  return {
    isLeader: () => member.raftStatus().isLeader,
    revision: () => member.revision(),
    compact: async (revision: number) => {
      const value = { revision, physical: false };
      return (await member.propose({ kind: 'compaction', value })).error;
    },
  };
}
