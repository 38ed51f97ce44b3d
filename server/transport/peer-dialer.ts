import { X509Certificate } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { LookupFunction } from 'node:net';
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls';
import { isSecure } from '../config/tls.ts';
import { parseUrl } from '../config/urls.ts';
import { isFor, refusalOf } from './certificate-check.ts';
import { contextOptions, type TlsCredentials } from './tls-credentials.ts';

/** Less than a peer waits for the next request on a connection. */
const idleMsMax = 5_000;

export interface PeerDialerModules {
  readonly lookup: LookupFunction;
  readonly credentials: TlsCredentials;
}

export type DialOptions = Pick<
  http.RequestOptions,
  'method' | 'headers' | 'timeout' | 'localAddress'
>;

/** Requests to other members, in clear or over TLS as their URLs say. */
export class PeerDialer {
  readonly #modules: PeerDialerModules;
  /** As Node's own, but that no session is resumed: the certificate is looked at for every connection. */
  readonly #agent = new https.Agent({
    keepAlive: true,
    scheduling: 'lifo',
    timeout: idleMsMax,
    maxCachedSessions: 0,
  });

  constructor(modules: PeerDialerModules) {
    this.#modules = modules;
  }

  /** As `http.request`. A peer whose certificate is refused is an error of the request. */
  request(url: string, path: string, options: DialOptions): http.ClientRequest {
    const { scheme, host, port } = parseUrl(url);
    const isUnix = scheme.startsWith('unix');
    const target = {
      ...options,
      path,
      ...(isUnix ? { socketPath: host, host: 'localhost' } : { host, port }),
      lookup: this.#modules.lookup,
    };
    return isSecure(url) ? this.#secured(target) : http.request(target);
  }

  close(): void {
    this.#agent.destroy();
  }

  #secured(target: http.RequestOptions): http.ClientRequest {
    const { credentials } = this.#modules;
    const { config, isSelfSigned, trust } = credentials;
    return https.request({
      ...target,
      ...contextOptions(config, { pair: trust.client, ca: trust.ca }),
      agent: this.#agent,
      rejectUnauthorized: !isSelfSigned,
      checkServerIdentity: (host, certificate) => {
        const refusal =
          refusalByHost(host, certificate) ??
          refusalOf(certificate as DetailedPeerCertificate, config, trust.revoked);
        return refusal === undefined ? undefined : new Error(refusal);
      },
    });
  }
}

/** By the alternative names alone, unlike Node's own check. */
function refusalByHost(host: string, certificate: PeerCertificate): string | undefined {
  if (isFor(new X509Certificate(certificate.raw), host)) return undefined;
  return `x509: certificate is valid for ${certificate.subjectaltname ?? 'no name'}, not ${host}`;
}
