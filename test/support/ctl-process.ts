import { type ChildProcess, spawn } from 'node:child_process';
import { memoryOf } from './process-memory.ts';
import { programPath } from './programs.ts';

const main = programPath('server/ctl/main');
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** mainstayctl as a process of its own, which can be killed. */
export class CtlProcess {
  readonly #child: ChildProcess;
  readonly exited: Promise<number | null>;
  out = '';
  err = '';

  constructor(words: readonly string[]) {
    const child = spawn(process.execPath, ['--enable-source-maps', main, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    running.add(child);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code) => {
        running.delete(child);
        resolve(code);
      });
    });
  }

  get isRunning(): boolean {
    return running.has(this.#child);
  }

  /** The most memory that it has had so far; 0 when it has ended. */
  get peakRssBytes(): number {
    return this.isRunning ? (memoryOf(this.#child.pid, 'VmHWM') ?? 0) : 0;
  }

  kill(signal: 'SIGINT' | 'SIGKILL'): Promise<number | null> {
    this.#child.kill(signal);
    return this.exited;
  }
}
