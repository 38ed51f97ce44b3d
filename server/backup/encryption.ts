import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { EncryptionKey } from '../base/encryption-key.ts';
import { BackupError } from './failure.ts';

// An encrypted object: a head, then chunks, each sealed with AES-256-GCM (the STREAM construction of Hoang, Reyhanitabar,
// Rogaway and Vizár: a chunk that is missing, moved or cut off does not open).
//
//   head    magic, 8 bytes | key id, 8 | salt, 32 | bytes of a chunk's content u32, big-endian
//   chunk   content, all full but the last | tag, 16
//
// The key of an object is HKDF-SHA-256 of the secret key and the salt, so that no two objects share a nonce. A chunk's
// nonce is 7 zero bytes, its number (u32) and whether it is the last one; the head is what else its tag vouches for.

const magic = Buffer.from('MSTYENC1', 'latin1');
const headBytes = 52;
const tagBytes = 16;
const chunkBytes = 64 * 1024;
const chunksMax = 0xffff_fffe;

/** Of the object, by the size of what is in it. */
export function encryptedBytes(contentBytes: number): number {
  const chunks = Math.max(1, Math.ceil(contentBytes / chunkBytes));
  return headBytes + contentBytes + chunks * tagBytes;
}

export async function* encrypted(
  content: AsyncIterable<Uint8Array>,
  key: EncryptionKey,
): AsyncGenerator<Uint8Array, void, void> {
  const salt = randomBytes(32);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(chunkBytes);
  const head = Buffer.concat([magic, Buffer.from(key.id, 'hex'), salt, size]);
  yield head;
  const objectKey = objectKeyOf(key, salt);
  let number = 0;
  for await (const { bytes, isLast } of pieces(content, chunkBytes)) {
    const cipher = createCipheriv('aes-256-gcm', objectKey, nonceOf(number++, isLast));
    cipher.setAAD(head);
    yield cipher.update(bytes);
    cipher.final();
    yield cipher.getAuthTag();
  }
}

/**
 * What was encrypted. Fails with `WrongKey` before anything comes when none of the keys is the one, and with `Damaged`.
 */
export async function* decrypted(
  object: AsyncIterable<Uint8Array>,
  keys: readonly EncryptionKey[],
): AsyncGenerator<Uint8Array, void, void> {
  const source = new Gathered(object);
  try {
    const head = await source.take(headBytes);
    const { key, salt, contentBytes } = headOf(head, keys);
    const objectKey = objectKeyOf(key, salt);
    let number = 0;
    for await (const { bytes, isLast } of pieces(source.rest(), contentBytes + tagBytes)) {
      yield opened(bytes, { objectKey, head, number: number++, isLast });
    }
  } finally {
    await source.close();
  }
}

function opened(
  sealed: Buffer,
  chunk: { objectKey: Buffer; head: Buffer; number: number; isLast: boolean },
): Buffer {
  if (sealed.length < tagBytes) throw damaged('it is cut off');
  const { objectKey, head, number, isLast } = chunk;
  const cipher = createDecipheriv('aes-256-gcm', objectKey, nonceOf(number, isLast));
  cipher.setAAD(head);
  cipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
  const content = cipher.update(sealed.subarray(0, sealed.length - tagBytes));
  try {
    cipher.final();
  } catch (error) {
    throw damaged(`chunk ${number} does not open`, error);
  }
  return content;
}

function headOf(head: Buffer, keys: readonly EncryptionKey[]) {
  if (head.length < headBytes || !head.subarray(0, 8).equals(magic)) {
    throw damaged('it does not begin as an encrypted backup does');
  }
  const id = head.toString('hex', 8, 16);
  const contentBytes = head.readUInt32BE(48);
  if (contentBytes === 0 || contentBytes > 16 * 1024 * 1024)
    throw damaged('its head makes no sense');
  return { key: keyWithId(keys, id), salt: head.subarray(16, 48), contentBytes };
}

/** Throws `WrongKey`, with what would be right. */
export function keyWithId(keys: readonly EncryptionKey[], id: string): EncryptionKey {
  const key = keys.find((each) => each.id === id);
  if (key !== undefined) return key;
  const given =
    keys.length === 0 ? 'no key was given' : `given: ${keys.map((each) => each.id).join(', ')}`;
  throw new BackupError(
    'WrongKey',
    `it is encrypted with the key ${id} (${given}): name the file of that key with --encryption-key-file`,
  );
}

function objectKeyOf(key: EncryptionKey, salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key.secret, salt, 'mainstay backup', 32));
}

function nonceOf(number: number, isLast: boolean): Buffer {
  if (number > chunksMax) throw new BackupError('Invalid', 'it is too large to be encrypted');
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(number, 7);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Pieces of exactly that size; the last one may be shorter, and is there also when there is nothing. */
async function* pieces(
  chunks: AsyncIterable<Uint8Array>,
  sizeBytes: number,
): AsyncGenerator<{ bytes: Buffer; isLast: boolean }, void, void> {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const chunk of chunks) {
    held.push(chunk);
    heldBytes += chunk.length;
    // One that is full waits until it is known not to be the last.
    if (heldBytes <= sizeBytes) continue;
    const all = Buffer.concat(held);
    let at = 0;
    for (; all.length - at > sizeBytes; at += sizeBytes) {
      yield { bytes: all.subarray(at, at + sizeBytes), isLast: false };
    }
    held = [all.subarray(at)];
    heldBytes = all.length - at;
  }
  yield { bytes: Buffer.concat(held), isLast: true };
}

/** A stream whose beginning is taken off. */
class Gathered {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.of();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#iterator = chunks[Symbol.asyncIterator]();
  }

  /** Fewer when it ends before. */
  async take(sizeBytes: number): Promise<Buffer> {
    while (this.#held.length < sizeBytes) {
      const { value, done } = await this.#iterator.next();
      if (done === true) break;
      this.#held = Buffer.concat([this.#held, value]);
    }
    const taken = this.#held.subarray(0, sizeBytes);
    this.#held = this.#held.subarray(sizeBytes);
    return taken;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  async *rest(): AsyncGenerator<Uint8Array, void, void> {
    if (this.#held.length > 0) yield this.#held;
    for (;;) {
      const { value, done } = await this.#iterator.next();
      if (done === true) return;
      yield value;
    }
  }
}

function damaged(what: string, cause?: unknown): BackupError {
  return new BackupError('Damaged', `the encrypted object is damaged: ${what}`, { cause });
}
