import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import { LevelStore } from '../../../server/backend/leveldb.ts';
import { temporaryDirectory } from './support.ts';

const keyCount = 40;

/** A directory whose keys are all in one table. */
async function build(directory: string): Promise<string> {
  const store = await LevelStore.open({ directory });
  const puts = Array.from({ length: keyCount }, (_, n) => ({
    kind: 'put' as const,
    key: Buffer.from(`key ${n}`),
    value: Buffer.from(`value ${n}`),
  }));
  await new Promise((resolve) => store.write(puts, resolve));
  await store.close();
  await (await LevelStore.open({ directory })).close();
  const table = readdirSync(directory).find((name) => name.endsWith('.ldb'));
  assert.ok(table !== undefined);
  return table;
}

async function countKeys(store: LevelStore): Promise<number> {
  let count = 0;
  for await (const chunk of store.scan({})) count += chunk.length;
  return count;
}

// A member looked for one key first, LevelDB ended it there, and the probe's scan had stopped at another key before: that
// counted as readable, and the member was ended at each start.
test('after a process that did not get through, what cannot be read is refused before it is opened', async () => {
  const directory = temporaryDirectory();
  const whole = join(directory, 'whole');
  const table = await build(whole);
  let unreadable = 0;
  for (let byte = 1; byte < 200; byte += 18) {
    const damaged = join(directory, `damaged-${byte}`);
    cpSync(whole, damaged, { recursive: true });
    const bytes = readFileSync(join(damaged, table));
    bytes[byte] = (bytes[byte] ?? 0) ^ 0x80;
    writeFileSync(join(damaged, table), bytes);
    writeFileSync(join(damaged, 'OPENING'), '');
    // Not each of these is seen by LevelDB: what is missing then, the state's own hash tells.
    const opened = await LevelStore.open({ directory: damaged }).catch((error: unknown) => error);
    if (opened instanceof LevelStore) {
      await opened.close();
      continue;
    }
    assert.ok(opened instanceof StateDamagedError, String(opened));
    assert.match(opened.message, /cannot be read|LevelDB gave up/);
    if (/cannot be read/.test(opened.message)) unreadable++;
  }
  assert.ok(unreadable > 0);
});

test('what is whole is opened after any number of processes that did not get through', async () => {
  const directory = temporaryDirectory();
  await build(directory);
  for (const openings of ['', '1', '2', '17']) {
    writeFileSync(join(directory, 'OPENING'), openings);
    const store = await LevelStore.open({ directory });
    assert.equal(await countKeys(store), keyCount);
    await store.close();
    assert.equal(existsSync(join(directory, 'OPENING')), false);
  }
});
