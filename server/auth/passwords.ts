import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { PasswordAnswer, PasswordTask } from './password-worker.ts';

/** bcrypt looks at so many bytes of a password. */
export const passwordBytesMax = 72;

/** Hashes and verifies passwords by bcrypt, elsewhere than on the main thread. */
export interface Passwords {
  /** As etcd stores it. Rejects with TooManyRequests. */
  hash(password: string): Promise<string>;
  /** Takes as long for what is no hash. Rejects with TooManyRequests. */
  verify(password: string, hash: string): Promise<boolean>;
}

/** For who serves without passwords. */
export const noPasswords: Passwords = {
  hash: () => Promise.reject(new EtcdError('TooManyRequests')),
  verify: () => Promise.resolve(false),
};

export interface PasswordThreadOptions {
  /** `--bcrypt-cost` */
  readonly cost: number;
  /** Tasks that wait; a further one is refused. */
  readonly waitingMax: number;
  /** A task that takes longer fails, and its thread with it. */
  readonly taskMsMax: number;
}

interface Waiting {
  readonly task: PasswordTask;
  readonly resolve: (answer: PasswordAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** One thread, started with the first task, that takes one task after the other. */
export class PasswordThread implements Passwords {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #options: PasswordThreadOptions;
  readonly #waiting: Waiting[] = [];
  #worker: Worker | undefined;
  #current: Waiting | undefined;
  #patience: Timer | undefined;
  /** Of no password: what is verified where there is no hash, so that it takes as long. */
  readonly #decoy: string;

  constructor(modules: { readonly clock: Pick<Clock, 'after'> }, options: PasswordThreadOptions) {
    this.#clock = modules.clock;
    this.#options = options;
    const cost = String(options.cost).padStart(2, '0');
    this.#decoy = `$2a$${cost}$${'.'.repeat(22)}${'.'.repeat(31)}`;
  }

  async hash(password: string): Promise<string> {
    return (await this.#do({ kind: 'hash', password, cost: this.#options.cost })) as string;
  }

  async verify(password: string, hash: string): Promise<boolean> {
    const isHash = /^\$2[a-y]?\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash);
    const task = { kind: 'verify', password, hash: isHash ? hash : this.#decoy } as const;
    return ((await this.#do(task)) as boolean) && isHash;
  }

  close(): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new EtcdError('Stopped'));
    this.#fail(new EtcdError('Stopped'));
  }

  #do(task: PasswordTask): Promise<PasswordAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= this.#options.waitingMax) {
        reject(new EtcdError('TooManyRequests'));
        return;
      }
      this.#waiting.push({ task, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined) return;
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) {
      this.#worker?.unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#patience = this.#clock.after(this.#options.taskMsMax, () => {
      this.#fail(new EtcdError('Timeout'));
    });
    this.#worker.postMessage(this.#current.task);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./password-worker.js', import.meta.url));
    worker.on('message', (answer: PasswordAnswer) => {
      if (this.#worker === worker) this.#done()?.resolve(answer);
      this.#next();
    });
    worker.on('error', (error) => {
      if (this.#worker === worker) this.#fail(error);
    });
    return worker;
  }

  /** The task that was under way fails; those that wait get a new thread. */
  #fail(error: Error): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
    this.#done()?.reject(error);
    this.#next();
  }

  #done(): Waiting | undefined {
    const current = this.#current;
    this.#current = undefined;
    this.#patience?.cancel();
    return current;
  }
}
