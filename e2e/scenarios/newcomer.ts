import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientOptions } from '../../server/client/client.ts';

const pauseMs = 100;
/** A busy machine may need seconds for a login; what counts is whether it is refused. */
export const patientMs = 30_000;

/** Comes again and again as a new client: a new connection, a new handshake, a new login. */
export class Newcomer {
  readonly #options: ClientOptions;
  readonly #key: string;
  readonly #running: Promise<void>;
  #isStopped = false;
  count = 0;
  /** What it was told when it was not let in. */
  readonly failures: string[] = [];

  constructor(options: ClientOptions, key: string) {
    this.#options = { timeoutMs: patientMs, ...options };
    this.#key = key;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (; !this.#isStopped; this.count += 1) {
      const client = new Client(this.#options);
      try {
        await client.put(this.#key, String(this.count), { mayRepeat: true });
      } catch (error) {
        this.failures.push(`${new Date().toISOString()} ${String(error)}`);
      } finally {
        client.close();
      }
      await sleep(pauseMs);
    }
  }
}
