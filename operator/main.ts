// [io] The operator's process: flags, connections, leader election, health, signals.
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { hostname } from 'node:os';
import { pino } from 'pino';
import { exposition, gauge, info } from '../server/base/exposition.ts';
import type { Logger } from '../server/base/logger.ts';
import { ProcessMetrics } from '../server/base/process-metrics.ts';
import { versionDefault } from './api/defaults.ts';
import { BackupController } from './backup-controller.ts';
import { Controller } from './controller.ts';
import { FlagError, help, type OperatorFlags, parseFlags } from './flags.ts';
import { serveHealth } from './health.ts';
import { HttpKubeClient } from './kube/client.ts';
import { systemClock, systemRandom } from './kube/clock.ts';
import { clusterDomain } from './kube/cluster-domain.ts';
import { currentNamespace, loadConnection } from './kube/kubeconfig.ts';
import { type Fence, LeaderLease, leaderLeaseTimes, noFence } from './kube/leader-lease.ts';
import { KubeRecorder } from './kube/recorder.ts';
import { OperatorMetrics } from './metrics/operator-metrics.ts';
import type { ReadLog } from './observe/backup-words.ts';
import { readMetrics } from './observe/loaded-certificates.ts';
import { NodeCache } from './observe/nodes.ts';
import { StoreClient } from './observe/store-client.ts';

const exitUsage = 2;
const exitLeaseLost = 1;

async function main(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (typeof flags === 'number') return flags;
  const logger: Logger = pino({ level: flags.logLevel });
  const stopped = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'stopping');
      stopped.abort();
    });
  }
  return run(flags, logger, stopped.signal);
}

/** The exit code when there is nothing to run. */
function readFlags(args: readonly string[]): OperatorFlags | number {
  try {
    const flags = parseFlags(args);
    if (flags !== 'help') return flags;
    process.stdout.write(help);
    return 0;
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    process.stderr.write(`mainstay-operator: ${error.message} (--help shows the flags)\n`);
    return exitUsage;
  }
}

async function run(flags: OperatorFlags, logger: Logger, stopped: AbortSignal): Promise<number> {
  const connection = loadConnection(flags.kubeconfig);
  const metrics = new OperatorMetrics(systemClock);
  const onAnswer = (method: string, code: number) => metrics.requestEnded(method, code);
  // The lease is what the fence is made of: its own writes have none.
  const leaseKube = new HttpKubeClient(connection, { onAnswer });
  const lease = flags.leaderElect ? leaderLease(flags, leaseKube, logger) : undefined;
  const fence = lease?.fence ?? noFence;
  const kube = new HttpKubeClient(connection, { fence, onAnswer });
  const store = new StoreClient(() => systemClock.nowMs());
  const recorder = new KubeRecorder({ kube, logger, clock: systemClock, random: systemRandom });
  const controller = controllerOf(flags, { kube, store, logger, fence, metrics, recorder });
  const backups = backupControllerOf(flags, { kube, logger, recorder });
  const health = await serve(flags, { controller, backups, lease, metrics });
  logger.info({ server: connection.server, namespace: flags.namespace ?? 'all' }, 'starting');
  try {
    const work = async (signal: AbortSignal) => {
      await Promise.all([controller.run(signal), backups.run(signal)]);
    };
    if (lease === undefined) await work(stopped);
    else return await runAsLeader(work, lease, { logger, stopped });
    return 0;
  } finally {
    await recorder.settled();
    health?.close();
    store.close();
    kube.close();
    leaseKube.close();
    logger.info({}, 'stopped');
  }
}

