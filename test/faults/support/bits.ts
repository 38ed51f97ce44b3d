import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { SeededRandom } from '../../sim/random.ts';

/** The kinds of files in a data directory, each as likely to be damaged. */
const kinds: ReadonlyArray<readonly [name: string, pattern: RegExp]> = [
  ['wal', /\.wal$/],
  ['table', /\.ldb$|\.sst$/],
  ['log', /\/\d+\.log$/],
  ['manifest', /\/MANIFEST-\d+$/],
  ['current', /\/CURRENT$/],
  ['STATE', /^STATE$/],
];

export interface Flip {
  readonly kind: string;
  readonly file: string;
  readonly byte: number;
  readonly bit: number;
}

export function filesOf(directory: string): string[] {
  const memberDirectory = join(directory, 'member');
  return readdirSync(memberDirectory, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(memberDirectory, join(entry.parentPath, entry.name)))
    .toSorted();
}

/** Turns one bit over, in a file of a kind drawn first: most bytes are in few files. */
export function flipBit(directory: string, random: SeededRandom): Flip {
  const files = filesOf(directory).filter(
    (file) => statSync(join(directory, 'member', file)).size > 0,
  );
  const present = kinds.filter(([, pattern]) => files.some((file) => pattern.test(file)));
  const [kind, pattern] = random.pick(present);
  const file = random.pick(files.filter((name) => pattern.test(name)));
  const path = join(directory, 'member', file);
  const bytes = readFileSync(path);
  const [byte, bit] = [random.below(bytes.length), random.below(8)];
  bytes[byte] = (bytes[byte] ?? 0) ^ (1 << bit);
  writeFileSync(path, bytes);
  return { kind, file, byte, bit };
}
