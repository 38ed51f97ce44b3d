import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { HeaderField } from '../../../../server/transport/http2/header-field.ts';
import { HpackDecoder } from '../../../../server/transport/http2/hpack-decoder.ts';
import {
  HpackEncoder,
  ResponseField,
  ResponseFields,
} from '../../../../server/transport/http2/hpack-encoder.ts';

function field(name: string, value: string, isRepeated: boolean): ResponseField {
  return new ResponseField(name, value, { isRepeated });
}

const status = field(':status', '200', false);
const type = field('content-type', 'application/grpc', true);
const ok = field('grpc-status', '0', true);
const headers = new ResponseFields([status, type]);
const trailers = new ResponseFields([ok]);

function encoded(encoder: HpackEncoder, fields: ResponseFields): Buffer {
  const target = Buffer.alloc(fields.blockBytesMax + 7);
  const end = encoder.write(fields, target, 7);
  assert(end <= target.length, 'blockBytesMax holds');
  return target.subarray(7, end);
}

function decoded(decoder: HpackDecoder, bytes: Buffer): string[] {
  const fields: string[] = [];
  const sink = { field: ({ name, value }: HeaderField) => fields.push(`${name}: ${value}`) };
  decoder.decode(bytes, 0, bytes.length, sink);
  return fields;
}

function shown({ fields }: ResponseFields): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`);
}

suite('the HPACK encoder', () => {
  test('what comes again is one byte', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    const sizes: number[] = [];
    for (let round = 0; round < 3; round++) {
      for (const fields of [headers, trailers]) {
        const bytes = encoded(encoder, fields);
        assert.deepEqual(decoded(decoder, bytes), shown(fields));
        sizes.push(bytes.length);
      }
    }
    assert.deepEqual(sizes.slice(2), [2, 1, 2, 1]);
  });

  test('a client that wants no table gets none', () => {
    const encoder = new HpackEncoder();
    encoder.limitTable(0);
    const decoder = new HpackDecoder(4096);
    const first = encoded(encoder, headers);
    assert.equal(first[0], 0x20, 'a table size update');
    assert.deepEqual(decoded(decoder, first), shown(headers));
    assert.deepEqual(decoded(decoder, encoded(encoder, headers)), shown(headers));
  });

  test('a large table is not more than we want', () => {
    const encoder = new HpackEncoder();
    encoder.limitTable(1_000_000);
    assert.equal(encoded(encoder, headers)[0], 0x88);
  });

  test('a table that shrank and grew in between is empty for both', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096);
    decoded(decoder, encoded(encoder, headers));
    encoder.limitTable(0);
    encoder.limitTable(4096);
    const bytes = encoded(encoder, headers);
    assert.deepEqual([...bytes.subarray(0, 4)], [0x20, 0x3f, 0xe1, 0x1f]);
    assert.deepEqual(decoded(decoder, bytes), shown(headers));
    assert.deepEqual(decoded(decoder, encoded(encoder, headers)), shown(headers));
  });

  test('any fields and any table sizes: a decoder follows', () => {
    const repeated = Array.from({ length: 12 }, (_, at) =>
      field(`r${at}`, 'v'.repeat(at * 9), true),
    );
    const step = fc.oneof(
      fc.record({ size: fc.constantFrom(0, 33, 34, 40, 70, 100, 200, 4096, 9999) }),
      fc.record({
        repeated: fc.array(fc.constantFrom(...repeated), { maxLength: 4 }),
        once: fc.array(
          fc.tuple(fc.constantFrom('x', 'grpc-status', ':status', 'via'), fc.string()),
          {
            maxLength: 2,
          },
        ),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(4096);
        for (const each of steps) {
          if ('size' in each) {
            encoder.limitTable(each.size);
            continue;
          }
          const once = each.once.map(([name, value]) => {
            return field(name, Buffer.from(value).toString('latin1'), false);
          });
          const fields = new ResponseFields([...each.repeated, ...once]);
          assert.deepEqual(decoded(decoder, encoded(encoder, fields)), shown(fields));
        }
      }),
      { numRuns: 500 },
    );
  });
});
