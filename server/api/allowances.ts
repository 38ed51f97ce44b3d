import type { AllowanceConfig } from '../config/request-limits.ts';
import { TokenBucket } from './token-bucket.ts';

/** Why one may not ask now. */
export interface Refusal {
  readonly limit: 'requestsPerSecond' | 'inFlight';
  /** When it is worth while to ask again. */
  readonly retryAfterMs: number;
}

interface Account {
  readonly bucket: TokenBucket | undefined;
  inFlight: number;
}

/** Requests end when they end: the hint is a guess. */
const inFlightRetryMs = 100;
const keptMin = 1_024;

/** Keeps count of who has asked, by name. Who asks nothing for a while is forgotten. */
export class Allowances {
  readonly #allowance: AllowanceConfig;
  readonly #accounts = new Map<string, Account>();
  /** With so many accounts those are dropped that are as new ones. */
  #pruneAt = keptMin;

  constructor(allowance: AllowanceConfig) {
    this.#allowance = allowance;
  }

  get isUnlimited(): boolean {
    return this.#allowance.requestsPerSecond === 0 && this.#allowance.inFlight === 0;
  }

  /** Accounts that are kept. */
  get size(): number {
    return this.#accounts.size;
  }

  /** Undefined: go on, and {@link leave} if it `isHeld`, which only such requests are until their answer. */
  enter(name: string, nowMs: number, isHeld: boolean): Refusal | undefined {
    const account = this.#accountOf(name, nowMs);
    const { inFlight } = this.#allowance;
    if (isHeld && inFlight > 0 && account.inFlight >= inFlight) {
      return { limit: 'inFlight', retryAfterMs: inFlightRetryMs };
    }
    const waitMs = account.bucket?.take(nowMs) ?? 0;
    if (waitMs > 0) return { limit: 'requestsPerSecond', retryAfterMs: waitMs };
    if (isHeld) account.inFlight++;
    return undefined;
  }

  leave(name: string): void {
    const account = this.#accounts.get(name);
    if (account === undefined) return;
    account.inFlight--;
    if (account.inFlight === 0 && account.bucket === undefined) this.#accounts.delete(name);
  }

  #accountOf(name: string, nowMs: number): Account {
    const known = this.#accounts.get(name);
    if (known !== undefined) return known;
    if (this.#accounts.size >= this.#pruneAt) this.#prune(nowMs);
    const { requestsPerSecond } = this.#allowance;
    const bucket = requestsPerSecond === 0 ? undefined : new TokenBucket(requestsPerSecond, nowMs);
    const account: Account = { bucket, inFlight: 0 };
    this.#accounts.set(name, account);
    return account;
  }

  #prune(nowMs: number): void {
    for (const [name, { bucket, inFlight }] of this.#accounts) {
      if (inFlight === 0 && bucket?.isFull(nowMs) !== false) this.#accounts.delete(name);
    }
    this.#pruneAt = Math.max(keptMin, 2 * this.#accounts.size);
  }
}
