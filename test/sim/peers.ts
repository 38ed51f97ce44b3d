import type { PinnedState } from '../../server/backend/backend.ts';
import { EtcdError } from '../../server/base/errors.ts';
import type { MemberId } from '../../server/base/ids.ts';
import type { Message, SnapshotMessage } from '../../server/raft/messages.ts';
import { decodeMessage, encodeMessage } from '../../server/transport/message-codec.ts';
import type { PeerHello, PeerRefusal } from '../../server/transport/peer-hello.ts';
import type { PeerService } from '../../server/transport/peer-network.ts';
import type { PeerQuestion } from '../../server/transport/peer-question.ts';
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** One process of a member as its peers reach it. */
export interface PeerHost {
  readonly name: string;
  readonly process: SimProcess;
  /** Undefined until it has opened its data. */
  readonly service: PeerService | undefined;
}

export interface SimPeersModules {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork<string>;
  readonly self: PeerHost;
  /** Who listens at the address now. */
  readonly hostOf: (peerUrl: string) => PeerHost | undefined;
  readonly nowMs: () => number;
  /** Told of each message that leaves. */
  readonly sent: (message: Message, to: PeerHost) => void;
  readonly snapshotEnded: (message: SnapshotMessage, isInstalled: boolean) => void;
}

interface Link {
  urls: readonly string[];
  /** The process that answered the hello. */
  host: PeerHost | undefined;
  openSinceMs: number;
  isDialling: boolean;
}

const redialMs = 100;
/** As `PeerNetwork` has it. */
const leavingMs = 1_000;
/** One for all: to note where each was made would cost more than the dial itself. */
const connectionLost = new Error('connection lost');
const questionTimeoutMs = 5_000;
const snapshotTimeoutMs = 15_000;

/**
 * The peer network without sockets: the same hellos, refusals and questions, and messages in their real encoding, over
 * links that lose, delay and repeat. A message in flight outlives the process that sent it.
 */
export class SimPeers {
  readonly #modules: SimPeersModules;
  readonly #links = new Map<MemberId, Link>();
  /** To peers that were removed a moment ago. */
  readonly #leaving = new Map<MemberId, Link>();
  #count = 0;

  constructor(modules: SimPeersModules) {
    this.#modules = modules;
  }

