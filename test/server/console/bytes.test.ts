import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  fromUrlText,
  hexLines,
  parseText,
  prefixEnd,
  shownLines,
  shownText,
  toUrlText,
} from '../../../server/console/bytes.ts';

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
);

test('what is shown of a key is read back as the same key', () => {
  fc.assert(
    fc.property(bytes, (key) => {
      assert.deepEqual(parseText(shownText(key)), Uint8Array.from(key));
    }),
  );
});

test('what is shown has nothing that cannot be seen or that reorders', () => {
  fc.assert(
    fc.property(bytes, (key) => {
      assert.doesNotMatch(shownText(key), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.doesNotMatch(shownLines(Buffer.from(key).toString()), /[\p{Cf}\0\u007f]/u);
    }),
  );
  assert.equal(shownText(Buffer.from('a\u202egnp.exe')), 'a\\xe2\\x80\\xaegnp.exe');
  assert.equal(shownText(Buffer.from('C:\\x')), 'C:\\\\x');
  assert.equal(shownText(Buffer.from('größe/日本')), 'größe/日本');
});

test('the address of a key leads back to it', () => {
  fc.assert(
    fc.property(bytes, (key) => {
      assert.match(toUrlText(key), /^[\w-]*$/);
      assert.deepEqual(fromUrlText(toUrlText(key)), Uint8Array.from(key));
    }),
  );
  assert.equal(fromUrlText('%'), undefined);
});

test('a prefix ends behind its last key', () => {
  const text = new TextEncoder();
  assert.deepEqual(prefixEnd(text.encode('/a/')), text.encode('/a0'));
  assert.deepEqual(prefixEnd(Uint8Array.of(1, 0xff, 0xff)), Uint8Array.of(2));
  assert.deepEqual(prefixEnd(Uint8Array.of(0xff)), Uint8Array.of(0));
});

test('bytes in hexadecimal', () => {
  assert.equal(
    hexLines(Buffer.from('0123456789abcdefg<')),
    '000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n' +
      `000010  67 3c${' '.repeat(42)}  g<`,
  );
});

test('blanks that look like another blank are told apart', () => {
  assert.equal(shownText(Buffer.from('a b')), 'a b');
  assert.equal(shownText(Buffer.from('a\u00a0b\u3000')), 'a\\xc2\\xa0b\\xe3\\x80\\x80');
});
