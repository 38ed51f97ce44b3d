import { Buffer, isUtf8 } from 'node:buffer';
import { emptyBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import { JsonError } from './json-scanner.ts';
import { listedJsonBytesMin, listedMessagesFreeMax, messageDepthMax } from './wire.ts';

/** Finds descriptors by full name. */
export type Descriptors = ReadonlyMap<string, MessageDescriptor>;

type Plain = Record<string, unknown>;

/** A token: the brackets, or a whole scalar. */
interface Token {
  readonly kind: '{' | '}' | '[' | ']' | 'string' | 'number' | 'bool' | 'null';
  readonly at: number;
  readonly end: number;
  /** Of a string what it says, of others how they stand there. */
  readonly text: string;
}

/**
 * A message from proto3's JSON form, as Go's protojson reads it when it discards what it does not know: names as in the
 * .proto file or in lower camel case, numbers also as strings, bytes in either base64 alphabet, with or without padding.
 * `json` is one value that {@link JsonScanner} has let through. Throws {@link JsonError}, or EtcdError TooManyOps when there
 * are more messages in lists than {@link listedMessagesFreeMax}: only transactions have any.
 */
export function decodeJson(
  descriptors: Descriptors,
  type: MessageDescriptor,
  json: Buffer,
): object {
  return new JsonReader(descriptors, json).message(type, 0);
}

const kinds: ReadonlyMap<number, Token['kind']> = new Map([
  [0x7b, '{'],
  [0x7d, '}'],
  [0x5b, '['],
  [0x5d, ']'],
  [0x22, 'string'],
  [0x74, 'bool'],
  [0x66, 'bool'],
  [0x6e, 'null'],
]);
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const [quote, backslash, letterN] = [0x22, 0x5c, 0x6e];

class JsonReader {
  readonly #descriptors: Descriptors;
  readonly #json: Buffer;
  #at = 0;
  /** Messages in lists that may still come. */
  #listedLeft: number;

  constructor(descriptors: Descriptors, json: Buffer) {
    this.#descriptors = descriptors;
    this.#json = json;
    this.#listedLeft = Math.max(listedMessagesFreeMax, json.length / listedJsonBytesMin);
  }

  message(type: MessageDescriptor, depth: number): object {
    if (depth > messageDepthMax) throw new JsonError('proto: exceeded max recursion depth');
    if (this.#peek() !== openBrace) throw this.#unexpected(this.#next());
    this.#at++;
    const message = type.type.create() as Plain;
    const fields = fieldsOf(type);
    const seen: FieldDescriptor[] = [];
    for (;;) {
      if (this.#peek() === closeBrace) {
        this.#at++;
        return message;
      }
      const key = this.#next();
      const field = fields.get(key.text);
      if (field === undefined) this.#skip();
      else {
        if (seen.includes(field)) throw this.#wrong(key.at, `duplicate field ${this.#raw(key)}`);
        seen.push(field);
        this.#member(message, field, { key, depth });
      }
    }
  }

  #member(message: Plain, field: FieldDescriptor, at: { key: Token; depth: number }): void {
    if (this.#peek() === letterN) {
      this.#next();
      return;
    }
    const { oneof } = field;
    if (field.isRepeated) message[field.property] = this.#list(field, at.depth);
    else if (oneof === undefined) {
      const value = this.#value(field, at.depth);
      if (value !== undefined) message[field.property] = value;
    } else {
      if (message[oneof.property] !== undefined) {
        const text = `error parsing ${this.#raw(at.key)}, oneof ${oneof.fullName} is already set`;
        throw this.#wrong(at.key.at, text);
      }
      message[oneof.property] = { kind: field.property, value: this.#value(field, at.depth) };
    }
  }

  #list(field: FieldDescriptor, depth: number): unknown[] {
    if (this.#peek() !== openBracket) throw this.#unexpected(this.#next());
    this.#at++;
    const list: unknown[] = [];
    const isOfMessages = field.type === 'message';
    while (this.#peek() !== closeBracket) {
      if (isOfMessages && --this.#listedLeft < 0) throw new EtcdError('TooManyOps');
      const value = this.#value(field, depth);
      if (value !== undefined) list.push(value);
    }
    this.#at++;
    return list;
  }

  /** Undefined for the name of an enum that this version does not know. */
  #value(field: FieldDescriptor, depth: number): unknown {
    if (field.type === 'message') {
      const type = this.#descriptors.get(field.message ?? '');
      if (type === undefined) throw new Error(`${field.message} has no descriptor`);
      return this.message(type, depth + 1);
    }
    const token = this.#next();
    if (field.type === 'enum' && token.kind === 'string') return field.values?.[token.text];
    const value = scalar(field, token);
    if (value !== undefined) return value;
    const kind = field.type.replace('Number', '');
    const text = `invalid value for ${kind} field ${field.property}: ${this.#raw(token)}`;
    throw this.#wrong(token.at, text);
  }

  /** The next value, whatever it is. */
  #skip(): void {
    let depth = 0;
    do {
      const byte = this.#peek();
      if (byte === quote) this.#string(this.#at);
      else if (byte === openBrace || byte === openBracket) {
        depth++;
        this.#at++;
      } else if (byte === closeBrace || byte === closeBracket) {
        depth--;
        this.#at++;
      } else this.#at += this.#wordLength();
    } while (depth > 0);
  }

  /** The first byte of the next token. */
  #peek(): number {
    const json = this.#json;
    // Where they may stand was the scanner's to judge.
    while (isBetween(json[this.#at] as number)) this.#at++;
    return json[this.#at] as number;
  }

  #next(): Token {
    const kind = kinds.get(this.#peek()) ?? 'number';
    const at = this.#at;
    if (kind === 'string') return this.#string(at);
    const length = kind === 'number' || kind === 'bool' || kind === 'null' ? this.#wordLength() : 1;
    this.#at += length;
    return { kind, at, end: this.#at, text: this.#json.toString('latin1', at, this.#at) };
  }

  #raw({ at, end }: Token): string {
    return this.#json.toString('utf8', at, end);
  }

  #wordLength(): number {
    const json = this.#json;
    let end = this.#at;
    for (; end < json.length; end++) {
      const byte = json[end] as number;
      if (isBetween(byte) || byte === closeBrace || byte === closeBracket) break;
    }
    return end - this.#at;
  }

  #string(at: number): Token {
    const json = this.#json;
    let end = at + 1;
    let isPlain = true;
    for (; json[end] !== quote; end++) {
      const byte = json[end] as number;
      if (byte < 0x80 && byte !== backslash) continue;
      isPlain = false;
      // Whatever it is, it ends no string.
      if (byte === backslash) end++;
    }
    this.#at = end + 1;
    const text = isPlain ? json.toString('latin1', at + 1, end) : this.#unescaped(at, end + 1);
    return { kind: 'string', at, end: end + 1, text };
  }

  #unescaped(at: number, end: number): string {
    const bytes = this.#json.subarray(at, end);
    if (!isUtf8(bytes)) throw this.#syntax(at, 'invalid UTF-8 in string');
    const raw = bytes.toString();
    const text = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
    if (/\p{Surrogate}/u.test(text)) throw this.#loneSurrogate(at, raw);
    return text;
  }

  /** Go shows the six characters where the other half should have begun. */
  #loneSurrogate(at: number, raw: string): JsonError {
    const match = /\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|\\ud[c-f][0-9a-f]{2}/i.exec(raw);
    const rest = raw.slice((match?.index ?? 0) + 6);
    if (Buffer.byteLength(rest) < 7) return new JsonError('proto: unexpected EOF');
    return this.#syntax(at, `invalid escape code ${JSON.stringify(rest.slice(0, 6))} in string`);
  }

  #unexpected(token: Token): JsonError {
    return this.#syntax(token.at, `unexpected token ${this.#raw(token)}`);
  }

  #syntax(at: number, text: string): JsonError {
    return new JsonError(`proto: syntax error (${this.#place(at)}): ${text}`);
  }

  #wrong(at: number, text: string): JsonError {
    return new JsonError(`proto: (${this.#place(at)}): ${text}`);
  }

  #place(at: number): string {
    const lines = this.#json.toString('utf8', 0, at).split('\n');
    const column = Array.from(lines.at(-1) ?? '').length + 1;
    return `line ${lines.length}:${column}`;
  }
}

