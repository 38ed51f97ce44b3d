import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { der, derElements, derObjectId, derTime } from '../../../server/transport/der.ts';
import { pemBlocks, pemOf } from '../../../server/transport/pem.ts';
import { revokedSerials, serialText } from '../../../server/transport/revocation-list.ts';
import { Authority, x509 } from '../../support/certificates.ts';

suite('revocation lists', () => {
  test('the serial numbers are those that another reader finds', async () => {
    const authority = await Authority.create('ca');
    for (const serials of [[], ['1'], ['00ff', '7f', '80', 'abcdef0123456789abcdef0123456789']]) {
      const list = await authority.revoke(serials);
      const theirs = new x509.X509Crl(list).entries.map(({ serialNumber }) =>
        serialText(serialNumber),
      );
      assert.deepEqual([...revokedSerials(list)], theirs);
      assert.equal(revokedSerials(list).size, serials.length);
    }
  });

  test('several lists in one PEM file', async () => {
    const authority = await Authority.create('ca');
    const lists = [await authority.revoke(['0a']), await authority.revoke(['0b', '0c'])];
    const file = lists.map((list) => pemOf('X509 CRL', list)).join('some text\n');
    assert.deepEqual([...revokedSerials(Buffer.from(file))].sort(), ['A', 'B', 'C']);
    const cut = file.slice(0, file.lastIndexOf('-----END'));
    assert.throws(() => revokedSerials(Buffer.from(cut)), /cut off/);
  });

  test('a list of a hundred thousand is read', () => {
    const entry = (serial: number): Uint8Array =>
      der(0x30, der(0x02, Buffer.of(1, serial >> 16, (serial >> 8) & 255, serial & 255)), date);
    const date = derTime(new Date());
    const algorithm = der(0x30, derObjectId('1.2.840.10045.4.3.2'));
    const entries = der(0x30, ...Array.from({ length: 100_000 }, (_, at) => entry(at)));
    const signed = der(0x30, der(0x02, Buffer.of(1)), algorithm, der(0x30), date, date, entries);
    const list = der(0x30, signed, algorithm, der(0x03, Buffer.of(0)));
    const before = performance.now();
    const serials = revokedSerials(list);
    assert(performance.now() - before < 15_000);
    assert(serials.size === 100_000 && serials.has('1000000') && serials.has('101869F'));
  });

  test('anything else is an error: cut off, changed, or something else altogether', async () => {
    const authority = await Authority.create('ca');
    const list = await authority.revoke(['0a', '0b']);
    for (let length = 0; length < list.length; length++) {
      assert.throws(() => revokedSerials(list.subarray(0, length)), String(length));
    }
    assert.throws(() => revokedSerials(Buffer.from(authority.cert)));
    assert.throws(() => revokedSerials(pemBlocks(authority.cert, 'CERTIFICATE')[0] ?? Buffer.of()));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(list.length - 1), (bytes, at) => {
        for (const file of [
          bytes,
          Buffer.concat([list.subarray(0, at), bytes, list.subarray(at)]),
        ]) {
          try {
            revokedSerials(file);
          } catch (error) {
            assert(error instanceof Error && error.constructor.name === 'DerError', String(error));
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

suite('DER and PEM', () => {
  test('what is written is read', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 5 }), (parts) => {
        const inner = parts.map((part) => der(0x04, part));
        const [whole, ...more] = derElements(der(0x30, ...inner));
        assert(whole?.tag === 0x30 && more.length === 0);
        assert.deepEqual(
          derElements(whole.content).map(({ content }) => Buffer.from(content)),
          parts.map((part) => Buffer.from(part)),
        );
      }),
    );
  });

  test('times before and after 2050', () => {
    const text = (year: number): string =>
      Buffer.from(derTime(new Date(Date.UTC(year, 0, 2, 3, 4, 5)))).toString('latin1');
    assert.equal(text(2049), '\x17\x0d490102030405Z');
    assert.equal(text(2050), '\x18\x0f20500102030405Z');
  });

  test('object identifiers', () => {
    assert.equal(Buffer.from(derObjectId('1.2.840.113549')).toString('hex'), '06062a864886f70d');
  });
});
