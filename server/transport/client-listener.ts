import { createServer, type Server, type Socket } from 'node:net';
import type { Authenticator } from '../api/authenticator.ts';
import type { MemberPort } from '../api/member-port.ts';
import { servicesOf } from '../api/services.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { connectionsMax, drainMsMax, grpcOverheadBytes, headersMsMax } from '../config/limits.ts';
import type { MaintenanceConfig } from '../config/maintenance.ts';
import { listenAddress } from '../config/urls.ts';
import { GrpcServer } from './grpc.ts';
import { HttpServer } from './http.ts';

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

export interface ClientListenerModules {
  readonly port: MemberPort;
  readonly authenticator?: Authenticator;
  readonly logger: Logger;
}

/** Every port for clients: gRPC and HTTP/1.1 on each, told apart by the first bytes. */
export class ClientListener {
  readonly #logger: Logger;
  readonly #grpc: GrpcServer;
  readonly #http: HttpServer;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(modules: ClientListenerModules, config: ClientListenerConfig) {
    const messageBytesMax = config.requestBytesMax + grpcOverheadBytes;
    const { txnOpsMax, requestBytesMax, maintenance } = config;
    const services = servicesOf(
      modules.port,
      { txnOpsMax, messageBytesMax, requestBytesMax, ...maintenance },
      modules.authenticator,
    );
    const { logger } = modules;
    this.#logger = logger;
    this.#grpc = new GrpcServer({ services, logger }, { messageBytesMax, ...maintenance });
    this.#http = new HttpServer(modules);
  }

  /** Resolves once every URL is bound; rejects, with none bound, when one cannot be. */
  static async open(
    modules: ClientListenerModules,
    config: ClientListenerConfig,
  ): Promise<ClientListener> {
    const listener = new ClientListener(modules, config);
    try {
      for (const url of config.listenClientUrls) await listener.#listen(url);
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
    this.#http.stop();
    await this.#grpc.stop(drainMsMax);
    for (const socket of this.#sockets) socket.destroy();
  }

  #listen(url: string): Promise<void> {
    const server = createServer((socket) => {
      this.#accept(socket);
    });
    server.maxConnections = connectionsMax;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        reject(
          new ListenError(`cannot listen for clients on ${url}: ${error.message}`, {
            cause: error,
          }),
        );
      });
      server.listen(listenAddress(url), () => {
        this.#servers.push(server);
        server.removeAllListeners('error').on('error', (error) => {
          this.#logger.error({ url, error }, 'accepting clients failed');
        });
        resolve();
      });
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
