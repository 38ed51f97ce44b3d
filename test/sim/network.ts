import type { Counters } from './counters.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface NetworkOptions {
  /** Milliseconds of every delivery, and the mean of an exponential part on top. */
  baseMs: number;
  jitterMs: number;
  /** Probabilities per message. */
  lossRate: number;
  duplicateRate: number;
  /** Probability that a message is held back long enough to be overtaken, across elections and restarts. */
  lateRate: number;
  lateMsMax: number;
}

export const quietNetwork: NetworkOptions = {
  baseMs: 0.5,
  jitterMs: 0.2,
  lossRate: 0,
  duplicateRate: 0,
  lateRate: 0,
  lateMsMax: 0,
};

/**
 * Directed links between members. A message is lost, delayed, repeated, overtaken; a link can be cut in one direction,
 * clogged or slow for a while. Deliveries go to whoever listens at the address then, also after a restart.
 */
export class SimNetwork<Address> {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #counters: Counters;
  #options: NetworkOptions;
  readonly #cut = new Set<string>();
  readonly #cloggedUntilMs = new Map<string, number>();
  readonly #slow = new Map<string, { readonly extraMs: number; readonly untilMs: number }>();

  constructor(
    modules: { scheduler: Scheduler; random: SeededRandom; counters: Counters },
    options: NetworkOptions,
  ) {
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
    this.#counters = modules.counters;
    this.#options = options;
  }

  /** Sends one message: `arrive` runs once, several times or never. */
  send(from: Address, to: Address, arrive: () => void): void {
    const { lossRate, duplicateRate } = this.#options;
    if (this.#random.chance(lossRate)) {
      this.#counters.add('network.lost');
      return;
    }
    this.#deliver(from, to, arrive);
    while (this.#random.chance(duplicateRate)) {
      this.#counters.add('network.duplicated');
      this.#deliver(from, to, arrive);
    }
  }

  /** Carries a stream's chunk or a connection's answer: late or never, but neither repeated nor overtaken by chance. */
  carry(from: Address, to: Address, arrive: () => void, lost: () => void): void {
    const delayMs = this.#delayMs(from, to);
    const isLost = this.#random.chance(this.#options.lossRate / 4);
    this.#scheduler.after(delayMs, () => {
      if (isLost || this.isCut(from, to)) lost();
      else arrive();
    });
  }

  cut(from: Address, to: Address): void {
    this.#cut.add(link(from, to));
  }

  isCut(from: Address, to: Address): boolean {
    return this.#cut.has(link(from, to));
  }

  clog(from: Address, to: Address, durationMs: number): void {
    this.#cloggedUntilMs.set(link(from, to), this.#scheduler.nowMs + durationMs);
  }

  /** Everything takes so much longer, but goes on. */
  slow(
    from: Address,
    to: Address,
    { extraMs, durationMs }: { extraMs: number; durationMs: number },
  ): void {
    this.#slow.set(link(from, to), { extraMs, untilMs: this.#scheduler.nowMs + durationMs });
  }

  /** All links work again; what is under way still arrives late. */
  reconnect(): void {
    this.#cut.clear();
    this.#cloggedUntilMs.clear();
    this.#slow.clear();
  }

  /** The end of all faults. */
  heal(options: NetworkOptions): void {
    this.reconnect();
    this.#options = options;
  }

  #deliver(from: Address, to: Address, arrive: () => void): void {
    // Cut at both ends: what was sent before the cut is lost with it, what arrives after it was sent into it.
    if (this.isCut(from, to)) {
      this.#counters.add('network.cut');
      return;
    }
    this.#scheduler.after(this.#delayMs(from, to), () => {
      if (this.isCut(from, to)) this.#counters.add('network.cut');
      else arrive();
    });
  }

  #delayMs(from: Address, to: Address): number {
    const { baseMs, jitterMs, lateRate, lateMsMax } = this.#options;
    let delayMs = baseMs + this.#random.exponential(jitterMs);
    if (lateRate > 0 && this.#random.chance(lateRate)) {
      this.#counters.add('network.late');
      delayMs += this.#random.between(0, lateMsMax);
    }
    const cloggedUntilMs = this.#cloggedUntilMs.get(link(from, to));
    if (cloggedUntilMs !== undefined && cloggedUntilMs > this.#scheduler.nowMs) {
      this.#counters.add('network.clogged');
      delayMs += cloggedUntilMs - this.#scheduler.nowMs;
    }
    const slow = this.#slow.get(link(from, to));
    if (slow !== undefined && slow.untilMs > this.#scheduler.nowMs) {
      this.#counters.add('network.slow');
      delayMs += slow.extraMs;
    }
    return delayMs;
  }
}

function link(from: unknown, to: unknown): string {
  return `${from}>${to}`;
}
