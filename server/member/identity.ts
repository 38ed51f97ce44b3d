import type { ClusterId, MemberId } from '../base/ids.ts';
import { hexId } from '../base/ids.ts';
import type { Member } from '../proto/gen/internal.ts';

/**
 * Who this data directory is, kept in the log so that it is there even when the state is lost: the ids, a random number
 * that tells this directory from another one with the same id, and the other members as last known.
 */
export interface Identity {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly incarnation: string;
  readonly peers: readonly KnownPeer[];
  /** The last start was one with --force-new-cluster: a flag that was forgotten must not do it again. */
  readonly isForced?: boolean;
}

export interface KnownPeer {
  readonly id: MemberId;
  readonly peerUrls: readonly string[];
  readonly isVoter: boolean;
  /** The data directory that this peer was first met with; undefined before that. */
  readonly incarnation?: string | undefined;
}

export function encodeIdentity(identity: Identity): Uint8Array {
  const { clusterId, memberId, incarnation, isForced } = identity;
  const peers = identity.peers.map((peer) => ({ ...peer, id: hexId(peer.id) }));
  const ids = { clusterId: hexId(clusterId), memberId: hexId(memberId) };
  const json = { ...ids, incarnation, peers, ...(isForced === true && { isForced }) };
  return new TextEncoder().encode(JSON.stringify(json));
}

/** The bytes were checked by the log's checksum: anything else than what we write is a fault of ours. */
export function decodeIdentity(bytes: Uint8Array): Identity {
  const json = JSON.parse(new TextDecoder().decode(bytes)) as {
    clusterId: string;
    memberId: string;
    incarnation: string;
    peers: Array<Omit<KnownPeer, 'id'> & { id: string }>;
    isForced?: boolean;
  };
  return {
    clusterId: BigInt(`0x${json.clusterId}`),
    memberId: BigInt(`0x${json.memberId}`),
    incarnation: json.incarnation,
    peers: json.peers.map((peer) => ({ ...peer, id: BigInt(`0x${peer.id}`) })),
    isForced: json.isForced === true,
  };
}

/** The peers of a membership, keeping what is known of their data directories, and those that it does not have yet. */
export function peersOf(members: readonly Member[], known: readonly KnownPeer[]): KnownPeer[] {
  const listed = members.map(({ id, peerUrls, isLearner, incarnation }) => {
    const before = known.find((peer) => peer.id === id)?.incarnation;
    const met = incarnation === '' ? before : incarnation;
    return { id, peerUrls, isVoter: !isLearner, incarnation: met };
  });
  return [...listed, ...known.filter(({ id }) => members.every((member) => member.id !== id))];
}
