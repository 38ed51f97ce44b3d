import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { descriptors } from '../../../server/proto/gen/descriptors.ts';
import { decodeJson } from '../../../server/proto/json-decode.ts';
import { encodeJson } from '../../../server/proto/json-encode.ts';
import { JsonError, JsonScanner, ValueTooLarge } from '../../../server/proto/json-scanner.ts';
import { listedMessagesFreeMax } from '../../../server/proto/wire.ts';
import { codecs, messageOf } from './codecs.ts';

const byName = new Map(descriptors.map((each) => [each.fullName, each]));
/** Without the dot that protobufjs puts in front. */
const types = codecs.map(({ name, theirs }) => ({ name: name.slice(1), theirs }));

function scan(pieces: readonly Uint8Array[], valueBytesMax = 1 << 20): string[] {
  const scanner = new JsonScanner({ valueBytesMax });
  const values: string[] = [];
  const found = (value: Buffer): boolean => {
    values.push(value.toString());
    return true;
  };
  for (const piece of pieces) scanner.push(piece, found);
  scanner.end(found);
  return values;
}

function refusal(text: string): string | undefined {
  try {
    scan([Buffer.from(text)]);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error));
    return error.message;
  }
}

suite('the JSON form', () => {
  test('every message that a client may meet has one', () => {
    const ofClients = types.map(({ name }) => name).filter((name) => !name.startsWith('mainstay.'));
    assert.deepEqual([...byName.keys()].toSorted(), ofClients.toSorted());
  });

  test('a transaction has no more members than one that etcd would take', () => {
    const type = byName.get('etcdserverpb.TxnRequest');
    assert(type !== undefined);
    const decoded = (count: number, member: string): object => {
      const members = Array.from({ length: count }, () => member).join();
      return decodeJson(byName, type, Buffer.from(`{"compare":[${members}]}`));
    };
    assert.throws(() => decoded(4 * listedMessagesFreeMax, '{}'), { error: 'TooManyOps' });
    for (const [count, member] of [
      [listedMessagesFreeMax, '{}'],
      [4 * listedMessagesFreeMax, '{"key":"YQ"}'],
    ] as const) {
      assert.equal((decoded(count, member) as { compare: unknown[] }).compare.length, count);
    }
  });

  test('what is printed reads as the same message', () => {
    for (const { name, theirs } of types) {
      const descriptor = byName.get(name);
      if (descriptor === undefined) continue;
      fc.assert(
        fc.property(messageOf(theirs), (message) => {
          const text = Buffer.concat(encodeJson(byName, descriptor, message));
          JSON.parse(text.toString());
          assert.deepEqual(
            plainOf(decodeJson(byName, descriptor, text)),
            plainOf(message),
            text.toString(),
          );
        }),
        { numRuns: 20 },
      );
    }
  });

  test('what HTML would read is escaped where that is asked for', () => {
    const descriptor = byName.get('etcdserverpb.WatchResponse');
    assert.ok(descriptor !== undefined);
    const message = { cancelReason: '<&>\u2028"', events: [] };
    const print = (escapesHtml: boolean) =>
      Buffer.concat(encodeJson(byName, descriptor, message, { escapesHtml })).toString();
    assert.equal(print(false), '{"cancel_reason":"<&>\u2028\\""}');
    assert.equal(print(true), '{"cancel_reason":"\\u003c\\u0026\\u003e\\u2028\\""}');
  });

  test('a message in many pieces', () => {
    const descriptor = byName.get('etcdserverpb.RangeResponse');
    assert.ok(descriptor !== undefined);
    const kv = { key: Buffer.alloc(300_000), value: Buffer.alloc(300_000) };
    const pieces = encodeJson(byName, descriptor, { kvs: [kv, kv, kv, kv], count: 4 });
    assert.ok(pieces.length > 1);
    assert.equal(JSON.parse(Buffer.concat(pieces).toString()).kvs.length, 4);
  });

  test('a long number costs time in proportion to its length', () => {
    const descriptor = byName.get('etcdserverpb.RangeRequest');
    assert.ok(descriptor !== undefined);
    const zeros = '0'.repeat(100_000);
    const limitOf = (number: string): unknown => {
      const json = Buffer.from(`{"limit":${number}}`);
      return (decodeJson(byName, descriptor, json) as { limit: unknown }).limit;
    };
    const begunMs = performance.now();
    assert.equal(limitOf(`3.${zeros}`), 3);
    assert.equal(limitOf(`"3${zeros}e-100000"`), 3);
    for (const number of [`3.${zeros}1`, `1${zeros}1`, `"0.${zeros}1"`]) {
      assert.throws(() => limitOf(number), JsonError);
    }
    assert.ok(performance.now() - begunMs < 2_000);
  });

  test('nesting has a limit', () => {
    const descriptor = byName.get('etcdserverpb.TxnRequest');
    assert.ok(descriptor !== undefined);
    const read = (depth: number) => {
      const text = '{"success":[{"request_txn":'.repeat(depth) + '{}' + '}]}'.repeat(depth);
      return decodeJson(byName, descriptor, Buffer.from(text));
    };
    assert.ok(read(250));
    assert.throws(() => read(251), /exceeded max recursion depth/);
  });
});

