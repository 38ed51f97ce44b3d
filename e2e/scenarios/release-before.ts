import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileRelease, knowsRelease } from '../image/release.ts';
import { root } from './definition.ts';

/** What there is to upgrade from. */
export const releaseBefore = { tag: 'v0.1.0', version: '0.1.0' } as const;

/** Why nothing can be upgraded here; false when something can. */
export function skipWithoutReleaseBefore(): string | false {
  const isReal = (process.env['KUBECONFIG'] ?? '') !== '';
  if (isReal) {
    const isThere = (process.env['MAINSTAY_IMAGE_BEFORE'] ?? '') !== '';
    return isThere ? false : 'MAINSTAY_IMAGE_BEFORE names no image of the release before';
  }
  if (knowsRelease(root, releaseBefore.tag)) return false;
  return `there is no tag ${releaseBefore.tag} in this checkout to upgrade from`;
}

/** A compiled checkout of it, made when it is asked for first. */
export function compiledReleaseBefore(): string {
  const directory = join(root, 'dist/releases', releaseBefore.tag);
  const done = `${directory}.compiled`;
  if (existsSync(done) && existsSync(directory)) return directory;
  rmSync(done, { force: true });
  compileRelease(root, releaseBefore.tag, directory);
  writeFileSync(done, '');
  return directory;
}
