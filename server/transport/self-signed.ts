import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import type { Logger } from '../base/logger.ts';
import type { TlsConfig } from '../config/tls.ts';
import { parseUrl } from '../config/urls.ts';
import { der, derObjectId, derTag, derTime } from './der.ts';
import { pemOf } from './pem.ts';

const yearMs = 365 * 24 * 60 * 60 * 1_000;

/** What a certificate signed by itself says. */
export interface SelfSignedClaims {
  /** Host names and IP addresses. */
  readonly hosts: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * The config with a certificate of the directory in it, which is made when it is not there, for the hosts of the listen
 * URLs: `--auto-tls`. It keeps its key over restarts, so that what pinned it goes on working.
 */
export function withSelfSigned(
  modules: { logger: Logger },
  config: TlsConfig,
  { directory, listenUrls }: { directory: string; listenUrls: readonly string[] },
): TlsConfig {
  const certFile = resolve(join(directory, 'cert.pem'));
  const keyFile = resolve(join(directory, 'key.pem'));
  if (!existsSync(certFile) || !existsSync(keyFile)) {
    const notBefore = new Date();
    const notAfter = new Date(notBefore.getTime() + config.selfSignedYears * yearMs);
    const fields = { 'certificate-validity-bound-not-after': notAfter.toISOString() };
    modules.logger.warn(fields, 'automatically generate certificates');
    const hosts = listenUrls.map((url) => parseUrl(url).host).filter((host) => host !== '');
    const made = selfSigned({ hosts: [...new Set(hosts)], notBefore, notAfter });
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    write(keyFile, made.key);
    write(certFile, made.cert);
    modules.logger.info({ path: certFile }, 'created cert file');
  }
  return { ...config, certFile, keyFile, clientCertFile: certFile, clientKeyFile: keyFile };
}

/** Whole or not at all, and for nobody else to read. */
function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

const oid = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  organization: '2.5.4.10',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
};

/** A key on P-256 and a certificate for it (RFC 5280), both as PEM. */
export function selfSigned(claims: SelfSignedClaims): { cert: string; key: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(derObjectId(oid.ecdsaWithSha256));
  const signed = tbsCertificate(claims, privateKey, algorithm);
  const signature = bitString(sign('sha256', signed, privateKey));
  return {
    cert: pemOf('CERTIFICATE', sequence(signed, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function tbsCertificate(
  { hosts, notBefore, notAfter }: SelfSignedClaims,
  privateKey: KeyObject,
  algorithm: Uint8Array,
): Uint8Array {
  const version3 = der(0xa0, integer(Buffer.of(2)));
  // Positive, and 128 bits long.
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const organization = der(derTag.utf8String, Buffer.from('mainstay'));
  const name = sequence(der(derTag.set, sequence(derObjectId(oid.organization), organization)));
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return sequence(
    version3,
    integer(serial),
    algorithm,
    name,
    sequence(derTime(notBefore), derTime(notAfter)),
    name,
    publicKey,
    der(0xa3, sequence(...extensions(hosts))),
  );
}

function extensions(hosts: readonly string[]): Uint8Array[] {
  const isAuthority = der(derTag.boolean, Buffer.of(0xff));
  // Digital signature, key encipherment, signing of certificates: bits 0, 2 and 5 of 6.
  const usage = der(derTag.bitString, Buffer.of(2, 0b1010_0100));
  return [
    extension(oid.basicConstraints, sequence(isAuthority), 'critical'),
    extension(oid.keyUsage, usage, 'critical'),
    extension(
      oid.extendedKeyUsage,
      sequence(derObjectId(oid.serverAuth), derObjectId(oid.clientAuth)),
    ),
    ...(hosts.length === 0 ? [] : [extension(oid.subjectAltName, sequence(...hosts.map(nameOf)))]),
  ];
}

function extension(id: string, value: Uint8Array, critical?: 'critical'): Uint8Array {
  const mark = critical === undefined ? [] : [der(derTag.boolean, Buffer.of(0xff))];
  return sequence(derObjectId(id), ...mark, der(derTag.octetString, value));
}

/** GeneralName: [2] is a DNS name, [7] an IP address. */
function nameOf(host: string): Uint8Array {
  return isIP(host) === 0 ? der(0x82, Buffer.from(host)) : der(0x87, addressBytes(host));
}

function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // The URL parser knows every spelling; what it gives back has at most one gap and no dotted part.
  const plain = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const [before, after] = [groups(head), groups(tail ?? '')];
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  const all = [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16));
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(derTag.sequence, ...parts);
}

function integer(bytes: Uint8Array): Uint8Array {
  return der(derTag.integer, bytes);
}

function bitString(bytes: Uint8Array): Uint8Array {
  return der(derTag.bitString, Buffer.of(0), bytes);
}
