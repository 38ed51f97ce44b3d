import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as x509 from '@peculiar/x509';

// Certificates for tests, made when they run: nothing here expires in a year.

x509.cryptoProvider.set(webcrypto);

/** A second reader of certificates; it must be loaded from here. */
export { x509 };

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const hourMs = 3_600_000;

/** Both as PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  /** Hexadecimal. */
  readonly serial: string;
}

export interface Subject {
  readonly commonName?: string;
  /** `127.0.0.1`, `::1` and `localhost` by default. */
  readonly hosts?: readonly string[];
  /** Hours from now. */
  readonly validFrom?: number;
  readonly validTo?: number;
  readonly serial?: string;
  readonly usages?: readonly ('server' | 'client')[];
}

let serials = 0x1000;

/** Someone who signs. */
export class Authority {
  /** Its own certificate, PEM. */
  readonly cert: string;
  readonly serial: string;
  readonly #name: string;
  readonly #keys: webcrypto.CryptoKeyPair;

  /** One that is trusted for itself. */
  static async create(name: string): Promise<Authority> {
    const keys = await keyPair();
    return new Authority(
      name,
      keys,
      await authorityCertificate({ name, keys, signer: { name, keys } }),
    );
  }

  private constructor(
    name: string,
    keys: webcrypto.CryptoKeyPair,
    made: { cert: string; serial: string },
  ) {
    this.#name = name;
    this.#keys = keys;
    this.cert = made.cert;
    this.serial = made.serial;
  }

  /** One whose certificate this one signs. */
  async subordinate(name: string): Promise<Authority> {
    const keys = await keyPair();
    const signer = { name: this.#name, keys: this.#keys };
    return new Authority(name, keys, await authorityCertificate({ name, keys, signer }));
  }

  async issue(subject: Subject = {}): Promise<Pair> {
    const { commonName, hosts = ['127.0.0.1', '::1', 'localhost'], usages } = subject;
    const serial = subject.serial ?? (serials++).toString(16);
    const keys = await keyPair();
    const names = hosts.map((value) => ({
      type: /^[\d.]+$|:/.test(value) ? ('ip' as const) : ('dns' as const),
      value,
    }));
    const made = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      issuer: `CN=${this.#name}`,
      subject: commonName === undefined ? 'O=test' : `CN=${commonName}`,
      ...validity(subject),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(
          (usages ?? ['server', 'client']).map((usage) => x509.ExtendedKeyUsage[`${usage}Auth`]),
        ),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ],
    });
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return {
      cert: `${made.toString('pem')}\n`,
      key: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`,
      serial,
    };
  }

  /** A revocation list, DER. */
  async revoke(revoked: readonly string[]): Promise<Buffer> {
    const list = await x509.X509CrlGenerator.create({
      issuer: `CN=${this.#name}`,
      thisUpdate: new Date(),
      nextUpdate: new Date(Date.now() + hourMs),
      entries: revoked.map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
    });
    return Buffer.from(list.rawData);
  }
}

interface Named {
  readonly name: string;
  readonly keys: webcrypto.CryptoKeyPair;
}

async function authorityCertificate({ name, keys, signer }: Named & { signer: Named }) {
  const serial = (serials++).toString(16);
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: `CN=${name}`,
    issuer: `CN=${signer.name}`,
    ...validity({}),
    publicKey: keys.publicKey,
    signingKey: signer.keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
    ],
  });
  return { cert: `${made.toString('pem')}\n`, serial };
}

function keyPair(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function validity({ validFrom = -1, validTo = 24 }: Subject): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return {
    notBefore: new Date(now + validFrom * hourMs),
    notAfter: new Date(now + validTo * hourMs),
  };
}

/** A directory of files that goes away with the test process's end, or before. */
export class Files {
  readonly directory = mkdtempSync(join(tmpdir(), 'mainstay-test-files-'));

  /** Replaced whole, as those who issue certificates do it. Returns the path. */
  write(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, content);
    renameSync(`${path}.new`, path);
    return path;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** `NAME.pem` and `NAME-key.pem`. */
  writePair(name: string, { cert, key }: Pair): { certFile: string; keyFile: string } {
    return {
      certFile: this.write(`${name}.pem`, cert),
      keyFile: this.write(`${name}-key.pem`, key),
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Flags of a member for its two listeners: one certificate on both, and those of `authority` needed on both. */
export function tlsFlags(
  { certFile, keyFile }: { certFile: string; keyFile: string },
  caFile: string,
): string[] {
  return ['', 'peer-'].flatMap((side) => [
    `--${side}cert-file=${certFile}`,
    `--${side}key-file=${keyFile}`,
    `--${side}trusted-ca-file=${caFile}`,
    `--${side}client-cert-auth=true`,
  ]);
}
