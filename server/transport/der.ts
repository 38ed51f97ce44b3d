/** One element of DER: its tag, its content, and the whole of it as encoded. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly encoded: Uint8Array;
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Bytes that are not the DER of what they should be. */
export class DerError extends Error {
  override name = 'DerError';
}

/** The elements that follow each other in `bytes`, as views. Throws {@link DerError}. */
export function derElements(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { start, end } = bounds(bytes, at);
    elements.push({
      tag: bytes[at] ?? 0,
      content: bytes.subarray(start, end),
      encoded: bytes.subarray(at, end),
    });
    at = end;
  }
  return elements;
}

/** Of the content of the element at a place. */
function bounds(bytes: Uint8Array, at: number): { start: number; end: number } {
  const tag = bytes[at] ?? 0;
  if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of several bytes');
  const first = bytes[at + 1] ?? 0x80;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || lengthBytes > 4) throw new DerError('an element without a length');
  let length = lengthBytes === 0 ? first : 0;
  for (let n = 0; n < lengthBytes; n++) length = length * 256 + (bytes[at + 2 + n] ?? 0);
  const start = at + 2 + lengthBytes;
  if (start + length > bytes.length) throw new DerError('an element is cut off');
  return { start, end: start + length };
}

/** An element of these parts, one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const lengthBytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) lengthBytes.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 | lengthBytes.length, ...lengthBytes]), content]);
}

/** An object identifier, `1.2.840...`. */
export function derObjectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((part) => {
    const groups = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left % 128) | 0x80);
    }
    return groups;
  });
  return der(derTag.objectId, Buffer.from(bytes));
}

/** A moment, to the second, in the form that its year asks for (RFC 5280, 4.1.2.5). */
export function derTime(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/\.\d+/, '').replaceAll(/[-:T]/g, '');
  const isNear = date.getUTCFullYear() < 2050;
  return isNear
    ? der(derTag.utcTime, Buffer.from(digits.slice(2)))
    : der(derTag.generalizedTime, Buffer.from(digits));
}
