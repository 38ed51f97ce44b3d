import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { basename, extname, join, relative } from 'node:path';

/** What is left out of packages: types, maps and sources are for people who develop. */
const leftOut = new Set([
  '.ts',
  '.mts',
  '.cts',
  '.map',
  '.md',
  '.markdown',
  '.flow',
  '.tsbuildinfo',
]);
/** Of classic-level: LevelDB's own sources, for machines that have to compile it. */
const sourceFolders = new Set(['deps', 'binding.gyp', 'binding.cc']);
/** Types, and modules that only the runtime Bare loads. */
const neverLoaded = /(^|\/)(@types|undici-types|bare-[a-z-]+)(\/|$)/;

export interface Platform {
  /** As in `process.platform` and `process.arch`. */
  readonly name: 'linux-x64' | 'linux-arm64';
  readonly libc: 'glibc' | 'musl';
}

/** Copies the packages that the programs load, as installed below `source`, without what only developers need. */
export function copyPackages(source: string, target: string, platform: Platform): void {
  for (const directory of productionPackages(source)) {
    const path = relative(source, directory);
    cpSync(directory, join(target, path), {
      recursive: true,
      filter: (file) => isWanted(relative(directory, file), platform),
    });
  }
  const prebuilds = join(target, 'node_modules/classic-level/prebuilds', platform.name);
  const found = existsSync(prebuilds) ? readdirSync(prebuilds) : [];
  if (found.length !== 1) {
    throw new Error(
      `classic-level should have one binary for ${platform.name} (${platform.libc}), not ${found.length}: run npm ci`,
    );
  }
}

function productionPackages(source: string): string[] {
  const list = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], {
    cwd: source,
    encoding: 'utf8',
  });
  return list
    .split('\n')
    .filter((path) => path.includes('/node_modules/'))
    .filter((path) => !neverLoaded.test(path.slice(path.indexOf('/node_modules/') + 1)));
}

/** `path` is relative to the package. Packages within packages stand in the list by themselves. */
function isWanted(path: string, platform: Platform): boolean {
  const [first = ''] = path.split('/');
  if (first === 'node_modules' || sourceFolders.has(first)) return false;
  if (first === 'prebuilds') return isPrebuildWanted(path, platform);
  return !leftOut.has(extname(path)) || /^(licen[cs]e|notice)/i.test(basename(path));
}

function isPrebuildWanted(path: string, { name, libc }: Platform): boolean {
  const [, directory, file] = path.split('/');
  if (directory === undefined) return true;
  if (directory !== name) return false;
  return file === undefined || file.includes('.musl.') === (libc === 'musl');
}
