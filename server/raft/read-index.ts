import type { LogIndex, MemberId } from '../base/ids.ts';

/** A read that is linearizable once the member has applied `index`. */
export interface ReadState {
  readonly requestId: number;
  readonly index: LogIndex;
}

interface Round {
  readonly readId: number;
  readonly index: LogIndex;
  readonly from: MemberId;
  readonly requestId: number;
}

/**
 * The leader's reads that wait for proof of leadership (thesis §6.4). Each read starts a round with a new `readId`,
 * sent with heartbeats; a follower's answer with `readId` n proves all rounds up to n, since it was sent after them.
 */
export class ReadRounds {
  #lastReadId = 0;
  #rounds: Round[] = [];
  readonly #acknowledged = new Map<MemberId, number>();

  /** The newest round that waits, 0 when none: goes with every heartbeat. */
  get newest(): number {
    return this.#rounds.at(-1)?.readId ?? 0;
  }

  add(round: Omit<Round, 'readId'>): void {
    this.#lastReadId += 1;
    this.#rounds.push({ ...round, readId: this.#lastReadId });
  }

  acknowledge(member: MemberId, readId: number): void {
    if (readId > (this.#acknowledged.get(member) ?? 0)) this.#acknowledged.set(member, readId);
  }

  /** Takes out the rounds that `hasQuorum(acknowledged)` confirms, oldest first. */
  takeConfirmed(hasQuorum: (holds: (member: MemberId) => boolean) => boolean): Round[] {
    let confirmed = 0;
    for (const round of this.#rounds) {
      if (!hasQuorum((member) => (this.#acknowledged.get(member) ?? 0) >= round.readId)) break;
      confirmed += 1;
    }
    return this.#rounds.splice(0, confirmed);
  }
}
