import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';

const stopMs = 10_000;

/** The operator, as a person would run it beside a cluster. */
export class OperatorProcess {
  readonly logFile: string;
  readonly #root: string;
  readonly #kubeconfigPath: string;
  #child: ChildProcess | undefined;
  #isStopping = false;
  #end: () => void = () => {};
  hasFailed = false;
  /** Resolves when it has ended, whoever ended it. */
  readonly ended: Promise<void>;

  constructor(root: string, options: { kubeconfigPath: string; logFile: string }) {
    this.#root = root;
    this.#kubeconfigPath = options.kubeconfigPath;
    this.logFile = options.logFile;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async start(): Promise<void> {
    const log = openSync(this.logFile, 'a');
    const main = join(this.#root, 'dist/operator/main.js');
    const args = [main, '--kubeconfig', this.#kubeconfigPath, '--health-port', '0'];
    // A group of its own: Ctrl-C in the terminal is for us, and we end the operator in order.
    const child = spawn(process.execPath, args, { stdio: ['ignore', log, log], detached: true });
    this.#child = child;
    child.on('exit', () => {
      this.hasFailed = !this.#isStopping;
      this.#end();
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#isStopping = true;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await this.ended;
    clearTimeout(timer);
  }
}
