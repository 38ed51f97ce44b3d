import { defined } from '../../server/base/assert.ts';
import type { Done, FileSystem, WritableFile } from '../../server/base/file-system.ts';
import type { Counters } from './counters.ts';
import { type CrashMode, type DamageKind, Inode, type UnsyncedWrite } from './inode.ts';
import { DeadProcessError, type SimProcess } from './process.ts';
import type { SeededRandom } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface DiskOptions {
  /** Mean milliseconds of a write and of a sync; each draws from an exponential. */
  writeMs: number;
  syncMs: number;
  /** Probability that one operation stalls for 1 to `stallMsMax` milliseconds. */
  stallRate: number;
  stallMsMax: number;
  /** How power failures treat what is not synced. */
  crashModes: readonly CrashMode[];
}

export const quietDisk: DiskOptions = {
  writeMs: 0.05,
  syncMs: 0.3,
  stallRate: 0,
  stallMsMax: 0,
  crashModes: ['subset'],
};

type Node = Inode | 'directory';

/** A change of names, durable once the directory is synced. */
interface NameChange {
  readonly directory: string;
  readonly removed: string | undefined;
  readonly added: readonly [path: string, node: Node] | undefined;
}

/**
 * A member's disk. It outlives processes and power failures: bytes are durable once synced, names once their
 * directory is synced, and a power failure decides about everything else sector by sector.
 */
export class SimDisk {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #counters: Counters;
  #options: DiskOptions;
  #names = new Map<string, Node>([['/', 'directory']]);
  #durableNames = new Map<string, Node>([['/', 'directory']]);
  #changes: NameChange[] = [];
  /** Raised by a power failure: what was under way then never completes. */
  #epoch = 0;
  #failedSyncs = 0;
  #stalledUntilMs = 0;
  #freeBytes = Number.POSITIVE_INFINITY;
  #onNextWrite: (() => void) | undefined;

  constructor(
    modules: { scheduler: Scheduler; random: SeededRandom; counters: Counters },
    options: DiskOptions,
  ) {
    this.#scheduler = modules.scheduler;
    this.#random = modules.random;
    this.#counters = modules.counters;
    this.#options = options;
  }

  /** The disk as one process sees it; useless once that process is dead. */
  mount(process: SimProcess): FileSystem {
    return new MountedDisk(this, process);
  }

  /** A directory that is there, durably, before anything starts. */
  provide(directory: string): void {
    let path = '';
    for (const name of directory.split('/').filter(Boolean)) {
      path += `/${name}`;
      this.#names.set(path, 'directory');
      this.#durableNames.set(path, 'directory');
    }
  }

