import { Buffer, isUtf8 } from 'node:buffer';
import { UsageError } from './flags.ts';

/** One comparison of a transaction, as people write it: `mod("key") > "7"`. */
export interface TextCompare {
  readonly target: 'version' | 'create' | 'mod' | 'value' | 'lease';
  readonly key: string;
  readonly operator: '=' | '!=' | '<' | '>';
  readonly operand: string;
}

const targets: Readonly<Record<string, TextCompare['target']>> = {
  ver: 'version',
  version: 'version',
  c: 'create',
  create: 'create',
  m: 'mod',
  mod: 'mod',
  val: 'value',
  value: 'value',
  lease: 'lease',
};

const comparePattern =
  /^\s*(\w+)\s*\(\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*\)\s*(=|!=|<|>)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*$/;

/** Throws {@link UsageError}. */
export function compareOf(line: string): TextCompare {
  const [, name = '', key, operator, operand] = comparePattern.exec(line) ?? [];
  if (key === undefined || operator === undefined || operand === undefined) {
    throw new UsageError(`"${line.trim()}" is no comparison such as mod("key") > "7"`);
  }
  const target = targets[name];
  if (target === undefined) {
    throw new UsageError(`"${name}" is not version, create, mod, value or lease: ${line.trim()}`);
  }
  return {
    target,
    key: unquoted(key),
    operator: operator as TextCompare['operator'],
    operand: unquoted(operand),
  };
}

const wordPattern = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']\S*/g;

/** The words of a line, between blanks or in quotes. Throws {@link UsageError}. */
export function wordsOf(line: string): string[] {
  return [...line.matchAll(wordPattern)].map(([word]) => unquoted(word));
}

const escapes: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  '\\': '\\',
};
const escapePattern =
  /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs;
const codePointMax = 0x10ffff;

/** A word in double quotes has Go's escapes, one in single quotes or backquotes none. Throws {@link UsageError}. */
function unquoted(word: string): string {
  const quote = word[0];
  if (quote === "'" || quote === '`') return word.slice(1, -1);
  if (quote !== '"') return word;
  const text = word.slice(1, -1);
  const parts: Buffer[] = [];
  let end = 0;
  for (const match of text.matchAll(escapePattern)) {
    parts.push(Buffer.from(text.slice(end, match.index)), escapedBytes(match, word));
    end = match.index + match[0].length;
  }
  const bytes = Buffer.concat([...parts, Buffer.from(text.slice(end))]);
  if (isUtf8(bytes)) return bytes.toString();
  throw new UsageError(
    `${word} is no text in UTF-8: a value of other bytes goes through "mainstayctl put KEY < FILE"`,
  );
}

/** What an escape stands for: \\x and octal for one byte, \\u and \\U for a character. */
function escapedBytes(
  [escape, x, u, long, octal, letter = '']: RegExpExecArray,
  word: string,
): Buffer {
  if (x !== undefined) return Buffer.of(Number.parseInt(x, 16));
  const byte = Number.parseInt(octal ?? '', 8);
  if (byte <= 0xff) return Buffer.of(byte);
  const code = Number.parseInt(u ?? long ?? '', 16);
  const isSurrogate = code >= 0xd800 && code <= 0xdfff;
  if (code <= codePointMax && !isSurrogate) return Buffer.from(String.fromCodePoint(code));
  const character = escapes[letter];
  if (character !== undefined) return Buffer.from(character);
  throw new UsageError(`${word}: ${escape} is no escape; write \\\\ for a backslash`);
}
