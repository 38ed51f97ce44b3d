import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import {
  controlBytesMax,
  goawayMsMax,
  headersMsMax,
  lingerMs,
  sessionBytesMax,
  sessionWindowBytes,
  socketBytesMax,
  streamsPerConnectionMax,
} from '../../config/limits.ts';
import { ClosedStreams } from './closed-streams.ts';
import { FloodGuard } from './flood-guard.ts';
import { ReceiveWindow, windowBytesDefault, windowBytesMax } from './flow-control.ts';
import { FrameReader } from './frame-reader.ts';
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  frameHeaderBytes,
  streamIdMax,
  uint32At,
  writeFrameHead,
  writeUint32,
} from './frames.ts';
import { HeaderBlocks, type RequestOutcome } from './header-blocks.ts';
import { Output } from './output.ts';
import type { RequestHeaders } from './request-headers.ts';
import { SendScheduler } from './send-scheduler.ts';
import { ownSettings, readSettings } from './settings.ts';
import { Http2Stream, type StreamOwner } from './stream.ts';

/** Who serves a connection's requests; the connection calls it. */
export interface ConnectionUser {
  /** Streams that may be open at a time; left out: `streamsPerConnectionMax`. */
  readonly streamsMax?: number;
  /** A request has begun: its `user` is to be set, who then gets the body. */
  requested(stream: Http2Stream, headers: RequestHeaders): void;
  /** The client has sent a PING. */
  pinged(): void;
  /** The client has answered our PING. */
  ponged(): void;
  closed(): void;
}

/** Opaque data of our PINGs: the one that a stopping server waits for, and all others. */
const stoppingPing = Buffer.from('stopping');
const livenessPing = Buffer.from('mainstay');
const pingBytes = 8;
const noPayload = Buffer.alloc(0);
/** To resize so many windows costs about what another frame does. */
const resizedPerFrame = 32;

/** A header block that goes on in the next frame. */
interface OpenBlock {
  readonly streamId: number;
  readonly isLast: boolean;
}

