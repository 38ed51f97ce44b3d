import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { asBuffer } from '../base/bytes.ts';
import type { Logger } from '../base/logger.ts';
import type { TlsConfig } from '../config/tls.ts';
import { pemBlocks } from './pem.ts';
import { type RevokedSerials, revokedSerials } from './revocation-list.ts';
import { WatchedFiles } from './watched-files.ts';

/** Files of certificates that cannot be used, when the member starts. */
export class TlsError extends Error {
  override name = 'TlsError';
  /** As errors of the system have it. */
  readonly syscall = 'read';
}

export interface KeyPair {
  /** PEM; the first certificate is the own one, the others lead from it to the one that is trusted. */
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Whom to believe, and what to show. Replaced as a whole when one of its files changes. */
export interface Trust {
  /** Of the listener; undefined when there is none. */
  readonly server: KeyPair | undefined;
  /** Of connections to others. */
  readonly client: KeyPair | undefined;
  /** Undefined: the public ones. */
  readonly ca: Buffer | undefined;
  readonly revoked: RevokedSerials;
}

/** What can be told of certificates in use. */
export interface LoadedCertificates {
  /** Of the listener; the serial in lower-case hexadecimal. */
  readonly own:
    | {
        readonly serial: string;
        /** Unix time. */
        readonly expirySeconds: number;
        /** From its beginning to its end. */
        readonly lifetimeSeconds: number;
      }
    | undefined;
  /** Of the file with those that are trusted. */
  readonly trustSha256: string | undefined;
}

const none: RevokedSerials = new Set();

/** The certificates, keys and lists that the flags name, as the files are now. */
export class TlsCredentials {
  readonly config: TlsConfig;
  /** Whether certificates of others are taken as they are, because each member has made its own. */
  readonly isSelfSigned: boolean;
  readonly #server: WatchedFiles<KeyPair> | undefined;
  readonly #client: WatchedFiles<KeyPair> | undefined;
  readonly #ca: WatchedFiles<Buffer> | undefined;
  readonly #revoked: WatchedFiles<RevokedSerials> | undefined;
  #trust: Trust;
  #loaded: { readonly of: Trust; readonly what: LoadedCertificates } | undefined;

  /** Throws {@link TlsError} when a file is missing or broken. */
  constructor(
    modules: { logger: Logger },
    { config, isSelfSigned }: { config: TlsConfig; isSelfSigned: boolean },
  ) {
    const { logger } = modules;
    this.config = config;
    this.isSelfSigned = isSelfSigned;
    const { certFile, keyFile, clientCertFile, clientKeyFile, trustedCaFile, crlFile } = config;
    this.#server = watched([certFile, keyFile], keyPair, logger);
    this.#client = watched([clientCertFile, clientKeyFile], keyPair, logger);
    this.#ca = watched([trustedCaFile], authorities, logger);
    this.#revoked = watched([crlFile], ([list]) => revokedSerials(list ?? Buffer.of()), logger);
    this.#trust = this.#read();
  }

  /** The same object as long as no file has changed. */
  get trust(): Trust {
    const trust = this.#read();
    const { server, client, ca, revoked } = this.#trust;
    const isSame =
      trust.server === server &&
      trust.client === client &&
      trust.ca === ca &&
      trust.revoked === revoked;
    if (!isSame) this.#trust = trust;
    return this.#trust;
  }

  /** As {@link trust} is now. */
  get loaded(): LoadedCertificates {
    const { trust } = this;
    if (this.#loaded?.of !== trust) this.#loaded = { of: trust, what: loadedOf(trust) };
    return this.#loaded.what;
  }

  /** Whether those who connect have to show a certificate. */
  get asksForCertificates(): boolean {
    return this.config.isClientCertRequired || this.config.trustedCaFile !== '';
  }

  #read(): Trust {
    const server = this.#server?.current;
    return {
      server,
      client: this.#client?.current ?? server,
      ca: this.#ca?.current,
      revoked: this.#revoked?.current ?? none,
    };
  }
}

function loadedOf({ server, ca }: Trust): LoadedCertificates {
  const own = server && certificates(server.cert)[0];
  return {
    own: own && ownOf(own),
    trustSha256: ca && createHash('sha256').update(ca).digest('hex'),
  };
}

function ownOf({ serialNumber, validFrom, validTo }: X509Certificate): LoadedCertificates['own'] {
  const [beginMs, endMs] = [Date.parse(validFrom), Date.parse(validTo)];
  return {
    serial: serialNumber.toLowerCase(),
    expirySeconds: endMs / 1_000,
    lifetimeSeconds: (endMs - beginMs) / 1_000,
  };
}

/** What both ends of a connection set alike. */
export function contextOptions(
  { ciphers, minVersion, maxVersion }: TlsConfig,
  { pair, ca }: { pair: KeyPair | undefined; ca: Buffer | undefined },
): SecureContextOptions {
  return { ...pair, ...(ca === undefined ? {} : { ca }), ciphers, minVersion, maxVersion };
}

/** Nothing when no file is named. */
function watched<T>(
  paths: readonly string[],
  make: (contents: readonly Buffer[]) => T,
  logger: Logger,
): WatchedFiles<T> | undefined {
  if (paths.includes('')) return undefined;
  const fields = { files: paths };
  try {
    return new WatchedFiles(
      { paths, make },
      {
        loaded: () => logger.info(fields, 'certificates were replaced: new connections use them'),
        broken: (error) =>
          logger.error(
            { ...fields, error },
            'certificates cannot be used: new connections use those from before',
          ),
      },
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TlsError(`cannot use ${paths.join(' with ')}: ${reason}`, { cause: error });
  }
}

/** A certificate and a key that do not belong together are two halves of a replacement. */
function keyPair([cert = Buffer.of(), key = Buffer.of()]: readonly Buffer[]): KeyPair {
  const [own] = certificates(cert);
  if (own?.checkPrivateKey(createPrivateKey(key)) !== true) {
    throw new Error('the key is not that of the certificate');
  }
  createSecureContext({ cert, key });
  return { cert, key };
}

function authorities([ca = Buffer.of()]: readonly Buffer[]): Buffer {
  certificates(ca);
  return ca;
}

/** Throws an Error unless all of them are whole. */
function certificates(pem: Buffer): X509Certificate[] {
  const blocks = pemBlocks(asBuffer(pem).toString('latin1'), 'CERTIFICATE');
  return blocks.map((block) => new X509Certificate(block));
}
