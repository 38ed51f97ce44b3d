// [io] Keys and certificates. A key is made here, goes into its Secret, and is kept nowhere else.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import type { CertificateRequest } from '../resources/certificates.ts';

x509.cryptoProvider.set(webcrypto);

/** PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;
const authorityDays = 3_650;
/** Clocks of nodes may be behind. */
const backdateMs = 300_000;

/** A CA of its own. `name` is what people see of it; a number makes it unlike every other. */
export async function makeAuthority(name: string, now: string): Promise<Pair> {
  const keys = await keyPair();
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const subject = [{ CN: [`${name} ${randomBytes(6).toString('hex')}`] }];
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject,
    issuer: subject,
    ...validity(now, authorityDays),
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return pemOf(made, keys);
}

/** A certificate for a new key, signed by the CA; it ends before the CA does. */
export async function issue(
  authority: Pair,
  request: CertificateRequest,
  { now, days }: { readonly now: string; readonly days: number },
): Promise<Pair> {
  const keys = await keyPair();
  const signer = new x509.X509Certificate(authority.cert);
  const { notBefore, notAfter } = validity(now, days);
  const names = [...new Set(request.names)].map((value) => ({
    type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
    value,
  }));
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [request.commonName] }],
    issuer: signer.subjectName,
    notBefore,
    notAfter: notAfter < signer.notAfter ? notAfter : signer.notAfter,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(
        request.usages.map((usage) => x509.ExtendedKeyUsage[`${usage}Auth`]),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  return pemOf(made, keys);
}

function keyPair(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (der === undefined) throw new Error('the Secret of the CA has no key');
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

async function pemOf(
  certificate: x509.X509Certificate,
  { privateKey }: webcrypto.CryptoKeyPair,
): Promise<Pair> {
  const key = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`,
  };
}

/** Positive, 127 random bits. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(now: string, days: number): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.parse(now);
  return {
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs - backdateMs + days * dayMs),
  };
}
