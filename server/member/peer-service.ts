import { EtcdError } from '../base/errors.ts';
import type { MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Message, SnapshotMessage } from '../raft/messages.ts';
import type { PeerHello, PeerRefusal } from '../transport/peer-hello.ts';
import type { PeerService } from '../transport/peer-network.ts';
import type { PeerQuestion } from '../transport/peer-question.ts';
import type { Replica } from './replica.ts';

/** The data directory is not the one that the cluster knows this member by. */
export class DataRefusedError extends Error {
  override name = 'DataRefusedError';

  constructor(memberId: MemberId) {
    const id = hexId(memberId);
    super(
      `member ${id} has been running with another data directory, whose votes and entries this one does not have:` +
        ` remove the member (member remove ${id}), add it again, and start it with an empty data directory`,
    );
  }
}

export interface PeerAnswers {
  answer(question: PeerQuestion): Promise<object>;
}

export interface ReplicaPeerModules {
  readonly replica: Replica;
  readonly answers: PeerAnswers;
  readonly logger: Logger;
  readonly fatal: (error: Error) => void;
}

/**
 * Who may talk to this member, and what it does with what they say. A member is known by its id and by its data
 * directory: one that comes back with another directory has forgotten its votes (design: a voter that lost its disk).
 */
export class ReplicaPeers implements PeerService {
  readonly #replica: Replica;
  readonly #answers: PeerAnswers;
  readonly #logger: Logger;
  readonly #fatal: (error: Error) => void;

  constructor(modules: ReplicaPeerModules) {
    this.#replica = modules.replica;
    this.#answers = modules.answers;
    this.#logger = modules.logger;
    this.#fatal = modules.fatal;
  }

  hello(peer: MemberId): PeerHello {
    const { clusterId, memberId, incarnation } = this.#replica.identity;
    const expectedIncarnation = this.#incarnationOf(peer);
    const urls = this.#replica.ownPeerUrls;
    return { clusterId, from: memberId, to: peer, incarnation, expectedIncarnation, urls };
  }

  /** Empty when we have not met. */
  #incarnationOf(peer: MemberId): string {
    const published = this.#replica.state.membership.member(peer)?.incarnation ?? '';
    if (published !== '') return published;
    return this.#replica.identity.peers.find(({ id }) => id === peer)?.incarnation ?? '';
  }

  async accept(hello: PeerHello): Promise<PeerRefusal | undefined> {
    const { clusterId, memberId, incarnation } = this.#replica.identity;
    if (hello.clusterId !== clusterId) return 'wrong cluster';
    if (hello.to !== memberId) return 'wrong member';
    if (this.#replica.state.membership.isRemoved(hello.from)) return 'removed';
    if (hello.expectedIncarnation !== '' && hello.expectedIncarnation !== incarnation) {
      this.#fatal(new DataRefusedError(memberId));
      return 'other data directory';
    }
    const known = this.#incarnationOf(hello.from);
    if (known !== '' && known !== hello.incarnation) return 'lost data';
    if (known === '' || this.#replica.isStranger(hello.from)) await this.#remember(hello);
    return undefined;
  }

  #remember(hello: Pick<PeerHello, 'from' | 'incarnation' | 'urls'>): Promise<void> {
    return new Promise((resolve) => this.#replica.rememberPeer(hello, resolve));
  }

  meet(peer: MemberId, incarnation: string): boolean {
    const known = this.#incarnationOf(peer);
    if (known === '') void this.#remember({ from: peer, incarnation, urls: [] });
    const isKnown = known === '' || known === incarnation;
    if (!isKnown) {
      const fields = { 'remote-peer-id': hexId(peer) };
      this.#logger.warn(
        fields,
        'the peer runs with another data directory than before; not talking to it',
      );
    }
    return isKnown;
  }

  refused(peer: MemberId, refusal: PeerRefusal | undefined): void {
    const fields = { 'remote-peer-id': hexId(peer), reason: refusal ?? 'unknown' };
    this.#logger.warn(fields, 'rejected by a peer');
    if (refusal === 'lost data') this.#fatal(new DataRefusedError(this.#replica.identity.memberId));
    if (refusal === 'removed') this.#replica.leave();
  }

  step(message: Message): void {
    this.#replica.step(message);
  }

  async receiveSnapshot(
    message: SnapshotMessage,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (this.#replica.isReceiving) throw new Error('another snapshot is being received');
    await this.#replica.receiveSnapshot(message, chunks);
  }

  membersJson(): string {
    const { identity, state } = this.#replica;
    const members = state.membership.members().map((member) => ({
      id: hexId(member.id),
      name: member.name,
      peerURLs: member.peerUrls,
      clientURLs: member.clientUrls,
      isLearner: member.isLearner,
      incarnation: member.incarnation,
    }));
    return JSON.stringify({ clusterId: hexId(identity.clusterId), members });
  }

  answer(question: PeerQuestion): Promise<object> {
    const isForAll = question.kind === 'hash' || question.kind === 'knowsObservers';
    if (!isForAll && this.#replica.raft.role !== 'leader') throw new EtcdError('NotLeader');
    return this.#answers.answer(question);
  }
}
