import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  Decrypter,
  Encrypter,
  encryptionOverheadBytes,
  keyNumberOf,
} from '../../../server/encryption/encrypted-value.ts';

const key = { number: 7, secret: randomBytes(32) };
const [place, elsewhere] = [Buffer.from('place'), Buffer.from('elsewhere')];

test('what was encrypted is decrypted, by another process too, and says its key', () => {
  const contents = [Buffer.alloc(0), Buffer.from('x'), randomBytes(100_000)];
  for (const encrypter of [new Encrypter(key), new Encrypter(key)]) {
    for (const content of contents) {
      const encrypted = encrypter.encrypt(content, place);
      assert.equal(encrypted.length, content.length + encryptionOverheadBytes);
      assert.equal(keyNumberOf(encrypted), 7);
      assert.deepEqual(new Decrypter(key).decrypt(encrypted, place), content);
    }
  }
});

test('nothing else is decrypted: another place, another key, a bit turned over, a part', () => {
  const encrypted = new Encrypter(key).encrypt(Buffer.from('content'), place);
  const decrypter = new Decrypter(key);
  assert.equal(decrypter.decrypt(encrypted, elsewhere), undefined);
  assert.equal(
    new Decrypter({ ...key, secret: randomBytes(32) }).decrypt(encrypted, place),
    undefined,
  );
  // The key's number is not vouched for: it only says which key to try.
  for (let bit = 32; bit < encrypted.length * 8; bit++) {
    const flipped = Buffer.from(encrypted);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(decrypter.decrypt(flipped, place), undefined, `bit ${bit}`);
  }
  for (let size = 0; size < encrypted.length; size++) {
    assert.equal(decrypter.decrypt(encrypted.subarray(0, size), place), undefined);
  }
  assert.deepEqual(decrypter.decrypt(encrypted, place), Buffer.from('content'));
});

test('no nonce comes twice: not in a process, and not in two', () => {
  const seen = new Set<string>();
  for (const encrypter of [new Encrypter(key), new Encrypter(key)]) {
    for (let n = 0; n < 1_000; n++) {
      seen.add(encrypter.encrypt(Buffer.alloc(0), place).toString('hex', 4, 24));
    }
  }
  assert.equal(seen.size, 2_000);
});
