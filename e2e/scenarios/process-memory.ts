import { readdirSync, readFileSync } from 'node:fs';
import { memoryOf } from '../../test/support/process-memory.ts';

// How much memory processes of this machine have: on localkube, and on a cluster of which this machine is a node, those of
// pods are among them.

/** Follows the memory of the processes of Node in whose command line each of these is found. */
export class ProcessMemory {
  readonly #patterns: readonly RegExp[];
  readonly #firstBytes = new Map<string, number>();
  #peakBytes = 0;
  #growthBytes = 0;

  constructor(...patterns: readonly RegExp[]) {
    this.#patterns = patterns;
  }

  /** Has to be called again and again. */
  look(): void {
    for (const pid of this.#pids()) {
      const bytes = memoryOf(pid, 'RssAnon');
      if (bytes === undefined) continue;
      const firstBytes = this.#firstBytes.get(pid) ?? bytes;
      this.#firstBytes.set(pid, firstBytes);
      this.#peakBytes = Math.max(this.#peakBytes, bytes);
      this.#growthBytes = Math.max(this.#growthBytes, bytes - firstBytes);
    }
  }

  /** Whether there was any. */
  get isSeen(): boolean {
    return this.#firstBytes.size > 0;
  }

  /** The most that one of them had. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** The most that one of them had more than at first. */
  get growthBytes(): number {
    return this.#growthBytes;
  }

  #pids(): string[] {
    return readdirSync('/proc').filter((name) => {
      if (!/^[0-9]+$/.test(name)) return false;
      const command = textOf(`/proc/${name}/cmdline`)?.split('\0') ?? [];
      return (
        command[0]?.endsWith('node') === true &&
        this.#patterns.every((pattern) => command.some((part) => pattern.test(part)))
      );
    });
  }
}

/** undefined when the process has ended. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
