import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { extname, join } from 'node:path';
import { copyPackages, type Platform } from './packages.ts';

export interface ContextOptions {
  /** A compiled checkout with its packages installed. */
  readonly source: string;
  /** Where the context goes; what was there is removed. */
  readonly target: string;
  /** Where Node is in the base image. */
  readonly node: string;
  readonly platform: Platform;
  /** Another version than the package's, to have something to upgrade to. Default: that of the package. */
  readonly version?: string;
}

/** Commands of the image, and the programs that they run. */
const programs = {
  mainstay: 'dist/server/main.js',
  'mainstay-operator': 'dist/operator/main.js',
  mainstayctl: 'dist/server/ctl/main.js',
} as const;

const example = 'examples/application';

/** Where a compiled checkout says its version. */
const versionLines = {
  'dist/server/config/version.js': 'export const mainstayVersion = ',
  'dist/operator/api/defaults.js': 'export const versionDefault = ',
} as const;

/**
 * What the Dockerfile copies: `bin/` for the PATH, `var/` with the place for data, `app/` with the compiled programs and
 * the packages that they load. Returns the version that it carries.
 */
export function prepareContext(options: ContextOptions): string {
  const { source, target } = options;
  const app = join(target, 'app');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(join(target, 'bin'), { recursive: true });
  mkdirSync(join(target, 'var/lib/mainstay'), { recursive: true });
  for (const folder of ['server', 'operator']) copyProgram(source, app, folder);
  // The example is what shows on a cluster how an application connects; release 0.1 has none.
  if (existsSync(join(source, 'dist', example))) copyProgram(source, app, example);
  copyPage(source, app);
  for (const name of ['LICENSE', 'crds'])
    cpSync(join(source, name), join(app, name), { recursive: true });
  copyPackages(source, app, options.platform);
  const version = writeManifest(options);
  if (options.version !== undefined) relabel(app, version);
  for (const [name, path] of Object.entries(programs)) {
    // The base may have neither a shell nor env. CommonJS, since no package.json is above it.
    writeFileSync(
      join(target, 'bin', name),
      `#!${options.node}\nimport('/opt/mainstay/${path}');\n`,
    );
  }
  settleModes(target);
  for (const name of Object.keys(programs)) chmodSync(join(target, 'bin', name), 0o755);
  chmodSync(join(target, 'var/lib/mainstay'), 0o777);
  return version;
}

/** What of the console is not compiled. A release before 0.2 has none. */
function copyPage(source: string, app: string): void {
  const folder = 'server/console';
  if (!existsSync(join(source, folder))) return;
  cpSync(join(source, folder), join(app, folder), {
    recursive: true,
    filter: (file) => ['', '.html', '.css', '.svg'].includes(extname(file)),
  });
}

function copyProgram(source: string, app: string, folder: string): void {
  cpSync(join(source, 'dist', folder), join(app, 'dist', folder), {
    recursive: true,
    filter: (file) => !['.ts', '.map', '.tsbuildinfo'].includes(extname(file)),
  });
}

function writeManifest({ source, target, version: label }: ContextOptions): string {
  const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
    license: string;
    exports: unknown;
  };
  const { name, license, exports } = manifest;
  const version = label ?? manifest.version;
  if (!/^\d+\.\d+\.\d+$/.test(version))
    throw new Error(`a version must be x.y.z, for example 1.2.3, not "${version}"`);
  const text = JSON.stringify({ name, version, license, type: 'module', exports }, undefined, 2);
  writeFileSync(join(target, 'app/package.json'), `${text}\n`);
  return version;
}

/** The same program under another version. */
function relabel(app: string, version: string): void {
  for (const [path, line] of Object.entries(versionLines)) {
    const file = join(app, path);
    const lines = readFileSync(file, 'utf8').split('\n');
    const index = lines.findIndex((text) => text.startsWith(line));
    if (index === -1) throw new Error(`${path} should have a line "${line}..."`);
    lines[index] = `${line}'${version}';`;
    writeFileSync(file, lines.join('\n'));
  }
}

/** Everyone may read, nobody may write, whatever the umask was. */
function settleModes(directory: string): void {
  chmodSync(directory, 0o755);
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) settleModes(path);
    else chmodSync(path, 0o644);
  }
}
