import { createServer, type Server, type Socket } from 'node:net';
import type { Authenticator } from '../api/authenticator.ts';
import type { MemberPort } from '../api/member-port.ts';
import { servicesOf } from '../api/services.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { connectionsMax, drainMsMax, grpcOverheadBytes, headersMsMax } from '../config/limits.ts';
import type { MaintenanceConfig } from '../config/maintenance.ts';
import { isSecure } from '../config/tls.ts';
import { listenAddress } from '../config/urls.ts';
import { GrpcServer } from './grpc.ts';
import { HttpServer } from './http.ts';
import { listening } from './listening.ts';
import { TlsAcceptor } from './tls-acceptor.ts';
import type { TlsCredentials } from './tls-credentials.ts';

/** An address that cannot be bound: in use, not ours, not allowed. */
export class ListenError extends Error {
  override name = 'ListenError';
  /** As errors of the system have it. */
  readonly syscall = 'listen';
}

/** A client's HTTP/2 connection begins so; no HTTP/1.1 request does. */
const prefaceStart = Buffer.from('PRI ');

export type ClientListenerConfig = Pick<
  Config,
  'listenClientUrls' | 'requestBytesMax' | 'txnOpsMax'
> & { readonly maintenance?: Pick<MaintenanceConfig, 'watchProgressNotifyMs' | 'keepalive'> };
/** A TLS handshake begins so; neither HTTP/2 nor HTTP/1.1 does. */
const handshakeStart = 0x16;

export interface ClientListenerModules {
  readonly port: MemberPort;
  readonly authenticator?: Authenticator;
  readonly logger: Logger;
  /** For URLs of https and unixs. */
  readonly tls?: TlsCredentials;
}

/** Every port for clients: gRPC and HTTP/1.1 on each, told apart by the first bytes, in clear or over TLS. */
export class ClientListener {
  readonly #logger: Logger;
  readonly #grpc: GrpcServer;
  readonly #http: HttpServer;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #credentials: TlsCredentials | undefined;
  readonly #acceptors: TlsAcceptor[] = [];

  private constructor(modules: ClientListenerModules, config: ClientListenerConfig) {
    const messageBytesMax = config.requestBytesMax + grpcOverheadBytes;
    const { txnOpsMax, requestBytesMax, maintenance } = config;
    const services = servicesOf(
      modules.port,
      { txnOpsMax, messageBytesMax, requestBytesMax, ...maintenance },
      modules.authenticator,
    );
    const { logger, tls: credentials } = modules;
    this.#logger = logger;
    this.#credentials = credentials;
    this.#http = new HttpServer(modules);
    const http = this.#http;
    this.#grpc = new GrpcServer({ services, logger, http }, { messageBytesMax, ...maintenance });
  }

  /** Resolves once every URL is bound; rejects, with none bound, when one cannot be. */
  static async open(
    modules: ClientListenerModules,
    config: ClientListenerConfig,
  ): Promise<ClientListener> {
    const listener = new ClientListener(modules, config);
    try {
      for (const urls of sameAddress(config.listenClientUrls)) await listener.#listen(urls);
    } catch (error) {
      for (const server of listener.#servers) server.close();
      throw error;
    }
    return listener;
  }

  /** Where it listens, `host:port` each; tells the port that was picked for 0. */
  get addresses(): string[] {
    return this.#servers.map((server) => {
      const address = server.address();
      if (address === null || typeof address === 'string') return String(address);
      const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      return `${host}:${address.port}`;
    });
  }

  /** Refuses new connections and calls, lets those under way end, then closes everything. */
  async stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const acceptor of this.#acceptors) acceptor.close();
    this.#http.stop();
    await this.#grpc.stop(drainMsMax);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** URLs of one address, which may differ in their scheme. */
  async #listen(urls: readonly [string, ...string[]]): Promise<void> {
    const [url] = urls;
    const server = createServer(this.#receiver(urls));
    server.maxConnections = connectionsMax;
    try {
      await listening(server, listenAddress(url));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ListenError(`cannot listen for clients on ${url}: ${reason}`, { cause: error });
    }
    this.#servers.push(server);
    server.on('error', (error) => {
      this.#logger.error({ url, error }, 'accepting clients failed');
    });
  }

  /** What becomes of a new connection. */
  #receiver(urls: readonly string[]): (socket: Socket) => void {
    const plain = this.#accept.bind(this);
    if (!urls.some(isSecure)) return plain;
    const secured = this.#securedBefore(plain);
    if (urls.every(isSecure)) return secured;
    return (socket) => {
      this.#either(socket, { plain, secured });
    };
  }

  /** A receiver of connections that are handed on after their handshake. */
  #securedBefore(secured: (socket: Socket) => void): Receiver {
    const [credentials, logger] = [this.#credentials, this.#logger];
    if (credentials === undefined) throw new ListenError('no certificate to listen with');
    const acceptor = new TlsAcceptor({ credentials, logger, secured }, 'client');
    this.#acceptors.push(acceptor);
    return (socket) => {
      acceptor.accept(socket);
    };
  }

  /** One address for both: the first byte tells. */
  #either(socket: Socket, { plain, secured }: Record<'plain' | 'secured', Receiver>): void {
    const drop = (): void => {
      socket.destroy();
    };
    const patience = setTimeout(drop, headersMsMax);
    socket.on('error', drop);
    socket.once('close', () => {
      clearTimeout(patience);
    });
    socket.once('readable', () => {
      clearTimeout(patience);
      const seen = socket.read() as Buffer | null;
      if (seen === null) return drop();
      socket.unshift(seen);
      if (seen[0] === handshakeStart) secured(socket);
      else plain(socket);
    });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    const drop = () => {
      socket.destroy();
    };
    socket.on('error', drop);
    socket.on('close', () => {
      this.#sockets.delete(socket);
    });
    const patience = setTimeout(drop, headersMsMax);
    sniff(socket, (isHttp2) => {
      clearTimeout(patience);
      if (isHttp2) this.#grpc.accept(socket);
      else this.#http.accept(socket);
    });
    socket.once('close', () => {
      clearTimeout(patience);
    });
  }
}

type Receiver = (socket: Socket) => void;

function sameAddress(urls: readonly string[]): (readonly [string, ...string[]])[] {
  const byAddress = new Map<string, [string, ...string[]]>();
  for (const url of urls) {
    const address = JSON.stringify(listenAddress(url));
    const known = byAddress.get(address);
    // Port 0 is another port each time.
    if (known === undefined || url.endsWith(':0')) byAddress.set(known ? url : address, [url]);
    else known.push(url);
  }
  return [...byAddress.values()];
}

/** Reads until it is clear what the client speaks, and puts back what was read. */
function sniff(socket: Socket, found: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const readable = () => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    seen = Buffer.concat([seen, chunk]);
    const compared = Math.min(seen.length, prefaceStart.length);
    const isLike = seen.compare(prefaceStart, 0, compared, 0, compared) === 0;
    if (isLike && seen.length < prefaceStart.length) return;
    socket.off('readable', readable);
    socket.unshift(seen);
    found(isLike);
  };
  socket.on('readable', readable);
}
