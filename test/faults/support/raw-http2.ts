import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

// HTTP/2 by hand: frames as bytes, right and wrong ones, and what comes back of it.

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export type FrameType = keyof typeof frameTypes | number;

export const endStream = 0x1;
export const endHeaders = 0x4;
export const ack = 0x1;

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** `length` may say something else than is true. */
export function frame(
  type: FrameType,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
  { flags = 0, length = payload.length }: { flags?: number; length?: number } = {},
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = typeof type === 'number' ? type : frameTypes[type];
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A header block of HPACK's plainest form: literals without indexing or Huffman's code. */
export function headerBlock(headers: ReadonlyArray<readonly [string, string]>): Buffer {
  return Buffer.concat(
    headers.flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]),
  );
}

function literal(text: string): Buffer {
  return Buffer.concat([hpackInteger(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** With a prefix of seven bits, RFC 7541 5.1. */
function hpackInteger(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  for (let rest = value - 127; ; rest >>>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 127) | 128);
  }
}

/** The headers of a gRPC call. */
export function callHeaders(path: string): ReadonlyArray<readonly [string, string]> {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ];
}

/** A message as gRPC sends it; `length` may say something else than is true. */
export function grpcMessage(message: Uint8Array, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** One parameter of SETTINGS. */
export function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

/** A connection that writes what it is told to, and counts what it gets. */
export class RawConnection {
  readonly socket: Socket;
  /** Frames that came, by type. */
  readonly frames = new Map<number, number>();
  #received: Buffer = Buffer.alloc(0);
  #isClosed = false;

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return new RawConnection(socket);
  }

  /** The same with preface and settings sent. */
  static async greeted(
    url: string,
    settings: Uint8Array = Buffer.alloc(0),
  ): Promise<RawConnection> {
    const connection = await RawConnection.open(url);
    connection.write(Buffer.concat([preface, frame('settings', 0, settings)]));
    return connection;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.removeAllListeners('error').on('error', () => {});
    socket.on('close', () => {
      this.#isClosed = true;
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  count(type: keyof typeof frameTypes): number {
    return this.frames.get(frameTypes[type]) ?? 0;
  }

  write(bytes: Uint8Array): boolean {
    return this.#isClosed || this.socket.write(bytes);
  }

  /** Resolves when the bytes are gone, or when they never will be: false. */
  async flood(bytes: Uint8Array, patienceMs = 2_000): Promise<boolean> {
    if (this.write(bytes)) return !this.#isClosed;
    const drained = new Promise<boolean>((resolve) => {
      this.socket.once('drain', () => resolve(true)).once('close', () => resolve(false));
    });
    return Promise.race([drained, sleep(patienceMs, false)]);
  }

  /** Whether the other side has ended it, within some time. */
  async closes(timeoutMs = 5_000): Promise<boolean> {
    for (let waited = 0; !this.#isClosed && waited < timeoutMs; waited += 20) await sleep(20);
    return this.#isClosed;
  }

  /** Whether a frame of a type has come, within some time. */
  async gets(type: keyof typeof frameTypes, timeoutMs = 5_000): Promise<boolean> {
    for (let waited = 0; this.count(type) === 0 && waited < timeoutMs; waited += 20) {
      await sleep(20);
    }
    return this.count(type) > 0;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      const { length } = this.#received;
      const frameBytes = length < 9 ? Infinity : 9 + this.#received.readUIntBE(0, 3);
      if (length < frameBytes) return;
      const type = this.#received[3] ?? 0;
      this.frames.set(type, (this.frames.get(type) ?? 0) + 1);
      this.#received = this.#received.subarray(frameBytes);
    }
  }
}
