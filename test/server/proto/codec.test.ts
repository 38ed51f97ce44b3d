import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../../server/proto/wire.ts';
import { isWhole } from '../../support/whole.ts';
import { asTheirs, codecs, decodeTheirs, messageOf, type Plain } from './codecs.ts';

const runs = Number(process.env['MAINSTAY_PROTO_RUNS'] ?? (isWhole ? 1000 : 25));

test('protobufjs decodes what we encode, and we decode what it encodes', () => {
  for (const { name, ours, theirs } of codecs) {
    const property = fc.property(messageOf(theirs), (message) => {
      const bytes = ours.encode(message);
      const expected = asTheirs(theirs, message);
      assert.deepEqual(decodeTheirs(theirs, bytes), expected, name);
      assert.deepEqual(ours.decode(bytes), message, name);
      const theirBytes = theirs.encode(theirs.fromObject(expected)).finish();
      assert.deepEqual(ours.decode(theirBytes), message, name);
    });
    fc.assert(property, { numRuns: runs });
  }
});

test('creating from a part fills in every default, which then takes no bytes', () => {
  for (const { name, ours, theirs } of codecs) {
    const message = ours.create();
    assert.equal(ours.encode(message).length, 0, name);
    assert.deepEqual(ours.decode(new Uint8Array(0)), message, name);
    assert.equal(Object.keys(message).length, theirs.fieldsArray.length - inOneofs(theirs), name);
  }
});

function inOneofs(type: { oneofsArray: { fieldsArray: unknown[] }[] }): number {
  return type.oneofsArray.reduce((sum, { fieldsArray }) => sum + fieldsArray.length - 1, 0);
}

/** Decodes; anything but a message or a {@link DecodeError} fails the test. */
function decodeOrRefuse(ours: { decode(bytes: Uint8Array): Plain }, bytes: Uint8Array): void {
  try {
    ours.decode(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
}

test('any bytes decode or are refused', () => {
  for (const { ours } of codecs) {
    const property = fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) =>
      decodeOrRefuse(ours, bytes),
    );
    fc.assert(property, { numRuns: runs * 4 });
  }
});

test('a damaged message decodes or is refused', () => {
  for (const { ours, theirs } of codecs) {
    const property = fc.property(
      messageOf(theirs),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      fc.nat(),
      (message, flips, cut) => {
        const bytes = ours.encode(message).slice();
        if (bytes.length === 0) return;
        for (const [at, value] of flips) bytes[at % bytes.length] = value;
        decodeOrRefuse(ours, bytes.subarray(0, cut % (bytes.length + 1)));
      },
    );
    fc.assert(property, { numRuns: runs });
  }
});

test('unknown fields of every wire type are skipped', () => {
  const unknown = Buffer.from(
    [
      'f8ff0305', // varint
      'f9ff030102030405060708', // 8 bytes
      'faff0303616263', // length-delimited
      'fbff030801fcff03', // a group that holds a varint
      'fdff0301020304', // 4 bytes
    ].join(''),
    'hex',
  );
  for (const { name, ours, theirs } of codecs) {
    const property = fc.property(messageOf(theirs), (message) => {
      const bytes = Buffer.concat([unknown, ours.encode(message), unknown]);
      assert.deepEqual(ours.decode(bytes), message, name);
    });
    fc.assert(property, { numRuns: 3 });
  }
});
