import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bytesOf } from '../../server/client/keys.ts';
import { KV, Maintenance, type RequestOp } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel, raw } from '../support/grpc.ts';
import { type MemberProcess, TestCluster } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';
import { ok } from './support/view.ts';

// How long one large request holds up everybody else: the longest turn of the member's event loop during each, in time on a
// processor and without garbage collections; and how long puts took meanwhile.

const probe = fileURLToPath(new URL('./support/loop-probe.js', import.meta.url));
const keyCount = isWhole ? 1_000_000 : 20_000;
const listedKeys = 100_000;
const valueBytes = 64;
const putsPerTxn = 100;
const loaders = 8;
/** Goals are a few milliseconds; a busy machine's caches and page faults count as ours. */
const heldMsMax = 250;
const putMsMax = 5_000;
const putPauseMs = 5;

interface Held {
  readonly fromMs: number;
  readonly toMs: number;
  readonly ms: number;
}

function keyOf(index: number): Uint8Array {
  return bytesOf(`key-${String(index).padStart(8, '0')}`);
}

/** Every key once, in large transactions. */
async function fill(channel: GrpcChannel): Promise<void> {
  let next = 0;
  const value = new Uint8Array(valueBytes).fill(0x76);
  const load = async (): Promise<void> => {
    while (next < keyCount) {
      const first = next;
      next += putsPerTxn;
      const success = Array.from({ length: putsPerTxn }, (_, at): RequestOp => {
        const put = KV.methods.put.request.create({ key: keyOf(first + at), value });
        return { request: { kind: 'requestPut', value: put } };
      });
      ok(await channel.call(KV.methods.txn, { success }));
    }
  };
  await Promise.all(Array.from({ length: loaders }, load));
}

class Probed {
  readonly #member: MemberProcess;
  readonly #file: string;

  constructor(member: MemberProcess) {
    this.#member = member;
    this.#file = join(dirname(member.dataDirectory), 'loop-probe.txt');
  }

