import { type Keys, keysBetween, keysFrom, keysUnder, oneKey } from '../keys.ts';
import type { Example } from './command.ts';
import { type CommandLine } from './command-line.ts';
import { type Flag, UsageError } from './flags.ts';

/** Flags that make a range of a key. */
export const prefixFlag: Flag = { name: 'prefix', summary: 'every key that begins with KEY' };
export const fromKeyFlag: Flag = { name: 'from-key', summary: 'every key from KEY on' };

/** What KEY and RANGE_END with their flags stand for; `''` with one of the flags is every key. */
export function keysOf(line: CommandLine, [key = '', end]: readonly string[]): Keys {
  const isPrefix = line.text('prefix') === 'true';
  const isFromKey = line.text('from-key') === 'true';
  if ([isPrefix, isFromKey, end !== undefined].filter(Boolean).length > 1) {
    throw new UsageError('--prefix, --from-key and RANGE_END exclude each other');
  }
  if (isPrefix) return keysUnder(key);
  if (isFromKey) return keysFrom(key);
  return end === undefined ? oneKey(key) : keysBetween(key, end);
}

export const everyKey: Example = { words: "get --prefix '' --keys-only", note: 'every key' };
