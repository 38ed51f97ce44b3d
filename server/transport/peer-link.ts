import type * as http from 'node:http';
import type { Socket } from 'node:net';
import type { MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Message } from '../raft/messages.ts';
import { encodeParts } from './message-codec.ts';
import type { PeerCounters } from './peer-counters.ts';
import type { PeerDialer } from './peer-dialer.ts';
import { frameHead } from './peer-frames.ts';
import type { PeerHello, PeerRefusal } from './peer-hello.ts';
import { helloHeaders, peerProtocol } from './peer-hello.ts';

/** A peer that does not read: beyond this messages are dropped, as on a bad network. Raft sends again. */
const unsentBytesMax = 64 * 1024 * 1024;
const redialMinMs = 50;
const redialMaxMs = 1000;
/** A connection that a peer was left by ends by itself until then. */
const leaveMsMax = 500;
const dialTimeoutMs = 5000;

export interface PeerLinkModules {
  readonly logger: Logger;
  readonly dialer: PeerDialer;
  readonly localAddress: string | undefined;
  readonly counters: PeerCounters;
  /** What to say, made anew for each connection. */
  readonly hello: (peer: MemberId) => PeerHello;
  /** The peer answered from this data directory; false: it is not the one that we know, do not talk to it. */
  readonly meet: (peer: MemberId, incarnation: string) => boolean;
  readonly refused: (peer: MemberId, refusal: PeerRefusal | undefined) => void;
}

/** Our messages to one peer: a connection that is dialled again whenever it breaks. */
export class PeerLink {
  readonly #peer: MemberId;
  readonly #modules: PeerLinkModules;
  #urls: readonly string[];
  #attempts = 0;
  #request: http.ClientRequest | undefined;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isCorked = false;
  #isClosed = false;
  /** Since when the peer is connected, in `performance.now()` terms; undefined while it is not. */
  activeSinceMs: number | undefined;

  constructor(modules: PeerLinkModules, peer: { id: MemberId; urls: readonly string[] }) {
    this.#modules = modules;
    this.#peer = peer.id;
    this.#urls = peer.urls;
    this.#dial();
  }

  /** The peer's URLs, tried one after the other. */
  set urls(urls: readonly string[]) {
    if (urls.join() === this.#urls.join()) return;
    this.#urls = urls;
    this.#socket?.destroy();
  }
  get urls(): readonly string[] {
    return this.#urls;
  }

  get sentBytes(): number {
    return this.#modules.counters.sentBytes + (this.#socket?.bytesWritten ?? 0);
  }

  /** Sends, or drops when there is no connection. */
  send(message: Message): void {
    const socket = this.#socket;
    if (socket === undefined || socket.writableLength > unsentBytesMax) {
      this.#modules.counters.sendFailures++;
      return;
    }
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        socket.uncork();
      });
    }
    const parts = encodeParts(message);
    socket.write(frameHead(parts));
    for (const part of parts) socket.write(part);
  }

  #dial(): void {
    const url = this.#urls[this.#attempts % this.#urls.length];
    if (this.#isClosed || url === undefined) return;
    const { dialer, localAddress, hello } = this.#modules;
    const request = dialer.request(url, '/mainstay/peer', {
      headers: { ...helloHeaders(hello(this.#peer)), connection: 'Upgrade', upgrade: peerProtocol },
      timeout: dialTimeoutMs,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    this.#request = request;
    request.on('upgrade', (response, socket) => this.#connected(response, socket));
    request.on('response', (response) => this.#answered(response));
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', (error) => {
      const fields = { 'remote-peer-id': hexId(this.#peer), url, error: error.message };
      this.#modules.logger.debug(fields, 'could not reach a peer');
      this.#dialLater();
    });
    request.end();
  }

  #connected(response: http.IncomingMessage, socket: Socket): void {
    this.#request = undefined;
    const incarnation = String(response.headers['x-mainstay-incarnation'] ?? '');
    if (this.#isClosed || !this.#modules.meet(this.#peer, incarnation)) {
      socket.destroy();
      this.#dialLater();
      return;
    }
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 10_000);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#modules.counters.sentBytes += socket.bytesWritten;
      this.#modules.counters.disconnections++;
      this.#socket = undefined;
      this.activeSinceMs = undefined;
      this.#dialLater();
    });
    socket.resume();
    this.#attempts = 0;
    this.#isCorked = false;
    this.#socket = socket;
    this.activeSinceMs = performance.now();
    this.#modules.logger.info(
      { 'remote-peer-id': hexId(this.#peer) },
      'established peer connection',
    );
  }

  /** An answer other than the upgrade is a refusal, with its reason as the body. */
  #answered(response: http.IncomingMessage): void {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text = (text + chunk).slice(0, 100);
    });
    // Also when it breaks off, which says nothing.
    response.on('close', () => {
      const isTold = response.complete && response.statusCode === 403;
      const refusal = isTold ? (text.trim() as PeerRefusal) : undefined;
      this.#modules.refused(this.#peer, refusal);
      this.#dialLater();
    });
  }

  #dialLater(): void {
    if (this.#isClosed) return;
    this.#attempts += 1;
    const delayMs = Math.min(redialMaxMs, redialMinMs * 2 ** Math.min(this.#attempts, 10));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#dial(), delayMs);
  }

  /** The peer is none any more: it gets what was sent to it, then the connection ends. */
  leave(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#request?.destroy();
    const socket = this.#socket;
    socket?.end();
    setTimeout(() => socket?.destroy(), leaveMsMax).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#request?.destroy();
    this.#socket?.destroy();
  }
}
