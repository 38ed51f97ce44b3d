import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';

const stopMs = 10_000;
/** Runs its arguments; ends them when standard input ends, and ends when they do. */
const lifeline = `
exec 3<&0
"$0" "$@" </dev/null 3<&- &
child=$!
{ cat >/dev/null; kill $child 2>/dev/null; } <&3 3<&- &
wait $child
`;

/** The operator, as a person would run it beside a cluster. */
export class OperatorProcess {
  readonly logFile: string;
  readonly #root: string;
  readonly #kubeconfigPath: string;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;
  #isStopping = false;
  #end: () => void = () => {};
  hasFailed = false;
  /** Resolves when it has ended, whoever ended it. */
  readonly ended: Promise<void>;

  constructor(
    root: string,
    options: { kubeconfigPath: string; logFile: string; flags?: readonly string[] },
  ) {
    this.#root = root;
    this.#flags = options.flags ?? [];
    this.#kubeconfigPath = options.kubeconfigPath;
    this.logFile = options.logFile;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async start(): Promise<void> {
    const log = openSync(this.logFile, 'a');
    const main = join(this.#root, 'dist/operator/main.js');
    const args = [main, '--kubeconfig', this.#kubeconfigPath, '--health-port', '0'].concat(
      this.#flags,
    );
    // A shell of its own group watches our end of a pipe: whatever happens to us, the operator ends too.
    const command = ['sh', '-c', lifeline, process.execPath, ...args];
    const [shell = '', ...rest] = command;
    const child = spawn(shell, rest, { stdio: ['pipe', log, log], detached: true });
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
    child.stdin?.end();
    const timer = setTimeout(() => killGroup(child), stopMs);
    await this.ended;
    clearTimeout(timer);
  }

  /** SIGKILL: nothing is given back or written down. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    this.#isStopping = true;
    killGroup(child);
    await this.ended;
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGKILL');
}
