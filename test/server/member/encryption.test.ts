import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EncryptionKey, encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { DataKeys } from '../../../server/encryption/data-keys.ts';
import { openEncryption } from '../../../server/member/encryption.ts';
import { ManualClock } from '../wal/memory-file-system.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mainstay-encryption-'));
  mkdirSync(join(directory, 'member'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const place = Buffer.from('place');
const content = Buffer.from('content');
const [first, copy] = ['DATA-KEYS', 'DATA-KEYS.copy'];

function newKey(name: string): EncryptionKey {
  const secret = randomBytes(32);
  writeFileSync(join(directory, name), secret);
  return encryptionKeyOf(secret, name);
}

function open(...keyFiles: readonly string[]) {
  const dataEncryptionKeyFiles = keyFiles.map((name) => join(directory, name));
  return openEncryption(silentLogger, { dataDir: directory, dataEncryptionKeyFiles })?.cipher;
}

const pathOf = (name: string): string => join(directory, 'member', name);
const kept = (name: string): string => readFileSync(pathOf(name), 'utf8');
const keep = (name: string, text: string): void => writeFileSync(pathOf(name), text);

suite('the data keys of a member', () => {
  test('killed in the middle of a change of the key: the new one alone is enough, or the former', () => {
    const [former, key] = [newKey('former'), newKey('key')];
    const dataKeys = DataKeys.create(former);
    const encrypted = dataKeys.encrypt(content, place);
    const half = (): void => {
      keep(copy, DataKeys.encode(dataKeys.rotated(key), key));
      keep(first, DataKeys.encode(dataKeys, former));
    };
    for (const given of [['key'], ['former'], ['key', 'former'], ['former', 'key']]) {
      half();
      const cipher = open(...given);
      assert.deepEqual(cipher?.decrypt(encrypted, place), content, given.join());
      if (given.length > 1) assert.equal(kept(first), kept(copy), 'both are the same again');
      assert.equal(cipher?.keyNumber, given.includes('key') ? 2 : 1);
    }
  });

  test('any bit of one of them turned over, or one of them lost: the other serves, and is kept twice again', () => {
    newKey('key');
    const encrypted = open('key')?.encrypt(content, place) ?? content;
    for (const name of [first, copy]) {
      const whole = readFileSync(pathOf(name));
      const check = (what: string, isMended = true): void => {
        assert.deepEqual(open('key')?.decrypt(encrypted, place), content, what);
        if (isMended) assert.equal(kept(first), kept(copy), what);
        else writeFileSync(pathOf(name), whole);
      };
      for (let bit = 0; bit < whole.length * 8; bit += 37) {
        const damaged = Buffer.from(whole);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        writeFileSync(pathOf(name), damaged);
        // A name of another key may be right: what is under that is not written over.
        const isName = /"keyId":"[0-9a-f]*/.exec(whole.toString());
        const nameAt = isName?.index ?? 0;
        check(`${name} bit ${bit}`, bit < 8 * nameAt || bit > 8 * (nameAt + 26));
      }
      rmSync(pathOf(name));
      check(`${name} lost`);
      keep(name, '{"format":1,"keyId":"x","keys":[null]}');
      check(`${name} of another form`);
    }
  });

  test('of another key, or damaged both: refused, and nothing is touched', () => {
    newKey('key');
    newKey('other');
    open('key');
    assert.throws(() => open('other'), /is encrypted with the key/);
    assert.throws(() => open(), /is encrypted: name the file of its key/);
    keep(copy, 'damaged');
    assert.throws(() => open('other'), /is encrypted with the key/);
    keep(first, 'damaged');
    assert.throws(() => open('key'), /DATA-KEYS is damaged/);
    assert.deepEqual([kept(first), kept(copy)], ['damaged', 'damaged']);
    // A copy of long ago does not take the place of keys that its own key does not open.
    const [former, dataKeys] = [newKey('former'), DataKeys.create(newKey('key'))];
    keep(first, DataKeys.encode(dataKeys.rotated(former), former));
    const old = DataKeys.encode(
      dataKeys,
      encryptionKeyOf(readFileSync(join(directory, 'key')), 'key'),
    );
    keep(copy, old);
    assert.throws(() => open('key'), /is encrypted with the key/);
    assert.equal(existsSync(pathOf(`${first}.tmp`)), false);
  });

  test('what older keys encrypted is looked for again and again: a received state may have some', async () => {
    const [former, key] = [newKey('former'), newKey('key')];
    const dataKeys = DataKeys.create(former).rotated(key);
    keep(first, DataKeys.encode(dataKeys, key));
    const keyFile = join(directory, 'key');
    const config = { dataDir: directory, dataEncryptionKeyFiles: [keyFile] };
    const encryption = openEncryption(silentLogger, config);
    const clock = new ManualClock();
    let count = 0;
    const stores = { renew: () => Promise.resolve(count++) };
    encryption?.start({ clock, stores, fatal: (error) => assert.fail(error) });
    for (let look = 1; look < 4; look++) {
      await sleep(50);
      assert.equal(count, look + 1);
      clock.fire();
    }
    await sleep(50);
    encryption?.stop();
  });
});
