import { Buffer, isUtf8 } from 'node:buffer';
import { asBuffer } from '../../base/bytes.ts';
import { hexId } from '../../base/ids.ts';
import type { KeyValue } from '../../proto/gen/kv.ts';

/** For people: one line, and what is no text as hex escapes. */
export function lineOf(bytes: Uint8Array): string {
  const text = isUtf8(bytes) ? asBuffer(bytes).toString() : asBuffer(bytes).toString('latin1');
  const unprintable = isUtf8(bytes) ? /[\p{Cc}]/gu : /[^\x20-\x7e]/g;
  return text.replaceAll(unprintable, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, '0');
    return `\\x${code}`;
  });
}

/** For programs: ids as hex texts, bytes as text, or as base64 under a name that says so. */
export function jsonOf(value: unknown): string {
  return `${JSON.stringify(plain(value))}\n`;
}

export function kvFields(kv: KeyValue): Record<string, unknown> {
  const { createRevision, modRevision, version, lease } = kv;
  return {
    ...bytesField('key', kv.key),
    ...bytesField('value', kv.value),
    createRevision,
    modRevision,
    version,
    ...(lease === 0n ? {} : { lease }),
  };
}

function bytesField(name: string, bytes: Uint8Array): Record<string, string> {
  const buffer = asBuffer(bytes);
  return isUtf8(bytes)
    ? { [name]: buffer.toString() }
    : { [`${name}Base64`]: buffer.toString('base64') };
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return hexId(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

/** A size for people. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}
