import type { Compare } from '../proto/gen/rpc.ts';
import type { Contender } from './contender.ts';
import type { Session } from './session.ts';

/** What one contender at a time has: a lock, or an office. */
export class Held {
  readonly name: string;
  /**
   * Greater than that of every holder before: whatever is protected can refuse who comes with a smaller one, such as a
   * holder that has been paused and does not know yet that its lease is over.
   */
  readonly revision: number;
  readonly #contender: Contender;
  readonly #session: Session;

  constructor(name: string, holder: { contender: Contender; session: Session }) {
    this.name = name;
    this.revision = holder.contender.revision;
    this.#contender = holder.contender;
    this.#session = holder.session;
  }

  /** The key that stands for this holder. */
  get key(): string {
    return this.#contender.key;
  }

  /** Aborted when it is, or may be, lost: hand it to what only the holder may do. */
  get lost(): AbortSignal {
    return this.#session.lost;
  }

  /** For a transaction that is to be done only by the holder. */
  get guard(): Compare {
    return this.#contender.guard;
  }
}
