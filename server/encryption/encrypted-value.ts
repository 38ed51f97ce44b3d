import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';

// One encrypted value: key number u32 | run, 12 bytes | count u64 | content | tag, 16; integers little-endian. AES-256-GCM,
// under a key of the run, HKDF-SHA-256 of the data key and the run, with the count as the nonce. A run is one process, so
// that neither a restart nor any number of values uses a nonce twice (NIST SP 800-38D §8.2.1).

const runBytes = 12;
const headBytes = 4 + runBytes + 8;
const tagBytes = 16;

/** What encryption adds to a value. */
export const encryptionOverheadBytes = headBytes + tagBytes;

/** A key that data is encrypted with: random, and kept only under the keys of people (data-keys.ts). */
export interface DataKey {
  /** From 1; a newer key has a higher one. */
  readonly number: number;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/** With which key a value was encrypted. */
export function keyNumberOf(encrypted: Uint8Array): number {
  return encrypted.length < encryptionOverheadBytes ? 0 : asBuffer(encrypted).readUInt32LE(0);
}

/** Encrypts with one data key, in one process. */
export class Encrypter {
  readonly keyNumber: number;
  readonly #head: Buffer;
  readonly #runKey: Buffer;
  #count = 0;

  constructor({ number, secret }: DataKey) {
    this.keyNumber = number;
    this.#head = Buffer.alloc(4 + runBytes);
    this.#head.writeUInt32LE(number, 0);
    this.#head.set(randomBytes(runBytes), 4);
    this.#runKey = runKeyOf(secret, this.#head.subarray(4));
  }

  /** `place`: what the value belongs to; it decrypts nowhere else. */
  encrypt(content: Uint8Array, place: Uint8Array): Buffer {
    assert(this.#count < Number.MAX_SAFE_INTEGER, 'a run encrypts less than 2^53 values');
    const encrypted = Buffer.allocUnsafe(headBytes + content.length + tagBytes);
    encrypted.set(this.#head, 0);
    encrypted.writeBigUInt64LE(BigInt(this.#count++), 4 + runBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#runKey, nonceOf(encrypted));
    cipher.setAAD(place);
    encrypted.set(cipher.update(content), headBytes);
    cipher.final();
    encrypted.set(cipher.getAuthTag(), headBytes + content.length);
    return encrypted;
  }
}

/** Decrypts what any process encrypted with one data key. */
export class Decrypter {
  readonly #secret: Buffer;
  readonly #runKeys = new Map<string, Buffer>();

  constructor({ secret }: DataKey) {
    this.#secret = secret;
  }

  /** Undefined when it is not what was encrypted for this place. */
  decrypt(encrypted: Uint8Array, place: Uint8Array): Buffer | undefined {
    const view = asBuffer(encrypted);
    if (view.length < encryptionOverheadBytes) return undefined;
    const tagAt = view.length - tagBytes;
    const runKey = this.#runKeyOf(view.subarray(4, 4 + runBytes));
    const decipher = createDecipheriv('aes-256-gcm', runKey, nonceOf(view));
    decipher.setAAD(place);
    decipher.setAuthTag(view.subarray(tagAt));
    const content = decipher.update(view.subarray(headBytes, tagAt));
    try {
      decipher.final();
      return content;
    } catch {
      return undefined;
    }
  }

  #runKeyOf(run: Buffer): Buffer {
    const name = run.toString('latin1');
    const known = this.#runKeys.get(name);
    if (known !== undefined) return known;
    const made = runKeyOf(this.#secret, run);
    // Damaged values name runs that there never were.
    if (this.#runKeys.size >= runKeysMax) this.#runKeys.clear();
    this.#runKeys.set(name, made);
    return made;
  }
}

const runKeysMax = 1024;

function runKeyOf(secret: Buffer, run: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, run, 'mainstay data', 32));
}

function nonceOf(encrypted: Buffer): Buffer {
  const nonce = Buffer.alloc(12);
  encrypted.copy(nonce, 4, 4 + runBytes, headBytes);
  return nonce;
}
