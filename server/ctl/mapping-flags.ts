import type { CommandLine } from '../client/ctl/command-line.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { KeyMapping } from '../mirror/key-mapping.ts';

const reservedDefault = '__mainstay/';

/** Which keys are copied, and what they are called where they come to. */
export const mappingFlags: readonly Flag[] = [
  { name: 'prefix', value: 'PREFIX', summary: 'only the keys that begin so' },
  {
    name: 'dest-prefix',
    value: 'PREFIX',
    default: 'the same',
    summary: 'what stands at the destination in place of --prefix',
  },
  { name: 'no-dest-prefix', summary: 'nothing stands there in place of --prefix' },
  {
    name: 'reserved-prefix',
    value: 'PREFIX',
    default: reservedDefault,
    summary:
      'where the destination keeps how far the work is; keys that begin so are neither copied nor deleted',
  },
];

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
