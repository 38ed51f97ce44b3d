import type { CallOptions } from './calls.ts';
import { LeaseLostError } from './errors.ts';

/** What a session needs of the client. */
export interface Leases {
  leaseGrant(
    ttlSeconds: number,
    id?: bigint,
    options?: CallOptions,
  ): Promise<{ ID: bigint; TTL: number }>;
  leaseRevoke(id: bigint, options?: CallOptions): Promise<void>;
  leaseKeepAlive(id: bigint, options?: CallOptions): Promise<number>;
}

export interface SessionOptions {
  /** How long the lease outlives its last renewal: what is held by it passes on after a crash. 15 s by default. */
  readonly ttlSeconds?: number | undefined;
  /** Ends the granting of the lease; nothing after that. */
  readonly signal?: AbortSignal | undefined;
}

const defaultTtlSeconds = 15;
/** A lease is renewed when a third of its life is over, so that two renewals may fail. */
const renewalsPerLife = 3;
const retryMs = 500;
const timerMsMax = 2 ** 31 - 1;

/**
 * A lease that is kept alive until {@link close}. `lost` is aborted with a {@link LeaseLostError} as soon as the lease
 * may be gone: the server says so, or no renewal was answered for its whole life, counted from when the renewal was sent.
 */
export class Session {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly #leases: Leases;
  readonly #lost = new AbortController();
  readonly #names = new Set<string>();
  readonly #release: () => void;
  #timer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  /** Why the last renewal failed. */
  #failure: unknown;
  #isClosed = false;

  static async open(
    leases: Leases,
    options: SessionOptions & { closeWith: (session: Session) => () => void },
  ): Promise<Session> {
    const sentAt = performance.now();
    const { ttlSeconds = defaultTtlSeconds, signal, closeWith } = options;
    const { ID, TTL } = await leases.leaseGrant(ttlSeconds, 0n, { signal });
    return new Session(leases, { id: ID, ttlSeconds: TTL, sentAt, closeWith });
  }

  private constructor(
    leases: Leases,
    lease: {
      id: bigint;
      ttlSeconds: number;
      sentAt: number;
      closeWith: (session: Session) => () => void;
    },
  ) {
    this.#leases = leases;
    this.id = lease.id;
    this.ttlSeconds = lease.ttlSeconds;
    this.#release = lease.closeWith(this);
    this.#lives(lease.sentAt, lease.ttlSeconds);
  }

  /** Aborted when the lease is, or may be, gone; not by {@link close}. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isOpen(): boolean {
    return !this.#isClosed && !this.lost.aborted;
  }

  /** Stops renewing and revokes the lease: its keys are deleted at once. */
  async end(options: CallOptions = {}): Promise<void> {
    const wasOpen = this.isOpen;
    this.close();
    if (wasOpen) await this.#leases.leaseRevoke(this.id, options);
  }

  /** Stops renewing: the lease and its keys live on for their time. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopTimers();
    this.#release();
  }

  /** A name that only one holder in this session may have at a time; call the result to give it back. */
  claim(name: string): () => void {
    if (!this.isOpen)
      throw this.lost.aborted ? this.lost.reason : new Error('the session is closed');
    if (this.#names.has(name)) throw new Error(`this session already holds or waits for ${name}`);
    this.#names.add(name);
    return () => {
      this.#names.delete(name);
    };
  }

  #lives(sentAt: number, ttlSeconds: number): void {
    this.#stopTimers();
    const lifeMs = 1_000 * ttlSeconds;
    const ageMs = performance.now() - sentAt;
    const inMs = (ms: number) => Math.min(Math.max(0, ms - ageMs), timerMsMax);
    this.#expiryTimer = setTimeout(() => {
      this.#lose('it was not renewed in time', this.#failure);
    }, inMs(lifeMs));
    this.#timer = setTimeout(
      () => void this.#renew(sentAt + lifeMs),
      inMs(lifeMs / renewalsPerLife),
    );
  }

  async #renew(deadline: number): Promise<void> {
    const sentAt = performance.now();
    try {
      const timeoutMs = Math.max(1, deadline - sentAt);
      const ttlSeconds = await this.#leases.leaseKeepAlive(this.id, { timeoutMs });
      if (!this.isOpen) return;
      if (ttlSeconds > 0) this.#lives(sentAt, ttlSeconds);
      else this.#lose('it has expired or was revoked');
    } catch (error) {
      if (!this.isOpen) return;
      // Until the expiry timer has the last word.
      this.#failure = error;
      this.#timer = setTimeout(() => void this.#renew(deadline), retryMs);
    }
  }

  #lose(why: string, cause?: unknown): void {
    this.#lost.abort(new LeaseLostError(this.id, why, { cause }));
    this.close();
  }

  #stopTimers(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#expiryTimer);
  }
}
