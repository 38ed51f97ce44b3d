import type { CallOptions } from './calls.ts';
import { Contender } from './contender.ts';
import { Held } from './held.ts';
import type { KeySpace } from './key-space.ts';
import type { Session, SessionOptions } from './session.ts';

export interface LockOptions extends SessionOptions {
  /** Whose lease holds the lock. By default a session of the lock's own, which ends with it. */
  readonly session?: Session | undefined;
  /** Ends the waiting for the lock. */
  readonly signal?: AbortSignal | undefined;
}

/** A lock that is held. */
export class Lock extends Held {
  readonly #giveBack: (options: CallOptions) => Promise<void>;

  constructor(
    name: string,
    holder: {
      contender: Contender;
      session: Session;
      giveBack: (options: CallOptions) => Promise<void>;
    },
  ) {
    super(name, holder);
    this.#giveBack = holder.giveBack;
  }

  /** The next in line has it then. */
  unlock(options: CallOptions = {}): Promise<void> {
    return this.#giveBack(options);
  }
}

/** Waits for the lock; `tries` instead gives up at once, with undefined, when another holds it. */
export async function acquire(
  space: KeySpace,
  name: string,
  options: LockOptions & { tries: boolean },
): Promise<Lock | undefined> {
  const session = options.session ?? (await space.session(options));
  const prefix = `${name}/`;
  const unclaim = session.claim(prefix);
  const giveBack = async (contender: Contender | undefined, how: CallOptions) => {
    try {
      if (options.session === undefined) await session.end(how);
      else if (!session.isOpen) return;
      else if (contender !== undefined) await contender.leave(how);
      else await Contender.withdraw(space, { prefix, session });
    } finally {
      // Not before: the key must not be taken for that of the next holder.
      unclaim();
    }
  };
  let contender: Contender | undefined;
  try {
    contender = await Contender.enter(space, { prefix, session, value: '' });
    if (options.tries && !contender.isFirst) {
      await giveBack(contender, {});
      return undefined;
    }
    await contender.first(options);
  } catch (error) {
    await giveBack(contender, {}).catch(() => {
      // The lease ends it; what is told is why there is no lock.
    });
    throw error;
  }
  const held = contender;
  return new Lock(name, { contender, session, giveBack: (how) => giveBack(held, how) });
}
