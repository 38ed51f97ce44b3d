// [io] StoreAdmin over our own client of the etcd API.
import { hexId } from '../../server/base/ids.ts';
import { Client } from '../../server/client/client.ts';
import { AlarmType } from '../../server/proto/gen/rpc.ts';
import type { Alarm, MemberStatus } from './observation.ts';
import type { MemberListing, StoreAdmin } from './store-admin.ts';

/** One member that does not answer must not hold up the pass for long; a change may take an election. */
const statusTimeoutMs = 1_000;
const storeTimeoutMs = 5_000;
const defragmentTimeoutMs = 60_000;
/** Connections that were not used for so long are closed: their pods may be gone. */
const idleMsMax = 60_000;

const alarmKinds = [
  ['NOSPACE', AlarmType.NOSPACE],
  ['CORRUPT', AlarmType.CORRUPT],
] as const;

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
    const answer = await client.status(endpoint);
    const { header, leader, raftTerm, raftIndex, raftAppliedIndex } = answer;
    return {
      memberId: hexId(header?.memberId ?? 0n),
      leaderId: hexId(leader),
      raftTerm,
      raftIndex,
      raftAppliedIndex,
      revision: header?.revision ?? 0,
      databaseBytes: answer.dbSize,
      databaseBytesInUse: answer.dbSizeInUse,
    };
  }

  async hash(endpoint: string): Promise<string> {
    const { hash } = await this.#connect([endpoint], storeTimeoutMs).hashKV(endpoint);
    return String(hash);
  }

  async alarms(endpoints: readonly string[]): Promise<readonly Alarm[]> {
    const { alarms } = await this.#store(endpoints).alarms();
    return alarms.flatMap(({ memberID, alarm }) => {
      const kind = alarmKinds.find(([, type]) => type === alarm)?.[0];
      return kind === undefined ? [] : [{ memberId: hexId(memberID), kind }];
    });
  }

  async disarm(endpoints: readonly string[], { memberId, kind }: Alarm): Promise<void> {
    const alarm = kind === 'NOSPACE' ? AlarmType.NOSPACE : AlarmType.CORRUPT;
    await this.#store(endpoints).disarm({ memberID: parseId(memberId), alarm });
  }

  async compact(endpoints: readonly string[], revision: number): Promise<void> {
    await this.#store(endpoints).compact(revision);
  }

  async defragment(endpoint: string): Promise<void> {
    await this.#connect([endpoint], defragmentTimeoutMs).defragment(endpoint);
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