/** The server's end of one HTTP/2 connection (RFC 9113): frames in, streams and their frames out. */
export class Http2Connection implements StreamOwner {
  readonly socket: Socket;
  readonly scheduler: SendScheduler;
  readonly #user: ConnectionUser;
  readonly #output: Output;
  readonly #reader = new FrameReader();
  readonly #blocks = new HeaderBlocks();
  readonly #flood = new FloodGuard();
  readonly #window = new ReceiveWindow(sessionWindowBytes);
  readonly #streams = new Map<number, Http2Stream>();
  readonly #closedStreams = new ClosedStreams();
  #highestId = 0;
  #openBlock: OpenBlock | undefined;
  #hasSettings = false;
  /** Requests with a higher id are not served: we are stopping. */
  #lastId = streamIdMax;
  /** Both have been told that no more requests come. */
  #isFinishing = false;
  /** Nothing is read any more, but thrown away until the client has closed too. */
  #isEnding = false;
  #isClosed = false;
  /** What is waited for: the client's first SETTINGS, its answer to GOAWAY, its end. */
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, user: ConnectionUser) {
    this.socket = socket;
    this.#user = user;
    this.#output = new Output(socket, () => {
      this.scheduler.pump();
    });
    this.scheduler = new SendScheduler(this.#output);
  }

  /** Begins to read. */
  start(): void {
    const { socket } = this;
    socket.on('data', (chunk: Buffer) => {
      if (!this.#isEnding) this.#read(chunk);
    });
    socket.on('error', () => {});
    socket.on('end', () => {
      this.#end();
      this.#linger();
    });
    socket.on('close', () => {
      this.#close();
    });
    this.#wait(headersMsMax, () => {
      this.destroy();
    });
    this.#write(FrameType.SETTINGS, { flags: 0, streamId: 0 }, ownSettings(this.#streamsMax));
    this.enlargeWindow(0, sessionWindowBytes - windowBytesDefault);
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  streams(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  // --- reading ---------------------------------------------------------------------------------

  #read(chunk: Buffer): void {
    this.#output.hold();
    try {
      this.#reader.push(chunk);
      while (!this.#isEnding && this.#reader.next()) this.#frame();
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.fail(error.code, error.message);
    } finally {
      this.#output.release();
    }
    if (this.#output.unsentBytes > socketBytesMax + controlBytesMax) this.destroy();
  }

  #frame(): void {
    const { type, streamId } = this.#reader;
    if (this.#openBlock !== undefined && type !== FrameType.CONTINUATION) {
      throw protocolError('a header block is not continued');
    }
    if (!this.#hasSettings && type !== FrameType.SETTINGS) {
      throw protocolError('the first frame is not SETTINGS');
    }
    switch (type) {
      case FrameType.DATA:
        return this.#data(streamId);
      case FrameType.HEADERS:
        return this.#headers(streamId);
      case FrameType.PRIORITY:
        return this.#priority(streamId);
      case FrameType.RST_STREAM:
        return this.#rstStream(streamId);
      case FrameType.SETTINGS:
        return this.#settings(streamId);
      case FrameType.PUSH_PROMISE:
        throw protocolError('clients push nothing');
      case FrameType.PING:
        return this.#ping(streamId);
      case FrameType.GOAWAY:
        return this.#goaway(streamId);
      case FrameType.WINDOW_UPDATE:
        return this.#windowUpdate(streamId);
      case FrameType.CONTINUATION:
        return this.#continuation(streamId);
      default:
        this.#flood.count();
    }
  }

  #has(flag: number): boolean {
    return (this.#reader.flags & flag) !== 0;
  }

  get #payloadBytes(): number {
    return this.#reader.end - this.#reader.start;
  }

  #expectBytes(bytes: number): void {
    if (this.#payloadBytes !== bytes) {
      throw new ConnectionError(
        'FRAME_SIZE_ERROR',
        'a frame of a size that its type does not have',
      );
    }
  }

  /** Where the payload lies between its padding. */
  #unpadded(): { bytes: Buffer; start: number; end: number } {
    const { bytes, start, end } = this.#reader;
    if (!this.#has(Flag.PADDED)) return { bytes, start, end };
    if (start === end) throw new ConnectionError('FRAME_SIZE_ERROR', 'no length of the padding');
    const padding = bytes[start] as number;
    if (start + 1 + padding > end) throw protocolError('more padding than payload');
    return { bytes, start: start + 1, end: end - padding };
  }

  // --- DATA ------------------------------------------------------------------------------------

  #data(streamId: number): void {
    const frameBytes = this.#payloadBytes;
    const part = this.#unpadded();
    const isLast = this.#has(Flag.END_STREAM);
    if (!this.#window.received(frameBytes)) {
      throw new ConnectionError('FLOW_CONTROL_ERROR', "more data than the connection's window");
    }
    if (part.start === part.end && !isLast) this.#flood.count();
    const stream = this.#streams.get(streamId);
    if (stream !== undefined && !stream.isHalfClosed) {
      return stream.received(part, frameBytes, isLast);
    }
    this.consumed(frameBytes);
    this.#lateFrame(streamId, stream);
  }

  /** A frame that needs an open stream has come for one that is not. */
  #lateFrame(streamId: number, stream: Http2Stream | undefined): void {
    if (this.#isIdle(streamId)) throw protocolError('a frame for a stream that was never opened');
    const isOnItsWay =
      streamId > this.#lastId || this.#closedStreams.endOf(streamId) === 'resetByUs';
    if (isOnItsWay) return;
    this.#flood.count();
    if (stream !== undefined) this.reset(stream, 'STREAM_CLOSED');
    else this.#writeReset(streamId, 'STREAM_CLOSED');
  }

  #isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId > this.#highestId;
  }

  consumed(bytes: number): void {
    const increment = this.#window.consumed(bytes);
    if (increment > 0) this.enlargeWindow(0, increment);
  }

  enlargeWindow(streamId: number, increment: number): void {
    const payload = Buffer.allocUnsafe(4);
    writeUint32(payload, 0, increment);
    this.#write(FrameType.WINDOW_UPDATE, { flags: 0, streamId }, payload);
  }

  // --- HEADERS ---------------------------------------------------------------------------------

  #headers(streamId: number): void {
    const { bytes, start, end } = this.#unpadded();
    const blockStart = this.#has(Flag.PRIORITY) ? start + 5 : start;
    if (blockStart > end) throw new ConnectionError('FRAME_SIZE_ERROR', 'HEADERS too short');
    if (streamId % 2 === 0) throw protocolError("HEADERS of a stream that is not a client's");
    const block = { streamId, isLast: this.#has(Flag.END_STREAM) };
    if (this.#has(Flag.END_HEADERS)) {
      this.#block(block, bytes, blockStart, end);
      return;
    }
    this.#blocks.add(bytes, blockStart, end);
    this.#openBlock = block;
  }

  #continuation(streamId: number): void {
    const block = this.#openBlock;
    if (block?.streamId !== streamId) throw protocolError('CONTINUATION of nothing');
    const { bytes, start, end } = this.#reader;
    this.#blocks.add(bytes, start, end);
    if (!this.#has(Flag.END_HEADERS)) return;
    this.#openBlock = undefined;
    const joined = this.#blocks.joined();
    this.#block(block, joined, 0, joined.length);
  }

  #block({ streamId, isLast }: OpenBlock, bytes: Buffer, start: number, end: number): void {
    if (streamId > this.#highestId) {
      this.#highestId = streamId;
      this.#request(streamId, isLast, this.#blocks.request(bytes, start, end));
      return;
    }
    const areTrailers = this.#blocks.areTrailers(bytes, start, end);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.#lateHeaders(streamId);
    else if (stream.isHalfClosed) this.reset(stream, 'STREAM_CLOSED');
    else if (!isLast || !areTrailers) this.reset(stream, 'PROTOCOL_ERROR');
    else stream.ended();
  }

  #lateHeaders(streamId: number): void {
    const end = this.#closedStreams.endOf(streamId);
    if (end === undefined) throw protocolError('a stream id that is not higher than the last');
    if (end === 'ended') {
      throw new ConnectionError('STREAM_CLOSED', 'HEADERS of a stream that has ended');
    }
    this.#flood.count();
  }

  #request(streamId: number, isLast: boolean, headers: RequestOutcome): void {
    if (streamId > this.#lastId) return;
    const refusal = this.#refusalOf(headers);
    if (refusal !== undefined) {
      this.#flood.count();
      this.#writeReset(streamId, refusal);
      return;
    }
    if (typeof headers === 'string') return;
    const { contentLength } = headers;
    const sendWindowBytes = this.scheduler.settings.initialWindowBytes;
    const stream = new Http2Stream(this, { id: streamId, sendWindowBytes, contentLength });
    this.#streams.set(streamId, stream);
    this.#user.requested(stream, headers);
    if (isLast) stream.ended();
  }

  get #streamsMax(): number {
    return this.#user.streamsMax ?? streamsPerConnectionMax;
  }

  #refusalOf(headers: RequestOutcome): keyof typeof ErrorCode | undefined {
    if (headers === 'malformed') return 'PROTOCOL_ERROR';
    if (headers === 'tooLarge') return 'ENHANCE_YOUR_CALM';
    const isBusy =
      this.#streams.size >= this.#streamsMax || this.scheduler.unsentBytes > sessionBytesMax;
    return isBusy ? 'REFUSED_STREAM' : undefined;
  }

  // --- other frames ----------------------------------------------------------------------------

  /** Means nothing any more (RFC 9113 §5.3.2). */
  #priority(streamId: number): void {
    if (streamId === 0) throw protocolError('PRIORITY of the connection');
    this.#expectBytes(5);
    this.#flood.count();
  }

  #rstStream(streamId: number): void {
    this.#expectBytes(4);
    if (this.#isIdle(streamId)) throw protocolError('RST_STREAM of a stream never opened');
    this.#flood.count();
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#forget(stream, false);
  }

  #settings(streamId: number): void {
    if (streamId !== 0) throw protocolError('SETTINGS of a stream');
    this.#flood.count();
    if (this.#has(Flag.ACK)) {
      this.#expectBytes(0);
      if (!this.#hasSettings) throw protocolError('the first frame is not SETTINGS');
      return;
    }
    const { settings } = this.scheduler;
    const before = settings.initialWindowBytes;
    readSettings(settings, this.#reader);
    this.scheduler.applySettings();
    if (!this.#hasSettings) {
      this.#hasSettings = true;
      clearTimeout(this.#timer);
    }
    this.#write(FrameType.SETTINGS, { flags: Flag.ACK, streamId: 0 }, noPayload);
    if (settings.initialWindowBytes !== before) {
      this.#resizeWindows(settings.initialWindowBytes - before);
    }
  }

  /** A new initial size changes the windows of all streams (RFC 9113 §6.9.2). */
  #resizeWindows(bytes: number): void {
    this.#flood.count(Math.ceil(this.#streams.size / resizedPerFrame));
    for (const stream of this.#streams.values()) {
      if (!stream.sendWindow.enlarge(bytes)) {
        throw new ConnectionError('FLOW_CONTROL_ERROR', 'SETTINGS make a window too large');
      }
    }
    if (bytes > 0) for (const stream of this.#streams.values()) this.scheduler.resume(stream);
  }

  #ping(streamId: number): void {
    this.#expectBytes(pingBytes);
    if (streamId !== 0) throw protocolError('PING of a stream');
    const { bytes, start, end } = this.#reader;
    const data = bytes.subarray(start, end);
    if (this.#has(Flag.ACK)) {
      if (data.equals(stoppingPing)) this.#finish();
      this.#user.ponged();
      return;
    }
    this.#flood.count();
    this.#write(FrameType.PING, { flags: Flag.ACK, streamId: 0 }, data);
    this.#user.pinged();
  }

  /** The client opens no more streams, and leaves when those that it has are over. */
  #goaway(streamId: number): void {
    if (streamId !== 0) throw protocolError('GOAWAY of a stream');
    if (this.#payloadBytes < 8) throw new ConnectionError('FRAME_SIZE_ERROR', 'GOAWAY too short');
    this.#isFinishing = true;
    this.#endWhenIdle();
  }

  #windowUpdate(streamId: number): void {
    this.#expectBytes(4);
    const increment = uint32At(this.#reader.bytes, this.#reader.start) & windowBytesMax;
    if (streamId === 0) {
      if (increment === 0) throw protocolError('WINDOW_UPDATE of nothing');
      if (!this.scheduler.window.enlarge(increment)) {
        throw new ConnectionError('FLOW_CONTROL_ERROR', "the connection's window is too large");
      }
      return this.scheduler.feed();
    }
    if (this.#isIdle(streamId)) throw protocolError('WINDOW_UPDATE of a stream never opened');
    const stream = this.#streams.get(streamId);
    // Clients enlarge windows also while the end of a response is on its way.
    if (stream === undefined) return;
    if (increment === 0) this.reset(stream, 'PROTOCOL_ERROR');
    else if (!stream.sendWindow.enlarge(increment)) this.reset(stream, 'FLOW_CONTROL_ERROR');
    else this.scheduler.resume(stream);
  }

  // --- the end of streams ----------------------------------------------------------------------

  reset(stream: Http2Stream, code: keyof typeof ErrorCode): void {
    this.#writeReset(stream.id, code);
    this.#forget(stream, true);
  }

  #writeReset(streamId: number, code: keyof typeof ErrorCode): void {
    this.#closedStreams.add(streamId, true);
    const payload = Buffer.allocUnsafe(4);
    writeUint32(payload, 0, ErrorCode[code]);
    this.#write(FrameType.RST_STREAM, { flags: 0, streamId }, payload);
  }

  over(stream: Http2Stream): void {
    this.#forget(stream, false);
  }

  #forget(stream: Http2Stream, isResetByUs: boolean): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#closedStreams.add(stream.id, isResetByUs);
    stream.close();
    this.#endWhenIdle();
  }

  // --- the end of the connection ---------------------------------------------------------------

  /** Asks whether the client is still there. */
  ping(): void {
    this.#write(FrameType.PING, { flags: 0, streamId: 0 }, livenessPing);
  }

  /**
   * Ends the connection without losing a request (RFC 9113 §6.8): first the client is told that we stop, then, once it
   * surely knows, which of its requests we have taken; it is closed when the last of those is over.
   */
  shutDown(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#writeGoaway(streamIdMax, 'NO_ERROR', '');
    this.#write(FrameType.PING, { flags: 0, streamId: 0 }, stoppingPing);
    this.#wait(goawayMsMax, () => {
      this.#finish();
    });
  }

  #finish(): void {
    if (this.#isFinishing || this.#isEnding || this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#isFinishing = true;
    this.#lastId = this.#highestId;
    this.#writeGoaway(this.#lastId, 'NO_ERROR', '');
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (this.#isFinishing && this.#streams.size === 0) this.#end();
  }

  /** Tells the client what it did wrong, and hangs up. */
  fail(code: keyof typeof ErrorCode, message: string): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#writeGoaway(this.#highestId, code, message);
    this.#end();
    this.#linger();
  }

  /** Sends what is left; the client may take its time for that. */
  #end(): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#isEnding = true;
    this.#closeStreams();
    clearTimeout(this.#timer);
    this.#output.end(() => {
      this.#linger();
    });
  }

  /** Closed with input unread, the kernel would throw away what the client has not read yet. */
  #linger(): void {
    if (this.#isClosed) return;
    this.#wait(lingerMs, () => {
      this.destroy();
    });
  }

  destroy(): void {
    this.socket.destroy();
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#isEnding = true;
    this.#closeStreams();
    this.#user.closed();
  }

  #closeStreams(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.close();
  }

  #wait(ms: number, callback: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(callback, ms).unref();
  }

  // --- writing ---------------------------------------------------------------------------------

  #writeGoaway(lastId: number, code: keyof typeof ErrorCode, message: string): void {
    const text = Buffer.from(message);
    const payload = Buffer.allocUnsafe(8 + text.length);
    writeUint32(payload, writeUint32(payload, 0, lastId), ErrorCode[code]);
    payload.set(text, 8);
    this.#write(FrameType.GOAWAY, { flags: 0, streamId: 0 }, payload);
  }

  /** A small frame that no window holds back. */
  #write(type: FrameType, { flags, streamId }: Flags, payload: Buffer): void {
    if (this.#isClosed) return;
    const target = this.#output.reserve(frameHeaderBytes + payload.length);
    const head = { type, flags, streamId, payloadBytes: payload.length };
    const start = writeFrameHead(target, this.#output.position, head);
    target.set(payload, start);
    this.#output.written(start + payload.length);
  }
}

interface Flags {
  readonly flags: number;
  readonly streamId: number;
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError('PROTOCOL_ERROR', message);
}
