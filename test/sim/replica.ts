import { silentLogger } from '../../server/base/logger.ts';
import { clusterIdOf, memberIdOf } from '../../server/member/ids.ts';
import { LocalMember } from '../../server/member/local-member.ts';
import { ReplicaPeers } from '../../server/member/peer-service.ts';
import { type Beginning, Replica } from '../../server/member/replica.ts';
import { encodeMemberSnapshot } from '../../server/snapshot/member-snapshot.ts';
import { listSegments } from '../../server/wal/segment.ts';
import type { Boot, MemberPlan, Outside, SimReplica } from './member.ts';
import { SimPeers } from './peers.ts';
import { observerStalenessMaxMs } from './swarm.ts';

const walDirectory = '/data/member/wal';
const token = 'simulated';
const electionMs = 1000;
const requestTimeoutMs = 5000 + 2 * electionMs;

/** Wires the shipped member as server/member/member.ts does, with simulated ports in place of the machine's. */
export const bootReplica: Boot = async (outside, plan, options) => {
  const { clock, random, fatal, process } = outside;
  const hasLog = listSegments(outside.fileSystem, walDirectory).length > 0;
  const beginning = hasLog ? undefined : await beginningOf(outside, plan);
  let replica: Replica | undefined;
  const peers = new SimPeers({
    ...outside.peers,
    nowMs: () => clock.nowMs(),
    sent: (message, to) => outside.sent(message, to),
    snapshotEnded: (message, isInstalled) => {
      outside.snapshotEnded(isInstalled);
      replica?.reportSnapshot(message.to, isInstalled);
    },
  });
  replica = await Replica.open(
    {
      clock,
      random,
      fatal,
      fileSystem: outside.fileSystem,
      logger: silentLogger,
      stateStores: stateStoresOf(outside),
      defer: outside.defer,
      network: {
        setPeers: (known) => peers.setPeers(known),
        send: (message) => peers.send(message),
        sendSnapshot: (message, image) => {
          const clusterId = replica?.identity.clusterId ?? 0n;
          peers.sendSnapshot(message, image, encodeMemberSnapshot(image, { clusterId }));
        },
      },
    },
    {
      name: plan.name,
      clientUrls: [`http://${plan.name}:2379`],
      version: '3.6.0',
      walDirectory,
      walSegmentBytes: options.segmentBytes,
      heartbeatMs: options.heartbeatMs,
      electionMs,
      requestTimeoutMs,
      requestBytesMax: 1024 * 1024,
      catchUpEntries: options.snapshotEntries,
      appendBytes: options.appendBytes,
      appendsInFlight: options.appendsInFlight,
      statePendingBytes: Math.max(4_000, 10 * options.appendBytes),
      logBytes: Math.max(20_000, 50 * options.appendBytes),
      // So little that some are left behind.
      snapshotBacklogBytes: { observer: 1_000, voter: 2_000 },
      remembersCompactionHashes: true,
      beginning,
    },
  );
  const port = new LocalMember(
    { replica, clock, random, peers },
    { name: plan.name, electionMs, requestTimeoutMs, ...settings },
  );
  const service = new ReplicaPeers({ replica, answers: port, logger: silentLogger, fatal });
  return bound(replica, { port, service, process });
};

const settings = {
  quotaBytes: -1,
  isReconfigurationStrict: true,
  learnersMax: 1,
  observersMax: 2,
  observerStalenessMaxMs,
};

function bound(
  replica: Replica,
  parts: Pick<SimReplica, 'port' | 'service'> & Pick<Outside, 'process'>,
): SimReplica {
  return {
    ...parts,
    raft: replica.raft,
    state: replica.state,
    changeMembership: (change, done) => replica.changeMembership(change, done),
    start: () => replica.start(),
    close: async () => {
      await replica.handOver();
      await replica.close();
    },
  };
}

/** As bootstrap.ts, which asks the others over HTTP. */
async function beginningOf(outside: Outside, plan: MemberPlan): Promise<Beginning> {
  if (plan.isNewCluster) {
    const members = [...plan.initialCluster.values()].map((url) => ({
      id: memberIdOf([url], { token }),
      peerUrls: [url],
    }));
    const clusterId = clusterIdOf(members.map(({ id }) => id));
    const memberId = memberIdOf([plan.peerUrl], { token });
    return { isNewCluster: true, clusterId, memberId, members };
  }
  for (;;) {
    const known = outside.askMembers();
    const self = known?.members.find(({ peerUrls }) => peerUrls.includes(plan.peerUrl));
    if (known !== undefined && self !== undefined) {
      const { clusterId, members } = known;
      return { isNewCluster: false, clusterId, memberId: self.id, members };
    }
    await new Promise<void>((resolve) => outside.clock.after(500, resolve));
  }
}

function stateStoresOf({
  stores,
  process,
}: Outside): Parameters<typeof Replica.open>[0]['stateStores'] {
  return {
    place: '/data/member/state',
    open: async () => stores.open(process),
    stage: async () => stores.stage(process),
    removeFormer: async () => {},
    promoteStaged: async () => {
      if (process.effect()) stores.promoteStaged();
      return stores.open(process);
    },
    discard: async () => {
      if (process.effect()) stores.lose();
    },
  };
}
