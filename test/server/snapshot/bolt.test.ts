import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { StoreRecord } from '../../../server/backend/ordered-store.ts';
import { compareBytes } from '../../../server/base/bytes.ts';
import {
  boltPageBytes,
  decodeMetaPage,
  elementBytes,
  encodeMetaPage,
  fnv1a,
} from '../../../server/snapshot/bolt-page.ts';
import { BoltDamageError, BoltFile } from '../../../server/snapshot/bolt-reader.ts';
import {
  type BoltBucket,
  encodeBolt,
  layOutBolt,
  sizeOfLayout,
} from '../../../server/snapshot/bolt-writer.ts';
import { isWhole } from '../../support/whole.ts';

type Buckets = ReadonlyMap<string, readonly StoreRecord[]>;

function bucketsOf(buckets: Buckets, chunkRecords = 7): BoltBucket[] {
  return [...buckets].map(([name, records]) => ({
    name,
    async *records() {
      for (let at = 0; at < records.length; at += chunkRecords) {
        yield records.slice(at, at + chunkRecords);
      }
    },
  }));
}

async function encoded(buckets: Buckets): Promise<Buffer> {
  const layout = await layOutBolt(bucketsOf(buckets));
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeBolt(bucketsOf(buckets, 5), layout)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, sizeOfLayout(layout));
  return bytes;
}

function read(bytes: Buffer): Map<string, StoreRecord[]> {
  const file = new BoltFile({
    sizeBytes: bytes.length,
    read: (position, sizeBytes) => {
      assert.ok(position >= 0 && sizeBytes >= 0 && position + sizeBytes <= bytes.length);
      return bytes.subarray(position, position + sizeBytes);
    },
  });
  const found = new Map<string, StoreRecord[]>();
  for (const { name, records } of file.buckets()) found.set(name, [...records()]);
  file.checkFreePages();
  return found;
}

function plain(buckets: Buckets): unknown {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  return [...buckets].map(([name, records]) => [
    name,
    records.map(([key, value]) => [text(key), text(value)]),
  ]);
}

/** Most records are small, some span pages, and some keys are longer than half of one. */
const recordArbitrary = fc.tuple(
  fc.oneof(
    { weight: 9, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 12 }) },
    {
      weight: 1,
      arbitrary: fc.nat(9_999).map((n) => Buffer.from(`${n}`.padEnd(1_500 + (n % 3_500), 'k'))),
    },
  ),
  fc.oneof(
    { weight: 9, arbitrary: fc.nat(300).map((n) => Buffer.alloc(n, n)) },
    { weight: 1, arbitrary: fc.nat(20_000).map((n) => Buffer.alloc(n, n)) },
  ),
);

const bucketArbitrary = fc
  .uniqueArray(recordArbitrary, {
    maxLength: 150,
    size: 'max',
    selector: ([key]) => Buffer.from(key).toString('latin1'),
  })
  .map((records) => records.sort(([a], [b]) => compareBytes(a, b)));

