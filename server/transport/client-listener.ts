import { createServer, type Server, type Socket } from 'node:net';
import type { Authenticator } from '../api/authenticator.ts';
import type { Call } from '../api/call.ts';
import { Gateway } from '../api/gateway.ts';
import type { MemberPort } from '../api/member-port.ts';
import type { ProbeCounters } from '../api/probe-counters.ts';
import type { RpcCounters } from '../api/rpc-counters.ts';
import { type Fairness, Services, servicesOf } from '../api/services.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { connectionsMax, drainMsMax, grpcOverheadBytes, headersMsMax } from '../config/limits.ts';
import type { MaintenanceConfig } from '../config/maintenance.ts';
import { isSecure } from '../config/tls.ts';
import { listenAddress } from '../config/urls.ts';
import { isOverTls } from './certificate-check.ts';
import { ConsoleFiles } from './console-files.ts';
import { GatewayServer } from './gateway.ts';
import { GrpcServer } from './grpc.ts';
import { HttpServer } from './http.ts';
import { AccessControl } from './http-access.ts';
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
> &
  Partial<
    Pick<
      Config,
      | 'listenClientHttpUrls'
      | 'listenMetricsUrls'
      | 'hasGateway'
      | 'hasConsole'
      | 'corsOrigins'
      | 'hostWhitelist'
      | 'concurrentStreamsMax'
      | 'clientTls'
    >
  > & { readonly maintenance?: Pick<MaintenanceConfig, 'watchProgressNotifyMs' | 'keepalive'> };

/** A TLS handshake begins so; neither HTTP/2 nor HTTP/1.1 does. */
const handshakeStart = 0x16;

export interface ClientListenerModules {
  readonly port: MemberPort;
  readonly authenticator?: Authenticator;
  readonly logger: Logger;
  /** For URLs of https and unixs. */
  readonly tls?: TlsCredentials | undefined;
  readonly metrics?: ClientMetrics;
  readonly fairness?: Fairness;
  /** Writes calls down. */
  readonly audit?: ((call: Call) => Call) | undefined;
}

/** Without it nothing is counted, and there is no `/metrics`. */
export interface ClientMetrics {
  /** The text of `/metrics`. */
  scrape(): string;
  readonly rpc: RpcCounters;
  readonly probes: ProbeCounters;
}

/** What a port serves. By default the client URLs serve `all`; with HTTP URLs of their own they serve `grpc`. */
type Traffic = 'all' | 'grpc' | 'http' | 'metrics';

/** Every port for clients: gRPC and HTTP/1.1 on each, told apart by the first bytes, in clear or over TLS. */
export class ClientListener {
  readonly #logger: Logger;
  readonly #grpc: GrpcServer;
  readonly #gateway: GatewayServer;
  readonly #http: HttpServer;
  readonly #metrics: HttpServer;
  /** HTTP over HTTP/2, and no gRPC, on ports that serve HTTP alone. */
  readonly #http2: Readonly<Record<'http' | 'metrics', GrpcServer>>;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #grpcSockets = new Set<Socket>();
  /** Bytes of the gRPC connections that are closed. */
  readonly #closedBytes: ClientBytes = { received: 0, sent: 0 };
  readonly #credentials: TlsCredentials | undefined;
  readonly #acceptors: TlsAcceptor[] = [];