  /** The process was killed, the machine runs on. */
  processKilled(): void {
    for (const inode of this.#inodes()) inode.interrupt(this.#random);
  }

  /** The machine lost its power. */
  powerLoss(): void {
    this.#epoch++;
    const mode = this.#random.pick(this.#options.crashModes);
    this.#counters.add(`disk.powerLoss.${mode}`);
    const inodes = this.#inodes();
    const stale = this.#staleBytes([...inodes]);
    for (const inode of inodes) {
      for (const fate of inode.crash(this.#random, mode, stale)) {
        if (fate !== 'kept') this.#counters.add(`disk.sector.${fate}`);
      }
    }
    this.#loseNames(mode);
  }

  /** The next `count` syncs fail with EIO. */
  failSyncs(count: number): void {
    this.#failedSyncs = count;
  }

  stall(durationMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#scheduler.nowMs + durationMs);
  }

  /** Bytes that can still be written before ENOSPC. */
  setFreeBytes(freeBytes: number): void {
    this.#freeBytes = freeBytes;
  }

  /** The end of all faults; what is under way may still be late. */
  heal(): void {
    this.#options = { ...this.#options, stallRate: 0 };
    this.#stalledUntilMs = 0;
    this.failSyncs(0);
    this.setFreeBytes(Number.POSITIVE_INFINITY);
  }

  /** Flips one bit, or zeroes one sector, of a file at rest. Returns the file, if there was one that could be damaged. */
  damage(kind: DamageKind): string | undefined {
    const files = [...this.#names].filter(
      (entry): entry is [string, Inode] => entry[1] !== 'directory' && entry[1].sizeBytes > 0,
    );
    if (files.length === 0) return undefined;
    for (let tries = 0; tries < 20; tries++) {
      // Often in what was written last, behind which nothing says that it was ever there.
      const isLast = kind === 'bitFlip' && this.#random.chance(0.6);
      const [path, inode] = isLast ? newest(files) : this.#random.pick(files);
      const position = isLast
        ? inode.lastSyncedByte(this.#random)
        : this.#random.below(inode.sizeBytes);
      const bit = this.#random.below(8);
      if (!inode.damage(kind, { position, bit })) continue;
      this.#counters.add(`disk.${kind}`);
      return path;
    }
    return undefined;
  }

  /** A disk that holds what this one would after losing everything un-synced: for ghost checks of durability. */
  durableCopy(): SimDisk {
    const copy = new SimDisk(
      { scheduler: this.#scheduler, random: this.#random.fork(), counters: this.#counters },
      quietDisk,
    );
    for (const [path, node] of this.#durableNames) {
      let copied: Node = 'directory';
      if (node !== 'directory') {
        copied = new Inode();
        const write = copied.begin(0, node.readDurable());
        copied.land(write);
        copied.sync([write]);
      }
      copy.#names.set(path, copied);
      copy.#durableNames.set(path, copied);
    }
    return copy;
  }

  /** Calls back while the next write, or the sync that follows it, is under way. */
  atNextWrite(callback: () => void): void {
    this.#onNextWrite = callback;
  }

  #soonAfterWrite(): void {
    const callback = this.#onNextWrite;
    if (callback === undefined) return;
    this.#onNextWrite = undefined;
    const { writeMs, syncMs } = this.#options;
    this.#scheduler.after(this.#random.between(0, 1.5 * (writeMs + syncMs)), callback);
  }

  // What follows is the file system's side, called by MountedDisk.

  /** Durable at once, as the contract says. */
  makeDirectory(path: string): void {
    this.#throwIfSyncFails();
    this.provide(path);
  }

  list(directory: string): string[] {
    const names: string[] = [];
    for (const path of this.#names.keys()) {
      if (path !== '/' && parentOf(path) === directory) {
        names.push(path.slice(path.lastIndexOf('/') + 1));
      }
    }
    return names.sort();
  }

  exists(path: string): boolean {
    return this.#names.has(path);
  }

  file(path: string): Inode {
    const node = this.#names.get(path);
    if (node === undefined || node === 'directory') throw systemError('ENOENT', path);
    return node;
  }

  create(path: string): Inode {
    if (this.#names.has(path)) throw systemError('EEXIST', path);
    if (this.#names.get(parentOf(path)) !== 'directory') throw systemError('ENOENT', path);
    const inode = new Inode();
    this.#rename(parentOf(path), undefined, [path, inode]);
    return inode;
  }

  rename(source: string, target: string): void {
    const node = this.#names.get(source);
    if (node === undefined) throw systemError('ENOENT', source);
    this.#rename(parentOf(target), source, [target, node]);
  }

  remove(path: string): void {
    if (!this.#names.has(path)) throw systemError('ENOENT', path);
    this.#rename(parentOf(path), path, undefined);
  }

  syncDirectory(directory: string): void {
    this.#throwIfSyncFails();
    this.#makeNamesDurable((change) => change.directory === directory);
  }

  writeNow(inode: Inode, position: number, bytes: Uint8Array): void {
    if (!this.#takeSpace(bytes.length)) throw systemError('ENOSPC', 'write');
    inode.land(inode.begin(position, bytes.slice()));
  }

  syncNow(inode: Inode): void {
    const covered = inode.covered();
    try {
      this.#throwIfSyncFails();
    } catch (error) {
      inode.failSync(covered);
      throw error;
    }
    inode.sync(covered);
  }

  write(inode: Inode, position: number, bytes: Uint8Array, done: Done): void {
    if (!this.#takeSpace(bytes.length)) {
      this.later(this.#options.writeMs, () => done(systemError('ENOSPC', 'write')));
      return;
    }
    const write: UnsyncedWrite = inode.begin(position, bytes);
    this.#soonAfterWrite();
    this.later(this.#options.writeMs, () => {
      // A kill in between has already decided how much of it arrived.
      if (!write.landed) inode.land(write);
      done(null);
    });
  }

  sync(inode: Inode, done: Done): void {
    const covered = inode.covered();
    this.later(this.#options.syncMs, () => {
      try {
        this.#throwIfSyncFails();
        inode.sync(covered);
      } catch (error) {
        inode.failSync(covered);
        done(error as Error);
        return;
      }
      done(null);
    });
  }

  /** Runs `complete` when the device has got to it. */
  later(meanMs: number, complete: () => void): void {
    const epoch = this.#epoch;
    const { stallRate, stallMsMax } = this.#options;
    let delayMs = this.#random.exponential(meanMs);
    if (stallRate > 0 && this.#random.chance(stallRate)) {
      this.#counters.add('disk.stall');
      delayMs += this.#random.between(1, stallMsMax);
    }
    const startMs = Math.max(this.#scheduler.nowMs, this.#stalledUntilMs);
    this.#scheduler.at(startMs + delayMs, () => {
      if (this.#epoch === epoch) complete();
    });
  }

  #rename(directory: string, removed: string | undefined, added: NameChange['added']): void {
    const change: NameChange = { directory, removed, added };
    applyChange(this.#names, change);
    this.#changes.push(change);
  }

  #throwIfSyncFails(): void {
    if (this.#failedSyncs === 0) return;
    this.#failedSyncs--;
    this.#counters.add('disk.syncError');
    throw systemError('EIO', 'fdatasync');
  }

  #takeSpace(bytes: number): boolean {
    if (this.#freeBytes < bytes) {
      this.#counters.add('disk.noSpace');
      return false;
    }
    this.#freeBytes -= bytes;
    return true;
  }

  #makeNamesDurable(chosen: (change: NameChange) => boolean): void {
    const left: NameChange[] = [];
    for (const change of this.#changes) {
      if (chosen(change)) applyChange(this.#durableNames, change);
      else left.push(change);
    }
    this.#changes = left;
  }

  #loseNames(mode: CrashMode): void {
    const cut = this.#random.below(this.#changes.length + 1);
    let index = 0;
    this.#makeNamesDurable(() => {
      const kept =
        mode === 'prefix' ? index < cut : mode === 'subset' ? this.#random.chance(0.5) : false;
      index++;
      if (!kept) this.#counters.add('disk.nameLost');
      return kept;
    });
    this.#changes = [];
    for (const path of this.#durableNames.keys()) {
      if (!isReachable(this.#durableNames, path)) this.#durableNames.delete(path);
    }
    this.#names = new Map(this.#durableNames);
  }

  #inodes(): Set<Inode> {
    const inodes = new Set<Inode>();
    for (const names of [this.#names, this.#durableNames]) {
      for (const node of names.values()) if (node !== 'directory') inodes.add(node);
    }
    return inodes;
  }

  /** What an unwritten sector may hold: noise, or whatever another file has at the same place. */
  #staleBytes(inodes: readonly Inode[]): (position: number) => number {
    const other = this.#random.chance(0.5) && inodes.length > 0 ? this.#random.pick(inodes) : null;
    const bytes = other?.readDurable();
    return (position) => bytes?.[position] ?? this.#random.below(256);
  }
}

class MountedDisk implements FileSystem {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;

  constructor(disk: SimDisk, process: SimProcess) {
    this.#disk = disk;
    this.#process = process;
  }

  makeDirectory(path: string): void {
    this.#effect();
    this.#disk.makeDirectory(path);
  }

  list(directory: string): string[] {
    this.#alive();
    return this.#disk.list(directory);
  }

  exists(path: string): boolean {
    this.#alive();
    return this.#disk.exists(path);
  }

  read(path: string): Uint8Array {
    this.#alive();
    return this.#disk.file(path).read();
  }

  create(path: string): WritableFile {
    this.#effect();
    return new MountedFile(this.#disk, this.#process, this.#disk.create(path));
  }

  open(path: string): WritableFile {
    this.#alive();
    return new MountedFile(this.#disk, this.#process, this.#disk.file(path));
  }

  rename(source: string, target: string): void {
    this.#effect();
    this.#disk.rename(source, target);
  }

  remove(path: string): void {
    this.#effect();
    this.#disk.remove(path);
  }

  syncDirectory(path: string): void {
    this.#effect();
    this.#disk.syncDirectory(path);
  }

  syncDirectoryAsync(path: string, done: Done): void {
    this.#async(() => this.#disk.syncDirectory(path), done);
  }

  removeAsync(path: string, done: Done): void {
    this.#async(() => this.#disk.remove(path), done);
  }

  #async(operation: () => void, done: Done): void {
    if (!this.#process.effect()) return;
    this.#disk.later(0.3, () => {
      let failure: Error | null = null;
      try {
        operation();
      } catch (error) {
        failure = error as Error;
      }
      this.#process.deliver(() => done(failure));
    });
  }

  #alive(): void {
    if (!this.#process.alive) throw new DeadProcessError();
  }

  #effect(): void {
    if (!this.#process.effect()) throw new DeadProcessError();
  }
}

class MountedFile implements WritableFile {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;
  readonly #inode: Inode;
  #closed = false;

  constructor(disk: SimDisk, process: SimProcess, inode: Inode) {
    this.#disk = disk;
    this.#process = process;
    this.#inode = inode;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    if (!this.#process.effect()) throw new DeadProcessError();
    this.#disk.writeNow(this.#open(), position, bytes);
  }

  datasyncSync(): void {
    if (!this.#process.effect()) throw new DeadProcessError();
    this.#disk.syncNow(this.#open());
  }

  write(chunks: readonly Uint8Array[], position: number, done: Done): void {
    if (!this.#process.effect()) return;
    this.#disk.write(this.#open(), position, Buffer.concat(chunks), this.#delivered(done));
  }

  datasync(done: Done): void {
    if (!this.#process.effect()) return;
    this.#disk.sync(this.#open(), this.#delivered(done));
  }

  close(): void {
    this.#closed = true;
  }

  #delivered(done: Done): Done {
    return (error) => this.#process.deliver(() => done(error));
  }

  #open(): Inode {
    return defined(this.#closed ? undefined : this.#inode, 'an open file');
  }
}

function newest(files: ReadonlyArray<readonly [string, Inode]>): readonly [string, Inode] {
  return files.reduce((last, file) => (file[0] > last[0] ? file : last));
}

function applyChange(names: Map<string, Node>, change: NameChange): void {
  if (change.removed !== undefined) names.delete(change.removed);
  if (change.added !== undefined) names.set(change.added[0], change.added[1]);
}

function isReachable(names: ReadonlyMap<string, Node>, path: string): boolean {
  if (path === '/') return true;
  const parent = parentOf(path);
  return names.get(parent) === 'directory' && isReachable(names, parent);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
