/**
 * A hash of a set of records in any order: how many, and the sum of their checksums. Kept up to date by each change
 * and recomputed by each full scan, so that a record which is missing, old or one too many is noticed.
 */
export class StateHash {
  count = 0;
  /** Modulo 2^32. */
  sum = 0;

  add(checksum: number): void {
    this.count++;
    this.sum = (this.sum + checksum) >>> 0;
  }

  remove(checksum: number): void {
    this.count--;
    this.sum = (this.sum - checksum) >>> 0;
  }

  equals(other: StateHash): boolean {
    return this.count === other.count && this.sum === other.sum;
  }

  clone(): StateHash {
    const copy = new StateHash();
    copy.count = this.count;
    copy.sum = this.sum;
    return copy;
  }

  toString(): string {
    return `${this.count} records, sum ${this.sum.toString(16)}`;
  }
}
