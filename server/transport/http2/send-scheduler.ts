import { Buffer } from 'node:buffer';
import { SendWindow, windowBytesDefault } from './flow-control.ts';
import {
  Flag,
  FrameType,
  frameHeaderBytes,
  framePayloadBytesMax,
  writeFrameHead,
} from './frames.ts';
import { HpackEncoder, type ResponseFields } from './hpack-encoder.ts';
import type { Output } from './output.ts';
import { type ClientSettings, clientSettingsDefault } from './settings.ts';
import type { Http2Stream } from './stream.ts';

/**
 * Who may send next on one connection. What fits goes out at once; what must wait, for the socket or for a window, waits
 * in its stream, and the streams then take turns, one frame each.
 */
export class SendScheduler {
  /** Of all streams together. */
  readonly window = new SendWindow(windowBytesDefault);
  readonly settings: ClientSettings = { ...clientSettingsDefault };
  /** HEADERS and DATA. */
  sentFrames = 0;
  /** Of responses, in all streams. */
  waitingBytes = 0;
  readonly #output: Output;
  readonly #encoder = new HpackEncoder();
  /** Streams that could send a frame, in turn. */
  readonly #ready = new Set<Http2Stream>();
  /** Streams that wait for the connection's window. */
  readonly #starved = new Set<Http2Stream>();
  #isPumping = false;

  constructor(output: Output) {
    this.#output = output;
  }

  /** The client does not read: nothing more goes to the socket. */
  get isBlocked(): boolean {
    return this.#output.isFull;
  }

  /** Responses that are not sent yet, in all streams and on the way out. */
  get unsentBytes(): number {
    return this.waitingBytes + this.#output.unsentBytes;
  }

  /** Whether one DATA frame may go out at once. */
  mayWrite(stream: Http2Stream, bytes: number): boolean {
    return (
      bytes <= framePayloadBytesMax &&
      bytes <= stream.sendWindow.leftBytes &&
      bytes <= this.window.leftBytes &&
      !this.#output.isFull
    );
  }

  writeData(stream: Http2Stream, bytes: Buffer): void {
    this.sentFrames++;
    stream.sendWindow.leftBytes -= bytes.length;
    this.window.leftBytes -= bytes.length;
    this.#writeHead(FrameType.DATA, { flags: 0, streamId: stream.id, payloadBytes: bytes.length });
    this.#output.append(bytes);
  }

  /** The client would not take them. */
  isTooLarge(fields: ResponseFields): boolean {
    return fields.sizeBytes > this.settings.headerListBytesMax;
  }

  /** A HEADERS frame, with CONTINUATIONs where the block is larger than one frame. */
  writeFields(streamId: number, fields: ResponseFields, isLast: boolean): void {
    this.sentFrames++;
    const output = this.#output;
    const target = output.reserve(frameHeaderBytes + fields.blockBytesMax);
    const head = output.position;
    const start = head + frameHeaderBytes;
    const end = this.#encoder.write(fields, target, start);
    const payloadBytes = end - start;
    const endStream = isLast ? Flag.END_STREAM : 0;
    if (payloadBytes <= framePayloadBytesMax) {
      const flags = endStream | Flag.END_HEADERS;
      writeFrameHead(target, head, { type: FrameType.HEADERS, flags, streamId, payloadBytes });
      output.written(end);
      return;
    }
    this.#writeLongBlock(streamId, target.subarray(start, end), endStream);
  }

  /** The block is in memory that was reserved and not written: its copy takes its place. */
  #writeLongBlock(streamId: number, reserved: Buffer, endStream: number): void {
    const block = Buffer.from(reserved);
    for (let at = 0; at < block.length; at += framePayloadBytesMax) {
      const part = block.subarray(at, at + framePayloadBytesMax);
      const type = at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
      const isEnd = at + part.length === block.length;
      const flags = (at === 0 ? endStream : 0) | (isEnd ? Flag.END_HEADERS : 0);
      this.#writeHead(type, { flags, streamId, payloadBytes: part.length });
      this.#output.append(part);
    }
  }

  #writeHead(
    type: FrameType,
    head: { flags: number; streamId: number; payloadBytes: number },
  ): void {
    const target = this.#output.reserve(frameHeaderBytes);
    this.#output.written(writeFrameHead(target, this.#output.position, { type, ...head }));
  }

  /** The stream has something to send that could not go out at once, so many bytes of data more than before. */
  waits(stream: Http2Stream, bytes: number): void {
    this.waitingBytes += bytes;
    if (this.#starved.has(stream)) return;
    this.#ready.add(stream);
    this.pump();
  }

  unwaits(bytes: number): void {
    this.waitingBytes -= bytes;
  }

  /** Lets the streams send what they can. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (const stream of this.#ready) {
      if (this.#output.isFull) break;
      this.#ready.delete(stream);
      const progress = stream.sendNext(this);
      if (progress === 'more') this.#ready.add(stream);
      else if (progress === 'connectionWindow') this.#starved.add(stream);
    }
    this.#isPumping = false;
  }

  /** The connection's window has grown, maybe by a byte: no more streams go on than it may be enough for. */
  feed(): void {
    while (this.window.leftBytes > 0 && this.#starved.size > 0) {
      let frames = Math.ceil(this.window.leftBytes / framePayloadBytesMax);
      for (const stream of this.#starved) {
        if (frames-- === 0) break;
        this.#starved.delete(stream);
        this.#ready.add(stream);
      }
      this.pump();
    }
  }

  /** The stream's window has grown. */
  resume(stream: Http2Stream): void {
    if (stream.isWaiting) this.waits(stream, 0);
  }

  forget(stream: Http2Stream): void {
    this.waitingBytes -= stream.unsentBytes;
    this.#ready.delete(stream);
    this.#starved.delete(stream);
  }

  /** The client's settings have changed. */
  applySettings(): void {
    this.#encoder.limitTable(this.settings.headerTableBytes);
  }
}
