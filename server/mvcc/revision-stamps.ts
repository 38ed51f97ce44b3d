import type { Revision } from '../base/ids.ts';
import { clockHeldMsMax, revisionStampsMax, stampSpanMs } from '../config/limits.ts';

/** Every revision from behind the one before up to this one was applied here at or before the moment, the next one was not. */
export interface RevisionStamp {
  readonly revision: Revision;
  /** Milliseconds since the epoch, by this member's clock. */
  readonly stampMs: number;
  /** This member was the leader that took them; else it was told of them, and may have been late. */
  readonly isLeaders: boolean;
}

export interface RevisionStampList {
  /** This moment: every revision that is there is stamped at or before it, and no later one before it, while the clock is right. */
  readonly nowMs: number;
  /** Up to here nothing is known any more. */
  readonly unknownTo: Revision;
  /** Ascending. */
  readonly stamps: readonly RevisionStamp[];
}

/**
 * When this member applied the newest revisions: a ring in flat memory, beside the replicated state. What follows within
 * a tenth of a second is stamped together, with the last moment. Stamps do not decrease when the clock is set back, but for
 * one that was so far ahead that waiting for it would stamp all that comes with the future.
 */
export class RevisionStamps {
  readonly #revisions = new Float64Array(revisionStampsMax);
  readonly #stampsMs = new Float64Array(revisionStampsMax);
  readonly #areLeaders = new Uint8Array(revisionStampsMax);
  /** Stamps ever added. */
  #added = 0;
  /** The first one that still counts. */
  #first = 0;
  #unknownTo: Revision;
  #nowMs = 0;
  /** When the newest stamp was begun; nothing may join one that somebody was told. */
  #beganMs = Number.NEGATIVE_INFINITY;

  /** `revision`: what was there before this member looked. */
  constructor(revision: Revision) {
    this.#unknownTo = revision;
  }

  /** The last revision that is stamped, or that is known to have no stamp. */
  get revision(): Revision {
    return this.#added === this.#first
      ? this.#unknownTo
      : (this.#revisions[(this.#added - 1) % revisionStampsMax] as number);
  }

  /** The state was replaced: when its revisions came to be is not known here. */
  restart(revision: Revision): void {
    this.#first = this.#added;
    this.#unknownTo = revision;
    this.#beganMs = Number.NEGATIVE_INFINITY;
  }

  add(revision: Revision, wallMs: number, isLeaders: boolean): void {
    const nowMs = this.now(wallMs);
    const newest = (this.#added - 1) % revisionStampsMax;
    const joins =
      this.#added > this.#first &&
      nowMs - this.#beganMs < stampSpanMs &&
      this.#areLeaders[newest] === Number(isLeaders);
    if (!joins) this.#begin();
    const at = (this.#added - 1) % revisionStampsMax;
    this.#revisions[at] = revision;
    this.#stampsMs[at] = nowMs;
    this.#areLeaders[at] = Number(isLeaders);
  }

  /** The clock, but that it goes back only when it is far. */
  now(wallMs: number): number {
    if (this.#nowMs - wallMs > clockHeldMsMax) this.#follow(wallMs);
    this.#nowMs = Math.max(this.#nowMs, wallMs);
    return this.#nowMs;
  }

  /** The stamps of the revisions behind one, `max` at most. */
  after(revision: Revision, wallMs: number, max: number): RevisionStampList {
    const nowMs = this.now(wallMs);
    this.#beganMs = Number.NEGATIVE_INFINITY;
    const from = this.#firstAfter(revision);
    const stamps: RevisionStamp[] = [];
    for (let each = from; each < this.#added && stamps.length < max; each++) {
      const at = each % revisionStampsMax;
      stamps.push({
        revision: this.#revisions[at] as number,
        stampMs: this.#stampsMs[at] as number,
        isLeaders: this.#areLeaders[at] === 1,
      });
    }
    return { nowMs, unknownTo: this.#unknownTo, stamps };
  }

  #follow(wallMs: number): void {
    this.#nowMs = wallMs;
    this.#beganMs = Number.NEGATIVE_INFINITY;
  }

  #begin(): void {
    this.#beganMs = this.#nowMs;
    this.#added++;
    if (this.#added - this.#first <= revisionStampsMax) return;
    this.#unknownTo = this.#revisions[this.#first % revisionStampsMax] as number;
    this.#first++;
  }

  /** By halves. */
  #firstAfter(revision: Revision): number {
    let [low, high] = [this.#first, this.#added];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#revisions[middle % revisionStampsMax] as number) > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
