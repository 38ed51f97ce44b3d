import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import type { OrderedStore } from '../../../server/backend/ordered-store.ts';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import { bytesOf } from '../../../server/client/keys.ts';
import { DataKeys } from '../../../server/encryption/data-keys.ts';
import { LevelStateStores } from '../../../server/member/level-state-stores.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mainstay-states-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function directories(): string[] {
  return readdirSync(directory).filter((name) => name.startsWith('state-'));
}

function stores(): LevelStateStores {
  return new LevelStateStores(directory);
}

async function write(store: OrderedStore, value: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const op = { kind: 'put', key: bytesOf('key'), value: bytesOf(value) } as const;
    store.write([op], (error) => (error === null ? resolve() : reject(error)));
  });
  await store.close();
}

async function held(): Promise<string | undefined> {
  const store = await stores().open();
  const value = store.get(bytesOf('key'));
  await store.close();
  return value === undefined ? undefined : Buffer.from(value).toString();
}

suite('the directories of applied states', () => {
  test('a staged state takes over when it is promoted, and not before', async () => {
    await write(await stores().open(), 'old');
    const receiving = stores();
    await write(await receiving.stage(), 'new');
    assert.equal(await held(), 'old');
    assert.deepEqual(directories(), ['state-1']);
    await write(await receiving.stage(), 'new');
    await (await receiving.promoteStaged()).close();
    assert.equal(await held(), 'new');
    assert.deepEqual(directories(), ['state-2']);
  });

  test('what was discarded is never opened again', async () => {
    await write(await stores().open(), 'damaged');
    await stores().discard();
    assert.equal(await held(), undefined);
    assert.deepEqual(directories(), ['state-2']);
  });

  test('any bit of STATE turned over, or no STATE: the only directory is meant, and stays', async () => {
    await write(await stores().open(), 'value');
    const path = join(directory, 'STATE');
    const whole = readFileSync(path);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const damaged = Buffer.from(whole);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(path, damaged);
      assert.equal(await held(), 'value', `bit ${bit}`);
      assert.deepEqual(readFileSync(path), whole);
    }
    rmSync(path);
    assert.equal(await held(), 'value');
  });

  test('a damaged STATE beside two directories: refused, until that state is discarded', async () => {
    await write(await stores().open(), 'value');
    await write(await stores().stage(), 'half');
    writeFileSync(join(directory, 'STATE'), 'state-1 0\n');
    await assert.rejects(stores().open(), (error: unknown) => {
      assert(error instanceof StateDamagedError);
      assert.match(error.message, /\/STATE: it names none of state-1, state-2$/);
      return true;
    });
    assert.deepEqual(directories(), ['state-1', 'state-2']);
    await stores().discard();
    assert.equal(await held(), undefined);
    assert.deepEqual(directories(), ['state-3']);
  });

  test('a state that was being received while the key changed is encrypted anew when it takes over', async () => {
    const [former, key] = ['former', 'key'].map((name) => encryptionKeyOf(randomBytes(32), name));
    assert(former !== undefined && key !== undefined);
    const cipher = DataKeys.create(former);
    const encrypted = new LevelStateStores(directory, cipher);
    const current = await encrypted.open();
    await write(await encrypted.stage(), 'new');
    cipher.adopt(cipher.rotated(key));
    assert.equal(await encrypted.renew(), 0, 'there is nothing in the current one');
    await current.close();
    const received = await encrypted.promoteStaged();
    assert.equal(await encrypted.renew(), 1);
    assert.equal(await encrypted.renew(), 0);
    assert.deepEqual(Buffer.from(received.get(bytesOf('key')) ?? []).toString(), 'new');
    await received.close();
  });
});
