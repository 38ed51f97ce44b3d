import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compileRelease, knowsRelease } from '../image/release.ts';
import { root } from './definition.ts';
import { realKubeconfig } from './real-cluster.ts';

/** What there is to upgrade from: by its commit, for a clone need not have the tag. */
export const releaseBefore = {
  version: '0.1.0',
  commit: '13abec91916a6eacf18c4d1b83100bb2346c1eb2',
} as const;

/** Why nothing can be upgraded here; false when something can. */
export function skipWithoutReleaseBefore(): string | false {
  if (realKubeconfig() !== undefined) {
    const isThere = (process.env['MAINSTAY_IMAGE_BEFORE'] ?? '') !== '';
    return isThere ? false : 'MAINSTAY_IMAGE_BEFORE names no image of the release before';
  }
  if (knowsRelease(root, releaseBefore.commit)) return false;
  return `this checkout does not reach back to ${releaseBefore.version} to upgrade from`;
}

/** A compiled checkout of it, made by whoever asks first; test files may ask at once. */
export function compiledReleaseBefore(): string {
  const directory = join(root, 'dist/releases', releaseBefore.version);
  if (existsSync(directory)) return directory;
  const own = `${directory}.${process.pid}`;
  compileRelease(root, releaseBefore.commit, own);
  try {
    renameSync(own, directory);
  } catch (error) {
    // Another one was first.
    if (!existsSync(directory)) throw error;
    rmSync(own, { recursive: true });
  }
  return directory;
}
