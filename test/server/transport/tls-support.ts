import assert from 'node:assert/strict';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';
import { hostLookup } from '../../../server/base/hosts.ts';
import type { Logger } from '../../../server/base/logger.ts';
import { readCommandLine } from '../../../server/config/config.ts';
import type { TlsConfig } from '../../../server/config/tls.ts';
import { KV, PutRequest } from '../../../server/proto/gen/rpc.ts';
import {
  ClientListener,
  type ClientListenerConfig,
} from '../../../server/transport/client-listener.ts';
import { PeerDialer } from '../../../server/transport/peer-dialer.ts';
import { PeerNetwork, type PeerService } from '../../../server/transport/peer-network.ts';
import { TlsCredentials } from '../../../server/transport/tls-credentials.ts';
import { FakeMember } from '../api/fake-member.ts';

/** A logger that keeps what it is told: `message: error`. */
export class Log implements Logger {
  readonly lines: string[] = [];
  readonly #keep = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const { error } = fields;
    this.lines.push(`${message}: ${error instanceof Error ? error.message : String(error ?? '')}`);
  };
  readonly debug = this.#keep;
  readonly info = this.#keep;
  readonly warn = this.#keep;
  readonly error = this.#keep;
  child(): Logger {
    return this;
  }
}

/** What the flags make of it. */
export function tlsConfigOf(
  side: 'clientTls' | 'peerTls',
  flags: Readonly<Record<string, string>>,
): TlsConfig {
  const read = readCommandLine(
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    {},
  );
  assert(read.kind === 'serve');
  return read.config[side];
}

export function credentialsOf(config: TlsConfig, logger: Logger): TlsCredentials {
  return new TlsCredentials({ logger }, { config, isSelfSigned: false });
}

export interface Listening {
  readonly port: number;
  readonly log: Log;
  stop(): Promise<void>;
}

export async function listenForClients(
  flags: Readonly<Record<string, string>>,
  urls: readonly string[] = ['https://127.0.0.1:0'],
  more: Partial<ClientListenerConfig> = {},
): Promise<Listening & { readonly listener: ClientListener }> {
  const log = new Log();
  const listener = await ClientListener.open(
    {
      port: new FakeMember(),
      logger: log,
      tls: credentialsOf(tlsConfigOf('clientTls', flags), log),
    },
    { listenClientUrls: urls, requestBytesMax: 1_572_864, txnOpsMax: 128, ...more },
  );
  const port = Number(listener.addresses[0]?.split(':').at(-1));
  return { port, log, listener, stop: () => listener.stop() };
}

/** A member's peer port without a member. */
export async function listenForPeers(
  flags: Readonly<Record<string, string>>,
  urls: readonly string[] = ['https://127.0.0.1:0'],
): Promise<Listening> {
  const log = new Log();
  const credentials = credentialsOf(tlsConfigOf('peerTls', flags), log);
  const dialer = new PeerDialer({ lookup: hostLookup(undefined), credentials });
  const service = { membersJson: () => '{}' } as PeerService;
  const network = new PeerNetwork({ service, logger: log, dialer, credentials });
  const [address] = (await network.listen(urls)) as [AddressInfo];
  return { port: address.port, log, stop: () => network.close() };
}

/** What a request on a fresh connection gets: `200`, or why there was no answer. */
export type Ask = (port: number, options: ConnectionOptions) => Promise<string>;

/** A put by gRPC. */
export const askGrpc: Ask = (port, options) =>
  new Promise((resolve) => {
    const socket = connect({ host: 'localhost', port, ALPNProtocols: ['h2'], ...options });
    const session = http2.connect(`https://localhost:${port}`, { createConnection: () => socket });
    const settle = (text: string): void => {
      resolve(text);
      session.destroy();
    };
    // Node's session hears nothing of an alert in TLS 1.3.
    socket.on('error', (error) => settle(error.message));
    socket.on('close', () => settle('closed'));
    session.on('error', (error) => settle(error.message));
    const call = session.request({
      ':method': 'POST',
      ':path': KV.methods.put.path,
      'content-type': 'application/grpc',
    });
    call.on('error', () => undefined);
    call.on('response', (headers) => settle(String(headers[':status'])));
    const message = PutRequest.encode(PutRequest.create({ key: Buffer.from('k') }));
    call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  });

function askHttp(path: string): Ask {
  return (port, options) =>
    new Promise((resolve) => {
      const request = https.get(
        { host: 'localhost', port, path, agent: false, ...options },
        (response) => {
          response.resume();
          resolve(String(response.statusCode));
        },
      );
      request.on('error', (error) => resolve(error.message));
    });
}

/** A probe by HTTP/1.1. */
export const askProbe: Ask = askHttp('/version');

/** One that is answered on a port for metrics, too. */
export const askHealth: Ask = askHttp('/health');

/** What a member that joins asks. */
export const askPeer: Ask = askHttp('/members');
