import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import {
  DataKeys,
  DataKeysError,
  EncryptionKeyError,
} from '../../../server/encryption/data-keys.ts';

const newKey = () => encryptionKeyOf(randomBytes(32), 'key');
const place = Buffer.from('place');
const content = Buffer.from('content');

suite('the keys of the data', () => {
  test('are kept under the key of people, and are the same again', () => {
    const key = newKey();
    const dataKeys = DataKeys.create(key);
    const encrypted = dataKeys.encrypt(content, place);
    const kept = DataKeys.encode(dataKeys, key);
    assert.deepEqual(
      DataKeys.parse(kept, [newKey(), key], 'FILE').decrypt(encrypted, place),
      content,
    );
    assert.ok(!kept.includes(key.secret.toString('hex')));
    assert.equal(dataKeys.hasOlder, false);
  });

  test('after a new key of people both are read, and the former key of people is not needed', () => {
    const [former, key] = [newKey(), newKey()];
    const dataKeys = DataKeys.create(former);
    const old = dataKeys.encrypt(content, place);
    const rotated = dataKeys.rotated(key);
    const kept = DataKeys.encode(rotated, key);
    assert.equal(dataKeys.keyNumber, 1, 'nothing is encrypted with what is not durable');
    dataKeys.adopt(rotated);
    const encrypted = dataKeys.encrypt(content, place);
    assert.deepEqual([dataKeys.keyNumberOf(old), dataKeys.keyNumberOf(encrypted)], [1, 2]);
    for (const keys of [dataKeys, DataKeys.parse(kept, [key], 'FILE')]) {
      assert.equal(keys.keyId, key.id);
      assert.deepEqual(
        [keys.decrypt(old, place), keys.decrypt(encrypted, place)],
        [content, content],
      );
      assert.equal(keys.hasOlder, true);
    }
  });

  test('another key is refused, with both names', () => {
    const [key, other] = [newKey(), newKey()];
    const kept = DataKeys.encode(DataKeys.create(key), key);
    assert.throws(() => DataKeys.parse(kept, [other], 'FILE'), {
      name: EncryptionKeyError.name,
      message: new RegExp(
        `with the key ${key.id} \\(given: ${other.id}\\): name the file of that key`,
      ),
    });
    assert.throws(() => DataKeys.parse(kept, [], 'FILE'), /given: none/);
  });

  test('damage of any byte is refused, and so is a newer version', () => {
    const key = newKey();
    const kept = Buffer.from(DataKeys.encode(DataKeys.create(key), key));
    const isRefused = (error: unknown) =>
      error instanceof DataKeysError || error instanceof EncryptionKeyError;
    for (let at = 0; at < kept.length - 1; at++) {
      const damaged = Buffer.from(kept);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      assert.throws(
        () => DataKeys.parse(damaged.toString('latin1'), [key], 'FILE'),
        isRefused,
        `${at}`,
      );
    }
    for (const text of ['', '{}', 'null', '[]', '{"format":1,"keyId":"x","keys":[]}']) {
      assert.throws(() => DataKeys.parse(text, [key], 'FILE'), isRefused, text);
    }
    assert.throws(
      () => DataKeys.parse('{"format":2}', [key], 'FILE'),
      /FILE was written by a newer/,
    );
  });
});
