import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdError } from '../../../server/base/errors.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { LevelStateStores } from '../../../server/member/level-state-stores.ts';
import { nodeClock, nodeRandom } from '../../../server/member/node-ports.ts';
import { Replica, type ReplicaNetwork } from '../../../server/member/replica.ts';
import type { MemberState } from '../../../server/member/state.ts';
import { encodeMemberSnapshot } from '../../../server/snapshot/member-snapshot.ts';
import { nodeFileSystem } from '../../../server/wal/node-file-system.ts';
import { eventText, keyText, leaseText, type View } from './view.ts';

// The shipped replica on real directories, several in one process, with function calls for a network.

/** Short, for thousands of small lives; readers try again when a slow moment costs a leader. */
const electionMs = 100;
const everyKey = { start: '', end: undefined, single: false };

/** Replicas that reach each other. Who is not there is not reached. */
export class LocalCluster {
  readonly #replicas = new Map<bigint, Replica>();

  /** Opens the member of a data directory. `fatal` is called when it cannot go on. */
  async open(dataDirectory: string, fatal: (error: Error) => void): Promise<Replica> {
    const replica = await Replica.open(
      {
        clock: nodeClock,
        random: nodeRandom,
        fileSystem: nodeFileSystem,
        logger: silentLogger,
        stateStores: new LevelStateStores(`${dataDirectory}/member`),
        network: this.#network(() => replica),
        defer: setImmediate,
        fatal,
      },
      {
        name: 'local',
        clientUrls: [],
        version: '3.6.0',
        walDirectory: `${dataDirectory}/member/wal`,
        walSegmentBytes: 8192,
        heartbeatMs: 10,
        electionMs,
        requestTimeoutMs: 5_000,
        requestBytesMax: 1 << 20,
        catchUpEntries: 5_000,
        appendBytes: 1024 * 1024,
        beginning: undefined,
      },
    );
    this.#replicas.set(replica.identity.memberId, replica);
    replica.start();
    return replica;
  }

  async close(replica: Replica): Promise<void> {
    await replica.close();
    this.forget(replica);
  }

  /** It is not reached any more. */
  forget(replica: Replica): void {
    this.#replicas.delete(replica.identity.memberId);
  }

  #network(self: () => Replica): ReplicaNetwork {
    return {
      setPeers() {},
      send: (message) => {
        setImmediate(() => this.#replicas.get(message.to)?.step(message));
      },
      sendSnapshot: (message, image) => {
        const sender = self();
        const chunks = encodeMemberSnapshot(image, { clusterId: sender.identity.clusterId });
        const receiver = this.#replicas.get(message.to);
        const received =
          receiver === undefined || receiver.isReceiving
            ? Promise.reject(new Error('nobody receives'))
            : receiver.receiveSnapshot(message, chunks);
        void received
          .then(
            () => true,
            () => false,
          )
          .then((isInstalled) => {
            image.release();
            sender.reportSnapshot(message.to, isInstalled);
          });
      },
    };
  }
}

/** Everything that a client could read there now, linearizably. */
export async function readReplica(replica: Replica): Promise<View> {
  // A read that knows of no leader is tried again only after a while.
  for (let tries = 0; replica.raft.leader === 0n && tries < 1_000; tries++) await sleep(2);
  await new Promise<void>((resolve, reject) => {
    replica.linearizableRead((error: EtcdError | undefined) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
  return viewOf(replica.state);
}

function viewOf({ store, lessor }: MemberState): View {
  const { revision, compactRevision } = store;
  const history = [...store.readRevisions(Math.max(compactRevision, 1) + 1, revision)];
  const leases = lessor.ids().toSorted((a, b) => (a < b ? -1 : 1));
  return {
    revision,
    compactRevision,
    keys: store.range({ range: everyKey }).kvs.map(keyText),
    events: history.flatMap(({ events }) =>
      events.map(({ kind, kv }) => eventText(kind === 'put', kv)),
    ),
    leases: leases.map((id) => leaseText(id, lessor.grantedTtl(id) ?? -1, lessor.keysOf(id))),
  };
}
