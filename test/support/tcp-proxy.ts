import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { freePort } from './server-process.ts';

/** Stands between a client and one address of a server, and can do to their connections what networks do. */
export class TcpProxy {
  readonly url: string;
  /** The server's URL: where connections lead that are made from now on. */
  target: string;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isOpen = true;
  #connections = 0;

  /** `target`: the server's URL; `host`: the address of this machine to listen on. */
  static async open(target: string, host = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, { host, port: await freePort() });
    const { hostname, port } = new URL(proxy.url);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(Number(port), hostname, resolve);
    });
    return proxy;
  }

  private constructor(target: string, at: { readonly host: string; readonly port: number }) {
    this.url = `${new URL(target).protocol}//${at.host}:${at.port}`;
    this.target = target;
    this.#server = createServer((client) => {
      const { hostname, port: targetPort } = new URL(this.target);
      if (this.#isOpen) this.#join(client, createConnection(Number(targetPort), hostname));
      else client.destroy();
    });
  }

  /** How many connections were made through it so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Resets every connection; new ones are taken. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Whether connections are taken; those that there are stay. */
  set isOpen(isOpen: boolean) {
    this.#isOpen = isOpen;
  }

  /** Nothing gets through, and nothing is refused. */
  hold(): void {
    for (const [client, server] of this.#pairs) {
      client.unpipe(server);
      server.unpipe(client);
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    this.#connections++;
    const part = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) socket.on('error', part).on('close', part);
    client.pipe(server);
    server.pipe(client);
  }
}
