import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RotatedFile } from '../../../server/audit/rotated-file.ts';

const whole = { isLineBegun: false };

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-test-audit-'));
  try {
    await body(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('a file that is full is put aside, and the oldest goes away', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'new', 'audit.log');
    const file = await RotatedFile.open({ path, fileBytesMax: 10, filesMax: 2 });
    for (const text of ['aaaa\n', 'bbbb\n', 'cccc\n', 'dddd\n', 'eeee\n', 'ffff\n', 'gggg\n']) {
      await file.write(Buffer.from(text), whole);
    }
    await file.close();
    const read = (name: string): string => readFileSync(join(directory, 'new', name), 'utf8');
    assert.deepEqual(readdirSync(join(directory, 'new')).toSorted(), [
      'audit.log',
      'audit.log.1',
      'audit.log.2',
    ]);
    assert.equal(read('audit.log'), 'gggg\n');
    assert.equal(read('audit.log.1'), 'eeee\nffff\n');
    assert.equal(read('audit.log.2'), 'cccc\ndddd\n');
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

test('half a line is never parted from its other half', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'audit.log');
    const file = await RotatedFile.open({ path, fileBytesMax: 6, filesMax: 1 });
    await file.write(Buffer.from('aaaa'), whole);
    await file.write(Buffer.from('bbbb\n'), { isLineBegun: true });
    await file.write(Buffer.from('c\n'), whole);
    await file.close();
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'aaaabbbb\n');
    assert.equal(readFileSync(path, 'utf8'), 'c\n');
  });
});

test('goes on behind what a killed process has left', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'audit.log');
    writeFileSync(path, '{"seq":1}\n{"se');
    const file = await RotatedFile.open({ path, fileBytesMax: 1_000, filesMax: 1 });
    await file.write(Buffer.from('{"seq":1}\n'), whole);
    await file.close();
    assert.equal(readFileSync(path, 'utf8'), '{"seq":1}\n{"se\n{"seq":1}\n');
    assert.equal(existsSync(`${path}.1`), false);
  });
});

test('a place that cannot be written is told at once', async () => {
  await inDirectory(async (directory) => {
    writeFileSync(join(directory, 'file'), '');
    const path = join(directory, 'file', 'audit.log');
    const options = { path, fileBytesMax: 1_000, filesMax: 1 };
    await assert.rejects(RotatedFile.open(options), /EEXIST|ENOTDIR/);
  });
});

test('what is no file is refused: it would be renamed', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'pipe');
    execFileSync('mkfifo', [path]);
    await assert.rejects(
      RotatedFile.open({ path, fileBytesMax: 10, filesMax: 1 }),
      /is no regular file.*standard output/,
    );
  });
});

test('files beyond those that are kept go away when there are fewer to keep', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'audit.log');
    for (const name of ['audit.log.1', 'audit.log.2', 'audit.log.3', 'audit.log.7', 'audit.log.x'])
      writeFileSync(join(directory, name), 'old\n');
    const file = await RotatedFile.open({ path, fileBytesMax: 10, filesMax: 2 });
    await file.close();
    assert.deepEqual(readdirSync(directory).toSorted(), [
      'audit.log',
      'audit.log.1',
      'audit.log.2',
      'audit.log.x',
    ]);
  });
});

test('a rotation that was killed, or that is tried again, costs no file that was put aside', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'audit.log');
    const read = (): string[] =>
      [3, 2, 1].map((age) => readFileSync(`${path}.${age}`, 'utf8').trim());
    // Killed when .1 was .2 already.
    writeFileSync(`${path}.3`, 'a\n');
    writeFileSync(`${path}.2`, 'b\n');
    writeFileSync(path, 'c\n');
    const file = await RotatedFile.open({ path, fileBytesMax: 2, filesMax: 3 });
    await file.write(Buffer.from('d\n'), whole);
    assert.deepEqual(read(), ['a', 'b', 'c']);
    // As when the new file could not be made, on a full disk: it is not there, and the next attempt finds it so.
    rmSync(path);
    await file.write(Buffer.from('e\n'), whole);
    assert.deepEqual(read(), ['a', 'b', 'c']);
    assert.equal(readFileSync(path, 'utf8'), 'e\n');
    await file.close();
  });
});
