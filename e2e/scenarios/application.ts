import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { hexId } from '../../server/base/ids.ts';
import { Client, type ClientOptions } from '../../server/client/client.ts';
import { valueOf, versionOf } from '../../server/client/compare.ts';
import { ClientError } from '../../server/client/errors.ts';
import { keysUnder, oneKey } from '../../server/client/keys.ts';
import { deleteOp, kvsAt, putOp, rangeOp } from '../../server/client/txn.ts';
import { until } from './waiting.ts';
import { checkHistory } from './write-load.ts';

const writers = 3;
const sessions = 3;
const ttlSeconds = 120;
const renewMs = 10_000;
const pauseMs = 25;
const retryMs = 50;
const stopMsMax = 60_000;
const moreMsMax = 120_000;

/**
 * An application that lives on a store, and can be moved to another one. Each writer counts a key of its own up by one, in
 * transactions on the number before, so that one that is sent again takes effect once; each session is a lease with a key,
 * which is kept alive; and keys come and go.
 */
export class Application {
  #client: Client;
  #isStopped = true;
  #running: readonly Promise<void>[] = [];
  /** Which number of its key each writer was told is written. */
  readonly #numbers = new Map<string, number>();
  readonly #leases: bigint[] = [];
  #count = 0;
  #failure: unknown;

  constructor(options: ClientOptions) {
    this.#client = new Client(options);
  }

  /** Writes that were acknowledged. */
  get count(): number {
    return this.#count;
  }

  async start(): Promise<void> {
    this.#isStopped = false;
    while (this.#leases.length < sessions) {
      const { ID } = await this.#insist(() => this.#client.leaseGrant(ttlSeconds));
      const key = sessionKey(this.#leases.push(ID) - 1);
      await this.#insist(() => this.#client.put(key, hexId(ID), { lease: ID }));
    }
    const ways = [
      ...Array.from({ length: writers }, (_, at) => this.#write(`app/count/${at}`)),
      ...this.#leases.map((id) => this.#keepAlive(id)),
      this.#comeAndGo(),
    ];
    this.#running = ways.map((way) =>
      way.catch((error: unknown) => {
        this.#failure ??= error;
        this.#isStopped = true;
      }),
    );
  }

  /** Resolves when so many more writes are acknowledged. */
  async untilMore(count: number): Promise<void> {
    const wanted = this.#count + count;
    const isThere = async () => {
      if (this.#failure !== undefined) throw this.#failure;
      return this.#count >= wanted;
    };
    const how = () => `it has come to ${this.#count}`;
    await until(`the application has written ${count} times more`, moreMsMax, isThere, how);
  }

  /** Resolves when every write that was sent is acknowledged. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const limit = new AbortController();
    const late = sleep(stopMsMax, 'late' as const, { signal: limit.signal }).catch(() => undefined);
    const ended = await Promise.race([Promise.all(this.#running), late]);
    limit.abort();
    assert.notEqual(ended, 'late', 'the application has not come to the end of its writes');
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** It is configured anew, after `stop`. */
  moveTo(options: ClientOptions): void {
    this.#client.close();
    this.#client = new Client(options);
  }

  close(): void {
    this.#isStopped = true;
    this.#client.close();
  }

  /** Every number that was acknowledged is there, and none twice; its leases live, with what belongs to them. */
  async verify(): Promise<void> {
    const { kvs } = await this.#client.range(keysUnder('app/count/'));
    const found = kvs.map(({ key, value }) => [textOf(key), Number(textOf(value))]);
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(this.#numbers));
    for (const [at, id] of this.#leases.entries()) {
      const { TTL, keys } = await this.#client.leaseTimeToLive(id, { keys: true });
      assert.ok(TTL > 0, `the session ${at} lives`);
      assert.deepEqual(keys.map(textOf), [sessionKey(at)]);
    }
  }

  /** What the store says of its own past: each writer's numbers, one by one. `after`: a revision. */
  async verifyHistory(after: number): Promise<void> {
    const { header } = await this.#client.range(oneKey('app/'));
    const stop = new AbortController();
    const seen: { key: string; number: number; revision: number }[] = [];
    const watch = this.#client.watch(keysUnder('app/count/'), {
      startRevision: after + 1,
      signal: stop.signal,
    });
    const ended = setTimeout(() => stop.abort(), stopMsMax);
    await watch.started();
    await watch.requestProgress();
    let reached = 0;
    for await (const { events, revision } of watch) {
      for (const { kv } of events) {
        const number = Number(textOf(kv.value));
        seen.push({ key: textOf(kv.key), number, revision: kv.modRevision });
      }
      reached = revision;
      if (reached >= header.revision) stop.abort();
    }
    clearTimeout(ended);
    assert.ok(reached >= header.revision, `the watch came to ${reached} of ${header.revision}`);
    const first = new Map<string, number>();
    for (const { key, number } of seen) if (!first.has(key)) first.set(key, number - 1);
    checkHistory(
      seen.map((each) => ({ ...each, number: each.number - (first.get(each.key) ?? 0) })),
    );
  }

  async #write(key: string): Promise<void> {
    while (!this.#isStopped) {
      const number = (this.#numbers.get(key) ?? 0) + 1;
      await this.#insist(() => this.#countTo(key, number));
      this.#numbers.set(key, number);
      this.#count += 1;
      await sleep(pauseMs);
    }
  }

  async #countTo(key: string, number: number): Promise<void> {
    const isBefore =
      number === 1 ? versionOf(key).equals(0) : valueOf(key).equals(String(number - 1));
    const answer = await this.#client
      .when(isBefore)
      .do(putOp(key, String(number)))
      .otherwise(rangeOp(key))
      .commit();
    if (answer.succeeded) return;
    // An earlier attempt took effect, though nobody said so.
    const [found] = kvsAt(answer, 0);
    const there = found === undefined ? undefined : Number(textOf(found.value));
    assert.equal(there, number, `${key} after ${number - 1} is ${there}`);
  }

