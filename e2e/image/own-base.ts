import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where Node is in a base of our own; the public images have it there too. */
export const nodePath = '/usr/local/bin/node';

/** Builds it, with the files as context. */
export const ownBaseDockerfile = `FROM scratch
COPY . /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
`;

/**
 * The files of a base image for a machine without a registry: this Node and the C libraries that it links to, and
 * nothing else.
 */
export function assembleOwnBase(target: string): void {
  rmSync(target, { recursive: true, force: true });
  copyInto(target, process.execPath, nodePath);
  for (const library of librariesOf(process.execPath)) copyInto(target, library, library);
}

function copyInto(target: string, from: string, to: string): void {
  const path = join(target, to);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
}

/** Paths of the shared libraries that a program links to, its loader included. */
function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n');
  const missing = lines.filter((line) => line.includes('not found'));
  if (missing.length > 0) throw new Error(`${program} misses libraries: ${missing.join(', ')}`);
  return lines.flatMap((line) => /(?:=> |^\s+)(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}
