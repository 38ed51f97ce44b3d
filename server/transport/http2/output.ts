import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { socketBytesMax } from '../../config/limits.ts';

/** What is small is copied into slabs, so that the answers of one turn are one write. */
const slabBytes = 16 * 1024;
const copiedBytesMax = 2 * 1024;
/** Slabs that are kept for later. */
const slabsKeptMax = 64;

const freeSlabs: Buffer[] = [];

/**
 * The way out of one connection. Everything that is written in one turn of the event loop goes to the socket at once, at
 * its end, but not before the socket is done with what it got before. It takes all that it is given: who has much to send
 * asks {@link isFull} before.
 */
export class Output {
  readonly #socket: Socket;
  /** Called when it is not full any more. */
  readonly #drained: () => void;
  #slab: Buffer | undefined;
  #slabStart = 0;
  #position = 0;
  /** Not given to the socket yet, before what is in the slab. */
  #chunks: Buffer[] = [];
  #slabs: Buffer[] = [];
  #waitingBytes = 0;
  /** Given to the socket and not yet gone. */
  #socketBytes = 0;
  #isHeld = false;
  #isScheduled = false;
  #ended: (() => void) | undefined;

  constructor(socket: Socket, drained: () => void) {
    this.#socket = socket;
    this.#drained = drained;
  }

  get isFull(): boolean {
    return this.unsentBytes >= socketBytesMax;
  }

  get unsentBytes(): number {
    return this.#socketBytes + this.#waitingBytes;
  }

  /** Memory for so many bytes, to be written from {@link position} on and then told by {@link written}. */
  reserve(bytes: number): Buffer {
    if (this.#slab !== undefined && this.#slab.length - this.#position >= bytes) return this.#slab;
    this.#endSlab();
    this.#slab = bytes > slabBytes ? Buffer.allocUnsafe(bytes) : freeSlabs.pop();
    this.#slab ??= Buffer.allocUnsafeSlow(slabBytes);
    this.#slabs.push(this.#slab);
    return this.#slab;
  }

  get position(): number {
    return this.#position;
  }

  /** The reserved bytes are written up to here. */
  written(end: number): void {
    this.#waitingBytes += end - this.#position;
    this.#position = end;
    if (!this.#isHeld && !this.#isScheduled) this.#schedule();
  }

  /** Writes a buffer that stays as it is until it has gone. */
  append(bytes: Buffer): void {
    if (bytes.length <= copiedBytesMax) {
      const target = this.reserve(bytes.length);
      target.set(bytes, this.#position);
      this.written(this.#position + bytes.length);
      return;
    }
    this.#cutSlab();
    this.#chunks.push(bytes);
    this.#waitingBytes += bytes.length;
    if (!this.#isHeld && !this.#isScheduled) this.#schedule();
  }

  /** Writes nothing until {@link release}. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.flush();
  }

  #schedule(): void {
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Closes our side of the socket when all is sent, and then calls back. Nothing may be written any more. */
  end(ended: () => void): void {
    this.#ended = ended;
    if (!this.#isHeld) this.flush();
  }

  flush(): void {
    if (this.#socketBytes > 0 || this.#socket.destroyed) return;
    if (this.#waitingBytes > 0) this.#send();
    if (this.#ended === undefined) return;
    this.#socket.end(this.#ended);
    this.#ended = undefined;
  }

  #send(): void {
    this.#endSlab();
    const chunks = this.#chunks;
    this.#chunks = [];
    const slabs = this.#slabs;
    this.#slabs = [];
    const bytes = this.#waitingBytes;
    this.#waitingBytes = 0;
    this.#socketBytes += bytes;
    const gone = () => {
      this.#gone(bytes, slabs);
    };
    if (chunks.length === 1) {
      this.#socket.write(chunks[0] as Buffer, gone);
      return;
    }
    this.#socket.cork();
    const last = chunks.length - 1;
    for (let at = 0; at < last; at++) this.#socket.write(chunks[at] as Buffer);
    this.#socket.write(chunks[last] as Buffer, gone);
    this.#socket.uncork();
  }

  #gone(bytes: number, slabs: readonly Buffer[]): void {
    for (const slab of slabs) {
      if (slab.length === slabBytes && freeSlabs.length < slabsKeptMax) freeSlabs.push(slab);
    }
    const wasFull = this.isFull;
    this.#socketBytes -= bytes;
    this.flush();
    // A client that reads as fast as we write would have all of a long answer in this turn of the event loop.
    if (wasFull && !this.isFull) setImmediate(() => this.#drainedLater());
  }

  #drainedLater(): void {
    if (!this.#socket.destroyed && !this.isFull) this.#drained();
  }

  /** What is in the slab so far becomes a chunk; the rest of it is still used. */
  #cutSlab(): void {
    if (this.#slab === undefined || this.#position === this.#slabStart) return;
    this.#chunks.push(this.#slab.subarray(this.#slabStart, this.#position));
    this.#slabStart = this.#position;
  }

  #endSlab(): void {
    this.#cutSlab();
    this.#slab = undefined;
    this.#slabStart = 0;
    this.#position = 0;
  }
}
