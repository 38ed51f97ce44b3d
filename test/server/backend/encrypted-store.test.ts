import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { EncryptedStore } from '../../../server/backend/encrypted-store.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import { DataKeys } from '../../../server/encryption/data-keys.ts';
import { write } from './support.ts';

const newKey = () => encryptionKeyOf(randomBytes(32), 'key');
const put = (key: string, value: string) =>
  ({ kind: 'put', key: fromLatin1(key), value: fromLatin1(value) }) as const;
const remove = (key: string) => ({ kind: 'delete', key: fromLatin1(key) }) as const;

async function contentOf(store: EncryptedStore): Promise<string[]> {
  const found: string[] = [];
  for await (const chunk of store.scan({})) {
    for (const [key, value] of chunk) found.push(`${latin1(key)}=${latin1(value)}`);
  }
  return found;
}

suite('a store whose values are encrypted', () => {
  test('what lies below it is no value, and no value of another key is taken for it', async () => {
    const below = new MemoryStore({ disk: new MemoryDisk() });
    const store = new EncryptedStore(below, DataKeys.create(newKey()));
    await write(store, [put('a', 'canary'), put('b', 'other')]);
    const [a, b] = ['a', 'b'].map((key) => below.get(fromLatin1(key)));
    assert(a !== undefined && b !== undefined);
    assert.ok(!latin1(a).includes('canary'));
    await write(below, [{ kind: 'put', key: fromLatin1('a'), value: b }]);
    assert.throws(() => store.get(fromLatin1('a')), /a record does not decrypt/);
    await assert.rejects(contentOf(store), /a record does not decrypt/);
    assert.equal(latin1(store.get(fromLatin1('b')) ?? Buffer.of()), 'other');
  });

  test('after a new key all is encrypted anew, while others write, delete and read', async () => {
    const [former, key] = [newKey(), newKey()];
    const keys = DataKeys.create(former);
    const below = new MemoryStore({ disk: new MemoryDisk() });
    const store = new EncryptedStore(below, keys);
    const names = Array.from({ length: 3_000 }, (_, at) => `key-${String(at).padStart(5, '0')}`);
    await write(
      store,
      names.map((name) => put(name, 'old')),
    );
    const rotated = keys.rotated(key);
    keys.adopt(rotated);
    const renewing = store.renew();
    const deleted = new Set(names.filter((_, at) => at % 3 === 0));
    const written = new Set(names.filter((_, at) => at % 3 === 1));
    for (const name of names) {
      if (deleted.has(name)) await write(store, [remove(name)]);
      else if (written.has(name)) await write(store, [put(name, 'new')]);
      else assert.equal(latin1(store.get(fromLatin1(name)) ?? Buffer.of()), 'old');
    }
    assert.ok((await renewing) > 0);
    const expected = names
      .filter((name) => !deleted.has(name))
      .map((name) => `${name}=${written.has(name) ? 'new' : 'old'}`);
    assert.deepEqual(await contentOf(store), expected);
    for (const name of names) {
      const encrypted = below.get(fromLatin1(name));
      if (encrypted !== undefined) assert.equal(keys.keyNumberOf(encrypted), 2, name);
    }
    assert.equal(await store.renew(), 0);
  });

  test('one that is closed stops encrypting anew, and fails nobody', async () => {
    const keys = DataKeys.create(newKey());
    const store = new EncryptedStore(new MemoryStore({ disk: new MemoryDisk() }), keys);
    const names = Array.from({ length: 5_000 }, (_, at) => put(`key-${at}`, 'value'));
    await write(store, names);
    keys.adopt(keys.rotated(newKey()));
    const renewing = store.renew();
    await store.close();
    assert.ok((await renewing) < names.length);
  });
});
