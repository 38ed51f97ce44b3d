import { Buffer } from 'node:buffer';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { StateDamagedError } from '../backend/damage.ts';
import { EncryptedStore } from '../backend/encrypted-store.ts';
import { LevelStore } from '../backend/leveldb.ts';
import type { OrderedStore, StoreOp } from '../backend/ordered-store.ts';
import type { Cipher } from '../base/cipher.ts';
import { crc32c } from '../base/crc32c.ts';
import { exponentialBounds, Histogram } from '../base/histogram.ts';
import { EncryptionKeyError } from '../encryption/data-keys.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { writeFileDurably } from '../wal/segment.ts';
import type { StateStores } from './replica.ts';

const namePattern = /^(?:state|encrypted)-(\d+)$/;

/**
 * LevelDB directories `state-N` under one directory, `encrypted-N` where there is a cipher; the file `STATE` names the
 * current one, with a checksum, and is replaced as a whole, so that a received state takes over at once or not at all.
 * The others are removed. One that is not yet encrypted is copied when it is opened.
 */
export class LevelStateStores implements StateStores {
  /** Of every state that was current or staged, since the process began; the bounds are etcd's. */
  readonly commitSeconds = new Histogram(exponentialBounds(0.001, 2, 14));
  readonly #directory: string;
  readonly #cipher: Cipher | undefined;
  #staged: string | undefined;
  #current: EncryptedStore | undefined;
  /** Holds nothing of a key older than this one. */
  #renewed: { readonly store: EncryptedStore; readonly keyNumber: number } | undefined;

  constructor(directory: string, cipher?: Cipher) {
    this.#directory = directory;
    this.#cipher = cipher;
  }

  get place(): string {
    return `${this.#directory}/${this.#named() ?? 'STATE'}`;
  }

  /** Throws {@link StateDamagedError} also when it cannot be told which one is the current one. */
  async open(): Promise<OrderedStore> {
    const current = this.#currentName();
    this.#removeOthers(current);
    const isToBeEncrypted = this.#cipher !== undefined && !isEncryptedName(current);
    return isToBeEncrypted ? this.#encrypt(current) : this.#open(current);
  }

  async stage(): Promise<OrderedStore> {
    const staged = this.#nextName();
    rmSync(`${this.#directory}/${staged}`, { recursive: true, force: true });
    this.#staged = staged;
    return this.#open(staged);
  }

  async promoteStaged(): Promise<OrderedStore> {
    if (this.#staged !== undefined) this.#name(this.#staged);
    this.#staged = undefined;
    return this.#open(this.#currentName());
  }

  async removeFormer(): Promise<void> {
    this.#removeOthers(this.#currentName());
  }

  async discard(): Promise<void> {
    this.#name(this.#nextName());
  }

  /** Encrypts anew, beside all else, what older keys encrypted; see {@link EncryptedStore.renew}. At no cost when that is done. */
  async renew(): Promise<number> {
    const store = this.#current;
    const keyNumber = this.#cipher?.keyNumber;
    if (store === undefined || keyNumber === undefined) return 0;
    if (store === this.#renewed?.store && keyNumber === this.#renewed.keyNumber) return 0;
    const records = await store.renew();
    this.#renewed = { store, keyNumber };
    return records;
  }

  async #open(name: string): Promise<OrderedStore> {
    const directory = `${this.#directory}/${name}`;
    const store = await LevelStore.open({ directory, commitSeconds: this.commitSeconds });
    if (!isEncryptedName(name)) return store;
    if (this.#cipher === undefined) {
      await store.close();
      throw new EncryptionKeyError(`${directory} is encrypted, and no key was given`);
    }
    const encrypted = new EncryptedStore(store, this.#cipher);
    if (name !== this.#staged) this.#current = encrypted;
    return encrypted;
  }

  /** A copy takes its place when it is whole and durable. */
  async #encrypt(name: string): Promise<OrderedStore> {
    const [from, to] = [await this.#open(name), await this.stage()];
    try {
      for await (const chunk of from.scan({})) {
        const batch = chunk.map(([key, value]): StoreOp => ({ kind: 'put', key, value }));
        await new Promise<void>((resolve, reject) => {
          to.write(batch, (error) => (error === null ? resolve() : reject(error)));
        });
      }
    } finally {
      await from.close();
      await to.close();
    }
    const encrypted = await this.promoteStaged();
    await this.removeFormer();
    return encrypted;
  }

  /** Where the file is not there, or not to be trusted, the only directory is meant. */
  #currentName(): string {
    const named = this.#named();
    if (named !== undefined) return named;
    const [found = this.#nameOf(1), ...others] = this.#found();
    if (others.length > 0) {
      const reason = `it names none of ${[found, ...others].join(', ')}`;
      throw new StateDamagedError(reason, { file: `${this.#directory}/STATE` });
    }
    this.#name(found);
    return found;
  }

  /** Newer than all that were ever there. */
  #nextName(): string {
    const numbers = [this.#named() ?? 'state-0', ...this.#found()].map(numberOf);
    return this.#nameOf(Math.max(...numbers) + 1);
  }

  #nameOf(number: number): string {
    return this.#cipher === undefined ? `state-${number}` : `encrypted-${number}`;
  }

  /** What the file says, where it can be trusted. */
  #named(): string | undefined {
    const path = `${this.#directory}/STATE`;
    return existsSync(path) ? decodeName(readFileSync(path, 'latin1')) : undefined;
  }

  #found(): string[] {
    return existsSync(this.#directory)
      ? readdirSync(this.#directory).filter((name) => namePattern.test(name))
      : [];
  }

  #name(current: string): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const bytes = Buffer.from(encodeName(current));
    writeFileDurably(nodeFileSystem, this.#directory, { name: 'STATE', bytes });
  }

  #removeOthers(current: string): void {
    for (const name of this.#found()) {
      if (name === current) continue;
      rmSync(`${this.#directory}/${name}`, { recursive: true, force: true });
    }
    rmSync(`${this.#directory}/STATE.tmp`, { force: true });
  }
}

function isEncryptedName(name: string): boolean {
  return name.startsWith('encrypted-');
}

function numberOf(name: string): number {
  return Number(namePattern.exec(name)?.[1] ?? 0);
}

/** The name, a blank, the name's CRC-32C in hex. */
function encodeName(name: string): string {
  return `${name} ${crc32c(Buffer.from(name)).toString(16).padStart(8, '0')}\n`;
}

/** Undefined when it is not what was written. */
function decodeName(text: string): string | undefined {
  const [name = ''] = text.split(' ');
  return namePattern.test(name) && encodeName(name) === text ? name : undefined;
}
