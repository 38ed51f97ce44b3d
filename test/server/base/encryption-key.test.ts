import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { encryptionKeyOf, InvalidKeyError } from '../../../server/base/encryption-key.ts';

test('a key is 32 bytes, as they are, in hex or in base64', () => {
  const key = encryptionKeyOf(randomBytes(32), 'key');
  const { secret } = key;
  for (const text of [secret.toString('hex'), `${secret.toString('base64')}\n`]) {
    assert.deepEqual(encryptionKeyOf(Buffer.from(text), 'file'), key);
  }
  for (const wrong of ['', 'short', secret.toString('hex').slice(2)]) {
    assert.throws(() => encryptionKeyOf(Buffer.from(wrong), 'file'), {
      name: InvalidKeyError.name,
      message: /^file holds no key: .* openssl rand -base64 32$/,
    });
  }
});

test('what a key is called says nothing of it, and no two are called the same', () => {
  const [one, other] = [randomBytes(32), randomBytes(32)].map((bytes) =>
    encryptionKeyOf(bytes, ''),
  );
  assert.match(one?.id ?? '', /^[0-9a-f]{16}$/);
  assert.notEqual(one?.id, other?.id);
  assert.ok(!one?.secret.toString('hex').includes(one.id));
});
