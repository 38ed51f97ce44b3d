import { Buffer, isUtf8 } from 'node:buffer';
import { emptyBytes } from '../base/bytes.ts';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import { JsonError } from './json-scanner.ts';
import { messageDepthMax } from './wire.ts';

/** Finds descriptors by full name. */
export type Descriptors = ReadonlyMap<string, MessageDescriptor>;

type Plain = Record<string, unknown>;

/** A token: the brackets, or a whole scalar. */
interface Token {
  readonly kind: '{' | '}' | '[' | ']' | 'string' | 'number' | 'bool' | 'null';
  readonly raw: string;
  readonly at: number;
  /** Of a string. */
  readonly text: string;
}

/**
 * A message from proto3's JSON form, as Go's protojson reads it when it discards what it does not know: names as in the
 * .proto file or in lower camel case, numbers also as strings, bytes in either base64 alphabet, with or without padding.
 * `json` is one value that {@link JsonScanner} has let through. Throws {@link JsonError}.
 */
export function decodeJson(
  descriptors: Descriptors,
  type: MessageDescriptor,
  json: Buffer,
): object {
  return new JsonReader(descriptors, json).message(type, 0);
}

const kinds: Readonly<Record<string, Token['kind']>> = {
  '{': '{',
  '}': '}',
  '[': '[',
  ']': ']',
  '"': 'string',
  t: 'bool',
  f: 'bool',
  n: 'null',
};

class JsonReader {
  readonly #descriptors: Descriptors;
  readonly #json: Buffer;
  #at = 0;

  constructor(descriptors: Descriptors, json: Buffer) {
    this.#descriptors = descriptors;
    this.#json = json;
  }

  message(type: MessageDescriptor, depth: number): object {
    if (depth > messageDepthMax) throw new JsonError('proto: exceeded max recursion depth');
    const open = this.#next();
    if (open.kind !== '{') throw this.#unexpected(open);
    const message = type.type.create() as Plain;
    const seen = new Set<string>();
    for (;;) {
      const key = this.#next();
      if (key.kind === '}') return message;
      const field = fieldsOf(type).get(key.text);
      if (field === undefined) this.#skip();
      else {
        if (seen.has(field.name)) throw this.#wrong(key.at, `duplicate field ${key.raw}`);
        seen.add(field.name);
        this.#member(message, field, { key, depth });
      }
    }
  }

  #member(message: Plain, field: FieldDescriptor, at: { key: Token; depth: number }): void {
    if (this.#peek() === 'n') {
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
        const text = `error parsing ${at.key.raw}, oneof ${oneof.fullName} is already set`;
        throw this.#wrong(at.key.at, text);
      }
      message[oneof.property] = { kind: field.property, value: this.#value(field, at.depth) };
    }
  }

  #list(field: FieldDescriptor, depth: number): unknown[] {
    const open = this.#next();
    if (open.kind !== '[') throw this.#unexpected(open);
    const list: unknown[] = [];
    while (this.#peek() !== ']') {
      const value = this.#value(field, depth);
      if (value !== undefined) list.push(value);
    }
    this.#next();
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
    const text = `invalid value for ${kind} field ${field.property}: ${token.raw}`;
    throw this.#wrong(token.at, text);
  }

  /** The next value, whatever it is. */
  #skip(): void {
    let depth = 0;
    do {
      const { kind } = this.#next();
      if (kind === '{' || kind === '[') depth++;
      else if (kind === '}' || kind === ']') depth--;
    } while (depth > 0);
  }

  /** The first character of the next token. */
  #peek(): string {
    const json = this.#json;
    for (;;) {
      const char = String.fromCharCode(json[this.#at] as number);
      // Where they may stand was the scanner's to judge.
      if (!' \t\r\n,:'.includes(char)) return char;
      this.#at++;
    }
  }

  #next(): Token {
    const kind = kinds[this.#peek()] ?? 'number';
    const at = this.#at;
    if (kind === 'string') return this.#string(at);
    const length = kind === 'number' || kind === 'bool' || kind === 'null' ? this.#wordLength() : 1;
    this.#at += length;
    const raw = this.#json.toString('latin1', at, this.#at);
    return { kind, raw, at, text: '' };
  }

  #wordLength(): number {
    let end = this.#at;
    while (end < this.#json.length && !' \t\r\n,:]}'.includes(this.#char(end))) end++;
    return end - this.#at;
  }

  #char(at: number): string {
    return String.fromCharCode(this.#json[at] as number);
  }

  #string(at: number): Token {
    let end = this.#json.indexOf('"', at + 1);
    while (this.#isEscaped(end)) end = this.#json.indexOf('"', end + 1);
    this.#at = end + 1;
    const bytes = this.#json.subarray(at, end + 1);
    if (!isUtf8(bytes)) throw this.#syntax(at, 'invalid UTF-8 in string');
    const raw = bytes.toString();
    const text = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
    if (/\p{Surrogate}/u.test(text)) throw this.#loneSurrogate(at, raw);
    return { kind: 'string', raw, at, text };
  }

  /** Whether an odd number of backslashes stands before. */
  #isEscaped(at: number): boolean {
    let before = at;
    while (this.#json[before - 1] === 0x5c) before--;
    return (at - before) % 2 === 1;
  }

  /** Go shows the six characters where the other half should have begun. */
  #loneSurrogate(at: number, raw: string): JsonError {
    const match = /\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|\\ud[c-f][0-9a-f]{2}/i.exec(raw);
    const rest = raw.slice((match?.index ?? 0) + 6);
    if (Buffer.byteLength(rest) < 7) return new JsonError('proto: unexpected EOF');
    return this.#syntax(at, `invalid escape code ${JSON.stringify(rest.slice(0, 6))} in string`);
  }

  #unexpected(token: Token): JsonError {
    return this.#syntax(token.at, `unexpected token ${token.raw}`);
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
      return token.kind === 'bool' ? token.raw === 'true' : undefined;
    case 'string':
      return token.kind === 'string' ? token.text : undefined;
    case 'bytes':
      return token.kind === 'string' ? bytesOf(token.text) : undefined;
    case 'enum':
      return token.kind === 'number' ? numberIn(token.raw, int32) : undefined;
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
  if (token.kind === 'number') return token.raw;
  if (token.kind !== 'string') return undefined;
  // What follows a delimiter is not looked at, as in Go.
  return /^(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:[^-+._\w].*)?(?<!\s)$/s.exec(
    token.text,
  )?.[1];
}

function numberIn(text: string | undefined, bounds: Bounds): number | undefined {
  const integer = integerIn(text, bounds);
  return integer === undefined ? undefined : Number(integer);
}

/** Exact; `1.0` and `1e2` are integers too. A client chooses the text: all of this takes time in proportion to it. */
function integerIn(text: string | undefined, { min, max }: Bounds): bigint | undefined {
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
  const isUrlSafe = /[-_]/.test(text);
  const isPadded = text.length % 4 === 0;
  const whole = text.replaceAll(/[\r\n]/g, '');
  const padding = isPadded ? (/={0,2}$/.exec(whole)?.[0].length ?? 0) : 0;
  const digits = padding === 0 ? whole : whole.slice(0, -padding);
  if (!(isUrlSafe ? /^[-\w]*$/ : /^[A-Za-z0-9+/]*$/).test(digits)) return undefined;
  const isWhole = isPadded ? whole.length % 4 === 0 : whole.length % 4 !== 1;
  return isWhole ? Buffer.from(digits, 'base64') : undefined;
}
