import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { TestCluster } from './server-process.ts';
import { toolPath } from './tools.ts';

/** What a run of etcdctl left. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly endpoints?: readonly string[];
  readonly input?: string;
}

const runTimeoutMs = 30_000;

/** etcdctl as it is, against the members that a cluster has now. */
export class Etcdctl {
  readonly #endpoints: readonly string[];
  readonly #flags: readonly string[];

  /** `flags` go before every command: certificates, a user. */
  constructor(cluster: TestCluster, flags: readonly string[] = []) {
    this.#endpoints = cluster.endpoints;
    this.#flags = flags;
  }

  /** Runs a command to its end, which may be an error. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return this.start(args, options).finished();
  }

  /** Starts a command that goes on by itself: watch, lock, elect, lease keep-alive. */
  start(args: readonly string[], options: RunOptions = {}): RunningEtcdctl {
    const endpoints = options.endpoints ?? this.#endpoints;
    const all = ['--endpoints', endpoints.join(','), ...this.#flags, ...args];
    return new RunningEtcdctl(all, options.input ?? '');
  }
}

export class RunningEtcdctl {
  stdout = '';
  stderr = '';
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #closed: Promise<number | null>;
  #changed: () => void = () => undefined;

  constructor(args: readonly string[], input: string) {
    this.#child = spawn(toolPath('etcdctl'), args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: runTimeoutMs,
      killSignal: 'SIGKILL',
      env: { PATH: process.env['PATH'] },
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', resolve);
    });
    void this.#closed.finally(() => this.#changed()).catch(() => undefined);
    this.#child.stdin.on('error', () => undefined);
    this.#child.stdin.end(input);
  }

  async finished(): Promise<Finished> {
    const code = await this.#closed;
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  /** Resolves with the first `count` lines of its output when they are there; rejects when it ends before. */
  async lines(count: number): Promise<string[]> {
    for (;;) {
      const lines = this.stdout.split('\n').slice(0, -1);
      if (lines.length >= count) return lines.slice(0, count);
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`etcdctl has ended:\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** What Ctrl-C does. */
  interrupt(): void {
    this.#child.kill('SIGINT');
  }
}
