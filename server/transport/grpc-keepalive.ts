import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import {
  keepaliveIntervalMs,
  keepaliveTimeoutMs,
  pingIntervalMsMin,
  pingStrikesMax,
} from '../config/limits.ts';
import type { KeepaliveConfig } from '../config/maintenance.ts';

export const keepaliveDefaults: KeepaliveConfig = {
  pingMsMin: pingIntervalMsMin,
  intervalMs: keepaliveIntervalMs,
  timeoutMs: keepaliveTimeoutMs,
};

/** grpc-go's own bound for a client without calls, whatever the flags say. */
const idlePingMsMin = 2 * 60 * 60 * 1_000;

/** What is written between two pings without any message: answers to pings, windows, settings. */
const controlBytesMax = 128;

/**
 * grpc-go's keepalive of one connection: pings that come too often end it, and a client that has been silent is pinged.
 * A client may ping every so often while it has calls, and hardly ever without.
 */
export class GrpcKeepalive {
  readonly #session: ServerHttp2Session;
  readonly #options: KeepaliveConfig;
  #streams = 0;
  #strikes = 0;
  #lastPingMs = -Infinity;
  /** To the socket, when the last ping came. */
  #writtenBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(session: ServerHttp2Session, options: KeepaliveConfig) {
    this.#session = session;
    this.#options = options;
    session.on('ping', () => {
      this.#pinged();
    });
    this.#pingLater();
  }

  began(stream: ServerHttp2Stream): void {
    this.#streams++;
    stream.once('close', () => {
      this.#streams--;
    });
  }

  /** After each message the client may ping once at will: grpc-go's clients measure the connection so. */
  sent(): void {
    this.#strikes = 0;
    this.#lastPingMs = -Infinity;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #pingLater(): void {
    this.#timer = setTimeout(() => {
      this.#ping();
    }, this.#options.intervalMs).unref();
  }

  #pinged(): void {
    this.#noticeProgress();
    const nowMs = performance.now();
    const wantedMs = this.#streams > 0 ? this.#options.pingMsMin : idlePingMsMin;
    if (nowMs - this.#lastPingMs < wantedMs) this.#strikes++;
    this.#lastPingMs = nowMs;
    if (this.#strikes <= pingStrikesMax) return;
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
    this.#session.destroy();
  }

  /** Of a long response every part is a message's: a client that measures the connection pings all along. */
  #noticeProgress(): void {
    const writtenBytes = this.#session.socket?.bytesWritten ?? 0;
    if (writtenBytes - this.#writtenBytes > controlBytesMax) this.sent();
    this.#writtenBytes = writtenBytes;
  }

  /** An answer to any ping proves that the client is there. */
  #ping(): void {
    if (this.#session.destroyed) return;
    this.#timer = setTimeout(() => {
      this.#session.destroy();
    }, this.#options.timeoutMs).unref();
    this.#session.ping((error) => {
      clearTimeout(this.#timer);
      if (error === null) this.#pingLater();
    });
  }
}
