/** What a fault rule sees of a request. */
export interface FaultRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly isWatch: boolean;
}

export type Fault =
  /** Answers with an error Status instead of doing the request. */
  | {
      readonly kind: 'error';
      readonly code: number;
      readonly reason: string;
      readonly message: string;
      readonly retryAfterSeconds?: number;
    }
  /** Waits, then does the request. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Closes the connection without doing the request. */
  | { readonly kind: 'reset' }
  /** Does the request and closes the connection instead of answering: did it happen or not? */
  | { readonly kind: 'lostReply' };

export interface FaultRule {
  readonly matches: (request: FaultRequest) => boolean;
  readonly fault: Fault;
  /** Requests that it strikes; without it, all. */
  readonly times?: number;
}

/** Misfortune on demand: what a test lets happen to the API's clients. */
export class Faults {
  #rules: { rule: FaultRule; left: number }[] = [];
  readonly #watches = new Set<() => void>();
  /** How late watch events arrive. */
  watchLagMs = 0;

  /** Adds a rule; returns how to take it back. */
  add(rule: FaultRule): () => void {
    const entry = { rule, left: rule.times ?? Number.POSITIVE_INFINITY };
    this.#rules.push(entry);
    return () => {
      this.#rules = this.#rules.filter((one) => one !== entry);
    };
  }

  clear(): void {
    this.#rules = [];
    this.watchLagMs = 0;
  }

  /** The fault that strikes a request, if any; counts it. */
  strike(request: FaultRequest): Fault | undefined {
    const entry = this.#rules.find(({ rule, left }) => left > 0 && rule.matches(request));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    return entry.rule.fault;
  }

  /** Closes all open watches, as a restarting API server does. */
  breakWatches(): void {
    for (const end of this.#watches) end();
  }

  /** Registers an open watch; returns how to forget it. */
  onBreak(end: () => void): () => void {
    this.#watches.add(end);
    return () => this.#watches.delete(end);
  }
}

/** Answers the next write to a path with 409, as if someone else had been faster. */
export function conflictOnce(path: string): FaultRule {
  return {
    matches: (request) => request.method !== 'GET' && request.path.includes(path),
    fault: {
      kind: 'error',
      code: 409,
      reason: 'Conflict',
      message:
        'the object has been modified; please apply your changes to the latest version and try again',
    },
    times: 1,
  };
}
