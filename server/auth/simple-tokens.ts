import type { Clock } from '../base/clock.ts';
import { type Random, randomBelow } from '../base/random.ts';
import type { Caller } from './access.ts';
import type { AuthObserver } from './auth-store.ts';
import type { Tokens } from './tokens.ts';

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const prefixLetters = 16;
const uint64Max = 0xffff_ffff_ffff_ffffn;

export interface SimpleTokensOptions {
  /** A token that is not used for so long is worthless. */
  readonly ttlMs: number;
  /** When there are more, the one not used for longest goes. */
  readonly tokensMax: number;
}

interface Token {
  readonly username: string;
  readonly endMs: number;
}

/**
 * etcd's simple tokens: sixteen letters, a dot, the index of the entry that made it. Every member makes the same ones as
 * it applies the entries, and each forgets them by its own clock. They do not outlive the process.
 */
export class SimpleTokens implements Tokens, AuthObserver {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #random: Random;
  readonly #options: SimpleTokensOptions;
  /** In the order of their ends, which is that of their last use. */
  readonly #tokens = new Map<string, Token>();

  constructor(
    modules: { readonly clock: Pick<Clock, 'nowMs'>; readonly random: Random },
    options: SimpleTokensOptions,
  ) {
    this.#clock = modules.clock;
    this.#random = modules.random;
    this.#options = options;
  }

  get size(): number {
    return this.#tokens.size;
  }

  newPrefix(): string {
    let prefix = '';
    for (let i = 0; i < prefixLetters; i++) {
      prefix += letters.charAt(randomBelow(this.#random, letters.length));
    }
    return prefix;
  }

  issue(_caller: Caller, applied: string): string {
    return applied;
  }

  madeAt(token: string): bigint | undefined {
    const [, digits] = /^[^.]*\.([0-9]+)$/.exec(token) ?? [];
    if (digits === undefined || digits.length > 20) return undefined;
    const index = BigInt(digits);
    return index > uint64Max ? undefined : index;
  }

  callerOf(token: string, authRevision: number): Caller | undefined {
    const known = this.#tokens.get(token);
    if (known === undefined) return undefined;
    this.#tokens.delete(token);
    if (known.endMs <= this.#clock.nowMs()) return undefined;
    this.#keep(token, known.username);
    return { username: known.username, authRevision };
  }

  authenticated(username: string, token: string): void {
    this.#dropEnded();
    this.#keep(token, username);
    if (this.#tokens.size <= this.#options.tokensMax) return;
    for (const oldest of this.#tokens.keys()) {
      this.#tokens.delete(oldest);
      return;
    }
  }

  userChanged(username: string): void {
    for (const [token, known] of this.#tokens) {
      if (known.username === username) this.#tokens.delete(token);
    }
  }

  reset(): void {
    this.#tokens.clear();
  }

  #keep(token: string, username: string): void {
    this.#tokens.set(token, { username, endMs: this.#clock.nowMs() + this.#options.ttlMs });
  }

  #dropEnded(): void {
    const nowMs = this.#clock.nowMs();
    for (const [token, { endMs }] of this.#tokens) {
      if (endMs > nowMs) return;
      this.#tokens.delete(token);
    }
  }
}
