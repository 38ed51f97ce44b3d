import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const builders = ['buildah', 'podman', 'docker'] as const;
export type BuilderName = (typeof builders)[number];

export interface BuildRequest {
  readonly dockerfile: string;
  readonly context: string;
  /** Name and tag of the image. */
  readonly tag: string;
  readonly arguments: Readonly<Record<string, string>>;
  /** When what is in it was made, in seconds: the same content gives the same image. */
  readonly madeAt: number;
}

/** A program that builds images. */
export class Builder {
  readonly name: BuilderName;
  readonly #program: string;
  readonly #global: readonly string[];

  /** `storage`: a directory for images, apart from those of the machine; buildah and podman only. */
  constructor(
    options: { readonly name?: BuilderName; readonly storage?: string | undefined } = {},
  ) {
    const found = builders
      .filter((name) => options.name === undefined || name === options.name)
      .find((name) => pathOf(name) !== undefined);
    if (found === undefined) {
      throw new Error(`none of these is in PATH: ${options.name ?? builders.join(', ')}`);
    }
    if (found === 'docker' && options.storage !== undefined)
      throw new Error('docker has no storage of its own: install buildah or podman');
    this.name = found;
    this.#program = pathOf(found) ?? found;
    this.#global = options.storage === undefined ? [] : storageFlags(options.storage);
  }

  /** COPY only, so it needs no runtime and no network. What is not there of the base is pulled. */
  build(request: BuildRequest): void {
    const { dockerfile, context, tag, madeAt } = request;
    const buildArguments = Object.entries(request.arguments).flatMap(([name, value]) => [
      '--build-arg',
      `${name}=${value}`,
    ]);
    const how = this.name === 'docker' ? [] : ['--format', 'docker', '--timestamp', String(madeAt)];
    this.#run(['build', ...how, '-f', dockerfile, '-t', tag, ...buildArguments, context]);
  }

  /** Writes an image as a docker-archive. */
  save(tag: string, file: string): void {
    if (this.name === 'buildah') this.#run(['push', tag, `docker-archive:${file}:${tag}`]);
    else if (this.name === 'podman')
      this.#run(['save', '--format', 'docker-archive', '-o', file, tag]);
    else this.#run(['save', '-o', file, tag]);
  }

  #run(args: readonly string[]): void {
    execFileSync(this.#program, [...this.#global, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }
}

/** For buildah and podman. */
export function storageFlags(storage: string): string[] {
  return ['--root', join(storage, 'root'), '--runroot', join(storage, 'run')];
}

function pathOf(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));
}
