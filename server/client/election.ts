import { equalBytes } from '../base/bytes.ts';
import { EventType, type KeyValue } from '../proto/gen/kv.ts';
import type { CallOptions } from './calls.ts';
import { Contender, oldest } from './contender.ts';
import { CompactedError } from './errors.ts';
import { Held } from './held.ts';
import type { KeySpace } from './key-space.ts';
import { type Bytes, bytesOf, keysUnder, oneKey } from './keys.ts';
import type { Session, SessionOptions } from './session.ts';
import { deleteOp, putOp } from './txn.ts';
import type { WatchOptions } from './watch.ts';

export interface CampaignOptions extends SessionOptions {
  /** Whose lease holds the office. By default a session of its own, which ends with it. */
  readonly session?: Session | undefined;
  /** Ends the campaign. */
  readonly signal?: AbortSignal | undefined;
}

/** The office is not held any more. */
export class NotLeaderError extends Error {
  override name = 'NotLeaderError';

  constructor(election: string) {
    super(`not the leader of ${election}`);
  }
}

/** Among all who campaign for a name one leads at a time, and everybody can see who. */
export class Election {
  readonly name: string;
  readonly #space: KeySpace;

  constructor(space: KeySpace, name: string) {
    this.#space = space;
    this.name = name;
  }

  /** Resolves when elected; `value` says who leads, to those who observe. */
  async campaign(value: Bytes, options: CampaignOptions = {}): Promise<Leadership> {
    const session = options.session ?? (await this.#space.session(options));
    const unclaim = session.claim(this.#prefix);
    const giveBack = async (how: CallOptions = {}) => {
      unclaim();
      if (options.session === undefined) await session.end(how);
    };
    const line = { prefix: this.#prefix, session, value };
    let contender: Contender | undefined;
    try {
      contender = await Contender.enter(this.#space, line);
      await contender.first(options);
      const office = { name: this.name, contender, session, giveBack };
      const leadership = new Leadership(this.#space, office);
      const { formerValue } = contender;
      const isStale = formerValue !== undefined && !equalBytes(formerValue, bytesOf(value));
      if (isStale) await leadership.proclaim(value, options);
      return leadership;
    } catch (error) {
      // The lease ends what cannot be undone now; what is told is why there is no office.
      await this.#leave(contender, session).catch(() => {});
      await giveBack().catch(() => {});
      throw error;
    }
  }

  async #leave(contender: Contender | undefined, session: Session): Promise<void> {
    if (!session.isOpen) return;
    if (contender !== undefined) return contender.leave();
    await Contender.withdraw(this.#space, { prefix: this.#prefix, session });
  }

  /** The leader's key and value; undefined when there is none. */
  async leader(options: CallOptions = {}): Promise<KeyValue | undefined> {
    return (await this.#leader(options)).kv;
  }

  /**
   * The leader's value now, and each that follows, of this leader or the next. What comes in between may be skipped, what
   * is last is not. Ends when the signal is aborted.
   */
  async *observe({ signal }: Pick<CallOptions, 'signal'> = {}): AsyncGenerator<KeyValue> {
    const isOver = () => signal?.aborted === true;
    while (!isOver()) {
      try {
        yield* this.#observeOne(signal);
      } catch (error) {
        if (isOver()) return;
        // Of history that is gone: then who leads is read again.
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }

  /** Until this leader is gone, or until there is one. */
  async *#observeOne(signal: AbortSignal | undefined): AsyncGenerator<KeyValue> {
    const { kv, revision } = await this.#leader({ signal });
    const options = { startRevision: revision + 1, signal };
    if (kv === undefined) return this.#firstPut(options);
    yield kv;
    yield* untilDeleted(this.#space.watch(oneKey(kv.key), options));
  }

  get #prefix(): string {
    return `${this.name}/`;
  }

  async #leader(options: CallOptions): Promise<{ kv: KeyValue | undefined; revision: number }> {
    const { kvs, header } = await this.#space.range(keysUnder(this.#prefix), {
      ...options,
      ...oldest,
    });
    return { kv: kvs[0], revision: header.revision };
  }

  async #firstPut(options: WatchOptions): Promise<void> {
    const puts = this.#space.watch(keysUnder(this.#prefix), { ...options, without: 'deletes' });
    for await (const { events } of puts) {
      if (events.length > 0) return;
    }
  }
}

async function* untilDeleted(
  watch: AsyncIterable<{ events: { type: EventType; kv: KeyValue | undefined }[] }>,
): AsyncGenerator<KeyValue> {
  for await (const { events } of watch) {
    for (const { type, kv } of events) {
      if (type === EventType.DELETE) return;
      if (kv !== undefined) yield kv;
    }
  }
}

/** An office that is held until it is resigned or its session is lost. */
export class Leadership extends Held {
  readonly #space: KeySpace;
  readonly #session: Session;
  readonly #giveBack: (options?: CallOptions) => Promise<void>;

  constructor(
    space: KeySpace,
    office: {
      name: string;
      contender: Contender;
      session: Session;
      giveBack: (options?: CallOptions) => Promise<void>;
    },
  ) {
    super(office.name, office);
    this.#space = space;
    this.#session = office.session;
    this.#giveBack = office.giveBack;
  }

  /** Another value, without another election. Throws {@link NotLeaderError} when the office is lost. */
  async proclaim(value: Bytes, options: CallOptions = {}): Promise<void> {
    const put = putOp(this.key, bytesOf(value), { lease: this.#session.id });
    const { succeeded } = await this.#space
      .when(this.guard)
      .do(put)
      .commit({ ...options, mayRepeat: true });
    if (!succeeded) throw new NotLeaderError(this.name);
  }

  /** Lets the next one lead. */
  async resign(options: CallOptions = {}): Promise<void> {
    const txn = this.#space.when(this.guard).do(deleteOp(this.key));
    if (this.#session.isOpen) await txn.commit({ ...options, mayRepeat: true });
    await this.#giveBack(options);
  }
}
