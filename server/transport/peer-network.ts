import * as http from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { AssertionError } from '../base/assert.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import type { MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import { headersMsMax } from '../config/limits.ts';
import { isSecure } from '../config/tls.ts';
import { listenAddress } from '../config/urls.ts';
import type { Message, SnapshotMessage } from '../raft/messages.ts';
import { listening } from './listening.ts';
import { decodeMessage, encodeMessage } from './message-codec.ts';
import { PeerCounters } from './peer-counters.ts';
import type { PeerDialer } from './peer-dialer.ts';
import { FrameReader } from './peer-frames.ts';
import type { PeerHello, PeerRefusal } from './peer-hello.ts';
import { helloHeaders, peerProtocol, readHello } from './peer-hello.ts';
import { PeerLink } from './peer-link.ts';
import { type PeerQuestion, readQuestion } from './peer-question.ts';
import { TlsAcceptor } from './tls-acceptor.ts';
import type { TlsCredentials } from './tls-credentials.ts';

/** What a member does with what its peers send. */
export interface PeerService {
  hello(peer: MemberId): PeerHello;
  /** Decides whether to talk to the one who says this; resolves when what must be remembered of it is durable. */
  accept(hello: PeerHello): Promise<PeerRefusal | undefined>;
  /** The peer that we dialled answered from this data directory; false: not the one that we know. */
  meet(peer: MemberId, incarnation: string): boolean;
  refused(peer: MemberId, refusal: PeerRefusal | undefined): void;
  step(message: Message): void;
  receiveSnapshot(message: SnapshotMessage, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** The members as JSON, for those who join. */
  membersJson(): string;
  answer(question: PeerQuestion): Promise<object>;
}

export interface PeerNetworkModules {
  readonly service: PeerService;
  readonly logger: Logger;
  readonly dialer: PeerDialer;
  readonly credentials: TlsCredentials;
}

const bodyBytesMax = 64 * 1024;
/** The connections with a peer that was removed are closed so much later: it waits for what becomes of its proposals. */
const removedLingerMs = 1000;
const questionTimeoutMs = 5000;
/** For all of a question to come. */
const questionBodyMsMax = 5000;
/** A snapshot whose sender says nothing for so long is given up: it may have lost its power. */
const snapshotSilenceMsMax = 60_000;
const keepAliveMs = 10_000;
/** A member reads all it has. */
const hashTimeoutMs = 30_000;
/** How often each peer's round trip is measured, with a connection beside the one for messages; etcd's interval. */
const probeIntervalMs = 4000;
const firstProbeMs = 1000;
const probePath = '/raft/probing';

/** The connections of one member with its peers: a listener, and a link to each. */
export class PeerNetwork {
  readonly #service: PeerService;
  readonly #modules: PeerNetworkModules;
  readonly #links = new Map<MemberId, PeerLink>();
  /** To peers that were removed a moment ago. */
  readonly #leaving = new Map<MemberId, PeerLink>();
  readonly #http: http.Server;
  readonly #servers: Server[] = [];
  readonly #acceptors: TlsAcceptor[] = [];
  /** The connections that peers have made, with who it is once that is known. */
  readonly #sockets = new Map<Socket, MemberId | undefined>();
  /** What ends those that do not ask for anything, or do not finish asking. */
  readonly #patience = new WeakMap<Socket, NodeJS.Timeout>();
  readonly #counters = new Map<MemberId, PeerCounters>();
  #probeTimer: NodeJS.Timeout;
  #localAddress: string | undefined;

  constructor(modules: PeerNetworkModules) {
    this.#modules = modules;
    this.#service = modules.service;
    this.#http = this.#makeServer();
    this.#probeTimer = setTimeout(() => this.#probe(), firstProbeMs).unref();
  }

  /** Everyone who is a peer now, with what was counted. */
  get traffic(): PeerTraffic[] {
    return Array.from(this.#links, ([id, link]) => {
      const counters = this.#countersOf(id);
      let { receivedBytes } = counters;
      for (const [socket, from] of this.#sockets) {
        if (from === id) receivedBytes += socket.bytesRead;
      }
      const isActive = link.activeSinceMs !== undefined;
      return { id, isActive, sentBytes: link.sentBytes, receivedBytes, counters };
    });
  }

