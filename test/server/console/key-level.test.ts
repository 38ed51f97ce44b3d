import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shownText } from '../../../server/console/bytes.ts';
import type { Gateway } from '../../../server/console/gateway.ts';
import { readLevel } from '../../../server/console/key-level.ts';

interface Asked {
  readonly key: Uint8Array;
  readonly end?: Uint8Array;
}

/** A store with these keys, that counts its calls. */
class FakeStore {
  calls = 0;
  readonly #keys: readonly Buffer[];

  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys.map((key) => Buffer.from(key)).toSorted(Buffer.compare);
  }

  range({ key, end = Uint8Array.of() }: Asked, { limit }: { limit: string }) {
    this.calls++;
    const isOpen = end.length === 1 && end[0] === 0;
    const found = this.#keys.filter(
      (each) => Buffer.compare(each, key) >= 0 && (isOpen || Buffer.compare(each, end) < 0),
    );
    const kvs = found
      .slice(0, Number(limit))
      .map((each) => ({ key: each.toString('base64'), mod_revision: '2' }));
    return Promise.resolve({ kvs, more: found.length > kvs.length });
  }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function namesOf(
  store: FakeStore,
  prefix: Uint8Array,
  entriesMax: number,
): Promise<string[]> {
  const names: string[] = [];
  let from: Uint8Array | undefined;
  do {
    const level = { prefix, delimiter: text('/'), from };
    const page = await readLevel(store as unknown as Gateway, level, entriesMax);
    assert.ok(page.entries.length <= entriesMax);
    names.push(
      ...page.entries.map((entry) => shownText(entry.kind === 'key' ? entry.key : entry.prefix)),
    );
    from = page.next;
  } while (from !== undefined);
  return names;
}

/** What a level holds, told the simple way. */
function expected(keys: readonly Uint8Array[], prefix: Uint8Array): string[] {
  const inside = keys
    .map((key) => Buffer.from(key))
    .filter((key) => key.subarray(0, prefix.length).equals(prefix))
    .toSorted(Buffer.compare)
    .map((key) => {
      const at = key.indexOf('/', prefix.length);
      return shownText(at < 0 ? key : key.subarray(0, at + 1));
    });
  return [...new Set(inside)];
}

test('a level lists its keys and folders once, in order, over all pages', async () => {
  const part = fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) =>
    // Few bytes, so that keys meet; the highest, whose folders have no end, among them.
    bytes.map((byte) => [0x61, 0x62, 0x2f, 0xff, 0x00][byte % 5] ?? 0),
  );
  const keys = fc.uniqueArray(part, { maxLength: 60, selector: (key) => key.join() });
  const prefix = fc.constantFrom('', 'a', 'a/', '/', '\\xff');
  await fc.assert(
    fc.asyncProperty(keys, prefix, fc.integer({ min: 1, max: 9 }), async (all, under, max) => {
      const bytes = under === '\\xff' ? Uint8Array.of(0xff) : text(under);
      assert.deepEqual(await namesOf(new FakeStore(all), bytes, max), expected(all, bytes));
    }),
  );
});

test('a folder with many keys costs a call, not its keys', async () => {
  const store = new FakeStore([
    ...Array.from({ length: 5_000 }, (_, index) => text(`/big/${index}`)),
    text('/small/1'),
    text('/z'),
  ]);
  assert.deepEqual(await namesOf(store, text('/'), 100), ['/big/', '/small/', '/z']);
  assert.equal(store.calls, 2);
});
