// [io] StoreAdmin over our own client of the etcd API.
import { latin1 } from '../../server/base/bytes.ts';
import { hexId } from '../../server/base/ids.ts';
import type { Client } from '../../server/client/client.ts';
import type { Permission as WirePermission } from '../../server/proto/gen/auth.ts';
import { AlarmType } from '../../server/proto/gen/rpc.ts';
import type { Alarm, MemberStatus } from './observation.ts';
import type {
  AuthChange,
  AuthQuestion,
  MemberListing,
  Permission,
  StoreAccess,
  StoreAdmin,
  StoreAuth,
} from './store-admin.ts';
import { changeAuth } from './store-auth.ts';
import { StoreConnections } from './store-connections.ts';

/** One member that does not answer must not hold up the pass for long; a change may take an election. */
const statusTimeoutMs = 1_000;
/** A password costs its check, which is slow on purpose. */
const loginTimeoutMs = 4_000;
const storeTimeoutMs = 5_000;
const defragmentTimeoutMs = 60_000;

const alarmKinds = [
  ['NOSPACE', AlarmType.NOSPACE],
  ['CORRUPT', AlarmType.CORRUPT],
] as const;

const anyone: StoreAccess = { user: 'anyone', members: [] };

export class StoreClient implements StoreAdmin {
  readonly #connections: StoreConnections;
  readonly #access: StoreAccess;

  constructor(nowMs: () => number);
  constructor(connections: StoreConnections, access: StoreAccess);
  constructor(from: (() => number) | StoreConnections, access = anyone) {
    this.#connections = from instanceof StoreConnections ? from : new StoreConnections(from);
    this.#access = access;
  }

  as(access: StoreAccess): StoreAdmin {
    return new StoreClient(this.#connections, access);
  }

  memberList(endpoints: readonly string[]): Promise<MemberListing> {
    return this.#store(endpoints, async (client) => {
      const { header, members } = await client.memberList({ linearizable: true });
      return {
        clusterId: hexId(header?.clusterId ?? 0n),
        members: members.map(({ ID, name, peerURLs, isLearner, isObserver }) => {
          const observer = isObserver ? { observer: true } : {};
          return { id: hexId(ID), name, peerUrls: peerURLs, learner: isLearner, ...observer };
        }),
      };
    });
  }

  status(endpoint: string): Promise<MemberStatus> {
    return this.#member(endpoint, statusTimeoutMs, async (client) => {
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
    });
  }

  hash(endpoint: string): Promise<string> {
    return this.#member(endpoint, storeTimeoutMs, async (client) =>
      String((await client.hashKV(endpoint)).hash),
    );
  }

  alarms(endpoints: readonly string[]): Promise<readonly Alarm[]> {
    return this.#store(endpoints, async (client) => {
      const { alarms } = await client.alarms();
      return alarms.flatMap(({ memberID, alarm }) => {
        const kind = alarmKinds.find(([, type]) => type === alarm)?.[0];
        return kind === undefined ? [] : [{ memberId: hexId(memberID), kind }];
      });
    });
  }

  async disarm(endpoints: readonly string[], { memberId, kind }: Alarm): Promise<void> {
    const alarm = kind === 'NOSPACE' ? AlarmType.NOSPACE : AlarmType.CORRUPT;
    const memberID = parseId(memberId);
    await this.#store(endpoints, (client) => client.disarm({ memberID, alarm }));
  }

  async compact(endpoints: readonly string[], revision: number): Promise<void> {
    await this.#store(endpoints, (client) => client.compact(revision));
  }

  defragment(endpoint: string): Promise<void> {
    return this.#member(endpoint, defragmentTimeoutMs, (client) => client.defragment(endpoint));
  }

  async memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void> {
    await this.#store(endpoints, (client) => client.memberAdd([peerUrl], { isLearner: true }));
  }

  async memberAddObserver(endpoints: readonly string[], peerUrl: string): Promise<void> {
    await this.#store(endpoints, (client) => client.memberAdd([peerUrl], { isObserver: true }));
  }

  memberPromote(endpoints: readonly string[], memberId: string): Promise<void> {
    return this.#store(endpoints, (client) => client.memberPromote(parseId(memberId)));
  }

  memberRemove(endpoints: readonly string[], memberId: string): Promise<void> {
    return this.#store(endpoints, (client) => client.memberRemove(parseId(memberId)));
  }

  moveLeader(leader: string, targetMemberId: string): Promise<void> {
    return this.#store([leader], (client) => client.moveLeader(parseId(targetMemberId)));
  }

  auth(endpoints: readonly string[], about: AuthQuestion): Promise<StoreAuth> {
    return this.#store(endpoints, async ({ auth }) => {
      const [{ enabled }, users, roles] = await Promise.all([
        auth.status(),
        auth.userList(),
        auth.roleList(),
      ]);
      const askedUsers = about.users.filter((name) => users.includes(name));
      const askedRoles = about.roles.filter((name) => roles.includes(name));
      const rolesOf = async (user: string) => [user, await auth.userGet(user)] as const;
      const permissionsOf = async (role: string) => {
        const { perm } = await auth.roleGet(role);
        return [role, perm.map(permissionOf)] as const;
      };
      return {
        enabled,
        users: new Map(await Promise.all(askedUsers.map(rolesOf))),
        roles: new Map(await Promise.all(askedRoles.map(permissionsOf))),
      };
    });
  }

  async changeAuth(
    endpoints: readonly string[],
    change: AuthChange,
    password?: string,
  ): Promise<void> {
    await this.#store(endpoints, ({ auth }) => changeAuth(auth, change, password));
    this.#connections.forgetRefusals();
  }

  close(): void {
    this.#connections.close();
  }

  #store<T>(endpoints: readonly string[], ask: (client: Client) => Promise<T>): Promise<T> {
    return this.#connections.ask(this.#access, { endpoints, timeoutMs: storeTimeoutMs }, ask);
  }

  /** One member only. With a password, the client knows the others too: a learner takes their tokens and gives none. */
  #member<T>(endpoint: string, timeoutMs: number, ask: (client: Client) => Promise<T>): Promise<T> {
    if (this.#access.credentials === undefined) {
      return this.#connections.ask(this.#access, { endpoints: [endpoint], timeoutMs }, ask);
    }
    const endpoints = [...new Set([...this.#access.members, endpoint])];
    const longerMs = Math.max(timeoutMs, loginTimeoutMs);
    return this.#connections.ask(this.#access, { endpoints, timeoutMs: longerMs }, ask);
  }
}

const accesses = ['Read', 'Write', 'ReadWrite'] as const;

function permissionOf({ permType, key, rangeEnd }: WirePermission): Permission {
  const access = accesses[permType];
  if (access === undefined) throw new Error(`unknown kind of permission ${permType}`);
  return { access, key: latin1(key), rangeEnd: latin1(rangeEnd) };
}

function parseId(hex: string): bigint {
  return BigInt(`0x${hex}`);
}
