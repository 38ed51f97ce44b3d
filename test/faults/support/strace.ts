import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { toolPath } from '../../support/tools.ts';

// System calls of real processes: watched, and read from the text that strace writes.

/** One finished call, or one that the process did not live to finish. Times in seconds of the wall clock. */
export interface SystemCall {
  readonly thread: number;
  readonly name: string;
  readonly args: string;
  /** As strace prints it: `0`, `-1 EIO (Input/output error)`; `?` for one that did not return. */
  readonly result: string;
  readonly startedAt: number;
  readonly returnedAt: number;
}

const attachTimeoutMs = 10_000;

/** Looks at all threads of a running process. */
export class Tracer {
  readonly #child: ChildProcess;
  readonly #file: string;

  /** Resolves when it watches. `calls`: names of system calls. */
  static async attach(pid: number, options: { calls: string; file: string }): Promise<Tracer> {
    const { calls, file } = options;
    const args = ['-f', '-ttt', '-T', '-yy', '-s', '16384', '-e', `trace=${calls}`, '-o', file];
    const child = spawn(toolPath('strace'), [...args, '-p', String(pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('strace does not attach')), attachTimeoutMs);
      let said = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (!/attached/.test(said)) return;
        clearTimeout(timer);
        resolve();
      });
      child.once('exit', () => reject(new Error(`strace ended: ${said}`)));
    });
    return new Tracer(child, file);
  }

  private constructor(child: ChildProcess, file: string) {
    this.#child = child;
    this.#file = file;
  }

  /** Lets the process go on alone; what it did meanwhile, in the order in which the calls were made. */
  async detach(): Promise<SystemCall[]> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGINT');
    await ended;
    return parseTrace(readFileSync(this.#file, 'latin1'));
  }
}

const linePattern = /^(\d+)\s+(\d+\.\d+)\s+(.*)$/;
const unfinishedPattern = /^(\w+)\((.*?)\s*<unfinished \.\.\.>$/;
const resumedPattern = /^<\.\.\. (\w+) resumed>(.*)$/;
const endPattern = /\)\s+= ([^=]*?)(?: <(\d+\.\d+)>)?$/;

/** Of `strace -f -ttt [-T]`. */
export function parseTrace(text: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const open = new Map<string, { at: number; name: string; args: string; startedAt: number }>();
  for (const line of text.split('\n')) {
    const [, thread = '', time = '', rest = ''] = linePattern.exec(line) ?? [];
    const at = Number(time);
    const unfinished = unfinishedPattern.exec(rest);
    if (unfinished !== null) {
      const [, name = '', args = ''] = unfinished;
      open.set(thread, { at: calls.length, name, args, startedAt: at });
      calls.push({ thread: +thread, name, args, result: '?', startedAt: at, returnedAt: Infinity });
      continue;
    }
    const resumed = resumedPattern.exec(rest);
    const begun = resumed === null ? undefined : open.get(thread);
    if (resumed !== null && begun === undefined) continue;
    const name = begun?.name ?? /^(\w+)\(/.exec(rest)?.[1];
    const tail = resumed?.[2] ?? rest.slice((name?.length ?? 0) + 1);
    const end = endPattern.exec(tail);
    if (name === undefined || end === null) continue;
    const [matched, result = '', seconds] = end;
    const args = (begun?.args ?? '') + tail.slice(0, tail.length - matched.length);
    const startedAt = begun?.startedAt ?? at;
    const returnedAt = seconds === undefined ? at : startedAt + Number(seconds);
    const call = { thread: +thread, name, args, result, startedAt, returnedAt };
    if (begun === undefined) calls.push(call);
    else calls[begun.at] = call;
    open.delete(thread);
  }
  return calls;
}
