import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { Client } from '../../../server/client/client.ts';
import { ClientError } from '../../../server/client/errors.ts';
import { KV } from '../../../server/proto/gen/rpc.ts';
import type { GrpcChannel } from '../../support/grpc.ts';

// Clients that write values of which no two are equal, and read what all of them write, through every fault. What they
// saw is compared with the history in the end.

export interface Write {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  readonly at: number;
}

export interface Read {
  readonly endpoint: string;
  /** The newest revision that anybody knew to be acknowledged when the read began. */
  readonly acknowledgedBefore: number;
  readonly revision: number;
  /** Of the shared key; empty when it was not there. */
  readonly value: string;
}

export const sharedKey = 'shared';
const ownKeys = 5;
const pauseMs = 5;
const pauseAfterFailureMs = 30;
const writerTimeoutMs = 3_000;

/** Everything that the clients know. */
export class Record {
  readonly writes: Write[] = [];
  readonly reads: Read[] = [];
  /** Values whose fate the client was not told. */
  readonly uncertain = new Set<string>();
  /** Values that were refused: they must never appear. */
  readonly refused = new Set<string>();
  acknowledgedRevision = 1;

  acknowledged(key: string, value: string, revision: number): void {
    this.writes.push({ key, value, revision, at: performance.now() });
    this.acknowledgedRevision = Math.max(this.acknowledgedRevision, revision);
  }

  /** The longest time without an acknowledged write in a stretch of time, in milliseconds. */
  gapMs(from: number, to = performance.now()): number {
    const times = this.writes.map(({ at }) => at).filter((at) => at >= from && at <= to);
    const moments = [from, ...times, to];
    return Math.max(...moments.slice(1).map((at, place) => at - (moments[place] ?? at)));
  }
}

export class Traffic {
  readonly record = new Record();
  readonly #clients: Client[];
  readonly #loops: Array<Promise<void>> = [];
  #isStopped = false;

  /** For each endpoint a writer that stays there, one that begins there and moves on, and a reader. */
  constructor(endpoints: readonly string[]) {
    const around = endpoints.map((_, at) => [...endpoints.slice(at), ...endpoints.slice(0, at)]);
    const pinned = endpoints.map((endpoint) => [endpoint]);
    const [readers, writers] = [pinned.map(newClient), [...around, ...pinned].map(newClient)];
    this.#clients = [...readers, ...writers];
    this.#loops = [
      ...readers.map((client) => this.#readOn(client)),
      ...writers.map((client, at) => this.#writeOn(client, `writer-${at}`)),
    ];
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    for (const client of this.#clients) client.close();
  }

  /** Resolves when so many more writes were acknowledged. */
  async writesMore(count: number, timeoutMs = 30_000): Promise<void> {
    const [target, deadline] = [this.record.writes.length + count, performance.now() + timeoutMs];
    while (this.record.writes.length < target) {
      assert(performance.now() < deadline, `no ${count} writes in ${timeoutMs} ms`);
      await sleep(10);
    }
  }

  async #writeOn(client: Client, name: string): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      const key = n % 4 === 0 ? sharedKey : `${name}/${n % ownKeys}`;
      const value = `${name}-${n}`;
      try {
        const { header } = await client.put(key, value);
        this.record.acknowledged(key, value, header?.revision ?? 0);
        await sleep(pauseMs);
      } catch (error) {
        assert(error instanceof ClientError, String(error));
        this.record[error.isUncertain ? 'uncertain' : 'refused'].add(value);
        await sleep(pauseAfterFailureMs);
      }
    }
  }

  async #readOn(client: Client): Promise<void> {
    const [endpoint = ''] = client.endpoints;
    while (!this.#isStopped) {
      const acknowledgedBefore = this.record.acknowledgedRevision;
      try {
        const { header, kvs } = await client.range({
          key: fromLatin1(sharedKey),
          rangeEnd: new Uint8Array(),
        });
        const value = kvs[0] === undefined ? '' : latin1(kvs[0].value);
        const revision = header?.revision ?? 0;
        this.record.reads.push({ endpoint, acknowledgedBefore, revision, value });
        await sleep(pauseMs);
      } catch (error) {
        assert(error instanceof ClientError, String(error));
        await sleep(pauseAfterFailureMs);
      }
    }
  }

  /** One linearizable read over a connection that is there; false when it was answered with an error. */
  async readOver(channel: GrpcChannel, endpoint: string): Promise<boolean> {
    const acknowledgedBefore = this.record.acknowledgedRevision;
    const outcome = await channel.call(KV.methods.range, { key: fromLatin1(sharedKey) });
    if (outcome.kind === 'error') return false;
    const { header, kvs } = outcome.response;
    const value = kvs[0] === undefined ? '' : latin1(kvs[0].value);
    const revision = header?.revision ?? 0;
    this.record.reads.push({ endpoint, acknowledgedBefore, revision, value });
    return true;
  }
}

function newClient(endpoints: readonly string[]): Client {
  return new Client({ endpoints, timeoutMs: writerTimeoutMs });
}

/** Of `eventText`. */
interface Put {
  readonly revision: number;
  readonly key: string;
  readonly value: string;
}

/** What clients saw against what happened. `events`: the whole history, as one member's watch told it. */
export function checkRecord(record: Record, events: readonly string[]): void {
  const puts = events.map(putOf);
  puts.forEach(({ revision }, at) => {
    assert.equal(revision, at + 2, 'the history leaves out or repeats a revision');
  });
  const values = new Map(puts.map((put) => [put.value, put]));
  assert.equal(values.size, puts.length, 'a value was written twice');
  for (const { key, value, revision } of record.writes) {
    const expected = { revision, key, value };
    assert.deepEqual(values.get(value), expected, 'an acknowledged write is not in the history');
  }
  for (const value of record.refused)
    assert(!values.has(value), `${value} was refused, and is there`);
  const shared = puts.filter(({ key }) => key === sharedKey);
  for (const read of record.reads) checkRead(read, shared);
}

function checkRead(read: Read, shared: readonly Put[]): void {
  const { acknowledgedBefore, revision, endpoint, value } = read;
  assert(
    revision >= acknowledgedBefore,
    `a stale read at ${endpoint}: revision ${revision} after ${acknowledgedBefore} was acknowledged`,
  );
  const expected = shared.findLast((put) => put.revision <= revision)?.value ?? '';
  assert.equal(value, expected, `a wrong read at ${endpoint} of revision ${revision}`);
}

function putOf(text: string): Put {
  const [, revision, key = '', value = ''] = /^(\d+) put ([^=]+)=(\S+) create /.exec(text) ?? [];
  assert(revision !== undefined, `not one of our events: ${text}`);
  return { revision: Number(revision), key, value };
}
