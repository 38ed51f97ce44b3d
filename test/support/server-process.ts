import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { programPath } from './programs.ts';
import { toolPath } from './tools.ts';

// Real member processes for tests, Mainstay's or etcd's, on free ports of 127.0.0.1. Nothing outlives the test process
// that started it, unless that one is killed with SIGKILL.

/** Which server a member runs. A test that runs `etcd` asks for it by `needs('etcd')`. */
export type Program = 'mainstay' | 'etcd';

export interface ClusterOptions {
  readonly program: Program;
  /** Members to start with, 1 by default. */
  readonly size?: number;
  /** More flags for every member, those that both programs know. */
  readonly flags?: readonly string[];
  /** More environment variables for every member. */
  readonly environment?: Environment;
  /** Of the members' URLs; `http` by default. The flags must name certificates for `https`. */
  readonly schemes?: { readonly client?: 'http' | 'https'; readonly peer?: 'http' | 'https' };
}

type Environment = Readonly<Record<string, string>>;

/** How one process is run, other than usual. */
export interface SpawnOptions {
  /** A program and its arguments that run the member's command line, which is put behind them. */
  readonly wrapper?: readonly string[];
  readonly environment?: Environment;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const mainstayMain = programPath('server/main');
const readyLine = 'ready to serve client requests';
const startTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const pollMs = 15;
const shownLogLines = 30;
const shownLineLength = 400;

const running = new Set<ChildProcess>();
process.on('exit', killAll);
// Where nobody reads what a test prints any more, node:test ends the process without an `exit` event.
process.on('uncaughtExceptionMonitor', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') killAll();
});
// Not SIGPIPE: a write to a member that was just killed raises it as well.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(1));
}

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

interface MemberOptions {
  readonly program: Program;
  readonly name: string;
  readonly directory: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly environment: Environment;
}

/** One member: its place on disk and on the network, and the process that runs there now, if any. */
export class MemberProcess {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly dataDirectory: string;
  readonly #options: MemberOptions;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  #flags: readonly string[] = [];

  constructor(options: MemberOptions) {
    this.#options = options;
    this.name = options.name;
    this.clientUrl = options.clientUrl;
    this.peerUrl = options.peerUrl;
    this.dataDirectory = join(options.directory, options.name);
    this.#logFile = join(options.directory, `${options.name}.log`);
  }

