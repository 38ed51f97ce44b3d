import { X509Certificate } from 'node:crypto';
import { lookupService, lookup as systemLookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type DetailedPeerCertificate, type PeerCertificate, TLSSocket } from 'node:tls';
import type { TlsConfig } from '../config/tls.ts';
import { type RevokedSerials, serialText } from './revocation-list.ts';

/** How a name's addresses are found, and an address's names. */
export interface Names {
  addressesOf(name: string): Promise<readonly string[]>;
  namesOf(address: string): Promise<readonly string[]>;
}

export const systemNames: Names = {
  addressesOf: async (name) =>
    (await systemLookup(name, { all: true })).map(({ address }) => address),
  namesOf: async (address) => [(await lookupService(address, 0)).hostname],
};

/**
 * Why a certificate whose signatures are right is refused all the same: revoked, or for somebody else. Undefined when
 * it is not. The same for both directions, since a peer listens and connects with its certificate.
 */
export function refusalOf(
  certificate: DetailedPeerCertificate,
  config: Pick<TlsConfig, 'allowedCommonNames' | 'allowedHostnames'>,
  revoked: RevokedSerials,
): string | undefined {
  if (!isThere(certificate)) return undefined;
  return (
    refusalByRevocation(certificate, revoked) ??
    refusalByName(certificate, config.allowedCommonNames, config.allowedHostnames)
  );
}

/** Every certificate from the own one to the root. */
function refusalByRevocation(
  certificate: DetailedPeerCertificate,
  revoked: RevokedSerials,
): string | undefined {
  const seen = new Set<string>();
  let each: DetailedPeerCertificate | undefined = certificate;
  while (each !== undefined && !seen.has(each.fingerprint256)) {
    const serial = serialText(each.serialNumber);
    if (revoked.has(serial)) return `certificate serial ${serial.toLowerCase()} revoked`;
    seen.add(each.fingerprint256);
    each = each.issuerCertificate;
  }
  return undefined;
}

function refusalByName(
  certificate: DetailedPeerCertificate,
  allowedNames: readonly string[],
  hostnames: readonly string[],
): string | undefined {
  const own = new X509Certificate(certificate.raw);
  const name = commonNameOf(certificate);
  const isAllowed =
    (allowedNames.length === 0 || allowedNames.includes(name)) &&
    (hostnames.length === 0 || hostnames.some((allowed) => isFor(own, allowed)));
  return isAllowed ? undefined : 'client certificate authentication failed';
}

/** Of the subject, the last one as in Go; empty when there is none. */
function commonNameOf({ subject }: PeerCertificate): string {
  const names = subject.CN as string | string[] | undefined;
  return [names ?? ''].flat().at(-1) ?? '';
}

/** Of sockets that were asked for: to read a certificate costs more than a call. */
const commonNames = new WeakMap<object, string>();
const carriers = new WeakMap<object, Socket>();

/** Lets a stream stand for the client's connection that it is a part of: the same addresses, the same certificate. */
export function stands(stream: Duplex, socket: Socket): Socket {
  carriers.set(stream, socket);
  const { remoteAddress, remotePort } = socket;
  return Object.assign(stream, { remoteAddress, remotePort }) as unknown as Socket;
}

/** Whether what comes from here came over TLS. */
export function isOverTls(socket: object): boolean {
  return (carriers.get(socket) ?? socket) instanceof TLSSocket;
}

/**
 * The common name in the certificate that a client has shown and that was verified; empty when the certificate has none.
 * Undefined without such a certificate.
 */
export function verifiedCommonName(stream: object): string | undefined {
  const socket = carriers.get(stream) ?? stream;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = commonNames.get(socket);
  if (known !== undefined) return known;
  const certificate = socket.getPeerCertificate();
  if (!isThere(certificate)) return undefined;
  const name = commonNameOf(certificate);
  commonNames.set(socket, name);
  return name;
}

/**
 * Whether a certificate is for a host name or IP address, by its alternative names only, as in Go: the common name does
 * not count, and a wildcard stands for one whole label.
 */
export function isFor(certificate: X509Certificate, host: string): boolean {
  if (isIP(host) !== 0) return certificate.checkIP(host) !== undefined;
  const options = { subject: 'never', partialWildcards: false } as const;
  return certificate.checkHost(host, options) !== undefined;
}

/**
 * Why a client's certificate is not for the address that it comes from; undefined when it is, or names no address.
 * A DNS name fits when the address has that name, or the name that address.
 */
export async function refusalByAddress(
  socket: TLSSocket,
  names: Names,
): Promise<string | undefined> {
  const certificate = socket.getPeerCertificate(false);
  if (!isThere(certificate)) return undefined;
  const { addresses, dnsNames } = alternativeNames(certificate.subjectaltname ?? '');
  if (addresses.length === 0 && dnsNames.length === 0) return undefined;
  const remote = (socket.remoteAddress ?? '').replace(/^::ffff:(?=[\d.]+$)/, '');
  if (isIP(remote) === 0) return `no address that a certificate could be for: "${remote}"`;
  if (addresses.length > 0 && isFor(new X509Certificate(certificate.raw), remote)) return undefined;
  if (dnsNames.length === 0) {
    return `x509: certificate is valid for ${addresses.join(', ')}, not ${remote}`;
  }
  if (await isNamed(remote, dnsNames, names)) return undefined;
  return `tls: "${remote}" does not match any of DNSNames ${JSON.stringify(dnsNames)}`;
}

async function isNamed(
  address: string,
  dnsNames: readonly string[],
  names: Names,
): Promise<boolean> {
  const nothing = (): readonly string[] => [];
  const wildcards = dnsNames.filter((name) => name.startsWith('*.'));
  const plain = dnsNames.filter((name) => !name.startsWith('*.'));
  for (const name of plain) {
    if ((await names.addressesOf(name).catch(nothing)).includes(address)) return true;
  }
  const found = await names.namesOf(address).catch(nothing);
  return found
    .map((name) => name.replace(/\.$/, ''))
    .some((name) => plain.includes(name) || wildcards.some((each) => name.endsWith(each.slice(1))));
}

/** Node's text for them: `DNS:a, IP Address:1.2.3.4`, where a name with odd characters is a JSON string. */
export function alternativeNames(text: string): { addresses: string[]; dnsNames: string[] } {
  const addresses: string[] = [];
  const dnsNames: string[] = [];
  for (const [, kind, value = ''] of text.matchAll(
    /(?:^|, )(DNS|IP Address|[^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)/g,
  )) {
    const name = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    if (kind === 'DNS') dnsNames.push(name);
    if (kind === 'IP Address') addresses.push(name);
  }
  return { addresses, dnsNames };
}

/** Node gives an empty object for no certificate. */
function isThere(certificate: { raw?: unknown }): boolean {
  return certificate.raw !== undefined;
}
