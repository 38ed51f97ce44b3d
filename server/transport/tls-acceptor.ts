import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from '../base/logger.ts';
import { handshakeMsMax, handshakesPendingMax } from '../config/limits.ts';
import { type Names, refusalByAddress, refusalOf, systemNames } from './certificate-check.ts';
import { contextOptions, type TlsCredentials, type Trust } from './tls-credentials.ts';

export interface TlsAcceptorModules {
  readonly credentials: TlsCredentials;
  readonly logger: Logger;
  /** Takes a connection whose handshake is done and whose certificate is good. It listens for its errors from then on. */
  readonly secured: (socket: TLSSocket) => void;
  /** The system's by default. */
  readonly names?: Names;
}

/**
 * The TLS of a listener: connections go in, those that pass come out. Every listener has it, so that every listener
 * checks the same: the chain, the revocation list, the allowed names, and of peers the address. A handshake has a
 * deadline, there is a number of them that may go on at once, and none holds up another.
 */
export class TlsAcceptor {
  readonly #modules: TlsAcceptorModules;
  readonly #side: 'client' | 'peer';
  readonly #server: Server;
  readonly #pending = new Map<Socket, NodeJS.Timeout>();
  readonly #dropped = new WeakSet<Socket>();
  #trust: Trust;

  constructor(modules: TlsAcceptorModules, side: 'client' | 'peer') {
    const { credentials } = modules;
    this.#modules = modules;
    this.#side = side;
    this.#trust = credentials.trust;
    const asks = credentials.asksForCertificates;
    this.#server = createServer({
      ...this.#context(),
      requestCert: asks,
      rejectUnauthorized: asks,
      ALPNProtocols: side === 'client' ? ['h2', 'http/1.1'] : ['http/1.1'],
    });
    this.#server.on('secureConnection', (socket) => {
      this.#shakenHands(socket);
    });
    this.#server.on('tlsClientError', (error, socket) => {
      // One that was dropped here is told of already.
      if (this.#dropped.has(carrierOf(socket))) return;
      // Nothing was said: a probe that asks whether somebody listens.
      if (carrierOf(socket).bytesRead === 0) return;
      const { reason = error.message } = error as Error & { readonly reason?: string };
      this.#refuse(socket, String(socket.authorizationError ?? reason));
    });
  }

  /** Takes over a connection on which nothing was read, or what was read is unshifted. */
  accept(socket: Socket): void {
    socket.on('error', () => {});
    if (this.#pending.size >= handshakesPendingMax) this.#dropOldest();
    const late = setTimeout(() => {
      this.#drop(socket, 'TLS handshake timed out');
    }, handshakeMsMax);
    this.#pending.set(socket, late);
    socket.once('close', () => {
      this.#settled(socket);
    });
    this.#refresh();
    this.#server.emit('connection', socket);
  }

  /** Drops the connections whose handshake goes on. */
  close(): void {
    for (const socket of this.#pending.keys()) {
      this.#dropped.add(socket);
      socket.destroy();
    }
  }

  /** The newest may be an honest client; the oldest has had its time. */
  #dropOldest(): void {
    const [oldest] = this.#pending.keys();
    if (oldest !== undefined) this.#drop(oldest, 'too many TLS handshakes at once');
  }

  #drop(socket: Socket, reason: string): void {
    this.#settled(socket);
    this.#dropped.add(socket);
    this.#refuse(socket, reason);
  }

  #settled(socket: Socket): void {
    clearTimeout(this.#pending.get(socket));
    this.#pending.delete(socket);
  }

  #refresh(): void {
    const { trust } = this.#modules.credentials;
    if (trust === this.#trust) return;
    this.#trust = trust;
    this.#server.setSecureContext(this.#context());
  }

  #context() {
    const { server: pair, ca } = this.#trust;
    return {
      ...contextOptions(this.#modules.credentials.config, { pair, ca }),
      honorCipherOrder: true,
      // A session that is resumed shows no certificate again: it could outlive its revocation.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  #shakenHands(socket: TLSSocket): void {
    socket.on('error', () => {
      socket.destroy();
    });
    const { credentials, names = systemNames } = this.#modules;
    const { config, trust } = credentials;
    const refusal = refusalOf(socket.getPeerCertificate(true), config, trust.revoked);
    if (refusal !== undefined) this.#refuse(socket, refusal);
    else if (config.skipsClientSanCheck) this.#accepted(socket);
    else {
      refusalByAddress(socket, names).then(
        (refused) => {
          if (refused !== undefined) this.#refuse(socket, refused);
          else this.#accepted(socket);
        },
        (error: unknown) => {
          this.#refuse(socket, String(error));
        },
      );
    }
  }

  #accepted(socket: TLSSocket): void {
    this.#settled(carrierOf(socket));
    if (!socket.destroyed) this.#modules.secured(socket);
  }

  /** In etcd's words. */
  #refuse(socket: Socket, error: string): void {
    const { remoteAddress, remotePort } = socket;
    const fields = { 'remote-addr': `${remoteAddress}:${remotePort}`, error };
    this.#modules.logger.warn(fields, `rejected connection on ${this.#side} endpoint`);
    socket.destroy();
  }
}

/** The connection under a TLS socket. Node keeps it there, but tells it nowhere else. */
function carrierOf(socket: TLSSocket): Socket {
  return (socket as TLSSocket & { readonly _parent: Socket })._parent;
}
