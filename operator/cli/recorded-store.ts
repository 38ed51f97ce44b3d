import type { Pod } from '../api/objects.ts';
import { bytesOf } from '../api/quantity.ts';
import type { MemberRecord, StoreCluster } from '../api/types.ts';
import type { Alarm, MemberStatus } from '../observe/observation.ts';
import type { MemberListing, StoreAdmin, StoreAuth } from '../observe/store-admin.ts';
import { hasNoVote } from '../observe/view.ts';
import { podEndpoint } from '../resources/endpoints.ts';
import { peerUrl } from '../resources/names.ts';

/** Where a member stands in the log is not recorded: all that answer are taken to be level. */
const index = 100;

/** The store as the operator saw it last: what its StoreCluster's status says. Nothing is asked, nothing can be changed. */
export class RecordedStore implements StoreAdmin {
  readonly #cluster: StoreCluster;
  readonly #members: readonly MemberRecord[];
  readonly #byEndpoint: ReadonlyMap<string, MemberRecord>;

  constructor(cluster: StoreCluster, pods: readonly Pod[]) {
    this.#cluster = cluster;
    this.#members = cluster.status?.members ?? [];
    this.#byEndpoint = new Map(
      pods.flatMap((pod) => {
        const endpoint = podEndpoint(cluster, pod);
        const member = this.#members.find(({ name }) => name === pod.metadata.name);
        return endpoint === undefined || member === undefined ? [] : [[endpoint, member]];
      }),
    );
  }

  as(): StoreAdmin {
    return this;
  }

  async memberList(): Promise<MemberListing> {
    const { clusterID } = this.#cluster.status ?? {};
    const leader = this.#members.find(({ role }) => role === 'leader');
    if (clusterID === undefined || leader === undefined) throw new Error('no leader was seen');
    const members = this.#members.flatMap(({ id, name, role }) =>
      id === undefined || role === 'none'
        ? []
        : [
            {
              id,
              name,
              peerUrls: [peerUrl(this.#cluster, name)],
              learner: hasNoVote({ role }),
              ...(role === 'observer' ? { observer: true } : {}),
            },
          ],
    );
    return { clusterId: clusterID, members };
  }

  async status(endpoint: string): Promise<MemberStatus> {
    const member = this.#byEndpoint.get(endpoint);
    if (member?.id === undefined || member.revision === undefined) throw new Error('no answer');
    const leader = this.#members.find(({ role }) => role === 'leader');
    const databaseBytes = bytesOf(member.databaseSize ?? '0');
    return {
      memberId: member.id,
      leaderId: leader?.id ?? '0',
      raftTerm: 1,
      raftIndex: index,
      raftAppliedIndex: index,
      revision: member.revision,
      databaseBytes,
      databaseBytesInUse: databaseBytes,
    };
  }

  async hash(endpoint: string): Promise<string> {
    return this.#byEndpoint.get(endpoint)?.hash ?? '0';
  }

  async alarms(): Promise<readonly Alarm[]> {
    return [];
  }

  auth(): Promise<StoreAuth> {
    return Promise.reject(new Error('users and roles are not recorded'));
  }

  memberAddLearner = refuse;
  memberAddObserver = refuse;
  memberPromote = refuse;
  memberRemove = refuse;
  moveLeader = refuse;
  disarm = refuse;
  compact = refuse;
  defragment = refuse;
  changeAuth = refuse;
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('a recorded store cannot be changed'));
}
