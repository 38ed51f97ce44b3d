import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { ConnectionError } from '../../../../server/transport/http2/frames.ts';
import type { HeaderField } from '../../../../server/transport/http2/header-field.ts';
import { HpackDecoder } from '../../../../server/transport/http2/hpack-decoder.ts';
import { block, integer, text } from './raw-client.ts';

function decode(decoder: HpackDecoder, bytes: Buffer): string[] {
  const fields: string[] = [];
  const sink = { field: ({ name, value }: HeaderField) => fields.push(`${name}: ${value}`) };
  decoder.decode(bytes, 0, bytes.length, sink);
  return fields;
}

function hex(digits: string): Buffer {
  return Buffer.from(digits.replaceAll(' ', ''), 'hex');
}

function refuses(bytes: Buffer, message: RegExp, decoder = new HpackDecoder(4096)): void {
  assert.throws(
    () => decode(decoder, bytes),
    (error) =>
      error instanceof ConnectionError &&
      error.code === 'COMPRESSION_ERROR' &&
      message.test(error.message),
    bytes.toString('hex'),
  );
}

const get = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const getAgain = [...get, 'cache-control: no-cache'];
const getCustom = [
  ':method: GET',
  ':scheme: https',
  ':path: /index.html',
  ':authority: www.example.com',
  'custom-key: custom-value',
];
const date1 = 'date: Mon, 21 Oct 2013 20:13:21 GMT';
const date2 = 'date: Mon, 21 Oct 2013 20:13:22 GMT';
const location = 'location: https://www.example.com';
const cookie = 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const answers = [
  [':status: 302', 'cache-control: private', date1, location],
  [':status: 307', 'cache-control: private', date1, location],
  [':status: 200', 'cache-control: private', date2, location, 'content-encoding: gzip', cookie],
];

suite("HPACK: the specification's examples (RFC 7541, appendix C)", () => {
  test('C.2 single fields', () => {
    const decoder = new HpackDecoder(4096);
    const examples: readonly (readonly [string, string])[] = [
      ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', 'custom-key: custom-header'],
      ['040c2f73616d706c652f70617468', ':path: /sample/path'],
      ['100870617373776f726406736563726574', 'password: secret'],
      ['82', ':method: GET'],
    ];
    for (const [digits, field] of examples) assert.deepEqual(decode(decoder, hex(digits)), [field]);
  });

  test('C.3 requests without the Huffman code', () => {
    const decoder = new HpackDecoder(4096);
    const first = hex('828684410f7777772e6578616d706c652e636f6d');
    assert.deepEqual(decode(decoder, first), get);
    assert.deepEqual(decode(decoder, hex('828684be58086e6f2d6361636865')), getAgain);
    const third = hex('828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565');
    assert.deepEqual(decode(decoder, third), getCustom);
  });

  test('C.4 requests with the Huffman code', () => {
    const decoder = new HpackDecoder(4096);
    assert.deepEqual(decode(decoder, hex('828684418cf1e3c2e5f23a6ba0ab90f4ff')), get);
    assert.deepEqual(decode(decoder, hex('828684be5886a8eb10649cbf')), getAgain);
    const third = hex('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf');
    assert.deepEqual(decode(decoder, third), getCustom);
  });

  test('C.5 responses without the Huffman code, in a table of 256 bytes', () => {
    const decoder = new HpackDecoder(256);
    const blocks = [
      `4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54
       6e1768747470733a2f2f7777772e6578616d706c652e636f6d`,
      '4803333037c1c0bf',
      `88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f
       3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076
       657273696f6e3d31`,
    ];
    for (const [at, digits] of blocks.entries()) {
      assert.deepEqual(decode(decoder, hex(digits.replaceAll(/\s/g, ''))), answers[at]);
    }
  });

  test('C.6 responses with the Huffman code, in a table of 256 bytes', () => {
    const decoder = new HpackDecoder(256);
    const blocks = [
      `488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f
       0b97c8e9ae82ae43d3`,
      '4883640effc1c0bf',
      `88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df
       dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007`,
    ];
    for (const [at, digits] of blocks.entries()) {
      assert.deepEqual(decode(decoder, hex(digits.replaceAll(/\s/g, ''))), answers[at]);
    }
  });
});

