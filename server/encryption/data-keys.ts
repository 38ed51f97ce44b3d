import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { assert } from '../base/assert.ts';
import type { Cipher } from '../base/cipher.ts';
import type { EncryptionKey } from '../base/encryption-key.ts';
import { type DataKey, Decrypter, Encrypter, keyNumberOf } from './encrypted-value.ts';

/** The data is encrypted with another key than those that were given. */
export class EncryptionKeyError extends Error {
  override name = 'EncryptionKeyError';
  /** Of the data keys that could not be read; 0 where nobody has looked. */
  readonly keyNumber: number;

  constructor(message: string, keyNumber = 0) {
    super(message);
    this.keyNumber = keyNumber;
  }
}

/** What was kept of the data keys cannot be used: damaged, gone, or of a newer version. */
export class DataKeysError extends Error {
  override name = 'DataKeysError';
}

/** A data key as it is kept: encrypted with a key of people. */
interface WrappedKey {
  readonly number: number;
  /** 12 bytes, in hex. */
  readonly nonce: string;
  /** The secret and its tag, in hex. */
  readonly encrypted: string;
}

/** The content of the file: all data keys, under one key of people. */
interface KeyFile {
  readonly format: 1;
  readonly keyId: string;
  readonly keys: readonly WrappedKey[];
}

/**
 * The keys that a member's data is encrypted with. Each is random and is kept under the key of people that is given first
 * (envelope encryption): to change that one, a few bytes are encrypted anew at once, and a new data key is begun; what the
 * older data keys encrypted stays readable until it is encrypted anew.
 */
export class DataKeys implements Cipher {
  #keyId: string;
  #keys: readonly DataKey[];
  #encrypter: Encrypter;
  readonly #decrypters = new Map<number, Decrypter>();

  private constructor(keyId: string, keys: readonly DataKey[]) {
    this.#keyId = keyId;
    this.#keys = keys;
    this.#encrypter = new Encrypter(this.#newest);
  }

  /** For data that begins now. */
  static create(key: EncryptionKey): DataKeys {
    return new DataKeys(key.id, [newDataKey(1)]);
  }

  /**
   * As they were kept. Throws {@link EncryptionKeyError}, where none of `given` is the key, and {@link DataKeysError}.
   * `place`: of the content, for the message.
   */
  static parse(content: string, given: readonly EncryptionKey[], place: string): DataKeys {
    const file = parseKeyFile(content, place);
    const key = given.find(({ id }) => id === file.keyId);
    if (key === undefined) {
      const known = given.length === 0 ? 'none' : given.map(({ id }) => id).join(', ');
      throw new EncryptionKeyError(
        `the data is encrypted with the key ${file.keyId} (given: ${known}): name the file of that key with --data-encryption-key-file, behind the new one's if there is one`,
        file.keys.at(-1)?.number,
      );
    }
    const keys = file.keys.map((wrapped) => unwrap({ ...wrapped }, key, place));
    return new DataKeys(key.id, keys);
  }

  /** What to keep, encrypted with this key, whose id {@link keyId} becomes. */
  static encode(keys: DataKeys, key: EncryptionKey): string {
    assert(key.id === keys.#keyId, 'the data keys are kept under the key of people that they know');
    const file: KeyFile = {
      format: 1,
      keyId: key.id,
      keys: keys.#keys.map((each) => wrap(each, key)),
    };
    return `${JSON.stringify(file)}\n`;
  }

  /** Of people, under which these are kept. */
  get keyId(): string {
    return this.#keyId;
  }

  get keyNumber(): number {
    return this.#encrypter.keyNumber;
  }

  /** Something may be encrypted with another key than the newest. */
  get hasOlder(): boolean {
    return this.#keys.length > 1;
  }

  /** The same keys and a new one, to be kept under another key of people; they take effect by {@link adopt}. */
  rotated(key: EncryptionKey): DataKeys {
    return new DataKeys(key.id, [...this.#keys, newDataKey(this.#newest.number + 1)]);
  }

  /** From now on encrypts with the newest of these, which are durable. */
  adopt(keys: DataKeys): void {
    this.#keyId = keys.#keyId;
    this.#keys = keys.#keys;
    this.#encrypter = keys.#encrypter;
  }

  keyNumberOf(encrypted: Uint8Array): number {
    return keyNumberOf(encrypted);
  }

  encrypt(content: Uint8Array, place: Uint8Array): Buffer {
    return this.#encrypter.encrypt(content, place);
  }

  decrypt(encrypted: Uint8Array, place: Uint8Array): Buffer | undefined {
    const number = keyNumberOf(encrypted);
    let decrypter = this.#decrypters.get(number);
    if (decrypter === undefined) {
      const key = this.#keys.find((each) => each.number === number);
      if (key === undefined) return undefined;
      decrypter = new Decrypter(key);
      this.#decrypters.set(number, decrypter);
    }
    return decrypter.decrypt(encrypted, place);
  }

  get #newest(): DataKey {
    const newest = this.#keys.at(-1);
    assert(newest !== undefined, 'there is a data key');
    return newest;
  }
}

function newDataKey(number: number): DataKey {
  return { number, secret: randomBytes(32) };
}

function wrap({ number, secret }: DataKey, key: EncryptionKey): WrappedKey {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key.secret, nonce);
  cipher.setAAD(wrappedFor(number));
  const encrypted = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  return { number, nonce: nonce.toString('hex'), encrypted: encrypted.toString('hex') };
}

function unwrap(
  { number, nonce, encrypted }: WrappedKey,
  key: EncryptionKey,
  place: string,
): DataKey {
  try {
    const bytes = Buffer.from(encrypted, 'hex');
    const tagAt = bytes.length - 16;
    const decipher = createDecipheriv('aes-256-gcm', key.secret, Buffer.from(nonce, 'hex'));
    decipher.setAAD(wrappedFor(number));
    decipher.setAuthTag(bytes.subarray(tagAt));
    const secret = Buffer.concat([decipher.update(bytes.subarray(0, tagAt)), decipher.final()]);
    return { number, secret };
  } catch (error) {
    throw damaged(place, error);
  }
}

function wrappedFor(number: number): Buffer {
  return Buffer.from(`mainstay data key ${number}`);
}

function parseKeyFile(content: string, place: string): KeyFile {
  let file: Partial<KeyFile>;
  try {
    file = { ...(JSON.parse(content) as Partial<KeyFile>) };
  } catch (error) {
    throw damaged(place, error);
  }
  if (file.format !== undefined && file.format !== 1) {
    throw new DataKeysError(`${place} was written by a newer version (format ${file.format})`);
  }
  const { format, keyId = '', keys } = file;
  if (format === undefined || !/^[0-9a-f]{16}$/.test(keyId)) throw damaged(place);
  if (!Array.isArray(keys) || keys.length === 0) throw damaged(place);
  return { format, keyId, keys };
}

function damaged(place: string, cause?: unknown): DataKeysError {
  return new DataKeysError(`${place} is damaged: it no longer says the keys of the data`, {
    cause,
  });
}
