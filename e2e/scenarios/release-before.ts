import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compileRelease, knowsRelease } from '../image/release.ts';
import { root } from './definition.ts';
import { realKubeconfig } from './real-cluster.ts';

/** What there is to upgrade from. */
export const releaseBefore = { tag: 'v0.1.0', version: '0.1.0' } as const;

/** Why nothing can be upgraded here; false when something can. */
export function skipWithoutReleaseBefore(): string | false {
  if (realKubeconfig() !== undefined) {
    const isThere = (process.env['MAINSTAY_IMAGE_BEFORE'] ?? '') !== '';
    return isThere ? false : 'MAINSTAY_IMAGE_BEFORE names no image of the release before';
  }
  if (knowsRelease(root, releaseBefore.tag)) return false;
  return `there is no tag ${releaseBefore.tag} in this checkout to upgrade from`;
}

/** A compiled checkout of it, made by whoever asks first; test files may ask at once. */
export function compiledReleaseBefore(): string {
  const directory = join(root, 'dist/releases', releaseBefore.tag);
  if (existsSync(directory)) return directory;
  const own = `${directory}.${process.pid}`;
  compileRelease(root, releaseBefore.tag, own);
  try {
    renameSync(own, directory);
  } catch (error) {
    // Another one was first.
    if (!existsSync(directory)) throw error;
    rmSync(own, { recursive: true });
  }
  return directory;
}