/** Blanks, commas and colons. */
function isBetween(byte: number): boolean {
  return byte === 0x20 || byte === 0x2c || byte === 0x3a || (byte >= 0x09 && byte <= 0x0d);
}

const fieldMaps = new WeakMap<MessageDescriptor, ReadonlyMap<string, FieldDescriptor>>();

/** By both of the names that a field may be given. */
function fieldsOf(type: MessageDescriptor): ReadonlyMap<string, FieldDescriptor> {
  const known = fieldMaps.get(type);
  if (known !== undefined) return known;
  const byProtoName = type.fields.map((field) => [field.name, field] as const);
  const byJsonName = type.fields.map((field) => [field.property, field] as const);
  const fields = new Map([...byProtoName, ...byJsonName]);
  fieldMaps.set(type, fields);
  return fields;
}

/** Undefined when the token is not of the type. */
function scalar(field: FieldDescriptor, token: Token): unknown {
  switch (field.type) {
    case 'bool':
      return token.kind === 'bool' ? token.text === 'true' : undefined;
    case 'string':
      return token.kind === 'string' ? token.text : undefined;
    case 'bytes':
      return token.kind === 'string' ? bytesOf(token.text) : undefined;
    case 'enum':
      return token.kind === 'number' ? numberIn(token.text, int32) : undefined;
    case 'int32':
      return numberIn(numeral(token), int32);
    case 'uint32':
      return numberIn(numeral(token), { min: 0n, max: 0xffff_ffffn });
    case 'int64':
      return integerIn(numeral(token), int64);
    case 'uint64':
      return integerIn(numeral(token), uint64);
    case 'int64Number':
      return saturated(integerIn(numeral(token), int64));
    case 'uint64Number':
      return saturated(integerIn(numeral(token), uint64));
    case 'message':
      return undefined;
  }
}

