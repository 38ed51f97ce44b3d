import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  huffmanCodeBits,
  huffmanCodes,
  huffmanDecoded,
} from '../../../../server/transport/http2/huffman.ts';

const codes = huffmanCodes();

/** Bit by bit, as slow as it is plain. */
export function huffmanEncoded(bytes: Uint8Array): Buffer {
  const bits = Array.from(bytes, bitsOf).join('');
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(padded.match(/.{8}/g)?.map((eight) => Number.parseInt(eight, 2)) ?? []);
}

function bitsOf(symbol: number): string {
  return (codes[symbol] ?? 0).toString(2).padStart(huffmanCodeBits[symbol] ?? 0, '0');
}

function decoded(bytes: Uint8Array): string | undefined {
  return huffmanDecoded(bytes, 0, bytes.length);
}

suite('the Huffman code', () => {
  test("the specification's codes", () => {
    const bits = (symbol: number | string): string =>
      bitsOf(typeof symbol === 'string' ? symbol.charCodeAt(0) : symbol);
    assert.equal(bits('0'), '00000');
    assert.equal(bits('t'), '01001');
    assert.equal(bits(' '), '010100');
    assert.equal(bits('~'), '1111111111101');
    assert.equal(bits(0), '1111111111000');
    assert.equal(bits(255), '11111111111111111111101110');
    assert.equal(bits(22), '111111111111111111111111111110');
    assert.equal(bits(256), '1'.repeat(30));
  });

  test("the specification's strings", () => {
    const strings: readonly (readonly [string, string])[] = [
      ['f1e3c2e5f23a6ba0ab90f4ff', 'www.example.com'],
      ['a8eb10649cbf', 'no-cache'],
      ['25a849e95ba97d7f', 'custom-key'],
      ['9d29ad171863c78f0b97c8e9ae82ae43d3', 'https://www.example.com'],
      ['d07abe941054d444a8200595040b8166e082a62d1bff', 'Mon, 21 Oct 2013 20:13:21 GMT'],
    ];
    for (const [hex, text] of strings) {
      assert.equal(decoded(Buffer.from(hex, 'hex')), text);
      assert.equal(huffmanEncoded(Buffer.from(text)).toString('hex'), hex);
    }
  });

  test('every string is what it was', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.equal(decoded(huffmanEncoded(bytes)), Buffer.from(bytes).toString('latin1'));
      }),
    );
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    assert.equal(decoded(huffmanEncoded(all)), Buffer.from(all).toString('latin1'));
  });

  test('what is no code is refused', () => {
    // EOS; padding of eight ones, or of zeros.
    for (const digits of ['3fffffff', 'ffffffff', '1fff', '07ff', 'ff', '18', '00']) {
      assert.equal(decoded(Buffer.from(digits, 'hex')), undefined, digits);
    }
    assert.equal(decoded(Buffer.from('07', 'hex')), '0');
    assert.equal(decoded(Buffer.from('', 'hex')), '');
  });
});
