import { Buffer } from 'node:buffer';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { StateDamagedError } from '../backend/damage.ts';
import { LevelStore } from '../backend/leveldb.ts';
import type { OrderedStore } from '../backend/ordered-store.ts';
import { crc32c } from '../base/crc32c.ts';
import { exponentialBounds, Histogram } from '../base/histogram.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { writeFileDurably } from '../wal/segment.ts';
import type { StateStores } from './replica.ts';

const namePattern = /^state-(\d+)$/;

/**
 * LevelDB directories `state-N` under one directory; the file `STATE` names the current one, with a checksum, and is
 * replaced as a whole, so that a received state takes over at once or not at all. The others are removed.
 */
export class LevelStateStores implements StateStores {
  /** Of every state that was current or staged, since the process began; the bounds are etcd's. */
  readonly commitSeconds = new Histogram(exponentialBounds(0.001, 2, 14));
  readonly #directory: string;
  #staged: string | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get place(): string {
    return `${this.#directory}/${this.#named() ?? 'STATE'}`;
  }

  /** Throws {@link StateDamagedError} also when it cannot be told which one is the current one. */
  async open(): Promise<OrderedStore> {
    const current = this.#current();
    this.#removeOthers(current);
    return this.#open(`${this.#directory}/${current}`);
  }

  async stage(): Promise<OrderedStore> {
    const staged = this.#nextName();
    rmSync(`${this.#directory}/${staged}`, { recursive: true, force: true });
    this.#staged = staged;
    return this.#open(`${this.#directory}/${staged}`);
  }

  async promoteStaged(): Promise<OrderedStore> {
    if (this.#staged !== undefined) this.#name(this.#staged);
    this.#staged = undefined;
    return this.#open(this.place);
  }

  async removeFormer(): Promise<void> {
    this.#removeOthers(this.#current());
  }

  async discard(): Promise<void> {
    this.#name(this.#nextName());
  }

  #open(directory: string): Promise<OrderedStore> {
    return LevelStore.open({ directory, commitSeconds: this.commitSeconds });
  }

  /** Where the file is not there, or not to be trusted, the only directory is meant. */
  #current(): string {
    const named = this.#named();
    if (named !== undefined) return named;
    const [found = 'state-1', ...others] = this.#found();
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
    return `state-${Math.max(...numbers) + 1}`;
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

function numberOf(name: string): number {
  return Number(namePattern.exec(name)?.[1] ?? 0);
}

/** `state-N`, a blank, the name's CRC-32C in hex. */
function encodeName(name: string): string {
  return `${name} ${crc32c(Buffer.from(name)).toString(16).padStart(8, '0')}\n`;
}

/** Undefined when it is not what was written. */
function decodeName(text: string): string | undefined {
  const [name = ''] = text.split(' ');
  return namePattern.test(name) && encodeName(name) === text ? name : undefined;
}