const bucketsArbitrary = fc
  .uniqueArray(
    fc.tuple(fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme-ascii' }), bucketArbitrary),
    {
      maxLength: 6,
      selector: ([name]) => name,
    },
  )
  .map((buckets): Buckets => new Map(buckets.sort(([a], [b]) => (a < b ? -1 : 1))));

suite('a bbolt file', () => {
  test('gives back what was written, whatever that is', async () => {
    await fc.assert(
      fc.asyncProperty(bucketsArbitrary, async (buckets) => {
        assert.deepEqual(plain(read(await encoded(buckets))), plain(buckets));
      }),
      { numRuns: isWhole ? 1_000 : 25 },
    );
  });

  test('with trees of four levels', async () => {
    const key = (at: number) =>
      Buffer.concat([Buffer.alloc(1_300, 'k'), Buffer.from([at >> 8, at & 255])]);
    const records = Array.from(
      { length: 300 },
      (_, at): StoreRecord => [key(at), Buffer.from('v')],
    );
    const buckets = new Map([['deep', records]]);
    assert.deepEqual(plain(read(await encoded(buckets))), plain(buckets));
  });

  test('has the checksum of FNV-1a in its metas, and the newer valid one counts', async () => {
    assert.equal(fnv1a(Buffer.from('')), 0xcbf29ce484222325n);
    assert.equal(fnv1a(Buffer.from('foobar')), 0x85944171f73967e8n);
    const bytes = await encoded(new Map([['a', [[Buffer.from('k'), Buffer.from('v')]]]]));
    const meta = decodeMetaPage(bytes);
    assert.ok(typeof meta !== 'string');
    // The other one is used when one is damaged.
    for (const page of [0, 1]) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(0xaa, page * boltPageBytes + 40);
      assert.equal(read(damaged).size, 1);
    }
    const newer = encodeMetaPage(1, { ...meta, rootPage: meta.pageCount, transaction: 9n });
    newer.copy(bytes, boltPageBytes);
    assert.throws(() => read(bytes), BoltDamageError);
  });

  test('damaged anywhere: refused with the place, or read to an end', async () => {
    const records = Array.from(
      { length: 400 },
      (_, at): StoreRecord => [
        Buffer.from(String(at).padStart(5, '0')),
        Buffer.alloc(at % 125 === 60 ? 9_000 : 20, 'v'),
      ],
    );
    const bytes = await encoded(
      new Map([
        ['a', records],
        ['b', records.slice(0, 3)],
        ['c', []],
      ]),
    );
    let refused = 0;
    // Most bytes are values, in which bbolt has no way to notice anything: heads and elements are looked at closely.
    for (let at = 0; at < bytes.length; at += at % boltPageBytes < 100 ? 1 : 451) {
      for (const change of [at % 2 === 0 ? 1 : 0x80]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] as number) ^ change;
        try {
          read(damaged);
        } catch (error) {
          assert.ok(error instanceof BoltDamageError, String(error));
          assert.match(error.message, /^damaged at byte \d+: /);
          refused++;
        }
      }
    }
    assert.ok(refused > 200, String(refused));
    for (let size = 0; size < bytes.length; size += 509) {
      assert.throws(() => read(bytes.subarray(0, size)), BoltDamageError);
    }
    for (const garbage of [Buffer.alloc(0), Buffer.alloc(8192), Buffer.alloc(8192, 0xff)]) {
      assert.throws(() => read(garbage), BoltDamageError);
    }
  });

  test('a page that refers to itself or to another one twice ends the reading', async () => {
    const records = Array.from(
      { length: 800 },
      (_, at): StoreRecord => [Buffer.from(String(at).padStart(5, '0')), Buffer.alloc(100)],
    );
    const bytes = await encoded(new Map([['a', records]]));
    const branch = Array.from(
      { length: bytes.length / boltPageBytes },
      (_, id) => id * boltPageBytes,
    ).find((offset) => bytes.readUInt16LE(offset + 8) === 1);
    assert.ok(branch !== undefined);
    for (const child of [branch / boltPageBytes, Number(bytes.readBigUInt64LE(branch + 16 + 8))]) {
      const damaged = Buffer.from(bytes);
      damaged.writeBigUInt64LE(BigInt(child), branch + 32 + 8);
      assert.throws(() => read(damaged), /used twice|out of order/);
    }
  });

  test('elements that share their bytes are refused: what they say could be larger than any file', async () => {
    const records = ['1', '2'].map((key): StoreRecord => [Buffer.from(key), Buffer.from('value')]);
    const bytes = await encoded(new Map([['a', records]]));
    const leaf = bytes.indexOf('1value2value') - 2 * elementBytes;
    assert.equal(bytes.readUInt32LE(leaf + 12), 5);
    bytes.writeUInt32LE(11, leaf + 12);
    assert.throws(() => read(bytes), /two elements share their bytes/);
  });
});
