import { Buffer } from 'node:buffer';

/** A text that is no JSON, or not of the message that was asked for. The texts are Go's: clients of etcd show them. */
export class JsonError extends Error {
  override name = 'JsonError';
}

/** What the next byte may be. */
type State =
  | 'value'
  | 'value or ]'
  | 'key'
  | 'key or }'
  | 'colon'
  | 'next'
  | 'string'
  | 'escape'
  | 'hex'
  | 'minus'
  | 'zero'
  | 'digits'
  | 'point'
  | 'fraction'
  | 'exponent'
  | 'exponent sign'
  | 'exponent digits'
  | 'literal';

/** Only a number does not tell its own end. */
const wholeNumbers: ReadonlySet<State> = new Set(['zero', 'digits', 'fraction', 'exponent digits']);
/** As Go's encoding/json bounds it. */
const depthMax = 10_000;

interface NumberRule {
  /** By the character. */
  readonly next: Readonly<Record<string, State>>;
  /** Where a number cannot end. */
  readonly wrong?: string;
}

const exponent = { e: 'exponent', E: 'exponent' } as const;
const wrongExponent = 'in exponent of numeric literal';

/** How a number goes on. */
const numberRules: ReadonlyMap<State, NumberRule> = new Map<State, NumberRule>([
  ['zero', { next: { '.': 'point', ...exponent } }],
  ['digits', { next: { digit: 'digits', '.': 'point', ...exponent } }],
  ['point', { next: { digit: 'fraction' }, wrong: 'after decimal point in numeric literal' }],
  ['fraction', { next: { digit: 'fraction', ...exponent } }],
  [
    'exponent',
    {
      next: { digit: 'exponent digits', '+': 'exponent sign', '-': 'exponent sign' },
      wrong: wrongExponent,
    },
  ],
  ['exponent sign', { next: { digit: 'exponent digits' }, wrong: wrongExponent }],
  ['exponent digits', { next: { digit: 'exponent digits' } }],
]);

const quote = 0x22;
const backslash = 0x5c;
const literals: ReadonlyMap<number, string> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), word]),
);
const escapes: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'));

/**
 * Takes JSON values out of a stream of bytes that comes in pieces, and looks at each byte once. Refuses what Go's
 * encoding/json refuses, in its words. A value is a view into a piece where it lies in one.
 */
export class JsonScanner {
  readonly #valueBytesMax: number;
  #state: State = 'value';
  /** The objects and arrays around: `{` before a key, `:` before a value of an object, `[`. */
  readonly #nesting: Array<'{' | ':' | '['> = [];
  #literal = '';
  #literalAt = 0;
  #hexLeft = 0;
  /** Pieces of the value that is not yet whole. */
  #pieces: Uint8Array[] = [];
  #sizeBytes = 0;

  constructor(options: { valueBytesMax: number }) {
    this.#valueBytesMax = options.valueBytesMax;
  }

  /** Gives every value that ends in this piece to `found`, until that returns false. Throws {@link JsonError}. */
  push(piece: Uint8Array, found: (value: Buffer) => boolean): void {
    let start = 0;
    for (let at = 0; at < piece.length; at++) {
      if (this.#isBetween && isSpace(piece[at] as number)) {
        start = at + 1;
        continue;
      }
      const isWhole = this.#step(piece[at] as number);
      if (isWhole === false) continue;
      // The byte after a number is looked at again.
      if (isWhole === 'before') at--;
      if (!found(this.#take(piece.subarray(start, at + 1)))) return;
      start = at + 1;
    }
    if (start < piece.length) this.#keep(piece.subarray(start));
  }

  /** No more bytes will come. Throws {@link JsonError} when a value has begun. */
  end(found: (value: Buffer) => void): void {
    if (this.#isBetween) return;
    const isWhole = this.#nesting.length === 0 && wholeNumbers.has(this.#state);
    if (!isWhole) throw new JsonError('unexpected EOF');
    found(this.#take(new Uint8Array()));
  }

  get #isBetween(): boolean {
    return this.#state === 'value' && this.#nesting.length === 0 && this.#sizeBytes === 0;
  }

  #keep(piece: Uint8Array): void {
    this.#sizeBytes += piece.length;
    if (this.#sizeBytes > this.#valueBytesMax) throw new ValueTooLarge(this.#sizeBytes);
    this.#pieces.push(piece);
  }

  #take(last: Uint8Array): Buffer {
    this.#keep(last);
    const value = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#sizeBytes = 0;
    this.#state = 'value';
    return value;
  }

  /** Whether the outermost value ends with this byte, or ended before it. */
  #step(byte: number): boolean | 'before' {
    switch (this.#state) {
      case 'minus':
        return this.#afterMinus(byte);
      case 'string':
      case 'escape':
      case 'hex':
        return this.#inString(byte);
      case 'literal':
        return this.#inLiteral(byte);
      case 'value':
      case 'value or ]':
      case 'key':
      case 'key or }':
        return isSpace(byte) ? false : this.#begin(byte);
      case 'colon':
      case 'next':
        return isSpace(byte) ? false : this.#after(byte);
      default:
        return this.#inNumber(byte);
    }
  }

  #begin(byte: number): boolean {
    const char = String.fromCharCode(byte);
    if (this.#state === 'key' || this.#state === 'key or }') {
      if (byte === quote) return this.#goTo('string');
      if (char === '}' && this.#state === 'key or }') return this.#close();
      throw unexpected(byte, 'looking for beginning of object key string');
    }
    if (char === ']' && this.#state === 'value or ]') return this.#close();
    if (char === '{') return this.#open(byte, '{', 'key or }');
    if (char === '[') return this.#open(byte, '[', 'value or ]');
    if (byte === quote) return this.#goTo('string');
    if (char === '-') return this.#goTo('minus');
    if (char === '0') return this.#goTo('zero');
    if (isDigit(byte)) return this.#goTo('digits');
    const literal = literals.get(byte);
    if (literal === undefined) throw unexpected(byte, 'looking for beginning of value');
    this.#literal = literal;
    this.#literalAt = 1;
    return this.#goTo('literal');
  }

  #open(byte: number, nesting: '{' | '[', state: State): boolean {
    this.#nesting.push(nesting);
    if (this.#nesting.length > depthMax) throw unexpected(byte, 'exceeded max depth');
    return this.#goTo(state);
  }

  #close(): boolean {
    this.#nesting.pop();
    return this.#ended();
  }

  #after(byte: number): boolean {
    const char = String.fromCharCode(byte);
    const last = this.#nesting.length - 1;
    if (this.#state === 'colon') {
      if (char !== ':') throw unexpected(byte, 'after object key');
      this.#nesting[last] = ':';
      return this.#goTo('value');
    }
    if (this.#nesting[last] === '[') {
      if (char === ',') return this.#goTo('value');
      if (char === ']') return this.#close();
      throw unexpected(byte, 'after array element');
    }
    if (char === '}') return this.#close();
    if (char !== ',') throw unexpected(byte, 'after object key:value pair');
    this.#nesting[last] = '{';
    return this.#goTo('key');
  }

