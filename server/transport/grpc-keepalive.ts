import {
  keepaliveIntervalMs,
  keepaliveTimeoutMs,
  pingIntervalMsMin,
  pingStrikesMax,
} from '../config/limits.ts';
import type { KeepaliveConfig } from '../config/maintenance.ts';
import type { Http2Connection } from './http2/connection.ts';

export const keepaliveDefaults: KeepaliveConfig = {
  pingMsMin: pingIntervalMsMin,
  intervalMs: keepaliveIntervalMs,
  timeoutMs: keepaliveTimeoutMs,
};

/** grpc-go's own bound for a client without calls, whatever the flags say. */
const idlePingMsMin = 2 * 60 * 60 * 1_000;

/**
 * grpc-go's keepalive of one connection: pings that come too often end it, and a client that has been silent is pinged.
 * A client may ping every so often while it has calls, and hardly ever without.
 */
export class GrpcKeepalive {
  readonly #connection: Http2Connection;
  readonly #options: KeepaliveConfig;
  #strikes = 0;
  #lastPingMs = -Infinity;
  /** Of responses, when the last ping came. */
  #sentFrames = 0;
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;

  constructor(connection: Http2Connection, options: KeepaliveConfig) {
    this.#connection = connection;
    this.#options = options;
    this.#pingLater();
  }

  pinged(): void {
    this.#noticeProgress();
    const nowMs = performance.now();
    const wantedMs = this.#connection.streamCount > 0 ? this.#options.pingMsMin : idlePingMsMin;
    if (nowMs - this.#lastPingMs < wantedMs) this.#strikes++;
    this.#lastPingMs = nowMs;
    if (this.#strikes > pingStrikesMax) {
      this.#connection.fail('ENHANCE_YOUR_CALM', 'too_many_pings');
    }
  }

  /** After each part of a response the client may ping once at will: grpc-go's clients measure the connection so. */
  #noticeProgress(): void {
    const { sentFrames } = this.#connection.scheduler;
    if (sentFrames === this.#sentFrames) return;
    this.#sentFrames = sentFrames;
    this.#strikes = 0;
    this.#lastPingMs = -Infinity;
  }

  /** An answer to any ping proves that the client is there. */
  ponged(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    clearTimeout(this.#timer);
    this.#pingLater();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #pingLater(): void {
    this.#timer = setTimeout(() => {
      this.#ping();
    }, this.#options.intervalMs).unref();
  }

  #ping(): void {
    this.#isWaiting = true;
    this.#timer = setTimeout(() => {
      this.#connection.destroy();
    }, this.#options.timeoutMs).unref();
    this.#connection.ping();
  }
}
