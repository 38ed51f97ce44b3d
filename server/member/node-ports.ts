import { randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { LevelStore } from '../backend/leveldb.ts';
import type { OrderedStore } from '../backend/ordered-store.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { timerMsMax } from '../config/limits.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { writeFileDurably } from '../wal/segment.ts';
import type { StateStores } from './replica.ts';

/** This machine's clocks. */
export const nodeClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => new NodeTimer(delayMs, callback),
};

/** A delay that Node's timers cannot hold is waited for in parts. */
class NodeTimer implements Timer {
  #timeout: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#timeout = this.#start(delayMs, callback);
  }

  #start(delayMs: number, callback: () => void): NodeJS.Timeout {
    if (delayMs <= timerMsMax) return setTimeout(callback, delayMs);
    return setTimeout(() => {
      this.#timeout = this.#start(delayMs - timerMsMax, callback);
    }, timerMsMax);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }
}

const pool = new Uint32Array(1024);
let used = pool.length;

/** The system's randomness. */
export const nodeRandom: Random = {
  uint32() {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const value = pool[used] ?? 0;
    used += 1;
    return value;
  },
};

/**
 * LevelDB directories `state-N` under one directory; the file `STATE` names the current one and is replaced as a whole,
 * so that a received state takes over at once or not at all.
 */
export class LevelStateStores implements StateStores {
  readonly #directory: string;
  #staged: string | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<OrderedStore> {
    const current = this.#current();
    this.#removeOthers(current);
    const directory = `${this.#directory}/${current}`;
    return LevelStore.open({ directory });
  }

  async stage(): Promise<OrderedStore> {
    const staged = this.#nextName();
    rmSync(`${this.#directory}/${staged}`, { recursive: true, force: true });
    this.#staged = staged;
    return LevelStore.open({ directory: `${this.#directory}/${staged}` });
  }

  async promoteStaged(): Promise<OrderedStore> {
    if (this.#staged !== undefined) this.#name(this.#staged);
    this.#staged = undefined;
    return this.open();
  }

  async discard(): Promise<void> {
    this.#name(this.#nextName());
  }

  #current(): string {
    const path = `${this.#directory}/STATE`;
    if (!existsSync(path)) this.#name('state-1');
    return readFileSync(path, 'utf8').trim();
  }

  #nextName(): string {
    return `state-${Number(this.#current().replace('state-', '')) + 1}`;
  }

  #name(current: string): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const bytes = new TextEncoder().encode(`${current}\n`);
    writeFileDurably(nodeFileSystem, this.#directory, { name: 'STATE', bytes });
  }

  #removeOthers(current: string): void {
    for (const name of readdirSync(this.#directory)) {
      if (!/^state-\d+$/.test(name) || name === current) continue;
      rmSync(`${this.#directory}/${name}`, { recursive: true, force: true });
    }
  }
}