  #inString(byte: number): boolean {
    if (this.#state === 'escape') {
      if (byte === 0x75) {
        this.#hexLeft = 4;
        return this.#goTo('hex');
      }
      if (!escapes.has(byte)) throw unexpected(byte, 'in string escape code');
      return this.#goTo('string');
    }
    if (this.#state === 'hex') {
      if (!isHex(byte)) throw unexpected(byte, 'in \\u hexadecimal character escape');
      this.#hexLeft--;
      return this.#hexLeft > 0 ? false : this.#goTo('string');
    }
    if (byte === quote) {
      return this.#nesting.at(-1) === '{' ? this.#goTo('colon') : this.#ended();
    }
    if (byte === backslash) return this.#goTo('escape');
    if (byte < 0x20) throw unexpected(byte, 'in string literal');
    return false;
  }

  #inLiteral(byte: number): boolean {
    const expected = this.#literal.charAt(this.#literalAt);
    if (String.fromCharCode(byte) !== expected) {
      throw unexpected(byte, `in literal ${this.#literal} (expecting '${expected}')`);
    }
    this.#literalAt++;
    return this.#literalAt === this.#literal.length ? this.#ended() : false;
  }

  #afterMinus(byte: number): boolean {
    if (!isDigit(byte)) throw unexpected(byte, 'in numeric literal');
    return this.#goTo(byte === 0x30 ? 'zero' : 'digits');
  }

  #inNumber(byte: number): boolean | 'before' {
    const rule = numberRules.get(this.#state);
    const next = rule?.next[isDigit(byte) ? 'digit' : String.fromCharCode(byte)];
    if (next !== undefined) return this.#goTo(next);
    if (rule?.wrong !== undefined) throw unexpected(byte, rule.wrong);
    if (this.#ended()) return 'before';
    return this.#step(byte);
  }

  #goTo(state: State): false {
    this.#state = state;
    return false;
  }

  /** A value has ended; whether it was the outermost one. */
  #ended(): boolean {
    this.#state = 'next';
    return this.#nesting.length === 0;
  }
}

/** The value is larger than it may be. */
export class ValueTooLarge extends JsonError {
  override name = 'ValueTooLarge';
  /** Of the part that has come. */
  readonly sizeBytes: number;

  constructor(sizeBytes: number) {
    super('value is too large');
    this.sizeBytes = sizeBytes;
  }
}

function unexpected(byte: number, where: string): JsonError {
  return new JsonError(`invalid character ${quoted(byte)} ${where}`);
}

const named: ReadonlyMap<number, string> = new Map([
  [0x27, "'\\''"],
  [0x22, `'"'`],
  [0x5c, "'\\\\'"],
  ...['a', 'b', 't', 'n', 'v', 'f', 'r'].map((char, at): [number, string] => [
    7 + at,
    `'\\${char}'`,
  ]),
]);

/** The byte as Go quotes the character of that number. */
function quoted(byte: number): string {
  const name = named.get(byte);
  if (name !== undefined) return name;
  const hex = byte.toString(16).padStart(2, '0');
  if (byte < 0x20 || byte === 0x7f) return `'\\x${hex}'`;
  if ((byte >= 0x80 && byte <= 0xa0) || byte === 0xad) return `'\\u00${hex}'`;
  return `'${String.fromCharCode(byte)}'`;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHex(byte: number): boolean {
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}