  async #keepAlive(id: bigint): Promise<void> {
    for (let nextMs = 0; !this.#isStopped; await sleep(retryMs)) {
      if (performance.now() < nextMs) continue;
      const ttl = await this.#insist(() => this.#client.leaseKeepAlive(id));
      assert.ok(ttl > 0, `the lease ${hexId(id)} is not there any more`);
      nextMs = performance.now() + renewMs;
    }
  }

  /** Puts that are deleted again, and keys of leases that are revoked. */
  async #comeAndGo(): Promise<void> {
    for (let at = 0; !this.#isStopped; at = (at + 1) % 50) {
      const key = `app/passing/${at}`;
      await this.#insist(() => this.#client.put(key, 'x'.repeat(at * 10)));
      if (at % 3 === 0) await this.#insist(() => this.#client.txn({ success: [deleteOp(key)] }));
      if (at % 10 === 0) await this.#passingSession();
      await sleep(pauseMs * 4);
    }
  }

  async #passingSession(): Promise<void> {
    const { ID } = await this.#insist(() => this.#client.leaseGrant(ttlSeconds));
    await this.#insist(() => this.#client.put('app/passing/session', 'x', { lease: ID }));
    await this.#insist(() =>
      this.#client.leaseRevoke(ID).catch((error: unknown) => {
        // An attempt that was not answered.
        if (!(error instanceof ClientError) || !/lease not found/.test(error.text)) throw error;
      }),
    );
  }

  /** Until it is acknowledged. */
  async #insist<T>(call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const goesBy = error instanceof ClientError && (error.isUncertain || error.isSafeToRetry);
        if (!goesBy) throw error;
        await sleep(retryMs);
      }
    }
  }
}

function sessionKey(at: number): string {
  return `app/session/${at}`;
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
