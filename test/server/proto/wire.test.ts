import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { InternalRequest } from '../../../server/proto/gen/internal.ts';
import {
  AlarmRequest,
  type AlarmType,
  Compare,
  ResponseHeader as Header,
  KV,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  StatusResponse,
  TxnRequest,
  WatchCreateRequest,
} from '../../../server/proto/gen/rpc.ts';
import { DecodeError, listedMessagesFreeMax, messageDepthMax } from '../../../server/proto/wire.ts';

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

suite('64-bit integers', () => {
  const maxInt64 = 'ffffffffffffffff7f';
  const minInt64 = '80808080808080808001';
  const minusOne = 'ffffffffffffffffff01';

  test('a number saturates at the safe integers', () => {
    const limit = (hex: string) => RangeRequest.decode(bytesOf(`18${hex}`)).limit;
    assert.equal(limit(maxInt64), Number.MAX_SAFE_INTEGER);
    assert.equal(limit(minInt64), Number.MIN_SAFE_INTEGER);
    assert.equal(limit(minusOne), -1);
    assert.equal(limit('ffffffffffffff0f'), Number.MAX_SAFE_INTEGER);
    assert.equal(limit('feffffffffffff0f'), Number.MAX_SAFE_INTEGER - 1);
    assert.equal(limit('80808080808080f0ff01'), Number.MIN_SAFE_INTEGER);
    assert.equal(limit('8080808010'), 2 ** 32);
    assert.equal(limit('ffffffff0f'), 2 ** 32 - 1);
    assert.equal(limit('8080808008'), 2 ** 31);
  });

  test('an unsigned number is never negative', () => {
    assert.equal(Header.decode(bytesOf(`20${minusOne}`)).raftTerm, Number.MAX_SAFE_INTEGER);
  });

  test('a number is written as 64 bits of two’s complement', () => {
    const hex = (limit: number) => hexOf(RangeRequest.encode(RangeRequest.create({ limit })));
    assert.equal(hex(-1), `18${minusOne}`);
    assert.equal(hex(-(2 ** 32)), '188080808070ffffffff01'.replace('70ff', 'f0ff'));
    assert.equal(hex(Number.MIN_SAFE_INTEGER), '1881808080808080f0ff01');
    assert.equal(hex(Number.MAX_SAFE_INTEGER), '18ffffffffffffff0f');
    assert.equal(hex(2 ** 32), '188080808010');
    assert.throws(() => RangeRequest.encode(RangeRequest.create({ limit: 2 ** 53 })), RangeError);
    assert.throws(() => RangeRequest.encode(RangeRequest.create({ limit: -0.5 })), RangeError);
  });

  test('an id is exact', () => {
    for (const ID of [
      1n,
      -1n,
      2n ** 63n - 1n,
      -(2n ** 63n),
      2n ** 32n,
      2n ** 31n,
      2n ** 35n - 1n,
    ]) {
      const bytes = LeaseGrantRequest.encode(LeaseGrantRequest.create({ ID }));
      assert.equal(LeaseGrantRequest.decode(bytes).ID, ID);
    }
    for (const memberID of [1n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = AlarmRequest.encode(AlarmRequest.create({ memberID }));
      assert.equal(AlarmRequest.decode(bytes).memberID, memberID);
    }
    assert.equal(LeaseGrantRequest.decode(bytesOf(`10${minusOne}`)).ID, -1n);
    assert.equal(AlarmRequest.decode(bytesOf(`10${minusOne}`)).memberID, 2n ** 64n - 1n);
  });
});

suite('small integers', () => {
  test('an enum is open, and a negative one takes ten bytes', () => {
    const message = AlarmRequest.create({ alarm: -7 as AlarmType });
    const bytes = AlarmRequest.encode(message);
    assert.equal(bytes.length, 11);
    assert.equal(AlarmRequest.decode(bytes).alarm, -7);
    assert.equal(AlarmRequest.decode(bytesOf('1863')).alarm, 99);
  });

  test('more than 32 bits are cut to the lower ones', () => {
    assert.equal(AlarmRequest.decode(bytesOf('188180808010')).alarm, 1);
  });

  test('any bit makes a bool true', () => {
    assert.equal(RangeRequest.decode(bytesOf('388080808010')).serializable, true);
    assert.equal(RangeRequest.decode(bytesOf('388000')).serializable, false);
  });

  test('repeated enums are read packed and unpacked, and written packed', () => {
    const filters = (hex: string) => WatchCreateRequest.decode(bytesOf(hex)).filters;
    assert.deepEqual(filters('2a020001'), [0, 1]);
    assert.deepEqual(filters('28002801'), [0, 1]);
    assert.deepEqual(filters('2a00'), []);
    assert.deepEqual(filters('2a0101 2800'), [1, 0]);
    const message = WatchCreateRequest.create({ filters: [0, 1, 0] });
    assert.equal(hexOf(WatchCreateRequest.encode(message)), '2a03000100');
    assert.throws(() => filters('2a0180 01'), DecodeError);
  });
});

suite('bytes and strings', () => {
  test('bytes are views of the message', () => {
    const bytes = bytesOf('0a0161');
    const { key } = PutRequest.decode(bytes);
    bytes[2] = 0x62;
    assert.deepEqual(key, bytesOf('62'));
  });

  test('a view into a larger buffer is read within its limits', () => {
    const whole = bytesOf('ffff 0a0161 ffff');
    assert.deepEqual(PutRequest.decode(whole.subarray(2, 5)).key, bytesOf('61'));
  });

  test('strings are UTF-8, and nothing else', () => {
    const version = (hex: string) => StatusResponse.decode(bytesOf(hex)).version;
    assert.equal(version('1203e282ac'), '€');
    assert.equal(version('1204f09f9880'), '😀');
    assert.throws(() => version('1201ff'), DecodeError);
    assert.throws(() => version('1202c080'), DecodeError); // an overlong zero
    assert.throws(() => version('1203eda080'), DecodeError); // half a surrogate pair
    assert.throws(() => version('1202e282'), DecodeError); // cut
  });

  test('a lone surrogate is written as the replacement character', () => {
    const bytes = StatusResponse.encode(StatusResponse.create({ version: '\ud800' }));
    assert.equal(hexOf(bytes), '1203efbfbd');
  });
});

suite('oneofs', () => {
  test('a member that is set is written even when it is default', () => {
    const compare = Compare.create({ targetUnion: { kind: 'version', value: 0 } });
    assert.equal(hexOf(Compare.encode(compare)), '2000');
    assert.deepEqual(Compare.decode(bytesOf('2000')), compare);
    const lease = Compare.create({ targetUnion: { kind: 'lease', value: 0n } });
    assert.equal(hexOf(Compare.encode(lease)), '4000');
    const value = Compare.create({ targetUnion: { kind: 'value', value: new Uint8Array(0) } });
    assert.equal(hexOf(Compare.encode(value)), '3a00');
  });

  test('the last member stands', () => {
    assert.deepEqual(Compare.decode(bytesOf('2005 3a0161')).targetUnion, {
      kind: 'value',
      value: bytesOf('61'),
    });
    assert.equal(RequestOp.decode(bytesOf('0a00 1200')).request?.kind, 'requestPut');
  });
});

suite('malformed messages', () => {
  const refused: [name: string, hex: string, error: RegExp][] = [
    ['a tag alone', '0a', /unexpected end/],
    ['a length beyond the end', '0a0561', /unexpected end/],
    ['a length of 4 GiB', '0affffffff0f', /unexpected end/],
    ['a length beyond 32 bits', '0a8080808010', /unexpected end/],
    ['a negative length', '0affffffffffffffffff01', /unexpected end/],
    ['a varint without its end', '1880', /unexpected end/],
    ['a varint of eleven bytes', '18ffffffffffffffffffff01', /longer than 64 bits/],
    ['a varint of 65 bits', '18ffffffffffffffffff02', /longer than 64 bits/],
    ['ten bytes that go on', '1880808080808080808080', /longer than 64 bits/],
    ['field number zero', '0000', /invalid field number/],
    ['field number zero in two bytes', '800000', /invalid field number/],
    ['a field number beyond 29 bits', '808080808010 00', /invalid field number/],
    ['wire type 6', '0e', /wire type 6/],
    ['wire type 7', '0f', /wire type 7/],
    ['an end of a group that never began', '0c', /wire type 4/],
    ['a group without its end', 'a301 0801', /unexpected end/],
    ['a group that ends as another', 'a301 ac01', /mismatched/],
    ['a skipped field beyond the end', 'a101 0102', /unexpected end/],
    ['a skipped length beyond the end', 'a201 05 01', /unexpected end/],
  ];
  for (const [name, hex, error] of refused) {
    test(name, () => {
      assert.throws(() => PutRequest.decode(bytesOf(hex)), DecodeError);
      assert.throws(() => PutRequest.decode(bytesOf(hex)), error);
    });
  }

  test('a nested message ends inside the one around it', () => {
    // A RequestOp of 2 bytes that holds a RangeRequest of 5, while the bytes go on.
    assert.throws(() => TxnRequest.decode(bytesOf('1202 0a05 0a03616263')), DecodeError);
    assert.throws(() => TxnRequest.decode(bytesOf('1204 0a02 0a03616263')), DecodeError);
  });

  test('a known field of another wire type is skipped', () => {
    assert.deepEqual(PutRequest.decode(bytesOf('0805 1a0161')), PutRequest.create());
  });

  test('nesting has a limit', () => {
    const nested = (depth: number) => {
      let bytes: Uint8Array = new Uint8Array(0);
      for (let i = 0; i < depth; i++) {
        const isTxn = (depth - i) % 2 === 0;
        bytes = Buffer.concat([bytesOf(isTxn ? '22' : '12'), lengthOf(bytes.length), bytes]);
      }
      return bytes;
    };
    assert.ok(TxnRequest.decode(nested(messageDepthMax)));
    assert.throws(() => TxnRequest.decode(nested(messageDepthMax + 1)), /nested too deeply/);
    assert.throws(() => TxnRequest.decode(nested(10_000)), /nested too deeply/);
    // What a client may send can be read again inside of the entry that carries it.
    const deepest = TxnRequest.decode(nested(messageDepthMax));
    const entry = InternalRequest.create({ request: { kind: 'txn', value: deepest } });
    assert.deepEqual(InternalRequest.decode(InternalRequest.encode(entry)), entry);
    const groups = Buffer.alloc(10_000, 0x2b);
    assert.throws(() => RequestOp.decode(groups), /nested too deeply/);
  });
});

suite('messages in lists', () => {
  const repeated = (count: number, hex: string) =>
    Buffer.alloc((count * hex.length) / 2, hex, 'hex');
  const emptyCompare = '0a00';
  const emptyNested = '12022200';

  test('as many as any are decoded, whatever they are', () => {
    const { compare } = TxnRequest.decode(repeated(listedMessagesFreeMax, emptyCompare));
    assert.equal(compare.length, listedMessagesFreeMax);
  });

  test('more are refused before they take memory and time, at all depths together', () => {
    const tooMany = { error: 'TooManyOps' };
    const flat = repeated(2 * listedMessagesFreeMax, emptyCompare);
    assert.throws(() => TxnRequest.decode(flat), tooMany);
    const part = repeated(100, emptyCompare);
    const nested = Buffer.concat([lengthOf(part.length), part]);
    const op = Buffer.concat([bytesOf('22'), nested]);
    const listed = Buffer.concat([bytesOf('12'), lengthOf(op.length), op]);
    assert.throws(() => TxnRequest.decode(Buffer.concat(Array(200).fill(listed))), tooMany);
  });

  test('the shortest that etcd takes are decoded in any number, and so are entries', () => {
    const count = 20 * listedMessagesFreeMax;
    const request = TxnRequest.decode(repeated(count, emptyNested));
    assert.equal(request.success.length, count);
    const short = TxnRequest.create({
      success: Array.from({ length: count }, () => ({ request: undefined })),
    });
    const entry = InternalRequest.create({ request: { kind: 'txn', value: short } });
    const read = InternalRequest.decode(InternalRequest.encode(entry)).request;
    assert(read?.kind === 'txn' && read.value.success.length === count);
  });
});

function lengthOf(length: number): Uint8Array {
  const bytes: number[] = [];
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return new Uint8Array([...bytes, rest]);
}

test('a failed encoding leaves nothing behind for the next', () => {
  const bad = TxnRequest.create({
    success: [
      { request: { kind: 'requestRange', value: RangeRequest.create({ limit: Number.NaN }) } },
    ],
  });
  assert.throws(() => TxnRequest.encode(bad), RangeError);
  const good = StatusResponse.create({ version: '3.6.0', errors: ['x'] });
  assert.deepEqual(StatusResponse.decode(StatusResponse.encode(good)), good);
});

test('a service names its paths, types and streams', () => {
  assert.equal(KV.name, 'etcdserverpb.KV');
  assert.equal(KV.methods.rangeStream.path, '/etcdserverpb.KV/RangeStream');
  assert.equal(KV.methods.rangeStream.responseStream, true);
  assert.equal(KV.methods.put.request, PutRequest);
});
