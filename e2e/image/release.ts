import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Whether the checkout knows a release; a shallow clone does not reach back. */
export function knowsRelease(root: string, commit: string): boolean {
  try {
    execFileSync('git', ['rev-parse', '--verify', '--quiet', `${commit}^{commit}`], {
      cwd: root,
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

/** Unpacks a release into a directory and compiles it, with its packages; what was there is removed. */
export function compileRelease(root: string, commit: string, directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const archive = join(directory, 'release.tar');
  execFileSync('git', ['archive', '--output', archive, commit], { cwd: root });
  execFileSync('tar', ['-xf', archive, '-C', directory]);
  rmSync(archive);
  if (existsSync(join(root, 'node_modules')) && packagesOf(root) === packagesOf(directory))
    execFileSync('cp', ['-al', join(root, 'node_modules'), directory]);
  else run(directory, 'npm', ['ci', '--ignore-scripts']);
  run(directory, 'npx', ['tsc', '-b']);
}

function run(directory: string, program: string, args: readonly string[]): void {
  execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
}

function packagesOf(directory: string): string {
  const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    dependencies: object;
    devDependencies: object;
  };
  return JSON.stringify([manifest.dependencies, manifest.devDependencies]);
}
