import { Buffer, isUtf8 } from 'node:buffer';
import { asBuffer } from '../../base/bytes.ts';
import { hexId } from '../../base/ids.ts';

/** For people: one line, and what is no text as hex escapes. */
export function lineOf(bytes: Uint8Array): string {
  const text = isUtf8(bytes) ? asBuffer(bytes).toString() : asBuffer(bytes).toString('latin1');
  const unprintable = isUtf8(bytes) ? /[\p{Cc}]/gu : /[^\x20-\x7e]/g;
  return text.replaceAll(unprintable, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, '0');
    return `\\x${code}`;
  });
}

/** For programs: ids as hex texts, bytes in base64. */
export function jsonOf(value: unknown): string {
  return `${JSON.stringify(plain(value))}\n`;
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

/** As etcdctl prints sizes: powers of 1000, two digits at least. */
export function decimalSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  if (bytes < 10) return `${bytes} B`;
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const size = Math.floor((bytes / 1000 ** unit) * 10 + 0.5) / 10;
  return `${size.toFixed(size < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A lease's id as etcdctl prints it: sixteen digits. */
export function leaseText(id: bigint): string {
  return hexId(id).padStart(16, '0');
}

/** How long something took, for people: `1.2 ms`. */
export function milliseconds(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}