  #countersOf(peer: MemberId): PeerCounters {
    const known = this.#counters.get(peer);
    if (known !== undefined) return known;
    const counters = new PeerCounters();
    this.#counters.set(peer, counters);
    return counters;
  }

  /** Rejects when an address cannot be had. */
  async listen(urls: readonly string[]): Promise<AddressInfo[]> {
    const addresses: AddressInfo[] = [];
    for (const url of urls) {
      const at = listenAddress(url);
      const server = createServer(isSecure(url) ? this.#secured() : this.#accepted);
      await listening(server, at);
      this.#servers.push(server);
      addresses.push(server.address() as AddressInfo);
      if ('host' in at && at.host.startsWith('127.')) this.#localAddress ??= at.host;
    }
    return addresses;
  }

  #secured(): (socket: Socket) => void {
    const { credentials, logger } = this.#modules;
    const acceptor = new TlsAcceptor({ credentials, logger, secured: this.#accepted }, 'peer');
    this.#acceptors.push(acceptor);
    return (socket) => {
      acceptor.accept(socket);
    };
  }

  /** A connection on which a peer has to say soon what it wants. */
  readonly #accepted = (socket: Socket): void => {
    this.#sockets.set(socket, undefined);
    const drop = (): void => {
      socket.destroy();
    };
    this.#await(socket, headersMsMax);
    socket.on('error', drop);
    socket.on('close', () => {
      clearTimeout(this.#patience.get(socket));
      const from = this.#sockets.get(socket);
      if (from !== undefined) this.#countersOf(from).receivedBytes += socket.bytesRead;
      this.#sockets.delete(socket);
    });
    this.#http.emit('connection', socket);
  };

  /** Node looks at the time that a request takes only on sockets that its server has accepted itself. */
  #await(socket: Socket, ms: number): void {
    clearTimeout(this.#patience.get(socket));
    if (socket.destroyed) return;
    this.#patience.set(
      socket,
      setTimeout(() => socket.destroy(), ms),
    );
  }

  #makeServer(): http.Server {
    const server = http.createServer({ keepAliveTimeout: keepAliveMs }, (request, response) => {
      const { socket } = request;
      clearTimeout(this.#patience.get(socket));
      response.once('close', () => this.#await(socket, keepAliveMs + headersMsMax));
      this.#serve(request, response).catch((error: unknown) => {
        // Not ours to survive: the process ends with it.
        if (error instanceof AssertionError) {
          queueMicrotask(() => {
            throw error;
          });
        }
        this.#modules.logger.warn({ error: String(error) }, 'a request of a peer failed');
        if (!response.headersSent) response.writeHead(500);
        response.end(String(error));
      });
    });
    server.on('upgrade', (request, socket: Socket, head) => {
      clearTimeout(this.#patience.get(socket));
      void this.#upgrade(request, socket, head);
    });
    return server;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = request.url ?? '';
    if (request.method === 'GET' && path === '/members') {
      response.setHeader('content-type', 'application/json');
      response.end(this.#service.membersJson());
    } else if (request.method === 'GET' && path === probePath) {
      response.end('ok\n');
    } else if (request.method === 'POST' && path === '/mainstay/snapshot') {
      await this.#serveSnapshot(request, response);
    } else if (request.method === 'POST' && path === '/mainstay/ask') {
      await this.#serveQuestion(request, response);
    } else {
      response.writeHead(404);
      response.end('not found\n');
    }
  }

  /** The messages of a peer: after a hello, frames in one direction until the connection ends. */
  async #upgrade(request: http.IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const hello = readHello(request.headers);
    const isKnown = request.url === '/mainstay/peer' && request.headers.upgrade === peerProtocol;
    if (hello === undefined || !isKnown) {
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
      return;
    }
    const refusal = await this.#service.accept(hello);
    if (refusal !== undefined) {
      const head403 = 'HTTP/1.1 403 Forbidden\r\nconnection: close\r\n';
      socket.end(`${head403}content-length: ${refusal.length}\r\n\r\n${refusal}`);
      return;
    }
    if (this.#sockets.has(socket)) this.#sockets.set(socket, hello.from);
    const { incarnation } = this.#service.hello(hello.from);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${peerProtocol}\r\n` +
        `x-mainstay-incarnation: ${incarnation}\r\n\r\n`,
    );
    socket.setNoDelay(true);
    this.#readMessages(socket, head, hello.from);
  }

  #readMessages(socket: Socket, head: Buffer, from: MemberId): void {
    const frames = new FrameReader();
    const read = (chunk: Buffer): void => {
      const messages: Message[] = [];
      try {
        frames.push(chunk, (bytes) => messages.push(decodeMessage(bytes)));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        const fields = { 'remote-peer-id': hexId(from), error: String(error) };
        this.#modules.logger.warn(fields, 'closed a peer connection: malformed message');
        this.#countersOf(from).receiveFailures++;
        socket.destroy();
      }
      // What fails here is no fault of who sent it.
      for (const message of messages) if (message.from === from) this.#service.step(message);
    };
    socket.on('data', read);
    if (head.length > 0) read(head);
  }

  async #serveSnapshot(
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void> {
    const hello = readHello(request.headers);
    const encoded = request.headers['x-mainstay-message'];
    if (hello === undefined || typeof encoded !== 'string') {
      response.writeHead(400).end('not a snapshot\n');
      return;
    }
    const refusal = await this.#service.accept(hello);
    const message = decodeMessage(Buffer.from(encoded, 'base64'));
    if (refusal !== undefined || message.kind !== 'snapshot') {
      response.writeHead(403).end(refusal ?? 'not a snapshot');
      return;
    }
    request.setTimeout(snapshotSilenceMsMax, () => request.destroy(new Error('timed out')));
    await this.#service.receiveSnapshot(message, request);
    response.writeHead(204).end();
  }

  async #serveQuestion(
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void> {
    this.#await(request.socket, questionBodyMsMax);
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) {
      text += chunk as string;
      if (text.length > bodyBytesMax) throw new Error('the question is too long');
    }
    clearTimeout(this.#patience.get(request.socket));
    const question = readQuestion(text);
    if (question === undefined) {
      response.writeHead(400).end('not a question of this version\n');
      return;
    }
    response.setHeader('content-type', 'application/json');
    try {
      response.end(JSON.stringify(await this.#service.answer(question)));
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      response.writeHead(409).end(JSON.stringify({ error: error.error }));
    }
  }

  /**
   * Who the peers are now: links to new ones are opened, those to others closed a little later. One that was removed has
   * its own connection closed too: it dials again, and is told.
   */
  setPeers(
    peers: ReadonlyArray<{ readonly id: MemberId; readonly urls: readonly string[] }>,
  ): void {
    for (const [id, link] of this.#links) {
      if (peers.some((peer) => peer.id === id)) continue;
      this.#links.delete(id);
      this.#leaving.set(id, link);
      // It may know by itself, from what was sent last.
      setTimeout(() => this.#left(id, link), removedLingerMs).unref();
    }
    for (const peer of peers) {
      const link = this.#links.get(peer.id);
      if (link !== undefined) link.urls = peer.urls;
      else this.#links.set(peer.id, this.#open(peer));
    }
  }

  #left(peer: MemberId, link: PeerLink): void {
    link.leave();
    if (this.#leaving.get(peer) === link) this.#leaving.delete(peer);
    if (this.#links.has(peer)) return;
    this.#counters.delete(peer);
    for (const [socket, from] of this.#sockets) if (from === peer) socket.destroy();
  }

  #open(peer: { id: MemberId; urls: readonly string[] }): PeerLink {
    const { logger, dialer } = this.#modules;
    const service = this.#service;
    const modules = {
      logger,
      dialer,
      localAddress: this.#localAddress,
      counters: this.#countersOf(peer.id),
      hello: (id: MemberId) => service.hello(id),
      meet: (id: MemberId, incarnation: string) => service.meet(id, incarnation),
      refused: (id: MemberId, refusal: PeerRefusal | undefined) => service.refused(id, refusal),
    };
    return new PeerLink(modules, peer);
  }

  send(message: Message): void {
    const { to } = message;
    (this.#links.get(to) ?? this.#leaving.get(to))?.send(message);
  }

  /** Since when the peer is connected (`performance.now()`); undefined when it is not. */
  activeSinceMs(peer: MemberId): number | undefined {
    return this.#links.get(peer)?.activeSinceMs;
  }

  /** Resolves when the peer has the state and has stepped the message. */
  async sendSnapshot(message: SnapshotMessage, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const counters = this.#countersOf(message.to);
    const startedMs = performance.now();
    counters.snapshotsInFlight++;
    try {
      await this.#sendSnapshot(message, chunks);
      counters.snapshotSeconds.observe((performance.now() - startedMs) / 1000);
    } catch (error) {
      counters.snapshotFailures++;
      throw error;
    } finally {
      counters.snapshotsInFlight--;
    }
  }

  async #sendSnapshot(message: SnapshotMessage, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const headers = {
      ...helloHeaders(this.#service.hello(message.to)),
      'x-mainstay-message': encodeMessage(message).toString('base64'),
      'content-type': 'application/octet-stream',
    };
    const request = this.#post(message.to, { path: '/mainstay/snapshot', headers });
    const response = responseOf(request);
    // Where the body breaks off, the request's error tells it; nobody else waits for this promise by then.
    response.catch(() => {});
    try {
      for await (const chunk of chunks) {
        this.#countersOf(message.to).sentBytes += chunk.length;
        if (!request.write(chunk)) await drained(request);
      }
    } catch (error) {
      request.destroy();
      throw error;
    }
    request.end();
    const { status, text } = await response;
    if (status !== 204) throw new Error(`the peer answered ${status}: ${text}`);
  }

  /** Measures the round trip to every connected peer. */
  #probe(): void {
    this.#probeTimer = setTimeout(() => this.#probe(), probeIntervalMs).unref();
    for (const [id, link] of this.#links) {
      if (link.activeSinceMs === undefined) continue;
      const startedMs = performance.now();
      const request = this.#request(id, { method: 'GET', path: probePath, headers: {} });
      request.setTimeout(probeIntervalMs, () => request.destroy(new Error('timed out')));
      request.end();
      responseOf(request).then(
        () => {
          const seconds = (performance.now() - startedMs) / 1000;
          this.#countersOf(id).roundTripSeconds.observe(seconds);
        },
        (error: unknown) => {
          const fields = { 'remote-peer-id': hexId(id), error: String(error) };
          this.#modules.logger.debug(fields, 'could not probe a peer');
        },
      );
    }
  }

  /** Asks a peer; an EtcdError of its is thrown here, NotCapable when its release does not know the question. */
  async ask(peer: MemberId, question: PeerQuestion): Promise<unknown> {
    const request = this.#post(peer, { path: '/mainstay/ask', headers: {} });
    const timeoutMs = question.kind === 'hash' ? hashTimeoutMs : questionTimeoutMs;
    request.setTimeout(timeoutMs, () => request.destroy(new Error('timed out')));
    request.end(JSON.stringify(question));
    const { status, text } = await responseOf(request);
    if (status === 400) throw new EtcdError('NotCapable');
    const answer = JSON.parse(text) as { error?: ErrorName };
    if (status === 409 && answer.error !== undefined) throw new EtcdError(answer.error);
    if (status !== 200) throw new Error(`the peer answered ${status}: ${text}`);
    return answer;
  }

  #post(
    peer: MemberId,
    target: { path: string; headers: http.OutgoingHttpHeaders },
  ): http.ClientRequest {
    return this.#request(peer, { method: 'POST', ...target });
  }

  #request(
    peer: MemberId,
    target: { method: 'GET' | 'POST'; path: string; headers: http.OutgoingHttpHeaders },
  ): http.ClientRequest {
    const url = this.#links.get(peer)?.urls[0];
    if (url === undefined) throw new EtcdError('NoLeader');
    const localAddress = this.#localAddress;
    return this.#modules.dialer.request(url, target.path, {
      method: target.method,
      headers: target.headers,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#probeTimer);
    for (const link of [...this.#links.values(), ...this.#leaving.values()]) link.close();
    for (const acceptor of this.#acceptors) acceptor.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#modules.dialer.close();
    await Promise.all(
      this.#servers.map((server) => new Promise((resolve) => server.close(resolve))),
    );
  }
}

export interface PeerTraffic {
  readonly id: MemberId;
  readonly isActive: boolean;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly counters: PeerCounters;
}

function drained(request: http.ClientRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      request.off('drain', settle).off('close', settle);
      if (request.destroyed) reject(new Error('the peer closed the connection'));
      else resolve();
    };
    request.on('drain', settle).on('close', settle);
  });
}

function responseOf(request: http.ClientRequest): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
  });
}
