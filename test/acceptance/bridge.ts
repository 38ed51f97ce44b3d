import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { Store, startOptions } from './support.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

interface Connection {
  readonly from: MemberProcess | undefined;
  readonly near: Socket;
  readonly far: Socket;
}

/** Stands before a port, so that a test can cut what runs through it. */
export class Bridge {
  readonly url: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  /** Who may pass; undefined is a client. */
  #passes: (from: MemberProcess | undefined) => boolean = () => true;

  /** Before a member's client port, on a port of its own. */
  static async to(member: MemberProcess): Promise<Bridge> {
    const near = { host: '127.0.0.1', port: await freePort() };
    return Bridge.between(near, placeOf(member.clientUrl), []);
  }

  static async between(
    near: Place,
    far: Place,
    members: readonly MemberProcess[],
  ): Promise<Bridge> {
    const bridge = new Bridge(near, far, members);
    await new Promise<void>((resolve) => {
      bridge.#server.listen(near.port, near.host, resolve).unref();
    });
    return bridge;
  }

  private constructor(near: Place, far: Place, members: readonly MemberProcess[]) {
    this.url = `http://${near.host}:${near.port}`;
    this.#server = createServer((socket) => {
      const from = members.find((member) => owns(member, socket));
      if (this.#passes(from)) this.#join({ from, near: socket, far: connect(far.port, far.host) });
      else socket.destroy();
    });
  }

  #join(connection: Connection): void {
    const { near, far } = connection;
    this.#connections.add(connection);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#connections.delete(connection);
        other.destroy();
      });
      socket.pipe(other);
    }
  }

  /** Every connection is gone at once; new ones are let through. */
  dropConnections(): void {
    for (const { near } of this.#connections) near.destroy();
  }

  /** From now on only these members pass, and those of the others that are connected are cut off. */
  passOnly(passes: (from: MemberProcess | undefined) => boolean): void {
    this.#passes = passes;
    for (const { from, near } of this.#connections) if (!passes(from)) near.destroy();
  }

  close(): void {
    this.#server.close();
    this.dropConnections();
  }
}

/** A cluster whose members reach each other through bridges: the network between them can be divided. */
export class DividedStore extends Store {
  readonly #bridges = new Map<MemberProcess, Bridge>();

  static async start(options: Parameters<typeof startOptions>[0]): Promise<DividedStore> {
    const cluster = await TestCluster.prepare(startOptions(options));
    const store = new DividedStore(cluster);
    try {
      await Promise.all(cluster.members.map((member) => store.#launch(member)));
      await Promise.all(cluster.members.map((member) => member.ready()));
    } catch (error) {
      await store.stop();
      throw error;
    }
    return store;
  }

  async #launch(member: MemberProcess): Promise<void> {
    const { members } = this.cluster;
    const listening = { host: '127.0.0.1', port: await freePort() };
    const advertised = placeOf(member.peerUrl);
    this.#bridges.set(member, await Bridge.between(advertised, listening, members));
    member.spawn([
      ...this.cluster.flagsFor('new'),
      `--listen-peer-urls=http://${listening.host}:${listening.port}`,
    ]);
  }

  /** No byte passes any more between those and all the others. */
  divide(group: readonly MemberProcess[]): void {
    for (const [to, bridge] of this.#bridges) {
      bridge.passOnly((from) => from !== undefined && group.includes(from) === group.includes(to));
    }
  }

  heal(): void {
    for (const bridge of this.#bridges.values()) bridge.passOnly(() => true);
  }

  override async stop(): Promise<void> {
    await super.stop();
    for (const bridge of this.#bridges.values()) bridge.close();
  }
}

/** A cluster for one test that can be divided, stopped afterwards. */
export async function withDividedStore<T>(
  options: Parameters<typeof startOptions>[0],
  body: (store: DividedStore) => Promise<T>,
): Promise<T> {
  const store = await DividedStore.start(options);
  try {
    return await store.cluster.showLogsOnFailure(() => body(store));
  } finally {
    await store.stop();
  }
}

function placeOf(url: string): Place {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

/** Whether the process of a member holds the other end of a connection to us. */
function owns({ pid }: MemberProcess, { remotePort, localPort }: Socket): boolean {
  if (pid === undefined || remotePort === undefined || localPort === undefined) return false;
  const inode = inodeOf(remotePort, localPort);
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).some((name) => target(`${directory}/${name}`) === inode);
}

function inodeOf(local: number, remote: number): string {
  const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const line = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((text) => text.trim().split(/\s+/))
    .find(([, from, to]) => from?.endsWith(hex(local)) === true && to?.endsWith(hex(remote)));
  assert(line !== undefined, `no connection from port ${local} to ${remote}`);
  return `socket:[${line[9]}]`;
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    // Closed meanwhile.
    return '';
  }
}
