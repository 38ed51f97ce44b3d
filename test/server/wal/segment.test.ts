import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ForeignLogError, listSegments, segmentName } from '../../../server/wal/segment.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

function withFiles(...names: string[]): MemoryFileSystem {
  const fileSystem = new MemoryFileSystem();
  for (const name of names) fileSystem.files.set(`/wal/${name}`, new Uint8Array(0));
  return fileSystem;
}

suite('segment', () => {
  test('names sort as their sequence, and say it', () => {
    const names = [255, 1, 4096, 16].map((sequence) => segmentName({ walId: 0xa, sequence }));
    const found = listSegments(withFiles(...names.map(({ file }) => file)), '/wal');
    assert.deepEqual(
      found.map(({ sequence }) => sequence),
      [1, 16, 255, 4096],
    );
    assert.equal(found[0]?.file, '0000000000000001-0000000a.wal');
    assert.equal(found[0]?.walId, 0xa);
  });

  test('what a crash left over, and what was kept aside, is no segment', () => {
    const { file } = segmentName({ walId: 1, sequence: 1 });
    const found = listSegments(withFiles(file, `${file}.tmp`, `${file}.damaged`), '/wal');
    assert.deepEqual(
      found.map((name) => name.file),
      [file],
    );
  });

  test('a file of a newer version, or of another log, is refused by name', () => {
    const own = segmentName({ walId: 1, sequence: 1 }).file;
    const other = segmentName({ walId: 2, sequence: 2 }).file;
    assert.throws(() => listSegments(withFiles(own, other), '/wal'), ForeignLogError);
    assert.throws(() => listSegments(withFiles(own, `${own}2`), '/wal'), ForeignLogError);
  });
});
