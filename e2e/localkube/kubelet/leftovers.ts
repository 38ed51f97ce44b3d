import { existsSync, readFileSync, writeFileSync } from 'node:fs';

interface Record {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot: with the pid it names one process for good. */
  readonly startTime: string;
}

/**
 * A file of the processes that run, so that the next start finds what a killed localkube left behind. A pid alone may belong
 * to another program by then: the start time in /proc tells.
 */
export class ProcessFile {
  readonly #file: string;
  readonly #records = new Map<number, Record>();

  constructor(file: string) {
    this.#file = file;
  }

  /** Kills, with their process groups, the processes of an earlier run; resolves to their number once they are gone. */
  async killLeftovers(): Promise<number> {
    const records = existsSync(this.#file)
      ? (JSON.parse(readFileSync(this.#file, 'utf8')) as Record[])
      : [];
    const left = records.filter(({ pid, startTime }) => startTimeOf(pid) === startTime);
    for (const { pid } of left) killGroup(pid, 'SIGKILL');
    while (left.some(({ pid, startTime }) => startTimeOf(pid) === startTime)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.#write();
    return left.length;
  }

  add(pid: number): void {
    this.#records.set(pid, { pid, startTime: startTimeOf(pid) ?? '' });
    this.#write();
  }

  delete(pid: number): void {
    this.#records.delete(pid);
    this.#write();
  }

  /** Kills everything at once: the last resort when the process exits. */
  killAll(): void {
    for (const pid of this.#records.keys()) killGroup(pid, 'SIGKILL');
  }

  #write(): void {
    writeFileSync(this.#file, JSON.stringify([...this.#records.values()]));
  }
}

/** Field 22 of /proc/PID/stat; undefined for a process that is gone (or a zombie). */
export function startTimeOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Signals a process group; a group that is gone already is fine. */
export function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: gone.
  }
}
