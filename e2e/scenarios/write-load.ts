import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientOptions } from '../../server/client/client.ts';
import { versionOf } from '../../server/client/compare.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { kvsAt, putOp, rangeOp } from '../../server/client/txn.ts';
import { until } from './waiting.ts';

interface Write {
  readonly key: string;
  /** Also the value, and the key's version when it was written once. */
  readonly number: number;
  readonly revision: number;
}

const writers = 4;
const pauseMs = 25;
const retryMs = 20;
const timeoutMs = 5_000;
const watchMsMax = 60_000;

export interface WriteLoadOptions extends Pick<ClientOptions, 'tls' | 'credentials' | 'timeoutMs'> {
  /** Whether the client may send a write again of which it is not known whether it was done. Default: true. */
  readonly mayRepeat?: boolean;
}

/**
 * Writers that count, each its own key up by one, and a watcher that sees it all. A write is a transaction on the key's
 * version, so it takes effect once however often it is sent: a number that is missing, comes twice or out of order in the
 * history is the store's fault.
 */
export class WriteLoad {
  readonly #client: Client;
  readonly #prefix: string;
  readonly #mayRepeat: boolean;
  readonly #acknowledged: Write[] = [];
  readonly #seen: Write[] = [];
  readonly #running: Array<Promise<void>>;
  readonly #watching: Promise<void>;
  readonly #watchEnd = new AbortController();
  #revision = 0;
  #isStopped = false;
  #isClosed = false;
  #lastMs = performance.now();
  #longestMs = 0;
  #gapMs = 0;
  #failures = 0;

  /** `name`: of its keys; unlike that of other loads on the same store. */
  constructor(
    endpoint: string,
    name: string,
    { mayRepeat = true, ...access }: WriteLoadOptions = {},
  ) {
    this.#client = new Client({ endpoints: [endpoint], timeoutMs, ...access });
    this.#prefix = `load/${name}/`;
    this.#mayRepeat = mayRepeat;
    this.#watching = this.#watch();
    this.#running = Array.from({ length: writers }, (_, writer) => this.#write(writer));
    // Whoever stops the load hears of it; until then it is no unhandled rejection.
    for (const promise of [this.#watching, ...this.#running]) promise.catch(() => {});
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  /** The highest that was acknowledged; 0 before. */
  get revision(): number {
    return this.#revision;
  }

  /** The longest time without any acknowledgement, the present one included. */
  get gapMs(): number {
    return Math.max(this.#gapMs, performance.now() - this.#lastMs);
  }

  /** The longest time from a first attempt to its acknowledgement. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** Writes that the client gave back as failed, and that were sent again. */
  get failures(): number {
    return this.#failures;
  }

  /** Forgets the longest gap so far, and measures anew from now. */
  restartGap(): void {
    this.#gapMs = 0;
    this.#longestMs = 0;
    this.#lastMs = performance.now();
  }

  /** Resolves when so many more writes are acknowledged. */
  async untilMore(count: number): Promise<void> {
    const wanted = this.count + count;
    await until(`${count} more writes`, watchMsMax, async () => this.count >= wanted);
  }

  async #write(writer: number): Promise<void> {
    const key = `${this.#prefix}${writer}`;
    for (let number = 1; !this.#isStopped; number += 1) {
      const startedMs = performance.now();
      const revision = await this.#putUntilAcknowledged(key, number);
      const nowMs = performance.now();
      this.#longestMs = Math.max(this.#longestMs, nowMs - startedMs);
      this.#gapMs = Math.max(this.#gapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.#revision = Math.max(this.#revision, revision);
      this.#acknowledged.push({ key, number, revision });
      await sleep(pauseMs);
    }
  }

  /** The revision of the write. */
  async #putUntilAcknowledged(key: string, number: number): Promise<number> {
    for (;;) {
      try {
        const answer = await this.#client
          .when(versionOf(key).equals(number - 1))
          .do(putOp(key, String(number)))
          .otherwise(rangeOp(key))
          .commit({ mayRepeat: this.#mayRepeat });
        if (answer.succeeded) return answer.header.revision;
        // An earlier attempt took effect, though nobody said so.
        const [found] = kvsAt(answer, 0);
        assert.equal(found?.version, number, `${key} after ${number - 1} is ${found?.version}`);
        return found.modRevision;
      } catch (error) {
        if (error instanceof assert.AssertionError || this.#isClosed) throw error;
        this.#failures += 1;
        await sleep(retryMs);
      }
    }
  }

  async #watch(): Promise<void> {
    const watch = this.#client.watch(keysUnder(this.#prefix), {
      startRevision: 1,
      signal: this.#watchEnd.signal,
    });
    for await (const { events } of watch) {
      for (const { kv } of events) {
        const number = Number(Buffer.from(kv.value).toString());
        this.#seen.push({ key: Buffer.from(kv.key).toString(), number, revision: kv.modRevision });
      }
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  /** Where its keys are. */
  get prefix(): string {
    return this.#prefix;
  }

  /** Throws with the first write that was lost, repeated or reordered; after `stop`. */
  async verify(): Promise<void> {
    await until('the watch has seen all writes', watchMsMax, async () => {
      return this.#seen.length >= this.#acknowledged.length;
    });
    this.#watchEnd.abort();
    await this.#watching;
    checkHistory(this.#seen);
    const revisions = new Map(this.#seen.map((write) => [nameOf(write), write.revision]));
    for (const write of this.#acknowledged) {
      const revision = revisions.get(nameOf(write));
      assert.equal(revision, write.revision, `${nameOf(write)} was acknowledged and watched`);
    }
    const { kvs } = await this.#client.range(keysUnder(this.#prefix));
    const last = new Map(this.#acknowledged.map((write) => [write.key, write]));
    for (const { key, version, value, modRevision } of kvs) {
      const text = Buffer.from(key).toString();
      const { number, revision } = last.get(text) ?? {};
      const found = [version, Buffer.from(value).toString(), modRevision];
      assert.deepEqual(found, [number, String(number), revision], `${text} as it was written last`);
    }
    assert.equal(kvs.length, last.size);
  }

  close(): void {
    this.#isStopped = true;
    this.#isClosed = true;
    this.#watchEnd.abort();
    this.#client.close();
  }
}

function nameOf({ key, number }: Write): string {
  return `${key}=${number}`;
}

/** Every key counts up by one, at revisions that only grow. */
export function checkHistory(history: readonly Write[]): void {
  const last = new Map<string, number>();
  let revisionBefore = 0;
  for (const { key, number, revision } of history) {
    assert.ok(revision > revisionBefore, `revision ${revision} came after ${revisionBefore}`);
    revisionBefore = revision;
    const before = last.get(key) ?? 0;
    assert.equal(number, before + 1, `${key}: ${number} came after ${before}`);
    last.set(key, number);
  }
}
