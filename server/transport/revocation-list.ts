import { asBuffer } from '../base/bytes.ts';
import { type DerElement, DerError, derElements, derTag } from './der.ts';
import { pemBlocks } from './pem.ts';

/** Serial numbers that are revoked, as {@link serialText} has them. */
export type RevokedSerials = ReadonlySet<string>;

/**
 * The serial numbers in certificate revocation lists: one as DER, or any number as PEM. As in etcd neither the lists'
 * signatures nor their dates count, only what they name: an old list still revokes. Throws an Error for anything else.
 */
export function revokedSerials(file: Uint8Array): RevokedSerials {
  const text = asBuffer(file).toString('latin1');
  const lists = text.includes('-----BEGIN ') ? pemBlocks(text, 'X509 CRL') : [file];
  return new Set(lists.flatMap(serialsOf));
}

/** A serial number in hexadecimal, so that equal numbers are equal texts. */
export function serialText(hex: string): string {
  return hex.toUpperCase().replace(/^0+(?=.)/, '');
}

/** RFC 5280, 5.1: the list of entries is the one sequence behind the dates in TBSCertList. */
function serialsOf(list: Uint8Array): string[] {
  const [whole, ...more] = derElements(list);
  if (whole?.tag !== derTag.sequence || more.length > 0) throw new DerError('no revocation list');
  const [signed, algorithm, signature] = derElements(whole.content);
  if (
    signed?.tag !== derTag.sequence ||
    algorithm?.tag !== derTag.sequence ||
    signature?.tag !== derTag.bitString
  ) {
    throw new DerError('no revocation list');
  }
  const fields = derElements(signed.content);
  const firstDate = fields.findIndex(isTime);
  if (firstDate < 0) throw new DerError('a revocation list without a date');
  const entries = fields.slice(firstDate).find(({ tag }) => tag === derTag.sequence);
  return entries === undefined ? [] : derElements(entries.content).map(serialOf);
}

function isTime({ tag }: DerElement): boolean {
  return tag === derTag.utcTime || tag === derTag.generalizedTime;
}

function serialOf(entry: DerElement): string {
  const [serial, date] = entry.tag === derTag.sequence ? derElements(entry.content) : [];
  if (serial?.tag !== derTag.integer || date === undefined || !isTime(date)) {
    throw new DerError('a revocation list with a malformed entry');
  }
  return serialText(asBuffer(serial.content).toString('hex'));
}
