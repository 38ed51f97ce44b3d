import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { Store, startOptions } from './support.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

interface Connection {
  readonly near: Socket;
  readonly far: Socket;
}

type Passes = (from: MemberProcess | undefined) => boolean;

/** Stands before a member's peer port, and lets pass whom it is told to. */
class Bridge {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #members: readonly MemberProcess[];
  /** Who may pass; undefined: everyone. */
  #passes: Passes | undefined;

  static async between(
    near: Place,
    far: Place,
    members: readonly MemberProcess[],
  ): Promise<Bridge> {
    const bridge = new Bridge(far, members);
    await new Promise<void>((resolve) => {
      bridge.#server.listen(near.port, near.host, resolve).unref();
    });
    return bridge;
  }

  private constructor(far: Place, members: readonly MemberProcess[]) {
    this.#members = members;
    this.#server = createServer((near) => {
      this.#join({ near, far: connect(far.port, far.host) });
      this.#check();
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

  /** From now on only these members pass, and the others that are connected are cut off; undefined lets everyone pass. */
  passOnly(passes: Passes | undefined): void {
    this.#passes = passes;
    this.#check();
  }

  #check(): void {
    const passes = this.#passes;
    if (passes === undefined) return;
    const owners = ownersOf(this.#members);
    for (const { near } of this.#connections) if (!passes(owners(near))) near.destroy();
  }

  close(): void {
    this.#server.close();
    for (const { near } of this.#connections) near.destroy();
  }
}

/** A cluster whose members reach each other through bridges: the network between them can be divided. */
export class DividedStore extends Store {
  readonly #bridges = new Map<MemberProcess, Bridge>();

  static async start(options: Parameters<typeof startOptions>[0]): Promise<DividedStore> {
    const cluster = await TestCluster.prepare(startOptions(options));
    const store = new DividedStore(cluster);
    try {
      await Promise.all(cluster.members.map((member) => store.#launch(member, 'new')));
      await Promise.all(cluster.members.map((member) => member.ready()));
    } catch (error) {
      await store.stop();
      throw error;
    }
    return store;
  }

  async #launch(
    member: MemberProcess,
    state: 'new' | 'existing',
    members: readonly MemberProcess[] = this.cluster.members,
  ): Promise<void> {
    const listening = { host: '127.0.0.1', port: await freePort() };
    const advertised = placeOf(member.peerUrl);
    this.#bridges.set(member, await Bridge.between(advertised, listening, this.cluster.members));
    member.spawn([
      ...this.cluster.flagsFor(state, members),
      `--listen-peer-urls=http://${listening.host}:${listening.port}`,
    ]);
  }

  /** Starts one that the others, `members`, have been told of. */
  async launch(member: MemberProcess, members: readonly MemberProcess[]): Promise<void> {
    await this.#launch(member, 'existing', [...members, member]);
    await member.ready();
  }

  /** No byte passes any more between those and all the others. */
  divide(group: readonly MemberProcess[]): void {
    for (const [to, bridge] of this.#bridges) {
      bridge.passOnly((from) => from !== undefined && group.includes(from) === group.includes(to));
    }
  }

  heal(): void {
    for (const bridge of this.#bridges.values()) bridge.passOnly(undefined);
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

/** Tells which member's process holds the other end of a connection to us, by what Linux says of sockets now. */
function ownersOf(
  members: readonly MemberProcess[],
): (socket: Socket) => MemberProcess | undefined {
  const inodes = new Map<string, string>();
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
    inodes.set(`${local?.split(':')[1]} ${remote?.split(':')[1]}`, `socket:[${inode}]`);
  }
  const owners = new Map<string, MemberProcess>();
  for (const member of members) {
    const directory = `/proc/${member.pid}/fd`;
    for (const name of namesIn(directory)) owners.set(target(`${directory}/${name}`), member);
  }
  const hex = (port = 0): string => port.toString(16).toUpperCase().padStart(4, '0');
  return ({ remotePort, localPort }) =>
    owners.get(inodes.get(`${hex(remotePort)} ${hex(localPort)}`) ?? '');
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // The process has ended meanwhile.
    return [];
  }
}

function target(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    // Closed meanwhile.
    return '';
  }
}
