import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Builder, type BuilderName } from './builder.ts';
import { prepareContext } from './context.ts';
import { assembleOwnBase, nodePath, ownBaseDockerfile } from './own-base.ts';
import type { Platform } from './packages.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
export const publicBase = 'docker.io/library/node:26-slim';
const ownBase = `localhost/mainstay-base:node-${process.versions.node}`;

export interface ImageOptions {
  /** For the context and the files of a base of our own. */
  readonly workDirectory: string;
  /** A compiled checkout with its packages installed. Default: this one. */
  readonly source?: string | undefined;
  /** Another version than the package's. */
  readonly version?: string | undefined;
  /** Name before the tag; the tag is the version. Default `mainstay`. */
  readonly repository?: string | undefined;
  /** Default: the public image of Node. */
  readonly base?: { readonly image: string } | 'own' | undefined;
  /** Where Node is in the base. */
  readonly node?: string | undefined;
  readonly libc?: Platform['libc'] | undefined;
  readonly builder?: BuilderName | undefined;
  /** A directory for images, apart from those of the machine. */
  readonly storage?: string | undefined;
  /** A docker-archive to write. */
  readonly output?: string | undefined;
}

export interface BuiltImage {
  readonly tag: string;
  readonly version: string;
}

/** Prepares `context` in the work directory: everything but the base. Returns the version that it carries. */
export function prepareImage(options: ImageOptions): string {
  return prepareContext({
    source: options.source ?? root,
    target: contextOf(options),
    node: options.node ?? nodePath,
    platform: { name: platformName(), libc: options.libc ?? 'glibc' },
    ...(options.version === undefined ? {} : { version: options.version }),
  });
}

export function buildImage(options: ImageOptions): BuiltImage {
  const builder = new Builder({
    storage: options.storage,
    ...(options.builder === undefined ? {} : { name: options.builder }),
  });
  const version = prepareImage(options);
  const base = options.base ?? { image: publicBase };
  if (base === 'own') buildOwnBase(builder, options.workDirectory);
  const origin = originOf(options.source ?? root);
  const tag = `${options.repository ?? 'mainstay'}:${version}`;
  builder.build({
    dockerfile: join(root, 'Dockerfile'),
    context: contextOf(options),
    tag,
    arguments: {
      BASE: base === 'own' ? ownBase : base.image,
      VERSION: version,
      REVISION: origin.revision,
    },
    madeAt: origin.madeAt,
  });
  if (options.output !== undefined) {
    mkdirSync(dirname(options.output), { recursive: true });
    rmSync(options.output, { force: true });
    builder.save(tag, options.output);
  }
  return { tag, version };
}

function contextOf({ workDirectory }: ImageOptions): string {
  return join(workDirectory, 'context');
}

function buildOwnBase(builder: Builder, workDirectory: string): void {
  const context = join(workDirectory, 'base');
  const dockerfile = join(workDirectory, 'base.Dockerfile');
  assembleOwnBase(context);
  writeFileSync(dockerfile, ownBaseDockerfile);
  builder.build({ dockerfile, context, tag: ownBase, arguments: {}, madeAt: 0 });
}

function platformName(): Platform['name'] {
  if (process.arch === 'x64') return 'linux-x64';
  if (process.arch === 'arm64') return 'linux-arm64';
  throw new Error(`there is no image for ${process.arch}: use x64 or arm64`);
}

/** What a checkout is: the hash of its commit, and when that was made. */
function originOf(source: string): { readonly revision: string; readonly madeAt: number } {
  try {
    const text = execFileSync('git', ['log', '-1', '--format=%H %ct'], {
      cwd: source,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [revision = '', time = ''] = text.trim().split(' ');
    return { revision, madeAt: Number(time) };
  } catch {
    return { revision: 'unknown', madeAt: 0 }; // Not a checkout, or no git here.
  }
}
