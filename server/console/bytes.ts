// Keys and values are bytes. What a person reads and types of them is text, the same both ways.

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8 = new TextEncoder();

/** What would hide or reorder text on the screen: controls, marks of direction, blanks without width, lone spaces of other kinds. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]|(?! )\p{Zs}/u;

export function fromBase64(text: string | undefined): Uint8Array {
  return Uint8Array.from(atob(text ?? ''), (each) => each.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** For the address of a view. */
export function toUrlText(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Undefined when it was not made by {@link toUrlText}. */
export function fromUrlText(text: string): Uint8Array | undefined {
  try {
    return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return undefined;
  }
}

/** Undefined when it is no UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** On one line, every byte told: what cannot be seen as `\xNN`, and a backslash as two. {@link parseText} reads it back. */
export function shownText(bytes: Uint8Array): string {
  const text = utf8Text(bytes);
  if (text === undefined) return Array.from(bytes, shownByte).join('');
  return Array.from(text, (each) => {
    if (each === '\\') return '\\\\';
    return unseen.test(each) ? Array.from(utf8.encode(each), escapedByte).join('') : each;
  }).join('');
}

function shownByte(byte: number): string {
  const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
  return isPlain ? String.fromCharCode(byte) : byte === 0x5c ? '\\\\' : escapedByte(byte);
}

function escapedByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** What a person has typed, as {@link shownText} shows it. A backslash before anything else stands for itself. */
export function parseText(text: string): Uint8Array {
  const parts = text.match(/\\x[0-9a-fA-F]{2}|\\\\|[^\\]+|\\/g) ?? [];
  return joined(
    parts.map((part) => {
      if (part === '\\\\') return utf8.encode('\\');
      if (part.length === 4 && part.startsWith('\\x'))
        return Uint8Array.of(parseInt(part.slice(2), 16));
      return utf8.encode(part);
    }),
  );
}

/** Text over several lines: line ends and tabs stay, what else cannot be seen is shown as {@link shownText} does. */
export function shownLines(text: string): string {
  return Array.from(text, (each) =>
    each !== '\n' && each !== '\t' && unseen.test(each)
      ? Array.from(utf8.encode(each), escapedByte).join('')
      : each,
  ).join('');
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Where the keys with this prefix end; etcd's "from there on", a zero byte, when there is no such key. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] ?? 0xff;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, at + 1);
    end[at] = byte + 1;
    return end;
  }
  return Uint8Array.of(0);
}

export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.length <= bytes.length && prefix.every((byte, at) => bytes[at] === byte);
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && startsWith(a, b);
}

/** Where `part` begins in `bytes` from `from` on; -1: nowhere. */
export function indexOf(bytes: Uint8Array, part: Uint8Array, from: number): number {
  for (let at = from; at + part.length <= bytes.length; at++) {
    if (part.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}

/** Sixteen bytes a line: where, in hexadecimal, as text. */
export function hexLines(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16));
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'));
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text.join('')}`);
  }
  return lines.join('\n');
}