function serve(
  flags: OperatorFlags,
  {
    controller,
    backups,
    lease,
    metrics,
  }: {
    readonly controller: Controller;
    readonly backups: BackupController;
    readonly lease: LeaderLease | undefined;
    readonly metrics: OperatorMetrics;
  },
): Promise<Server> | undefined {
  if (flags.healthPort === 0) return undefined;
  const isLeader = () => lease?.isHeld() ?? true;
  const processMetrics = new ProcessMetrics();
  return serveHealth(flags.healthPort, {
    // One that stands by is ready to take over: an update of two replicas waits for nobody.
    isReady: () => !isLeader() || (controller.isReady() && backups.isReady()),
    stuck: () => (isLeader() ? controller.stuck() : undefined),
    metrics: () =>
      exposition([
        info('mainstay_operator_build_info', 'Version of the operator.', {
          version: versionDefault,
        }),
        gauge('mainstay_operator_leader', 'Whether it may write now.', isLeader()),
        ...metrics.families(),
        ...controller.families(),
        ...backups.families(),
        ...processMetrics.families(),
      ]),
  });
}

function controllerOf(
  flags: OperatorFlags,
  modules: {
    readonly kube: HttpKubeClient;
    readonly store: StoreClient;
    readonly logger: Logger;
    readonly fence: Fence;
    readonly metrics: OperatorMetrics;
    readonly recorder: KubeRecorder;
  },
): Controller {
  return new Controller(
    {
      ...modules,
      clock: systemClock,
      random: systemRandom,
      nodes: new NodeCache({ kube: modules.kube, nowMs: () => systemClock.nowMs() }).read,
      wallMs: () => systemClock.wallMs(),
      newNonce: () => randomBytes(8).toString('hex'),
      imageRepository: flags.imageRepository,
      readMetrics,
      readLog: readLogOf(modules.kube),
      clusterDomain: clusterDomain(),
      reloadMs: flags.reloadSeconds * 1_000,
    },
    { namespace: flags.namespace, workers: flags.workers },
  );
}

/** Of a log; a line that is longer is not one of ours. */
const lastLine = { tailLines: '1', limitBytes: '4096' };

function readLogOf(kube: HttpKubeClient): ReadLog {
  return (path) => kube.request({ method: 'GET', path, query: lastLine });
}

function backupControllerOf(
  flags: OperatorFlags,
  modules: {
    readonly kube: HttpKubeClient;
    readonly logger: Logger;
    readonly recorder: KubeRecorder;
  },
): BackupController {
  return new BackupController(
    {
      ...modules,
      clock: systemClock,
      random: systemRandom,
      wallMs: () => systemClock.wallMs(),
      imageRepository: flags.imageRepository,
      readLog: readLogOf(modules.kube),
    },
    flags.namespace,
  );
}

/** A process that lost the lease ends: what it still had in mind is not worth knowing any more. */
async function runAsLeader(
  work: (signal: AbortSignal) => Promise<void>,
  lease: LeaderLease,
  { logger, stopped }: { readonly logger: Logger; readonly stopped: AbortSignal },
): Promise<number> {
  await lease.acquire(stopped);
  if (stopped.aborted) return 0;
  logger.info({}, 'holds the leader lease');
  const over = new AbortController();
  stopped.addEventListener('abort', () => over.abort());
  const working = work(over.signal);
  const released = new AbortController();
  let isLost = false;
  const holding = lease.hold(released.signal).finally(() => {
    isLost = !released.signal.aborted;
    over.abort();
  });
  await working;
  released.abort();
  await holding;
  if (isLost) logger.error({}, 'the leader lease is lost');
  return isLost ? exitLeaseLost : 0;
}

function leaderLease(flags: OperatorFlags, kube: HttpKubeClient, logger: Logger): LeaderLease {
  const namespace =
    flags.leaderElectNamespace ??
    flags.namespace ??
    currentNamespace(flags.kubeconfig) ??
    'default';
  return new LeaderLease(
    { kube, clock: systemClock, logger },
    {
      ...leaderLeaseTimes(flags.leaderElectSeconds * 1000),
      namespace,
      name: 'mainstay-operator',
      identity: `${hostname()}-${randomBytes(4).toString('hex')}`,
    },
  );
}

// A connection that is being made to a member that is gone would keep the process until it is killed.
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`mainstay-operator: ${String(error)}\n`);
    process.exit(1);
  },
);