  setPeers(
    peers: ReadonlyArray<{ readonly id: MemberId; readonly urls: readonly string[] }>,
  ): void {
    for (const [id, link] of this.#links) {
      if (peers.some((peer) => peer.id === id)) continue;
      this.#links.delete(id);
      this.#leaving.set(id, link);
      this.#modules.scheduler.after(leavingMs, () => {
        if (this.#leaving.get(id) === link) this.#leaving.delete(id);
      });
    }
    for (const { id, urls } of peers) {
      const link = this.#links.get(id);
      if (link !== undefined) link.urls = urls;
      else {
        this.#links.set(id, { urls, host: undefined, openSinceMs: 0, isDialling: false });
        this.#dial(id);
      }
    }
  }

  activeSinceMs(peer: MemberId): number | undefined {
    const link = this.#links.get(peer);
    return link?.host?.process.alive === true ? link.openSinceMs : undefined;
  }

  send(message: Message): void {
    const { self, network, sent } = this.#modules;
    const link = this.#links.get(message.to) ?? this.#leaving.get(message.to);
    const host = link?.host;
    if (host === undefined || !self.process.effect()) return;
    if (!host.process.alive) this.#redial(message.to);
    sent(message, host);
    const carried = this.#carried(message);
    const arrive = (): void => {
      // Whoever listens there by now.
      const current = this.#modules.hostOf(link?.urls[0] ?? '');
      current?.process.deliver(() => current.service?.step(carried()));
    };
    // A forwarded proposal relies on a connection's delivering at most once.
    const isOnce = message.kind === 'propose' || message.kind === 'proposeRefused';
    if (isOnce) network.carry(self.name, host.name, arrive, () => {});
    else network.send(self.name, host.name, arrive);
  }

  /** Some messages take the way through their encoding; for all of them it would cost a quarter of the time. */
  #carried(message: Message): () => Message {
    this.#count++;
    if (this.#count % 8 !== 0) return () => message;
    const bytes = encodeMessage(message);
    return () => decodeMessage(bytes);
  }

  #redial(peer: MemberId): void {
    const link = this.#links.get(peer);
    if (link === undefined) return;
    link.host = undefined;
    this.#modules.scheduler.after(redialMs, () => {
      this.#modules.self.process.deliver(() => this.#dial(peer));
    });
  }

  #dial(peer: MemberId): void {
    const { self } = this.#modules;
    const link = this.#links.get(peer);
    const { service } = self;
    if (link === undefined || link.isDialling || link.host !== undefined || service === undefined) {
      return;
    }
    link.isDialling = true;
    const failed = (): void => {
      link.isDialling = false;
      this.#redial(peer);
    };
    this.#greet(link, service.hello(peer)).then((answer) => {
      link.isDialling = false;
      if (answer.refusal !== undefined) service.refused(peer, answer.refusal);
      else if (service.meet(peer, answer.incarnation)) {
        link.host = answer.host;
        link.openSinceMs = this.#modules.nowMs();
        return;
      }
      this.#redial(peer);
    }, failed);
  }

  /** A hello and its answer, over the network and back. */
  async #greet(
    link: Link,
    hello: PeerHello,
  ): Promise<{ refusal: PeerRefusal | undefined; incarnation: string; host: PeerHost }> {
    const { host, answer } = await this.#call(link, (service) => service.accept(hello));
    const incarnation = host.service?.hello(hello.from).incarnation ?? '';
    return { refusal: answer, incarnation, host };
  }

  /** Carries a question to whoever listens, and its answer back; rejects when either is lost. */
  #call<T>(
    link: Link,
    ask: (service: PeerService) => Promise<T>,
  ): Promise<{ host: PeerHost; answer: T }> {
    const { network, self, scheduler, hostOf } = this.#modules;
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (settle: () => void): void => {
        if (isOver) return;
        isOver = true;
        timeout.cancel();
        self.process.deliver(settle);
      };
      const lost = (): void => end(() => reject(connectionLost));
      const timeout = scheduler.after(questionTimeoutMs, lost);
      const host = hostOf(link.urls[0] ?? '');
      if (host === undefined) {
        scheduler.after(1, lost);
        return;
      }
      const back = (settle: () => void): void => {
        network.carry(host.name, self.name, () => end(settle), lost);
      };
      const arrive = (): void =>
        host.process.deliver(() => {
          const { service } = host;
          const answered = async (): Promise<T> => {
            if (service === undefined) throw new Error('connection refused');
            return ask(service);
          };
          answered().then(
            (answer) => back(() => resolve({ host, answer })),
            (error: Error) => back(() => reject(error)),
          );
        });
      network.carry(self.name, host.name, arrive, lost);
    });
  }

  async ask(peer: MemberId, question: PeerQuestion): Promise<unknown> {
    const link = this.#links.get(peer);
    if (link === undefined) throw new EtcdError('NoLeader');
    const { answer } = await this.#call(link, (service) => service.answer(question));
    return answer;
  }

  /** Sends the state; tells the replica of the end. As the member does it over HTTP. */
  sendSnapshot(
    message: SnapshotMessage,
    image: PinnedState,
    chunks: AsyncIterable<Uint8Array>,
  ): void {
    const link = this.#links.get(message.to);
    const end = (isInstalled: boolean): void => {
      image.release();
      this.#modules.snapshotEnded(message, isInstalled);
    };
    if (link === undefined) {
      this.#modules.scheduler.after(1, () => this.#modules.self.process.deliver(() => end(false)));
      return;
    }
    const stream = new SnapshotStream((carried, lost) => {
      const { network, self } = this.#modules;
      network.carry(self.name, link.host?.name ?? '?', carried, lost);
    });
    this.#modules.scheduler.after(snapshotTimeoutMs, () => stream.fail());
    void stream.pump(chunks);
    const install = async (service: PeerService): Promise<void> => {
      const hello = this.#modules.self.service?.hello(message.to);
      if (hello === undefined || (await service.accept(hello)) !== undefined)
        throw new Error('refused');
      await service.receiveSnapshot(message, stream);
    };
    this.#call(link, install).then(
      () => end(true),
      () => end(false),
    );
  }
}

/** The chunks of a snapshot on their way, in order, as fast as the network lets them. */
class SnapshotStream implements AsyncIterable<Uint8Array> {
  readonly #carry: (carried: () => void, lost: () => void) => void;
  readonly #arrived: Uint8Array[] = [];
  #state: 'open' | 'ended' | 'failed' = 'open';
  #wake: () => void = () => {};

  constructor(carry: (carried: () => void, lost: () => void) => void) {
    this.#carry = carry;
  }

  async pump(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of chunks) {
        await new Promise<void>((resolve, reject) => {
          this.#carry(resolve, () => reject(connectionLost));
        });
        if (this.#state === 'failed') return;
        this.#arrived.push(chunk);
        this.#wake();
      }
      this.#end('ended');
    } catch {
      this.#end('failed');
    }
  }

  fail(): void {
    this.#end('failed');
  }

  #end(state: 'ended' | 'failed'): void {
    if (this.#state === 'open') this.#state = state;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#arrived.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#state === 'ended') return;
      else if (this.#state === 'failed') throw new Error('the snapshot stream broke');
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