interface Bounds {
  readonly min: bigint;
  readonly max: bigint;
}

const int32: Bounds = { min: -0x8000_0000n, max: 0x7fff_ffffn };
const int64: Bounds = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const uint64: Bounds = { min: 0n, max: 2n ** 64n - 1n };

/** The number's text, out of a string too. */
function numeral(token: Token): string | undefined {
  if (token.kind === 'number') return token.text;
  if (token.kind !== 'string') return undefined;
  if (isShortInteger(token.text)) return token.text;
  // What follows a delimiter is not looked at, as in Go.
  return /^(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:[^-+._\w].*)?(?<!\s)$/s.exec(
    token.text,
  )?.[1];
}

/** Digits of a safe integer without zeros in front: most numbers are, and need no closer look. */
function isShortInteger(text: string): boolean {
  const { length } = text;
  if (length === 0 || length > 15 || (length > 1 && text.charCodeAt(0) === 0x30)) return false;
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

function numberIn(text: string | undefined, bounds: Bounds): number | undefined {
  if (text !== undefined && isShortInteger(text)) {
    const number = Number(text);
    return number <= bounds.max ? number : undefined;
  }
  const integer = integerIn(text, bounds);
  return integer === undefined ? undefined : Number(integer);
}

/** Exact; `1.0` and `1e2` are integers too. A client chooses the text: all of this takes time in proportion to it. */
function integerIn(text: string | undefined, { min, max }: Bounds): bigint | undefined {
  if (text !== undefined && isShortInteger(text)) {
    const value = BigInt(text);
    return value <= max ? value : undefined;
  }
  const [, minus, whole, decimals = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([-+]?\d+))?$/.exec(text ?? '') ?? [];
  if (minus === undefined || whole === undefined) return undefined;
  const fraction = withoutEndingZeros(decimals);
  const digits = (whole + fraction).replace(/^0+/, '');
  if (digits === '') return 0n;
  const zeros = Number(exponent) - fraction.length;
  const significant = withoutEndingZeros(digits);
  const isWhole = zeros >= 0 || -zeros <= digits.length - significant.length;
  if (!isWhole || digits.length + zeros > 20) return undefined;
  const shifted = zeros >= 0 ? digits + '0'.repeat(zeros) : digits.slice(0, zeros);
  const value = BigInt(minus + shifted);
  return value >= min && value <= max ? value : undefined;
}

function withoutEndingZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits[end - 1] === '0') end--;
  return digits.slice(0, end);
}

/** As the codec does: ordering is all that such numbers are for. */
function saturated(value: bigint | undefined): number | undefined {
  if (value === undefined) return undefined;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value)));
}

/** Go's rules: the url-safe alphabet when one of its characters is there, padding when the length is a multiple of 4. */
function bytesOf(text: string): Uint8Array | undefined {
  if (text === '') return emptyBytes;
  if (text.length % 4 !== 1 && /^[A-Za-z0-9+/]*$/.test(text)) return Buffer.from(text, 'base64');
  const isUrlSafe = /[-_]/.test(text);
  const isPadded = text.length % 4 === 0;
  const whole = text.replaceAll(/[\r\n]/g, '');
  const padding = isPadded ? (/={0,2}$/.exec(whole)?.[0].length ?? 0) : 0;
  const digits = padding === 0 ? whole : whole.slice(0, -padding);
  if (!(isUrlSafe ? /^[-\w]*$/ : /^[A-Za-z0-9+/]*$/).test(digits)) return undefined;
  const isWhole = isPadded ? whole.length % 4 === 0 : whole.length % 4 !== 1;
  return isWhole ? Buffer.from(digits, 'base64') : undefined;
}
