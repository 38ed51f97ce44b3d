import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { decrypted, encrypted, encryptedBytes } from '../../../server/backup/encryption.ts';
import { BackupError } from '../../../server/backup/failure.ts';
import { encryptionKeyOf } from '../../../server/base/encryption-key.ts';

const key = encryptionKeyOf(randomBytes(32), 'key');

async function* chunksOf(bytes: Buffer, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

const sealed = (content: Buffer) => bytesOf(encrypted(chunksOf(content, 10_000), key));
const opened = (object: Buffer, keys = [key], chunkBytes = 777) =>
  bytesOf(decrypted(chunksOf(object, chunkBytes), keys));

function fails(failure: string, message: RegExp) {
  return (error: unknown) =>
    error instanceof BackupError && error.failure === failure && message.test(error.message);
}

suite('encryption', () => {
  for (const sizeBytes of [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 300_000]) {
    test(`${sizeBytes} bytes come back, and have the size that was said before`, async () => {
      const content = randomBytes(sizeBytes);
      const object = await sealed(content);
      assert.equal(object.length, encryptedBytes(sizeBytes));
      for (const chunkBytes of [777, 65_536, 1_000_000]) {
        assert.deepEqual(await opened(object, [key], chunkBytes), content);
      }
    });
  }

  test('a flipped bit anywhere is noticed', async () => {
    const object = await sealed(randomBytes(70_000));
    const places = [9, 20, 49, 51, 52, 100, 65_587, 65_588, object.length - 1];
    for (const at of places) {
      const damaged = Buffer.from(object);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await assert.rejects(opened(damaged), BackupError, `byte ${at}`);
    }
  });

  test('what is cut off, longer, or in another order is noticed', async () => {
    const object = await sealed(randomBytes(3 * 65_536 + 5));
    const [head, chunk] = [52, 65_536 + 16];
    const parts = [0, 1, 2].map((n) => object.subarray(head + n * chunk, head + (n + 1) * chunk));
    const [a = Buffer.of(), b = Buffer.of()] = parts;
    for (const damaged of [
      object.subarray(0, 40),
      object.subarray(0, head),
      object.subarray(0, head + chunk),
      object.subarray(0, object.length - 1),
      Buffer.concat([object, Buffer.of(0)]),
      Buffer.concat([object.subarray(0, head), b, a, object.subarray(head + 2 * chunk)]),
    ]) {
      await assert.rejects(opened(damaged), fails('Damaged', /is damaged/));
    }
  });

  test('another key is refused before anything comes; the right one among many is found', async () => {
    const object = await sealed(Buffer.from('content'));
    const other = encryptionKeyOf(randomBytes(32), 'other');
    await assert.rejects(
      opened(object, [other]),
      fails('WrongKey', new RegExp(`with the key ${key.id} \\(given: ${other.id}\\)`)),
    );
    await assert.rejects(opened(object, []), fails('WrongKey', /no key was given/));
    assert.equal((await opened(object, [other, key])).toString(), 'content');
  });

  test('the same content never looks the same', async () => {
    const [one, two] = [await sealed(Buffer.alloc(100)), await sealed(Buffer.alloc(100))];
    assert.notDeepEqual(one.subarray(52), two.subarray(52));
  });
});
