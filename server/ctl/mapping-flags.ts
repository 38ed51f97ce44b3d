import type { CommandLine } from '../client/ctl/command-line.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { KeyMapping } from '../mirror/key-mapping.ts';

const reservedDefault = '__mainstay/';

export const prefixFlag: Flag = {
  name: 'prefix',
  value: 'PREFIX',
  summary: 'only the keys that begin so',
};
export const reservedFlag: Flag = {
  name: 'reserved-prefix',
  value: 'PREFIX',
  default: reservedDefault,
  summary: 'where mirrors and imports keep how far they are: keys that begin so are never copied',
};

/** Which keys are copied, and what they are called where they come to. */
export const mappingFlags: readonly Flag[] = [
  prefixFlag,
  {
    name: 'dest-prefix',
    value: 'PREFIX',
    default: 'the same',
    summary: 'what stands at the destination in place of --prefix',
  },
  { name: 'no-dest-prefix', summary: 'nothing stands there in place of --prefix' },
  reservedFlag,
];

/** Of transactions at the destination; the checkpoint is one operation of each. */
export function txnOpsMaxOf(line: CommandLine): number {
  const max = line.text('max-txn-ops') === undefined ? 128 : line.whole('max-txn-ops');
  if (max < 2) throw new UsageError('--max-txn-ops: the checkpoint is one, so 2 at least');
  return max;
}

/** Throws {@link UsageError}. */
export function mappingOf(line: CommandLine): { mapping: KeyMapping; reserved: string } {
  const prefix = line.text('prefix') ?? '';
  const given = line.text('dest-prefix');
  if (given !== undefined && line.flag('no-dest-prefix')) {
    throw new UsageError('--dest-prefix and --no-dest-prefix exclude each other');
  }
  const destPrefix = line.flag('no-dest-prefix') ? '' : (given ?? prefix);
  const reserved = line.text('reserved-prefix') ?? reservedDefault;
  if (reserved === '') throw new UsageError('--reserved-prefix: no key would be copied');
  for (const [flag, text] of [
    ['--prefix', prefix],
    ['--dest-prefix', destPrefix],
  ] as const) {
    if (text.startsWith(reserved)) {
      throw new UsageError(`${flag}: "${text}" is inside of --reserved-prefix ${reserved}`);
    }
  }
  return { mapping: new KeyMapping({ prefix, destPrefix, reserved }), reserved };
}