suite('HPACK: the table', () => {
  test('the newest entry has index 62, and the oldest leave first', () => {
    const decoder = new HpackDecoder(100);
    decode(
      decoder,
      block(
        [
          ['a', '1'],
          ['b', '2'],
          ['c', '3'],
        ],
        true,
      ),
    );
    // 34 bytes each: two fit.
    assert.deepEqual(decode(decoder, Buffer.from([0xbe, 0xbf])), ['c: 3', 'b: 2']);
    refuses(Buffer.from([0xc0]), /no field with index 64/, decoder);
  });

  test('hundreds of entries come and go', () => {
    const decoder = new HpackDecoder(4096);
    for (let at = 0; at < 2000; at++) {
      decode(decoder, block([[`name-${at}`, `value-${at}`]], true));
      assert.deepEqual(decode(decoder, Buffer.from([0xbe])), [`name-${at}: value-${at}`]);
      if (at < 50) continue;
      const old = integer(0x80, 0x7f, 62 + 50);
      assert.deepEqual(decode(decoder, old), [`name-${at - 50}: value-${at - 50}`]);
    }
  });

  test('one that is larger than the table empties it', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, block([['a', '1']], true));
    const large = 'x'.repeat(5000);
    assert.deepEqual(decode(decoder, block([['b', large]], true)), [`b: ${large}`]);
    refuses(Buffer.from([0xbe]), /no field/, decoder);
  });

  test('a new size evicts, and may grow again up to our limit', () => {
    const decoder = new HpackDecoder(4096);
    decode(
      decoder,
      block(
        [
          ['a', '1'],
          ['b', '2'],
        ],
        true,
      ),
    );
    assert.deepEqual(decode(decoder, Buffer.concat([integer(0x20, 0x1f, 40), hex('be')])), [
      'b: 2',
    ]);
    refuses(Buffer.from([0xbf]), /no field/, decoder);
    const twice = Buffer.concat([integer(0x20, 0x1f, 0), integer(0x20, 0x1f, 4096)]);
    assert.deepEqual(decode(decoder, Buffer.concat([twice, block([['c', '3']], true)])), ['c: 3']);
    assert.deepEqual(decode(decoder, hex('be')), ['c: 3']);
  });

  test('the generation tells whether the table is what it was', () => {
    const decoder = new HpackDecoder(4096);
    const { generation } = decoder;
    decode(decoder, block([['a', '1']]));
    assert.equal(decoder.generation, generation);
    decode(decoder, block([['a', '1']], true));
    assert.notEqual(decoder.generation, generation);
    const before = decoder.generation;
    decode(decoder, integer(0x20, 0x1f, 100));
    assert.notEqual(decoder.generation, before);
  });
});

suite('HPACK: what is broken', () => {
  test('indexes', () => {
    refuses(hex('80'), /no field with index 0/);
    refuses(hex('be'), /no field with index 62/);
    refuses(integer(0x80, 0x7f, 100_000), /no field/);
    refuses(Buffer.concat([integer(0x40, 0x3f, 62), text('v')]), /no field/);
  });

  test('integers and strings', () => {
    refuses(hex('ff'), /integer breaks off/);
    refuses(hex('ffffffffffff7f'), /integer is too large/);
    refuses(hex('40'), /string is missing/);
    refuses(hex('400a6375'), /string breaks off/);
    refuses(hex('4001610a62'), /string breaks off/);
    refuses(hex('400161'), /string is missing/);
    refuses(hex('400161 81ff'), /Huffman/);
    refuses(hex('400161 843fffffff'), /Huffman/);
  });

  test('sizes of the table', () => {
    refuses(integer(0x20, 0x1f, 4097), /larger than we allow/);
    refuses(Buffer.concat([hex('82'), integer(0x20, 0x1f, 100)]), /after a field/);
  });

  test('any bytes are fields or an error, never a crash or a loop', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder(200);
        try {
          for (const bytes of blocks) decode(decoder, Buffer.from(bytes));
        } catch (error) {
          if (!(error instanceof ConnectionError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('what makes a field malformed', () => {
    const isMalformed = (name: string, value: string): boolean => {
      let found = false;
      const bytes = block([[name, value]]);
      const sink = { field: (field: HeaderField) => (found = field.isMalformed) };
      new HpackDecoder(4096).decode(bytes, 0, bytes.length, sink);
      return found;
    };
    for (const [name, value] of [
      ['a-b_c.d', 'x y\tz'],
      [':path', '/'],
      ['x', ''],
      ['x', '\xff'],
    ]) {
      assert.equal(isMalformed(name ?? '', value ?? ''), false, `${name} ${value}`);
    }
    const names = ['', ':', 'A', 'a b', 'a:b', 'a\x7f', '\xe9'].map((name) => [name, 'x']);
    const values = [' x', 'x ', '\tx', 'a\nb', 'a\rb', 'a\0b'].map((value) => ['x', value]);
    for (const [name, value] of [...names, ...values]) {
      assert.equal(isMalformed(name ?? '', value ?? ''), true, `${name} ${value}`);
    }
  });
});
