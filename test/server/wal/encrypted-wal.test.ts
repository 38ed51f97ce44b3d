import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { latin1 } from '../../../server/base/bytes.ts';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';
import { DataKeys } from '../../../server/encryption/data-keys.ts';
import { recoverLog } from '../../../server/wal/recover.ts';
import { replayWal } from '../../../server/wal/replay.ts';
import { Wal } from '../../../server/wal/wal.ts';
import { directory, entries, WalHarness } from './harness.ts';
import type { MemoryFileSystem } from './memory-file-system.ts';

const canary = 'of term';
const dataKeys = () => DataKeys.create(encryptionKeyOf(randomBytes(32), 'key'));

/** A log of several segments in clear, with what a crash and a repair have left beside it. */
function clearLog(): WalHarness {
  const log = WalHarness.create({ segmentBytes: 1_500 });
  for (let index = 1; index <= 8; index++) {
    log.write({
      hardState: { term: 1, vote: 1n, commit: index },
      entries: entries(1, index, index),
    });
  }
  log.seal();
  return log;
}

function resumed(log: WalHarness, cipher: DataKeys, applied = { index: 0, term: 0 }): Wal {
  const { modules, options, fileSystem } = log;
  const replay = replayWal(fileSystem, directory, cipher);
  const { hardState, identity = new Uint8Array(0) } = replay;
  const found = { replay, log: recoverLog(replay, applied), hardState, identity };
  return Wal.resume({ ...modules, cipher }, options, found);
}

function withCanary(fileSystem: MemoryFileSystem): string[] {
  return [...fileSystem.files]
    .filter(([, bytes]) => latin1(bytes).includes(canary))
    .map(([path]) => path);
}

suite('a log that is encrypted from now on', () => {
  test('leaves nothing in clear behind: no segment, no half written file, none that was kept aside', () => {
    const log = clearLog();
    const { files } = log.fileSystem;
    const [path, bytes] = [...files][0] ?? ['', new Uint8Array(0)];
    files.set(`${path}.tmp`, bytes.slice());
    files.set(`${directory}/0000000000000000-00000001.wal.damaged`, bytes.slice());
    const cipher = dataKeys();
    resumed(log, cipher);
    assert.deepEqual(withCanary(log.fileSystem), []);
    assert.equal(replayWal(log.fileSystem, directory, cipher).runs.at(-1)?.entries.length, 8);
  });

  test('nor where the log held nothing any more that is needed', () => {
    const log = clearLog();
    log.write({ reset: { index: 9, term: 1 } });
    log.seal();
    const path = [...log.fileSystem.files.keys()].at(-1) ?? '';
    log.fileSystem.files.set(`${path}.tmp`, Buffer.from(canary));
    resumed(log, dataKeys(), { index: 9, term: 1 });
    assert.deepEqual(withCanary(log.fileSystem), []);
  });

  test('nor where it was damaged', () => {
    const log = clearLog();
    const [, bytes] = [...log.fileSystem.files][0] ?? ['', new Uint8Array(0)];
    bytes[600] = (bytes[600] ?? 0) ^ 0x10;
    bytes[610] = (bytes[610] ?? 0) ^ 0x10;
    const cipher = dataKeys();
    assert.notEqual(replayWal(log.fileSystem, directory).damage, undefined);
    resumed(log, cipher);
    assert.deepEqual(withCanary(log.fileSystem), []);
  });

  test('damaged when it was encrypted already: the former files are kept aside, and stay', () => {
    const log = clearLog();
    const cipher = dataKeys();
    resumed(log, cipher);
    const [path = '', bytes = new Uint8Array(0)] = [...log.fileSystem.files].at(-1) ?? [];
    const whole = bytes.slice();
    resumed(log, cipher);
    const [, longer = new Uint8Array(0)] = [...log.fileSystem.files].at(-1) ?? [];
    longer[100] = (longer[100] ?? 0) ^ 0x10;
    longer[110] = (longer[110] ?? 0) ^ 0x10;
    assert.ok(longer.length > whole.length, 'something valid stands behind the damage');
    for (let start = 0; start < 3; start++) {
      resumed(log, cipher, { index: 8, term: 1 });
      const aside = [...log.fileSystem.files.keys()].filter((name) => name.endsWith('.damaged'));
      assert.deepEqual(aside, [`${path}.encrypted.damaged`]);
    }
    assert.deepEqual(withCanary(log.fileSystem), []);
  });
});
