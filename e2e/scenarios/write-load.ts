import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';

interface Acknowledged {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

const writers = 4;
const pauseMs = 10;
const retryMs = 20;

/** Writers that write until they are stopped, each key once, and again until it is acknowledged. */
export class WriteLoad {
  readonly #client: Client;
  readonly #acknowledged: Acknowledged[] = [];
  readonly #running: Array<Promise<void>>;
  #isStopped = false;
  #lastMs = performance.now();
  /** The longest time from a first attempt to its acknowledgement. */
  longestMs = 0;
  /** The longest time without any acknowledgement. */
  gapMs = 0;

  constructor(endpoint: string) {
    this.#client = new Client({ endpoints: [endpoint], timeoutMs: 2_000 });
    this.#running = Array.from({ length: writers }, (_, writer) => this.#write(writer));
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  async #write(writer: number): Promise<void> {
    for (let number = 0; !this.#isStopped; number += 1) {
      const key = `load/${writer}/${number}`;
      const value = `value ${writer} ${number}`;
      const startedMs = performance.now();
      const revision = await this.#putUntilAcknowledged(key, value);
      const nowMs = performance.now();
      this.longestMs = Math.max(this.longestMs, nowMs - startedMs);
      this.gapMs = Math.max(this.gapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.#acknowledged.push({ key, value, revision });
      await sleep(pauseMs);
    }
  }

  async #putUntilAcknowledged(key: string, value: string): Promise<number> {
    for (;;) {
      try {
        const { header } = await this.#client.put(key, value, { mayRepeat: true });
        return header?.revision ?? 0;
      } catch {
        // Whatever it was: whether it was written is what the scenario asks at the end.
        await sleep(retryMs);
      }
    }
  }

  /** Forgets the longest gap so far, and measures anew from now. */
  restartGap(): void {
    this.gapMs = 0;
    this.#lastMs = performance.now();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  /** Every acknowledged write is there, at the revision it was acknowledged with. */
  async verify(): Promise<void> {
    for (const { key, value, revision } of this.#acknowledged) {
      const found = await this.#client.get(key, { revision });
      assert.equal(found?.modRevision, revision, `${key} was acknowledged at revision ${revision}`);
      assert.equal(Buffer.from(found?.value ?? []).toString(), value);
    }
  }

  close(): void {
    this.#client.close();
  }
}