  private constructor(modules: ClientListenerModules, config: ClientListenerConfig) {
    const messageBytesMax = config.requestBytesMax + grpcOverheadBytes;
    const { txnOpsMax, requestBytesMax, concurrentStreamsMax, maintenance } = config;
    const counters = modules.metrics?.rpc;
    const services = servicesOf(
      modules.port,
      {
        txnOpsMax,
        messageBytesMax,
        requestBytesMax,
        counters,
        ...modules.fairness,
        audit: modules.audit,
        ...maintenance,
      },
      modules.authenticator,
    );
    const { port, logger, tls: credentials } = modules;
    this.#logger = logger;
    this.#credentials = credentials;
    this.#gateway = new GatewayServer(
      { gateway: new Gateway(services), logger },
      { messageBytesMax, concurrentCallsMax: concurrentStreamsMax ?? connectionsMax },
    );
    const scrape = modules.metrics?.scrape.bind(modules.metrics);
    const gateway = config.hasGateway === false ? undefined : this.#gateway;
    const { corsOrigins = [], hostWhitelist = [] } = config;
    const access = new AccessControl({ corsOrigins, hostWhitelist });
    const probes = modules.metrics?.probes;
    const knowsByCertificate = (): boolean =>
      config.clientTls?.isClientCertRequired === true && port.auth.isEnabled;
    const web = { port, logger, scrape, probes };
    const consoleFiles = config.hasConsole === true ? new ConsoleFiles() : undefined;
    this.#http = new HttpServer({ ...web, gateway, consoleFiles, access, knowsByCertificate });
    this.#metrics = new HttpServer(web, { isForMetrics: true });
    const options = { messageBytesMax, concurrentStreamsMax, ...maintenance };
    const isSplit = (config.listenClientHttpUrls ?? []).length > 0;
    const beside = isSplit ? {} : { http: this.#http };
    this.#grpc = new GrpcServer({ services, logger, ...beside }, options);
    const none = new Services([]);
    this.#http2 = {
      http: new GrpcServer({ services: none, logger, http: this.#http }, options),
      metrics: new GrpcServer({ services: none, logger, http: this.#metrics }, options),
    };
  }

  /** Resolves once every URL is bound; rejects, with none bound, when one cannot be. */
  static async open(
    modules: ClientListenerModules,
    config: ClientListenerConfig,
  ): Promise<ClientListener> {
    const listener = new ClientListener(modules, config);
    const { listenClientHttpUrls = [], listenMetricsUrls = [] } = config;
    const isSplit = listenClientHttpUrls.length > 0;
    try {
      for (const urls of sameAddress(config.listenClientUrls)) {
        await listener.#listen(urls, isSplit ? 'grpc' : 'all');
      }
      for (const urls of sameAddress(listenClientHttpUrls)) await listener.#listen(urls, 'http');
      for (const urls of sameAddress(listenMetricsUrls)) await listener.#listen(urls, 'metrics');
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

  /** What has gone over the gRPC connections, as the system counts it. */
  get bytes(): ClientBytes {
    const bytes = { ...this.#closedBytes };
    for (const socket of this.#grpcSockets) addBytes(bytes, socket);
    return bytes;
  }

  /**
   * Refuses new connections, lets the calls under way end, then closes everything. `calls`: what becomes of those that
   * clients begin before they have heard of it. Refused, they are surely not begun, and gRPC makes them elsewhere.
   */
  async stop({ calls = 'serve' }: { readonly calls?: 'serve' | 'refuse' } = {}): Promise<void> {
    if (calls === 'refuse') this.#grpc.refuseCalls();
    for (const server of this.#servers) server.close();
    for (const acceptor of this.#acceptors) acceptor.close();
    this.#http.stop();
    this.#metrics.stop();
    const { http, metrics } = this.#http2;
    await Promise.all(
      [this.#grpc, http, metrics, this.#gateway].map((server) => server.stop(drainMsMax)),
    );
    for (const socket of this.#sockets) socket.destroy();
  }

  /** URLs of one address, which may differ in their scheme. */
  async #listen(urls: readonly [string, ...string[]], traffic: Traffic): Promise<void> {
    const [url] = urls;
    const server = createServer(this.#receiver(urls, traffic));
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
  #receiver(urls: readonly string[], traffic: Traffic): (socket: Socket) => void {
    const plain = (socket: Socket): void => {
      this.#accept(socket, traffic);
    };
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

  #accept(socket: Socket, traffic: Traffic): void {
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
      this.#serve(socket, isHttp2, traffic);
    });
    socket.once('close', () => {
      clearTimeout(patience);
    });
  }

  #serve(socket: Socket, isHttp2: boolean, traffic: Traffic): void {
    if (isHttp2) this.#serveHttp2(socket, traffic);
    else if (traffic === 'grpc') socket.destroy();
    else if (traffic === 'metrics') this.#metrics.accept(socket);
    else this.#http.accept(socket);
  }

  #serveHttp2(socket: Socket, traffic: Traffic): void {
    if (traffic === 'http' || traffic === 'metrics') {
      // In clear nobody who wants HTTP begins so.
      if (isOverTls(socket)) this.#http2[traffic].accept(socket);
      else socket.destroy();
      return;
    }
    this.#grpcSockets.add(socket);
    socket.once('close', () => {
      this.#grpcSockets.delete(socket);
      addBytes(this.#closedBytes, socket);
    });
    this.#grpc.accept(socket);
  }
}

interface ClientBytes {
  received: number;
  sent: number;
}

function addBytes(bytes: ClientBytes, socket: Socket): void {
  bytes.received += socket.bytesRead;
  bytes.sent += socket.bytesWritten;
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
