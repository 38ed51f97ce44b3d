import { defined } from '../base/assert.ts';

/** What a queue can hold: the queue keeps the item's place in it, so that moving or removing it is O(log n). */
export interface Timed {
  /** Monotonic milliseconds. Only {@link DeadlineQueue} writes it. */
  dueMs: number;
  /** The item's position in the heap, -1 when it is in no queue. Only {@link DeadlineQueue} writes it. */
  place: number;
}

/** A binary heap with one entry per item, earliest first. */
export class DeadlineQueue<T extends Timed> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The item that is due first. */
  first(): T | undefined {
    return this.#heap[0];
  }

  /** Puts the item in the queue, or moves it to its new time. */
  set(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.place === -1) item.place = this.#heap.push(item) - 1;
    this.#settle(item);
  }

  remove(item: T): void {
    const place = item.place;
    if (place === -1) return;
    item.place = -1;
    const last = defined(this.#heap.pop(), 'the last item of the heap');
    if (last === item) return;
    this.#put(last, place);
    this.#settle(last);
  }

  clear(): void {
    for (const item of this.#heap) item.place = -1;
    this.#heap.length = 0;
  }

  #settle(item: T): void {
    this.#rise(item);
    this.#sink(item);
  }

  #rise(item: T): void {
    while (item.place > 0) {
      const parent = this.#at((item.place - 1) >> 1);
      if (parent.dueMs <= item.dueMs) return;
      this.#swap(parent, item);
    }
  }

  #sink(item: T): void {
    for (;;) {
      const left = 2 * item.place + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const isRight = right < this.#heap.length && this.#at(right).dueMs < this.#at(left).dueMs;
      const child = this.#at(isRight ? right : left);
      if (item.dueMs <= child.dueMs) return;
      this.#swap(item, child);
    }
  }

  #swap(a: T, b: T): void {
    const place = a.place;
    this.#put(a, b.place);
    this.#put(b, place);
  }

  #put(item: T, place: number): void {
    this.#heap[place] = item;
    item.place = place;
  }

  #at(place: number): T {
    return defined(this.#heap[place], 'an item of the heap');
  }
}
