// [io] StoreAdmin over our own client of the etcd API.
import { hexId } from '../../server/base/ids.ts';
import { Client } from '../../server/client/client.ts';
import type { MemberStatus } from './observation.ts';
import type { MemberListing, StoreAdmin } from './store-admin.ts';

/** One member that does not answer must not hold up the pass for long; a change may take an election. */
const statusTimeoutMs = 1_000;
const storeTimeoutMs = 5_000;
/** Connections that were not used for so long are closed: their pods may be gone. */
const idleMsMax = 60_000;

interface Connection {
  readonly client: Client;
  usedAtMs: number;
}

export class StoreClient implements StoreAdmin {
  readonly #nowMs: () => number;
  readonly #connections = new Map<string, Connection>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  async memberList(endpoints: readonly string[]): Promise<MemberListing> {
    const { header, members } = await this.#store(endpoints).memberList({ linearizable: true });
    return {
      clusterId: hexId(header?.clusterId ?? 0n),
      members: members.map(({ ID, name, peerURLs, isLearner }) => {
        return { id: hexId(ID), name, peerUrls: peerURLs, learner: isLearner };
      }),
    };
  }

  async status(endpoint: string): Promise<MemberStatus> {
    const client = this.#connect([endpoint], statusTimeoutMs);
    const { header, leader, raftTerm, raftIndex, raftAppliedIndex } = await client.status(endpoint);
    const memberId = hexId(header?.memberId ?? 0n);
    return { memberId, leaderId: hexId(leader), raftTerm, raftIndex, raftAppliedIndex };
  }

  async memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void> {
    await this.#store(endpoints).memberAdd([peerUrl], { isLearner: true });
  }

  memberPromote(endpoints: readonly string[], memberId: string): Promise<void> {
    return this.#store(endpoints).memberPromote(parseId(memberId));
  }

  memberRemove(endpoints: readonly string[], memberId: string): Promise<void> {
    return this.#store(endpoints).memberRemove(parseId(memberId));
  }

  moveLeader(leader: string, targetMemberId: string): Promise<void> {
    return this.#store([leader]).moveLeader(parseId(targetMemberId));
  }

  close(): void {
    for (const { client } of this.#connections.values()) client.close();
    this.#connections.clear();
  }

  #store(endpoints: readonly string[]): Client {
    return this.#connect(endpoints, storeTimeoutMs);
  }

  #connect(endpoints: readonly string[], timeoutMs: number): Client {
    const nowMs = this.#nowMs();
    for (const [key, { client, usedAtMs }] of this.#connections) {
      if (nowMs - usedAtMs <= idleMsMax) continue;
      client.close();
      this.#connections.delete(key);
    }
    const key = `${timeoutMs} ${endpoints.join(' ')}`;
    const known = this.#connections.get(key);
    if (known !== undefined) {
      known.usedAtMs = nowMs;
      return known.client;
    }
    const client = new Client({ endpoints, timeoutMs });
    this.#connections.set(key, { client, usedAtMs: nowMs });
    return client;
  }
}

function parseId(hex: string): bigint {
  return BigInt(`0x${hex}`);
}
