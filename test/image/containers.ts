import { execFileSync, spawnSync } from 'node:child_process';
import { storageFlags } from '../../e2e/image/builder.ts';
import { toolPath } from '../support/tools.ts';

/** What a hardened cluster allows, and no network but the container's own loopback. */
const hardened = ['--read-only', '--cap-drop=ALL', '--security-opt', 'no-new-privileges'].concat([
  '--network=none',
  // runc cannot set the defaults where it may not raise its own limits.
  '--ulimit=nofile=4096:4096',
  '--ulimit=nproc=1000:1000',
]);

/** Containers of podman, by images of a storage directory. */
export class Containers {
  readonly #global: readonly string[];

  constructor(storage: string) {
    this.#global = [...storageFlags(storage), '--runtime=runc', '--cgroup-manager=cgroupfs'];
  }

  /** Runs to the end; throws when it fails. */
  run(image: string, args: readonly string[], options: { entrypoint?: string } = {}): string {
    const entrypoint =
      options.entrypoint === undefined ? [] : [`--entrypoint=${options.entrypoint}`];
    return this.#podman([
      'run',
      '--rm',
      ...hardened,
      '--user=65532:65532',
      ...entrypoint,
      image,
      ...args,
    ]);
  }

  /** Runs the image's own command in the background, with a place for data. Returns its id. */
  start(image: string, { uid }: { readonly uid: number }): string {
    const user = `--user=${uid}:${uid}`;
    const data = '--tmpfs=/var/lib/mainstay:rw,mode=0777';
    return this.#podman(['run', '--detach', ...hardened, user, data, image]).trim();
  }

  exec(container: string, command: readonly string[]): string {
    return this.#podman(['exec', container, ...command]);
  }

  logs(container: string): string {
    const { stdout, stderr } = spawnSync(toolPath('podman'), [...this.#global, 'logs', container]);
    return `${stdout}${stderr}`;
  }

  /** The exit status of what ran. */
  stop(container: string): number {
    this.#podman(['stop', '--time=20', container]);
    return Number(this.#podman(['inspect', '--format={{.State.ExitCode}}', container]));
  }

  imageBytes(image: string): number {
    return Number(this.#podman(['image', 'inspect', '--format={{.Size}}', image]));
  }

  /** Containers and images; without this, mounts are left in the storage directory. */
  removeAll(): void {
    this.#podman(['rm', '--all', '--force', '--time=0']);
    this.#podman(['rmi', '--all', '--force']);
  }

  #podman(args: readonly string[]): string {
    return execFileSync(toolPath('podman'), [...this.#global, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    });
  }
}
