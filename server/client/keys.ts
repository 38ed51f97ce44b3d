import { Buffer } from 'node:buffer';
import { asBuffer, copyBytes, emptyBytes } from '../base/bytes.ts';

/** Text stands for its UTF-8 bytes. */
export type Bytes = string | Uint8Array;

/** Which keys: one, or a half-open range of them. */
export interface Keys {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

/** The end of a range without end, and the first key of all. */
export const openEnd: Uint8Array = new Uint8Array(1);

export function bytesOf(text: Bytes): Uint8Array {
  return typeof text === 'string' ? Buffer.from(text) : text;
}

/** The text that stands in UTF-8 in a key or a value. */
export function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : asBuffer(bytes).toString();
}

export function oneKey(key: Bytes): Keys {
  return { key: bytesOf(key), rangeEnd: emptyBytes };
}

/** From a key to before another. */
export function keysBetween(key: Bytes, end: Bytes): Keys {
  return { key: bytesOf(key), rangeEnd: bytesOf(end) };
}

export function keysFrom(key: Bytes): Keys {
  return { key: nonEmpty(bytesOf(key)), rangeEnd: openEnd };
}

/** Every key that begins so; with nothing, every key. */
export function keysUnder(prefix: Bytes): Keys {
  const key = bytesOf(prefix);
  return { key: nonEmpty(key), rangeEnd: prefixEnd(key) };
}

/** etcd has no empty key: a zero byte is where keys begin. */
function nonEmpty(key: Uint8Array): Uint8Array {
  return key.length === 0 ? openEnd : key;
}

/** The key right after another. */
export function keyAfter(key: Uint8Array): Uint8Array {
  return joined(key, openEnd);
}

export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  return Buffer.concat([first, second]);
}

/** One key or a range of keys, by what it was named with. */
export function keysOf(keys: Bytes | Keys): Keys {
  return typeof keys === 'object' && 'rangeEnd' in keys ? keys : oneKey(keys);
}

/** The first key after all that begin with the prefix. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  const last = prefix.findLastIndex((byte) => byte < 0xff);
  if (last < 0) return openEnd;
  const end = copyBytes(prefix.subarray(0, last + 1));
  end[last] = (prefix[last] ?? 0) + 1;
  return end;
}
