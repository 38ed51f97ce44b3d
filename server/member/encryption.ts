import { Buffer } from 'node:buffer';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Cipher } from '../base/cipher.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { type EncryptionKey, encryptionKeyOf, InvalidKeyError } from '../base/encryption-key.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { UsageError } from '../config/flags.ts';
import { encryptionKeysReadMs } from '../config/limits.ts';
import { DataKeys, DataKeysError, EncryptionKeyError } from '../encryption/data-keys.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { writeFileDurably } from '../wal/segment.ts';
import type { LevelStateStores } from './level-state-stores.ts';

/** Twice, since without them all data is lost: either is enough. */
const fileNames = ['DATA-KEYS', 'DATA-KEYS.copy'] as const;

const flagName = '--data-encryption-key-file';

/**
 * What encrypts a member's log and state; undefined where nothing is to be encrypted. Nothing is changed on disk when it
 * throws: {@link EncryptionKeyError}, {@link DataKeysError}, or a {@link UsageError} for a file that holds no key.
 */
export function openEncryption(
  logger: Logger,
  config: Pick<Config, 'dataDir' | 'dataEncryptionKeyFiles'>,
): DataEncryption | undefined {
  const directory = `${config.dataDir}/member`;
  const files = config.dataEncryptionKeyFiles;
  const kept = readKept(directory);
  if (files.length === 0) {
    if (kept.length === 0) return undefined;
    throw new EncryptionKeyError(
      `${directory} is encrypted: name the file of its key with ${flagName}; to leave encryption, restore a backup into a new store without it`,
    );
  }
  const { first, keys, missing } = keysIn(files);
  const dataKeys =
    kept.length === 0 ? begin(directory, first) : goOn(directory, kept, { keys, missing });
  return new DataEncryption({ logger, directory, files, dataKeys });
}

/** Only the first file has to be there: the others are for data of before, and may go when no member needs them. */
function keysIn([firstFile, ...others]: readonly string[]) {
  if (firstFile === undefined) throw new UsageError(`${flagName} names no file`);
  const first = keyIn(firstFile);
  const present = others.filter((file) => nodeFileSystem.exists(file));
  const missing = others.filter((file) => !present.includes(file));
  return { first, keys: [first, ...present.map(keyIn)], missing };
}

function keyIn(file: string): EncryptionKey {
  try {
    return encryptionKeyOf(readFileSync(file), file);
  } catch (error) {
    throw new UsageError(`${flagName}: ${(error as Error).message}`);
  }
}

interface Kept {
  readonly path: string;
  readonly content: string;
}

function readKept(directory: string): Kept[] {
  return fileNames
    .map((name) => `${directory}/${name}`)
    .filter((path) => nodeFileSystem.exists(path))
    .map((path) => ({ path, content: readFileSync(path, 'utf8') }));
}

interface GivenKeys {
  readonly keys: readonly EncryptionKey[];
  readonly missing: readonly string[];
}

/** With what is kept, which is twice the same when it returns, if all of it could be read or is damaged. */
function goOn(directory: string, kept: readonly Kept[], given: GivenKeys): DataKeys {
  const { dataKeys, isOfOtherKey } = parseKept(kept, given);
  const key = given.keys.find(({ id }) => id === dataKeys.keyId);
  const [first, copy] = kept;
  const isWhole = first?.content === copy?.content;
  if (key !== undefined && !isWhole && !isOfOtherKey) keep(directory, dataKeys, key);
  return dataKeys;
}

/**
 * A process that was killed while the key changed has left a copy under the new key beside a first one under the former,
 * with a data key less and nothing encrypted with that. A first one that has more than its copy is never passed over.
 */
function parseKept(
  kept: readonly Kept[],
  { keys, missing }: GivenKeys,
): { readonly dataKeys: DataKeys; readonly isOfOtherKey: boolean } {
  const parsed = kept.map((each) => parse(each, keys));
  const [dataKeys] = parsed
    .filter((each) => each instanceof DataKeys)
    .toSorted((a, b) => b.keyNumber - a.keyNumber);
  const [first] = parsed;
  const neededNumber = first instanceof EncryptionKeyError ? first.keyNumber : 0;
  const ofOtherKey = parsed.find((each) => each instanceof EncryptionKeyError);
  if (dataKeys !== undefined && dataKeys.keyNumber >= neededNumber) {
    return { dataKeys, isOfOtherKey: ofOtherKey !== undefined };
  }
  if (ofOtherKey !== undefined && missing.length > 0) {
    throw new EncryptionKeyError(`${ofOtherKey.message}; ${missing.join(', ')} is not there`);
  }
  // A key that was not given says more than damage: a person has it.
  throw ofOtherKey ?? parsed.find((each) => each instanceof DataKeysError);
}

