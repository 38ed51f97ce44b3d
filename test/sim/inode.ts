import type { SeededRandom } from './random.ts';

/** The unit in which a disk writes: a sector is written whole, partly (torn) or not at all. */
export const sectorBytes = 512;

/** What becomes of one un-synced piece of a write when the power fails. */
export type SectorFate = 'kept' | 'lost' | 'torn' | 'zeroed' | 'garbage';

/** What becomes of bytes at rest. */
export type DamageKind = 'bitFlip' | 'zeroedSector';

/** How a crash treats what was not synced: in order up to some point, each sector on its own, or all gone. */
export type CrashMode = 'prefix' | 'subset' | 'allLost';

/** A growable array of bytes; unwritten holes are zero. */
class Content {
  #bytes = new Uint8Array(0);
  size = 0;

  write(position: number, bytes: Uint8Array): void {
    const end = position + bytes.length;
    this.reserve(end);
    this.#bytes.set(bytes, position);
    this.size = Math.max(this.size, end);
  }

  reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(size, 2 * this.#bytes.length, 4096));
    grown.set(this.#bytes.subarray(0, this.size));
    this.#bytes = grown;
  }

  grow(size: number): void {
    this.reserve(size);
    this.size = Math.max(this.size, size);
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  assign(other: Content): void {
    this.#bytes = other.view().slice();
    this.size = other.size;
  }
}

export interface UnsyncedWrite {
  readonly position: number;
  bytes: Uint8Array;
  /** The call has returned: a sync that starts now covers it. */
  landed: boolean;
  /** A sync that failed marked it clean: no later sync writes it (ATC'20), it only lives in the page cache. */
  orphaned: boolean;
}

/** One file's bytes: on the platter, in the page cache, and the writes in between. */
export class Inode {
  readonly #durable = new Content();
  readonly #cached = new Content();
  #unsynced: UnsyncedWrite[] = [];
  /** The newest write that is durable: nothing behind it says so. */
  #lastSynced: { readonly start: number; readonly end: number } = { start: 0, end: 0 };

  /** What a process reads. */
  read(): Uint8Array {
    return this.#cached.view().slice();
  }

  /** What would be read after a power failure that loses everything un-synced. */
  readDurable(): Uint8Array {
    return this.#durable.view().slice();
  }

  get sizeBytes(): number {
    return this.#cached.size;
  }

  /** The place of some byte of the newest write that is durable. */
  lastSyncedByte(random: SeededRandom): number {
    const { start, end } = this.#lastSynced;
    return start + random.below(Math.max(1, end - start));
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0;
  }

  begin(position: number, bytes: Uint8Array): UnsyncedWrite {
    const write = { position, bytes, landed: false, orphaned: false };
    this.#unsynced.push(write);
    return write;
  }

  land(write: UnsyncedWrite): void {
    write.landed = true;
    this.#cached.write(write.position, write.bytes);
  }

  /** The writes that a sync starting now will make durable. */
  covered(): UnsyncedWrite[] {
    return this.#unsynced.filter((write) => write.landed && !write.orphaned);
  }

  sync(covered: readonly UnsyncedWrite[]): void {
    if (covered.length === 0) return;
    for (const write of covered) {
      this.#durable.write(write.position, write.bytes);
      this.#lastSynced = { start: write.position, end: write.position + write.bytes.length };
    }
    const done = new Set(covered);
    this.#unsynced = this.#unsynced.filter((write) => !done.has(write));
  }

  failSync(covered: readonly UnsyncedWrite[]): void {
    for (const write of covered) write.orphaned = true;
  }

  /** The process died, the machine did not: what was written part of the way stays in the page cache. */
  interrupt(random: SeededRandom): void {
    for (const write of this.#unsynced) {
      if (write.landed) continue;
      write.bytes = write.bytes.subarray(0, random.below(write.bytes.length + 1));
      this.land(write);
    }
  }

  /** The power failed: each un-synced sector meets its fate, and the page cache is gone. Returns the fates. */
  crash(random: SeededRandom, mode: CrashMode, stale: (position: number) => number): SectorFate[] {
    const fates: SectorFate[] = [];
    const pieces = this.#unsynced.flatMap(sectorsOf);
    const cut = mode === 'prefix' ? random.below(pieces.length + 1) : 0;
    const weights = { kept: 4, lost: 3, torn: 1, zeroed: 1, garbage: 1 };
    pieces.forEach((piece, index) => {
      let fate: SectorFate = 'lost';
      if (mode === 'prefix') fate = index < cut ? 'kept' : index === cut ? 'torn' : 'lost';
      if (mode === 'subset') fate = random.weighted(weights);
      fates.push(fate);
      const bytes = surviving(piece, fate, random, stale);
      if (bytes.length > 0) this.#durable.write(bytes.position, bytes.bytes);
      else if (mode === 'subset' && random.chance(0.3)) {
        // The new size reached the disk, the data did not.
        this.#durable.grow(piece.position + piece.bytes.length);
      }
    });
    this.#unsynced = [];
    this.#cached.assign(this.#durable);
    return fates;
  }

  /**
   * Damages bytes at rest, on the platter and in the cache. Not where that leaves what a power failure may have left of a
   * write that was never synced: nobody could tell the two apart. Returns whether it did.
   */
  damage(kind: DamageKind, place: { readonly position: number; readonly bit: number }): boolean {
    const { position, bit } = place;
    if (this.#wouldLookTorn(kind, place)) return false;
    const sectorAt = position - (position % sectorBytes);
    for (const content of [this.#durable, this.#cached]) {
      const view = content.view();
      if (kind === 'zeroedSector') view.subarray(sectorAt, sectorAt + sectorBytes).fill(0);
      else if (position < view.length) view[position] = (view[position] as number) ^ (1 << bit);
    }
    return true;
  }

  /** A lost sector of the last write; or the first or last bit of a sector of it, as if that had been written in part. */
  #wouldLookTorn(
    kind: DamageKind,
    { position, bit }: { readonly position: number; readonly bit: number },
  ): boolean {
    const { start, end } = this.#lastSynced;
    const sectorAt = position - (position % sectorBytes);
    if (sectorAt >= end || sectorAt + sectorBytes <= start) return false;
    if (kind === 'zeroedSector') return true;
    const sector = this.#cached.view().slice(sectorAt, sectorAt + sectorBytes);
    const at = position - sectorAt;
    sector[at] = (sector[at] as number) ^ (1 << bit);
    return [sector.subarray(0, at + 1), sector.subarray(at)].some((side) => {
      return side.every((byte) => byte === 0);
    });
  }
}

interface Piece {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** The write cut at sector boundaries. What lies beside it in a sector is not touched (power-safe overwrite). */
function sectorsOf(write: Piece): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  while (from < write.bytes.length) {
    const at = write.position + from;
    const length = Math.min(sectorBytes - (at % sectorBytes), write.bytes.length - from);
    pieces.push({ position: at, bytes: write.bytes.subarray(from, from + length) });
    from += length;
  }
  return pieces;
}

function surviving(
  piece: Piece,
  fate: SectorFate,
  random: SeededRandom,
  stale: (position: number) => number,
): Piece & { length: number } {
  const { position, bytes } = piece;
  const at = (offset: number, part: Uint8Array): Piece & { length: number } => ({
    position: position + offset,
    bytes: part,
    length: part.length,
  });
  switch (fate) {
    case 'kept':
      return at(0, bytes);
    case 'lost':
      return at(0, bytes.subarray(0, 0));
    case 'torn': {
      const cut = random.below(bytes.length + 1);
      return random.chance(0.8) ? at(0, bytes.subarray(0, cut)) : at(cut, bytes.subarray(cut));
    }
    case 'zeroed':
      return at(0, new Uint8Array(bytes.length));
    case 'garbage':
      return at(
        0,
        bytes.map((_, offset) => stale(position + offset)),
      );
  }
}
