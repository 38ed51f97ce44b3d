import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import {
  ErrorCode,
  Flag,
  FrameType,
  frameHeaderBytes,
  uint32At,
  writeFrameHead,
} from '../../../../server/transport/http2/frames.ts';
import type { HeaderField } from '../../../../server/transport/http2/header-field.ts';
import { HpackDecoder } from '../../../../server/transport/http2/hpack-decoder.ts';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
  /** Of a header block, with its last frame. */
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>;
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function frame(
  type: keyof typeof FrameType | number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const number = (typeof type === 'number' ? type : FrameType[type]) as FrameType;
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrameHead(bytes, 0, { type: number, flags, streamId, payloadBytes: payload.length });
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
  return bytes;
}

/** The payload of a SETTINGS frame. */
export function settings(...pairs: ReadonlyArray<readonly [id: number, value: number]>): Buffer {
  return Buffer.concat(
    pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 0xff]), uint32(value)])),
  );
}

export function integer(first: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.from([first | value]);
  const bytes = [first | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

export function text(value: string): Buffer {
  return Buffer.concat([integer(0, 0x7f, value.length), Buffer.from(value, 'latin1')]);
}

/** A header block of literals: not indexed, or with indexing. */
export function block(
  fields: ReadonlyArray<readonly [name: string, value: string]>,
  isIndexed = false,
): Buffer {
  const first = Buffer.from([isIndexed ? 0x40 : 0]);
  return Buffer.concat(fields.flatMap(([name, value]) => [first, text(name), text(value)]));
}

export function request(path: string, ...more: ReadonlyArray<readonly [string, string]>): Buffer {
  return block([[':method', 'POST'], [':scheme', 'http'], [':path', path], ...more]);
}

export function errorName(code: number): string {
  return Object.entries(ErrorCode).find(([, value]) => value === code)?.[0] ?? String(code);
}

/** A client of bare frames, which may break every rule. */
export class RawClient {
  readonly socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #frames: Frame[] = [];
  #wake: () => void = () => {};
  #isOver = false;
  /** Fields of the HEADERS that ended a stream, by stream. */
  readonly ends = new Map<number, Readonly<Record<string, string>>>();
  readonly #decoder = new HpackDecoder(4096);
  #block: Buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => {
      this.#received(chunk);
    });
    this.socket.on('close', () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** With the preface and these settings. */
  static begin(port: number, payload: Buffer = settings()): RawClient {
    const client = new RawClient(port);
    client.send(preface, frame('SETTINGS', 0, 0, payload));
    return client;
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  close(): void {
    this.socket.destroy();
  }

  /** Undefined: the connection is closed. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const next = this.#frames.shift();
      if (next !== undefined || this.#isOver) return next;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The frames that have come and were not taken. */
  get waiting(): number {
    return this.#frames.length;
  }

  async nextOf(...types: ReadonlyArray<keyof typeof FrameType>): Promise<Frame | undefined> {
    const numbers = types.map((type): number => FrameType[type]);
    for (;;) {
      const next = await this.next();
      if (next === undefined || numbers.includes(next.type)) return next;
    }
  }

  /** What the server makes of what was sent: how it ends the connection, which streams it resets; 'fine' otherwise. */
  async verdict(): Promise<string> {
    this.send(frame('PING', 0, 0, Buffer.from('verdict!')));
    const resets: string[] = [];
    for (;;) {
      const next = await this.nextOf('GOAWAY', 'RST_STREAM', 'PING');
      if (next === undefined) return 'closed';
      const code = errorName(uint32At(next.payload, next.type === FrameType.GOAWAY ? 4 : 0));
      if (next.type === FrameType.GOAWAY) return `GOAWAY ${code}`;
      if (next.type === FrameType.RST_STREAM) resets.push(`RST_STREAM ${next.streamId} ${code}`);
      else if (String(next.payload) === 'verdict!') return resets.join(', ') || 'fine';
    }
  }

  #received(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < end) break;
      const type = this.#bytes[3] ?? 0;
      const flags = this.#bytes[4] ?? 0;
      const payload = Buffer.from(this.#bytes.subarray(frameHeaderBytes, end));
      const fields = this.#fieldsOf(type, flags, payload);
      const streamId = this.#bytes.readUInt32BE(5);
      this.#frames.push({ type, flags, streamId, payload, fields });
      if (type === FrameType.HEADERS && (flags & Flag.END_STREAM) !== 0) {
        this.ends.set(streamId, Object.fromEntries(fields));
      }
      this.#bytes = this.#bytes.subarray(end);
    }
    this.#wake();
  }

  /** Every block is decoded, so that the table stays the server's. */
  #fieldsOf(type: number, flags: number, payload: Buffer): Array<[string, string]> {
    if (type !== FrameType.HEADERS && type !== FrameType.CONTINUATION) return [];
    this.#block = Buffer.concat([this.#block, payload]);
    if ((flags & Flag.END_HEADERS) === 0) return [];
    const fields: Array<[string, string]> = [];
    const sink = { field: ({ name, value }: HeaderField) => fields.push([name, value]) };
    this.#decoder.decode(this.#block, 0, this.#block.length, sink);
    this.#block = Buffer.alloc(0);
    return fields;
  }
}