function parse(
  { path, content }: Kept,
  keys: readonly EncryptionKey[],
): DataKeys | EncryptionKeyError | DataKeysError {
  try {
    return DataKeys.parse(content, keys, path);
  } catch (error) {
    if (error instanceof EncryptionKeyError || error instanceof DataKeysError) return error;
    throw error;
  }
}

/** For a new member, or one whose data is not encrypted yet. */
function begin(directory: string, key: EncryptionKey): DataKeys {
  const encrypted = listOf(directory).find((name) => name.startsWith('encrypted-'));
  if (encrypted !== undefined) {
    throw new DataKeysError(
      `${directory}/${fileNames[0]} is not there, and without it ${encrypted} cannot be read: put it back, or give the member an empty disk`,
    );
  }
  const dataKeys = DataKeys.create(key);
  keep(directory, dataKeys, key);
  return dataKeys;
}

function listOf(directory: string): string[] {
  return nodeFileSystem.exists(directory) ? readdirSync(directory) : [];
}

function keep(directory: string, dataKeys: DataKeys, key: EncryptionKey): void {
  nodeFileSystem.makeDirectory(directory);
  const bytes = Buffer.from(DataKeys.encode(dataKeys, key));
  // The copy first: until the new first one is there, the old first one is valid.
  for (const name of fileNames.toReversed()) {
    writeFileDurably(nodeFileSystem, directory, { name, bytes });
  }
}

/** The keys of a member that serves. A change of the first key file takes effect while it does. */
export class DataEncryption {
  readonly #logger: Logger;
  readonly #directory: string;
  readonly #files: readonly string[];
  readonly #dataKeys: DataKeys;
  #timer: Timer | undefined;
  #isStopped = false;
  #lastFailure = '';

  constructor(of: {
    readonly logger: Logger;
    readonly directory: string;
    readonly files: readonly string[];
    readonly dataKeys: DataKeys;
  }) {
    this.#logger = of.logger;
    this.#directory = of.directory;
    this.#files = of.files;
    this.#dataKeys = of.dataKeys;
  }

  get cipher(): Cipher {
    return this.#dataKeys;
  }

  /** Looks for a new key now and then; `fatal` is told when what it encrypts anew cannot be written. */
  start(modules: {
    readonly clock: Clock;
    readonly stores: Pick<LevelStateStores, 'renew'>;
    readonly fatal: (error: Error) => void;
  }): void {
    const { clock, stores, fatal } = modules;
    const look = async (): Promise<void> => {
      await this.#adoptNewKey();
      await this.#renew(stores);
      if (!this.#isStopped) this.#timer = clock.after(encryptionKeysReadMs, again);
    };
    const again = (): void => void look().catch(fatal);
    // Also what an earlier process left behind when it stopped, and what a state that was being received brings.
    void this.#renew(stores).then(again, fatal);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #adoptNewKey(): Promise<void> {
    const [file = ''] = this.#files;
    try {
      const key = encryptionKeyOf(await readFile(file), file);
      this.#lastFailure = '';
      if (key.id === this.#dataKeys.keyId) return;
      const rotated = this.#dataKeys.rotated(key);
      keep(this.#directory, rotated, key);
      const former = this.#dataKeys.keyId;
      this.#dataKeys.adopt(rotated);
      this.#logger.info({ key: key.id, former }, 'a new key encrypts log and state');
    } catch (error) {
      if (!(error instanceof InvalidKeyError) && !isReadError(error, file)) throw error;
      if (error.message !== this.#lastFailure) {
        this.#logger.warn(
          { error, file },
          'the key that is there now cannot be used; the former stays',
        );
      }
      this.#lastFailure = error.message;
    }
  }

  async #renew(stores: Pick<LevelStateStores, 'renew'>): Promise<void> {
    if (!this.#dataKeys.hasOlder) return;
    const records = await stores.renew();
    if (records === 0) return;
    const key = this.#dataKeys.keyId;
    this.#logger.info({ key, records }, 'what older keys encrypted is encrypted anew');
  }
}

/** Of the file of people, and not of what is written. */
function isReadError(error: unknown, file: string): error is Error {
  return error instanceof Error && 'path' in error && error.path === file;
}
