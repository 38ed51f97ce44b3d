import type { Authenticator } from '../api/authenticator.ts';
import { ExpensiveRequests } from '../api/expensive-requests.ts';
import { PrefixQuotas } from '../api/prefix-quotas.ts';
import { RequestLimits } from '../api/request-limits.ts';
import type { Fairness } from '../api/services.ts';
import type { PinnedState } from '../backend/backend.ts';
import { hexId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import type { Config } from '../config/config.ts';
import { requestTimeoutMs } from '../config/config.ts';
import { appendBytesMax, catchUpEntriesMax } from '../config/limits.ts';
import type { RequestLimitsConfig } from '../config/request-limits.ts';
import { compatibilityVersion } from '../config/version.ts';
import type { Message, SnapshotMessage } from '../raft/messages.ts';
import { encodeMemberSnapshot } from '../snapshot/member-snapshot.ts';
import { ClientListener, type ClientListenerModules } from '../transport/client-listener.ts';
import { PeerNetwork } from '../transport/peer-network.ts';
import { nodeFileSystem } from '../wal/node-file-system.ts';
import { listSegments } from '../wal/segment.ts';
import { beginAudit, type MemberAudit, openAuditSink } from './audit.ts';
import { authenticatorOf } from './authentication.ts';
import { decideBeginning } from './bootstrap.ts';
import { openEncryption } from './encryption.ts';
import { LevelStateStores } from './level-state-stores.ts';
import { LocalMember } from './local-member.ts';
import { MemberMetrics, type MetricsModules } from './member-metrics.ts';
import { nodeClock, nodeRandom } from './node-ports.ts';
import { ReplicaPeers } from './peer-service.ts';
import type { Beginning, ReplicaNetwork, ReplicaOptions } from './replica.ts';
import { Replica } from './replica.ts';
import { refuseUnfinishedRestore } from './restored-data.ts';
import { tlsOf } from './tls.ts';
import { Upkeep } from './upkeep.ts';

/** A member that serves. */
export interface RunningMember {
  /** Hands leadership over, ends the streams, writes down what is left. */
  stop(): Promise<void>;
  /** Resolves with why the member cannot go on: the process must end at once. */
  readonly failed: Promise<Error>;
}

/** Builds and wires every module of one member, and starts it; resolves when it serves clients. */
export async function startMember(config: Config, logger: Logger): Promise<RunningMember> {
  refuseUnfinishedRestore(config.dataDir);
  const sink = config.audit && (await openAuditSink(config.audit));
  const encryption = openEncryption(logger, config);
  const hasLog = listSegments(nodeFileSystem, walDirectoryOf(config)).length > 0;
  const { dialer, ...tls } = tlsOf({ logger }, config);
  const beginning = hasLog ? undefined : await decideBeginning({ logger, dialer }, config);
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const network = new LateNetwork();
  const stateStores = new LevelStateStores(`${config.dataDir}/member`, encryption?.cipher);
  let clients: ClientListener | undefined;
  const replica = await Replica.open(
    {
      clock: nodeClock,
      random: nodeRandom,
      fileSystem: nodeFileSystem,
      logger,
      stateStores,
      cipher: encryption?.cipher,
      network,
      defer: setImmediate,
      fatal: fail,
      removed: () => void clients?.stop({ calls: 'refuse' }),
    },
    replicaOptions(config, beginning),
  );
  const member = new LocalMember(
    { replica, clock: nodeClock, random: nodeRandom, peers: network },
    {
      name: config.name,
      electionMs: config.electionMs,
      requestTimeoutMs: requestTimeoutMs(config),
      ...config.maintenance,
    },
  );
  const service = new ReplicaPeers({ replica, answers: member, logger, fatal: fail });
  const peers = new PeerNetwork({ service, logger, dialer, credentials: tls.peer });
  network.bind(peers, replica);
  await peers.listen(config.listenPeerUrls);
  const upkeep = new Upkeep({ replica, member, peers, clock: nodeClock, logger }, config);
  if (config.maintenance.checksDataInitially) {
    replica.meetPeers();
    await upkeep.checkInitially();
  }
  replica.start();
  upkeep.start();
  encryption?.start({ clock: nodeClock, stores: stateStores, fatal: fail });
  const audit = config.audit && sink && beginAudit({ member, logger, sink }, config.audit);
  clients = await openClients(
    { member, replica, peers, stateStores, logger, tls: tls.client, certificates: tls, audit },
    config,
  );
  void whenReady(member, failed).then(() => sayReady({ member, logger }, config));
  return {
    failed,
    stop: async () => {
      upkeep.stop();
      encryption?.stop();
      await replica.handOver();
      await clients?.stop();
      await audit?.close();
      await replica.close();
      await peers.close();
    },
  };
}

function walDirectoryOf({ walDir, dataDir }: Config): string {
  return walDir ?? `${dataDir}/member/wal`;
}

function replicaOptions(config: Config, beginning: Beginning | undefined): ReplicaOptions {
  const { maintenance } = config;
  return {
    name: config.name,
    clientUrls: config.advertiseClientUrls,
    version: compatibilityVersion,
    walDirectory: walDirectoryOf(config),
    walSegmentBytes: config.walSegmentBytes,
    heartbeatMs: config.heartbeatMs,
    electionMs: config.electionMs,
    requestTimeoutMs: requestTimeoutMs(config),
    requestBytesMax: config.requestBytesMax,
    catchUpEntries: Math.min(config.snapshotCount, catchUpEntriesMax),
    appendBytes: appendBytesMax,
    quotaBytes: maintenance.quotaBytes,
    leaseCheckpointMs: maintenance.leaseCheckpointMs,
    remembersCompactionHashes: maintenance.compactHashCheckMs > 0,
    forceNewCluster: config.forceNewCluster,
    beginning,
  };
}

async function openClients(
  modules: Omit<MetricsModules, 'authenticator' | 'fairness' | 'auditLog'> &
    Pick<ClientListenerModules, 'logger' | 'tls'> & { readonly audit: MemberAudit | undefined },
  config: Config,
): Promise<ClientListener> {
  const { logger, member, tls, audit } = modules;
  const ports = { port: member, clock: nodeClock, random: nodeRandom, logger };
  const authenticator = authenticatorOf(ports, config);
  audit?.auditor.bind(authenticator);
  const fairness = fairnessOf({ ...modules, authenticator }, config.requestLimits);
  const metrics = new MemberMetrics(
    { ...modules, authenticator, fairness, auditLog: audit?.log },
    config,
  );
  const clients = await ClientListener.open(
    {
      ...ports,
      authenticator,
      tls,
      metrics,
      fairness,
      audit: audit && ((call) => audit.auditor.audit(call)),
    },
    config,
  );
  metrics.bind(clients);
  return clients;
}

/** What keeps one client from taking what is there for all. */
function fairnessOf(
  {
    authenticator,
    member,
    replica,
  }: Pick<MetricsModules, 'member' | 'replica'> & { readonly authenticator: Authenticator },
  { user, connection, expensiveInFlight, prefixQuotas }: RequestLimitsConfig,
): Fairness {
  const prefixes = prefixQuotas.map(({ prefix }) => prefix);
  if (prefixes.length > 0) replica.state.store.keepUsageOf(prefixes);
  return {
    limits: new RequestLimits({ clock: nodeClock, users: authenticator }, { user, connection }),
    expensive:
      expensiveInFlight === 0 ? undefined : new ExpensiveRequests({ atOnceMax: expensiveInFlight }),
    quotas: prefixes.length === 0 ? undefined : new PrefixQuotas({ port: member }, prefixQuotas),
  };
}

/** As etcd says it: once the member has heard of a leader and told it about itself. */
async function whenReady(member: LocalMember, failed: Promise<Error>): Promise<void> {
  for (;;) {
    const isReady = member.linearizableRead().then(
      () => true,
      () => false,
    );
    const isServing = await Promise.race([isReady, failed.then(() => false)]);
    if (isServing && isKnown(member)) return;
    // Also after a read that was refused at once.
    await new Promise<void>((resolve) => nodeClock.after(publishPollMs, resolve));
  }
}

const publishPollMs = 10;

function isKnown(member: LocalMember): boolean {
  const { memberId, name } = member;
  return member.members().some((other) => other.id === memberId && other.name === name);
}

/** etcd's line, which its tests and tools wait for; then what etcd says of traffic that anyone can read. */
function sayReady(
  { member, logger }: { member: LocalMember; logger: Logger },
  { listenClientUrls, listenClientHttpUrls }: Config,
): void {
  const fields = {
    'local-member-id': hexId(member.memberId),
    'cluster-id': hexId(member.clusterId),
    'client-urls': listenClientUrls,
  };
  logger.info(fields, 'ready to serve client requests');
  const isSplit = listenClientHttpUrls.length > 0;
  for (const [urls, traffic] of [
    [listenClientUrls, isSplit ? 'grpc' : 'grpc+http'],
    [listenClientHttpUrls, 'http'],
  ] as const) {
    for (const address of urls) {
      const text = 'serving client traffic insecurely; this is strongly discouraged!';
      if (address.startsWith('http:')) logger.warn({ traffic, address }, text);
    }
  }
}

/** The network that the replica is opened with: its peers can only be met once there is a replica. */
class LateNetwork implements ReplicaNetwork {
  #peers: PeerNetwork | undefined;
  #replica: Replica | undefined;

  bind(peers: PeerNetwork, replica: Replica): void {
    this.#peers = peers;
    this.#replica = replica;
  }

  setPeers(peers: Parameters<ReplicaNetwork['setPeers']>[0]): void {
    this.#peers?.setPeers(peers);
  }

  send(message: Message): void {
    this.#peers?.send(message);
  }

  sendSnapshot(message: SnapshotMessage, image: PinnedState): void {
    void this.#sendSnapshot(message, image);
  }

  async #sendSnapshot(message: SnapshotMessage, image: PinnedState): Promise<void> {
    const { clusterId } = this.#bound.replica.identity;
    let isInstalled = true;
    try {
      const chunks = encodeMemberSnapshot(image, { clusterId });
      await this.#bound.peers.sendSnapshot(message, chunks);
    } catch {
      isInstalled = false;
    } finally {
      image.release();
    }
    this.#bound.replica.reportSnapshot(message.to, isInstalled);
  }

  ask(...args: Parameters<PeerNetwork['ask']>): Promise<unknown> {
    return this.#bound.peers.ask(...args);
  }

  activeSinceMs(peer: bigint): number | undefined {
    return this.#peers?.activeSinceMs(peer);
  }

  get #bound(): { peers: PeerNetwork; replica: Replica } {
    if (this.#peers === undefined || this.#replica === undefined) throw new Error('not bound yet');
    return { peers: this.#peers, replica: this.#replica };
  }
}
