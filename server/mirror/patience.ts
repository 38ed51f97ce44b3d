import { pause, throwIfAborted } from '../client/abort.ts';
import { ClientError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import { isPassing } from '../client/retry.ts';

const pauseMsMin = 100;
const pauseMsMax = 2_000;

/** Calls of one side that are made again until they are answered: a cluster that is away comes back. */
export class Patience {
  readonly #side: string;
  readonly #signal: AbortSignal;
  readonly #lastsMs: number;
  #waitingFor: string | undefined;

  /** `lastsMs`: how long a call is made again; for ever by default. */
  constructor(side: string, signal: AbortSignal, lastsMs = Number.POSITIVE_INFINITY) {
    this.#side = side;
    this.#signal = signal;
    this.#lastsMs = lastsMs;
  }

  /** Why nothing goes on, for people; undefined while it does. */
  get waitingFor(): string | undefined {
    return this.#waitingFor;
  }

  get signal(): AbortSignal {
    return this.#signal;
  }

  pause(ms = pauseMsMin): Promise<void> {
    return pause(ms, [this.#signal]);
  }

  /** `call` must be such that twice is as once. Throws the signal's reason, and failures that do not go by. */
  async until<T>(call: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#lastsMs;
    for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
      throwIfAborted([this.#signal]);
      try {
        const answer = await call();
        this.#waitingFor = undefined;
        return answer;
      } catch (error) {
        throwIfAborted([this.#signal]);
        if (!(error instanceof ClientError) || !goesBy(error)) throw error;
        if (performance.now() + pauseMs > deadline) throw error;
        this.#waitingFor = `${this.#side}: ${error.text}`;
      }
      await pause(pauseMs * (0.5 + Math.random() / 2), [this.#signal]);
    }
  }
}

/** A full database is made room in by people. */
function goesBy(error: ClientError): boolean {
  return isPassing(error) || error.isUncertain || error.text === etcdTexts.noSpace;
}
