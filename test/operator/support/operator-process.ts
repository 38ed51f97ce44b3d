import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { programPath } from '../../support/programs.ts';

const main = programPath('operator/main');

/** The operator as a process of its own. */
export class OperatorProcess {
  readonly child: ChildProcess;
  /** Of /livez, /readyz and /metrics. */
  readonly url: string;
  #log = '';

  private constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.url = `http://127.0.0.1:${port}`;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => {
        this.#log += text;
      });
    }
  }

  static async start(kubeconfig: string, ...flags: readonly string[]): Promise<OperatorProcess> {
    const port = await freePort();
    const args = [main, `--kubeconfig=${kubeconfig}`, `--health-port=${port}`, ...flags];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    return new OperatorProcess(child, port);
  }

  /** What it logged: each line as its fields. */
  get lines(): readonly Readonly<Record<string, unknown>>[] {
    return this.#log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get log(): string {
    return this.#log;
  }

  /** Status and body; status 0 while it cannot be reached. */
  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    try {
      const response = await fetch(this.url + path);
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  }

  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The exit code. */
  async ended(): Promise<number | null> {
    if (this.isRunning) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.kill('SIGCONT');
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), 20_000);
    await this.ended();
    clearTimeout(timer);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Asks again until it is so; `timeoutMs` is generous, for a machine that has much else to do. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs)
      throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(50);
  }
}
