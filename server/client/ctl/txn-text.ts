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

/** The words of a line, between blanks or in quotes. */
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
};

/** A word in double quotes has Go's escapes, one in single quotes or backquotes none. */
function unquoted(word: string): string {
  const quote = word[0];
  if (quote === "'" || quote === '`') return word.slice(1, -1);
  if (quote !== '"') return word;
  const escape = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs;
  return word.slice(1, -1).replaceAll(escape, (_all, x, u, long, octal, letter) => {
    const hex = (x ?? u ?? long) as string | undefined;
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal as string, 8));
    return escapes[letter as string] ?? (letter as string);
  });
}
