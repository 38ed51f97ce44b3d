import { createHash, createHmac, createPrivateKey, X509Certificate } from 'node:crypto';
import { encryptionKeyOf, InvalidKeyError } from '../../server/base/encryption-key.ts';
import type { ObjectMeta, Secret } from '../api/objects.ts';

/** What decisions need to know of a Secret. No key and no password is in it. */
export interface SecretFacts {
  readonly metadata: ObjectMeta;
  /** The names of its entries that are not empty. */
  readonly keys: readonly string[];
  /** Of `tls.crt`; undefined when there is none, it cannot be read, or `tls.key` is not its key. */
  readonly certificate: CertificateFacts | undefined;
  /** Of `next.crt`, in the Secret of a CA. */
  readonly next: CertificateFacts | undefined;
  /** Of `ca.crt`. */
  readonly trust: TrustFacts | undefined;
  /** The names of its entries that hold a key of encryption at rest. */
  readonly encryptionKeys: readonly string[];
  /** Entries that everybody may read. */
  readonly texts: Readonly<Record<string, string>>;
  /** By entry, what tells one password from another for whoever has the salt: see {@link digestOf}. */
  readonly digests: Readonly<Record<string, string>>;
}

export interface CertificateFacts {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly subject: string;
  readonly issuer: string;
  readonly commonName: string;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  /** RFC 3339. */
  readonly notBefore: string;
  readonly notAfter: string;
}

export interface TrustFacts {
  /** Of the bytes of `ca.crt`: members tell the same of the file that they have loaded. */
  readonly sha256: string;
  readonly certificates: readonly CertificateFacts[];
}

const readableKeys = ['endpoints', 'username', 'applied'];

/** `salt` is the operator's own; without one there are no digests. */
export function factsOf(secret: Secret, salt: Buffer | undefined): SecretFacts {
  const entries = entriesOf(secret);
  const certificate = entries.get('tls.crt');
  const next = entries.get('next.crt');
  const trust = entries.get('ca.crt');
  return {
    metadata: secret.metadata,
    keys: [...entries.keys()],
    certificate: certificate && pairFacts(certificate, entries.get('tls.key')),
    next: next && pairFacts(next, entries.get('next.key')),
    trust: trust && trustFacts(trust),
    encryptionKeys: [...entries].flatMap(([key, value]) => (isEncryptionKey(value) ? [key] : [])),
    texts: Object.fromEntries(
      readableKeys.flatMap((key) => {
        const value = entries.get(key);
        return value === undefined ? [] : [[key, value.toString()]];
      }),
    ),
    digests:
      salt === undefined
        ? {}
        : Object.fromEntries([...entries].map(([key, value]) => [key, digestOf(salt, value)])),
  };
}

/** The entries of a Secret that are not empty, decoded. */
export function entriesOf({ data = {} }: Secret): ReadonlyMap<string, Buffer> {
  const decoded = Object.entries(data).map(([key, text]): [string, Buffer] => [
    key,
    Buffer.from(text, 'base64'),
  ]);
  return new Map(decoded.filter(([, value]) => value.length > 0));
}

/** A password as people keep it in a Secret: the line end behind it is none of it. */
export function passwordOf(value: Buffer): string {
  return value.toString().replace(/\r?\n$/, '');
}

/**
 * Tells whether two passwords are the same without keeping either. The salt is random and lies beside the passwords
 * themselves, for the same readers: a slow hash would protect nothing more.
 */
export function digestOf(salt: Buffer, password: Buffer): string {
  return createHmac('sha256', salt).update(passwordOf(password)).digest('hex').slice(0, 32);
}

function isEncryptionKey(value: Buffer): boolean {
  try {
    encryptionKeyOf(value, '');
    return true;
  } catch (error) {
    if (!(error instanceof InvalidKeyError)) throw error;
    return false;
  }
}

function pairFacts(cert: Buffer, key: Buffer | undefined): CertificateFacts | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (key === undefined || !certificate.checkPrivateKey(createPrivateKey(key))) return undefined;
    return certificateFacts(certificate);
  } catch {
    // Whatever stands there is no certificate with its key: that is what is observed.
    return undefined;
  }
}

function trustFacts(pem: Buffer): TrustFacts {
  const sha256 = createHash('sha256').update(pem).digest('hex');
  try {
    const certificates = pemCertificates(pem.toString()).map((text) => new X509Certificate(text));
    return { sha256, certificates: certificates.map(certificateFacts) };
  } catch {
    // As above.
    return { sha256, certificates: [] };
  }
}

/** The certificates in a file, one by one. */
export function pemCertificates(text: string): readonly string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  const { serialNumber, subject, issuer, validFrom, validTo, subjectAltName } = certificate;
  return {
    serial: serialNumber.toLowerCase(),
    subject,
    issuer,
    commonName: /^CN=(.*)$/m.exec(subject)?.[1] ?? '',
    names: (subjectAltName ?? '')
      .split(', ')
      .map((name) => canonicalName(name.replace(/^(DNS|IP Address):/, '')))
      .filter((name) => name !== ''),
    notBefore: new Date(validFrom).toISOString(),
    notAfter: new Date(validTo).toISOString(),
  };
}

/** One spelling for each DNS name and IP address. */
export function canonicalName(name: string): string {
  const asAddress = `http://[${name}]`;
  return name.includes(':') && URL.canParse(asAddress)
    ? new URL(asAddress).hostname.slice(1, -1)
    : name.toLowerCase();
}

/** Whether another CA is on its way in, or out. */
export function isReplaced(authority: SecretFacts | undefined): boolean {
  const trusted = authority?.trust?.certificates ?? [];
  return authority?.next !== undefined || trusted.length > 1;
}