  spawn(flags: readonly string[]): void {
    const environment = { NODE_OPTIONS: `--import=${probe}`, MAINSTAY_LOOP_PROBE: this.#file };
    this.#member.spawn(flags, { environment });
  }

  /** What is in the file behind the first `skip` lines: held up, garbage collections taken out. */
  held(skip: number): Held[] {
    const lines = this.#lines().slice(skip);
    const collections = lines
      .filter(([kind]) => kind === 'gc')
      .map(([, ...rest]) => rest.map(Number));
    return lines
      .filter(([kind]) => kind === 'held')
      .map(([, ...rest]) => {
        const [fromMs = 0, toMs = 0, cpuMs = 0] = rest.map(Number);
        let ms = cpuMs;
        for (const [startMs = 0, tookMs = 0] of collections) {
          ms -= Math.max(0, Math.min(toMs, startMs + tookMs) - Math.max(fromMs, startMs));
        }
        return { fromMs, toMs, ms };
      });
  }

  get lineCount(): number {
    return this.#lines().length;
  }

  #lines(): string[][] {
    if (!existsSync(this.#file)) return [];
    const lines = readFileSync(this.#file, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => line.split(' '));
  }
}

/** Does one thing while another client puts. */
async function during(
  { probed, member }: { probed: Probed; member: MemberProcess },
  name: string,
  run: (channel: GrpcChannel) => Promise<void>,
): Promise<void> {
  const [channel, other] = [new GrpcChannel(member.clientUrl), new GrpcChannel(member.clientUrl)];
  ok(await other.call(KV.methods.put, { key: bytesOf('other') }));
  await sleep(300);
  const before = probed.lineCount;
  let isOver = false;
  const puts: number[] = [];
  const putting = (async () => {
    while (!isOver) {
      const startedMs = performance.now();
      ok(await other.call(KV.methods.put, { key: bytesOf('other') }));
      puts.push(performance.now() - startedMs);
      await sleep(putPauseMs);
    }
  })();
  const startedMs = performance.now();
  try {
    await run(channel);
  } finally {
    isOver = true;
    await putting;
  }
  const tookMs = performance.now() - startedMs;
  // What was held up last is noted with the next tick, a garbage collection even later.
  await sleep(100);
  channel.close();
  other.close();
  const heldMs = Math.max(0, ...probed.held(before).map(({ ms }) => ms));
  const sorted = puts.toSorted((a, b) => a - b);
  const [median = 0, longest = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  console.log(
    `${name}: ${(tookMs / 1000).toFixed(2)} s; the loop was held up for ${heldMs.toFixed(1)} ms at most;` +
      ` ${puts.length} puts took ${median.toFixed(1)} ms, at most ${longest.toFixed(0)}`,
  );
  assert(heldMs <= heldMsMax, `${name} held the loop up for ${heldMs} ms`);
  assert(longest <= putMsMax, `during ${name} a put took ${longest} ms`);
}

suite('large requests leave room for small ones', {
  timeout: isWhole ? 1_800_000 : 240_000,
}, () => {
  test(`with ${keyCount} keys`, async () => {
    const cluster = await TestCluster.prepare({ program: 'mainstay' });
    try {
      const member = cluster.member(0);
      const probed = new Probed(member);
      probed.spawn(cluster.flagsFor('new'));
      await member.ready();
      await cluster.showLogsOnFailure(() => measure({ probed, member }));
    } finally {
      await cluster.stop();
    }
  });
});

async function measure(at: { probed: Probed; member: MemberProcess }): Promise<void> {
  let revision = 0;
  await during(at, 'filling', fill);
  await during(at, 'filling again', fill);
  await during(at, `listing ${Math.min(keyCount, listedKeys)} keys`, async (channel) => {
    const all = { key: bytesOf('key-'), rangeEnd: bytesOf('key.'), limit: listedKeys };
    const response = ok(await channel.call({ ...KV.methods.range, response: raw }, all));
    assert(response.length > valueBytes * Math.min(keyCount, listedKeys));
  });
  await during(at, 'listing them sorted by value', async (channel) => {
    const all = { key: bytesOf('key-'), rangeEnd: bytesOf('key.'), limit: 10 };
    ok(await channel.call(KV.methods.range, { ...all, sortTarget: 4, sortOrder: 1 }));
  });
  await during(at, 'listing them whole in JSON, sorted by value', async () => {
    const key = Buffer.from('key-').toString('base64');
    const rangeEnd = Buffer.from('key.').toString('base64');
    const sorted = { limit: listedKeys, sort_target: 'VALUE', sort_order: 'DESCEND' };
    const response = await fetch(`${at.member.clientUrl}/v3/kv/range`, {
      method: 'POST',
      body: JSON.stringify({ key, range_end: rangeEnd, ...sorted }),
    });
    assert.equal(response.status, 200);
    const { kvs } = (await response.json()) as { kvs: unknown[] };
    assert.equal(kvs.length, Math.min(keyCount, listedKeys));
  });
  await during(at, 'listing them in a transaction', async (channel) => {
    const range = { key: bytesOf('key-'), rangeEnd: bytesOf('key.'), limit: listedKeys };
    const value = KV.methods.range.request.create(range);
    const success: RequestOp[] = [{ request: { kind: 'requestRange', value } }];
    const response = ok(await channel.call({ ...KV.methods.txn, response: raw }, { success }));
    assert(response.length > valueBytes * Math.min(keyCount, listedKeys));
  });
  await during(at, 'counting', async (channel) => {
    const all = { key: bytesOf('key-'), rangeEnd: bytesOf('key.'), countOnly: true };
    const { count, header } = ok(await channel.call(KV.methods.range, all));
    assert.equal(count, keyCount);
    revision = header?.revision ?? 0;
  });
  await during(at, 'HashKV', async (channel) => {
    ok(await channel.call(Maintenance.methods.hashKV, {}));
  });
  await during(at, 'a snapshot', async (channel) => {
    const stream = channel.stream({ ...Maintenance.methods.snapshot, response: raw });
    stream.send({});
    stream.halfClose();
    const end = await stream.ended();
    assert(end.kind === 'error' && end.code === 0);
  });
  await during(at, 'a compaction', async (channel) => {
    ok(await channel.call(KV.methods.compact, { revision, physical: true }));
  });
  await during(at, 'Defragment', async (channel) => {
    ok(await channel.call(Maintenance.methods.defragment, {}));
  });
}