  /** Without flags: those of the start before. Does not wait until the member serves: see {@link ready}. */
  spawn(flags: readonly string[] = this.#flags, options: SpawnOptions = {}): void {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    this.#flags = flags;
    const command = [...(options.wrapper ?? []), ...this.#command(), ...this.#ownFlags()];
    const [program = '', ...rest] = [...command, ...flags];
    const log = openSync(this.#logFile, 'w');
    const child = spawn(program, rest, {
      stdio: ['ignore', log, log],
      env: {
        ...withoutEtcdVariables(process.env),
        ...this.#options.environment,
        ...options.environment,
      },
    });
    closeSync(log);
    this.#child = child;
    running.add(child);
    this.#exit = new Promise((resolve) => {
      child.once('error', () => resolve({ code: -1, signal: null }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    void this.#exit.then(() => running.delete(child));
  }

  /** Resolves when the log says that the member serves clients. */
  async ready(): Promise<void> {
    await this.logged(readyLine, startTimeoutMs);
  }

  /** Resolves when the log of the running process contains a text; rejects when it ends or takes too long. */
  async logged(text: string, timeoutMs = startTimeoutMs): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!this.log.includes(text)) {
      const isLate = performance.now() > deadline;
      if (isLate || !this.isRunning) {
        const what = isLate ? `did not log "${text}" in ${timeoutMs} ms` : 'ended';
        throw new Error(`${this.name} ${what}; its log:\n${this.logTail()}`);
      }
      await sleep(pollMs);
    }
  }

  async start(flags?: readonly string[]): Promise<void> {
    this.spawn(flags);
    await this.ready();
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the process has ended. */
  get exited(): Promise<Exit> {
    return this.#exit;
  }

  /** What the running process, or the one before, has written. */
  get log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  logTail(): string {
    const lines = this.log.trimEnd().split('\n').slice(-shownLogLines);
    return lines.map((line) => line.slice(0, shownLineLength)).join('\n');
  }

  /** SIGSTOP, SIGCONT and the like. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends the process and waits for it; SIGKILL after 10 s in any case. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<Exit> {
    if (!this.isRunning) return this.#exit;
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), stopTimeoutMs);
    try {
      return await this.#exit;
    } finally {
      clearTimeout(timer);
    }
  }

  #command(): [string, ...string[]] {
    if (this.#options.program === 'etcd') return [toolPath('etcd')];
    return [process.execPath, '--enable-source-maps', mainstayMain];
  }

  #ownFlags(): string[] {
    return flagList({
      name: this.name,
      'data-dir': this.dataDirectory,
      'listen-client-urls': this.clientUrl,
      'advertise-client-urls': this.clientUrl,
      'listen-peer-urls': this.peerUrl,
      'initial-advertise-peer-urls': this.peerUrl,
    });
  }
}

/** A cluster that a test owns: it must be stopped, best by {@link withCluster}. */
export class TestCluster {
  readonly program: Program;
  readonly members: MemberProcess[] = [];
  readonly #directory: string;
  readonly #flags: readonly string[];
  readonly #environment: Environment;
  readonly #schemes: NonNullable<ClusterOptions['schemes']>;

  /** Resolves when every member serves clients. */
  static async start(options: ClusterOptions): Promise<TestCluster> {
    const cluster = await TestCluster.prepare(options);
    try {
      for (const member of cluster.members) member.spawn(cluster.flagsFor('new'));
      await Promise.all(cluster.members.map((member) => member.ready()));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** The same without starting anything. */
  static async prepare(options: ClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    for (let i = 0; i < (options.size ?? 1); i++) await cluster.newMember();
    return cluster;
  }

  private constructor({ program, flags = [], environment = {}, schemes = {} }: ClusterOptions) {
    this.program = program;
    this.#flags = flags;
    this.#environment = environment;
    this.#schemes = schemes;
    this.#directory = mkdtempSync(join(tmpdir(), `mainstay-test-${program}-`));
  }

  /** The member at a place in the order of their making, counted from 0. */
  member(index: number): MemberProcess {
    const member = this.members[index];
    if (member === undefined) throw new Error(`there is no member ${index}`);
    return member;
  }

  get endpoints(): string[] {
    return this.members.map(({ clientUrl }) => clientUrl);
  }

  /** A member with a name, ports and a directory, not started and not yet known to the others. */
  async newMember(): Promise<MemberProcess> {
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const member = new MemberProcess({
      program: this.program,
      name: `m${this.members.length + 1}`,
      directory: this.#directory,
      clientUrl: `${this.#schemes.client ?? 'http'}://127.0.0.1:${clientPort}`,
      peerUrl: `${this.#schemes.peer ?? 'http'}://127.0.0.1:${peerPort}`,
      environment: this.#environment,
    });
    this.members.push(member);
    return member;
  }

  /** What a member's own flags leave open, for a cluster of these members. */
  flagsFor(state: 'new' | 'existing', members: readonly MemberProcess[] = this.members): string[] {
    const known = flagList({
      'initial-cluster': members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(','),
      'initial-cluster-state': state,
      'initial-cluster-token': 'mainstay-test',
    });
    return [...known, ...this.#flags];
  }

  /** Runs a part of a test; when it throws, the logs of all members are shown. */
  async showLogsOnFailure<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      for (const member of this.members) {
        console.error(`--- log of ${this.program} ${member.name}\n${member.logTail()}`);
      }
      throw error;
    }
  }

  /** Kills every member and removes what they left on disk. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop('SIGKILL')));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Gives a cluster to `body` and stops it afterwards, whatever happens; a failure shows the members' logs. */
export async function withCluster<T>(
  options: ClusterOptions,
  body: (cluster: TestCluster) => Promise<T>,
): Promise<T> {
  const cluster = await TestCluster.start(options);
  try {
    return await cluster.showLogsOnFailure(() => body(cluster));
  } finally {
    await cluster.stop();
  }
}

// Below the ports that the system gives to outgoing connections (from 32768), so that none of those comes in between.
const portMin = 12_000;
const portMax = 32_000;
const portsGiven = new Set<number>();

/** A port of 127.0.0.1 on which nothing listens now; never the same one twice in a process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = portMin + Math.floor(Math.random() * (portMax - portMin));
    if (portsGiven.has(port)) continue;
    portsGiven.add(port);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function flagList(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
}

/** Both programs read `ETCD_*` variables; a test must not depend on the shell that runs it. */
function withoutEtcdVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('ETCD_')),
  );
}
