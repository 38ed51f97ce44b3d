import type { Requests, Responses } from './call.ts';

/** The client that was waited for, or that waited, is gone. */
export class GoneError extends Error {
  override name = 'GoneError';
}

/** Holds a producer back while the client does not read, and tells it when the client is gone. */
export class StreamEnd {
  #isClosed = false;
  #resolve: (() => void) | undefined;
  readonly #onClose = new Set<() => void>();
  #isFull = false;
  /** Called when there is room again. */
  onRoom: (() => void) | undefined;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the client has not yet read what it was sent. */
  get isFull(): boolean {
    return this.#isFull;
  }

  full(): void {
    this.#isFull = true;
  }

  /** Resolves when there is room again, or when the call is over. */
  drained(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Calls back once, when the call is over; at once when it is. Returns what takes that back. */
  onClose(callback: () => void): () => void {
    if (this.#isClosed) callback();
    else this.#onClose.add(callback);
    return () => this.#onClose.delete(callback);
  }

  hasRoom(): void {
    this.#isFull = false;
    this.onRoom?.();
    this.#resolve?.();
    this.#resolve = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.hasRoom();
    for (const callback of this.#onClose) callback();
    this.#onClose.clear();
  }
}

/** A call with one request: `run` sends what there is to say, and the call ends with it. */
export function answersOne<Request, Response>(
  responses: Responses<Response>,
  run: (request: Request, end: StreamEnd) => Promise<void>,
): Requests<Request> {
  const end = new StreamEnd();
  return {
    async next(request) {
      try {
        await run(request, end);
      } catch (error) {
        if (!(error instanceof GoneError)) throw error;
      }
      responses.end();
    },
    halfClosed() {},
    drained() {
      end.hasRoom();
    },
    closed() {
      end.close();
    },
  };
}