/** Buffers and plain arrays of bytes are equal to each other. */
function plainOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plainOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([name, member]) => [name, plainOf(member)]),
  );
}

suite('the scanner', () => {
  test('takes one value after the other, wherever the pieces are cut', () => {
    const text = Buffer.from(' {"a":[1,{"b":"\\"\\u00e9}"}],"c":-0.5e+3} 17 true"x"[]null{}\n8.25');
    const whole = [
      '{"a":[1,{"b":"\\"\\u00e9}"}],"c":-0.5e+3}',
      '17',
      'true',
      '"x"',
      '[]',
      'null',
      '{}',
      '8.25',
    ];
    assert.deepEqual(scan([text]), whole);
    assert.deepEqual(scan([...text].map((byte) => Uint8Array.of(byte))), whole);
    for (let cut = 0; cut <= text.length; cut++) {
      assert.deepEqual(scan([text.subarray(0, cut), text.subarray(cut)]), whole);
    }
  });

  test('accepts what JSON.parse accepts, and nothing else', () => {
    const chars = Array.from('{}[]:,"\\ut1-+.eE nulrfas0');
    const texts = fc.oneof(
      fc.json(),
      fc.string({ unit: fc.constantFrom(...chars), maxLength: 12 }),
      fc.tuple(fc.json(), fc.nat(), fc.constantFrom(...chars)).map(([json, at, char]) => {
        const cut = at % (json.length + 1);
        return json.slice(0, cut) + char + json.slice(cut + 1);
      }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        // In a list, so that it is one value or none at all.
        const list = `[${text}]`;
        let parsed: unknown;
        try {
          parsed = JSON.parse(list);
        } catch {
          const values = refusal(list) ?? scan([Buffer.from(list)]);
          assert.ok(typeof values === 'string' || values.length !== 1 || values[0] !== list, list);
          return;
        }
        assert.deepEqual(JSON.parse(scan([Buffer.from(list)])[0] ?? ''), parsed);
      }),
      { numRuns: 3_000 },
    );
  });

  test('stops where it is told to', () => {
    const scanner = new JsonScanner({ valueBytesMax: 100 });
    const values: string[] = [];
    scanner.push(Buffer.from('{"a":1}nonsense'), (value) => {
      values.push(value.toString());
      return false;
    });
    assert.deepEqual(values, ['{"a":1}']);
  });

  test('a value has a largest size, a stream has none', () => {
    const value = `"${'x'.repeat(98)}"`;
    assert.deepEqual(scan([Buffer.from(value.repeat(3))], 100), [value, value, value]);
    const large = Buffer.from(`"${'x'.repeat(99)}"`);
    assert.throws(() => scan([large], 100), ValueTooLarge);
    assert.throws(() => scan([large.subarray(0, 60), large.subarray(60)], 100), ValueTooLarge);
  });

  test('an unfinished value', () => {
    for (const text of ['{', '[1,', '"x', 'tru', '-', '1.', '1e', '1e+', '{"a":1']) {
      assert.equal(refusal(text), 'unexpected EOF', text);
    }
    assert.equal(refusal(''), undefined);
    assert.equal(refusal(' \n'), undefined);
  });
});
