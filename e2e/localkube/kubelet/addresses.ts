import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

/** 127.N.0.0/16 for one localkube: pods in the lower half, services in the upper. */
const networkFirst = 42;
const networkLast = 250;
/** Who listens here holds the network: two localkubes on one machine never share addresses. */
const lockPort = 4;
const lockPortUnprivileged = 10_004;

/** Loopback addresses of one localkube. Any address of 127.0.0.0/8 can be listened on without setup (on Linux). */
export class Addresses {
  readonly #network: number;
  readonly #lock: Server;
  readonly #taken = new Set<string>();

  private constructor(network: number, lock: Server) {
    this.#network = network;
    this.#lock = lock;
  }

  /** Takes a free network, the preferred one where that is possible. */
  static async claim(preferred = networkFirst): Promise<Addresses> {
    const others = Array.from(
      { length: networkLast - networkFirst + 1 },
      (_, index) => networkFirst + index,
    );
    for (const network of [preferred, ...others]) {
      if (networksInUse().has(network)) continue;
      const lock = await tryLock(network);
      if (lock !== undefined) return new Addresses(network, lock);
    }
    throw new Error('no free loopback network: is there a localkube too many?');
  }

  get network(): number {
    return this.#network;
  }

  /** The next free address of a pod: 127.N.0.1 and up. */
  takePod(): string {
    return this.#take(0);
  }

  takeService(): string {
    return this.#take(128);
  }

  /** Keeps an address that is in use already; false when it is of another network or taken. */
  keep(address: string): boolean {
    if (!address.startsWith(`127.${this.#network}.`) || this.#taken.has(address)) return false;
    this.#taken.add(address);
    return true;
  }

  release(address: string): void {
    this.#taken.delete(address);
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#lock.close(resolve));
  }

  #take(high: number): string {
    for (let index = 1; index < 128 * 256; index += 1) {
      const address = `127.${this.#network}.${high + Math.floor(index / 256)}.${index % 256}`;
      if (this.keep(address)) return address;
    }
    throw new Error('no free address');
  }
}

/**
 * Networks on which something listens: another localkube, or what a killed one left running. The lock alone does not tell,
 * it dies with its localkube.
 */
function networksInUse(): ReadonlySet<number> {
  const listening = '0A';
  try {
    const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
    const used = lines
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === listening)
      .map(([, local = '']) => Number.parseInt(local.slice(4, 6), 16));
    return new Set(used);
  } catch {
    return new Set();
  }
}

async function tryLock(network: number): Promise<Server | undefined> {
  const host = `127.${network}.255.254`;
  return (
    (await listen(host, lockPort)) ??
    (process.getuid?.() === 0 ? undefined : listen(host, lockPortUnprivileged))
  );
}

async function listen(host: string, port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => {
      server.unref();
      resolve(server);
    });
  });
}
