import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { killGroup, type ProcessFile } from './leftovers.ts';

const messageLengthMax = 4_096;
const logLengthMax = 2_048;

export interface Exit {
  readonly code: number;
  readonly signal: NodeJS.Signals | undefined;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** What it left in its terminationMessagePath; empty when nothing. */
  readonly message: string;
}

export interface ProcessRequest {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  readonly logFile: string;
  /** Stands for the terminationMessagePath. */
  readonly messageFile: string;
  /** terminationMessagePolicy FallbackToLogsOnError. */
  readonly tellsLog: boolean;
}

/** One run of a container: a process group of its own, its output in a log file. */
export class ContainerProcess {
  readonly startedAt = new Date();
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #isOver = false;

  constructor(request: ProcessRequest, processes: ProcessFile) {
    const [program = '', ...args] = request.command;
    mkdirSync(dirname(request.logFile), { recursive: true });
    mkdirSync(dirname(request.messageFile), { recursive: true });
    writeFileSync(request.messageFile, '');
    const log = openSync(request.logFile, 'a');
    this.#child = spawn(program, args, {
      cwd: request.directory,
      env: { ...request.environment },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const { pid } = this.#child;
    if (pid !== undefined) processes.add(pid);
    this.exited = this.#waitForExit(processes, request);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.pid !== undefined && !this.#isOver) killGroup(this.pid, signal);
  }

  /** SIGTERM, then SIGKILL after the grace period. */
  async stop(graceSeconds: number): Promise<void> {
    this.kill(graceSeconds > 0 ? 'SIGTERM' : 'SIGKILL');
    const timer = setTimeout(() => this.kill('SIGKILL'), graceSeconds * 1000);
    await this.exited;
    clearTimeout(timer);
  }

  #waitForExit(processes: ProcessFile, request: ProcessRequest): Promise<Exit> {
    return new Promise((resolve) => {
      const finish = (code: number, signal: NodeJS.Signals | undefined) => {
        if (this.#isOver) return;
        if (this.pid !== undefined) {
          killGroup(this.pid, 'SIGKILL');
          processes.delete(this.pid);
        }
        this.#isOver = true;
        const message = lastWords(request, code);
        resolve({ code, signal, startedAt: this.startedAt, finishedAt: new Date(), message });
      };
      this.#child.once('error', () => finish(128, undefined));
      this.#child.once('exit', (code, signal) =>
        finish(code ?? 128 + signalNumber(signal), signal ?? undefined),
      );
    });
  }
}

/** As much of it as Kubernetes takes. */
function lastWords({ messageFile, logFile, tellsLog }: ProcessRequest, code: number): string {
  const left = existsSync(messageFile) ? readFileSync(messageFile, 'utf8') : '';
  if (left !== '' || code === 0 || !tellsLog) return left.slice(0, messageLengthMax);
  return existsSync(logFile) ? readFileSync(logFile, 'utf8').slice(-logLengthMax) : '';
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === 'SIGKILL' ? 9 : signal === 'SIGTERM' ? 15 : signal === 'SIGINT' ? 2 : 1;
}
