// [io] The operator's process: flags, connections, leader election, health, signals.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { pino } from 'pino';
import type { Logger } from '../server/base/logger.ts';
import { Controller } from './controller.ts';
import { FlagError, help, type OperatorFlags, parseFlags } from './flags.ts';
import { serveHealth } from './health.ts';
import { HttpKubeClient } from './kube/client.ts';
import { systemClock, systemRandom } from './kube/clock.ts';
import { currentNamespace, loadConnection } from './kube/kubeconfig.ts';
import { type Fence, LeaderLease, leaderLeaseDefaults, noFence } from './kube/leader-lease.ts';
import { KubeRecorder } from './kube/recorder.ts';
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
  const kube = new HttpKubeClient(connection);
  const store = new StoreClient(() => systemClock.nowMs());
  const lease = flags.leaderElect ? leaderLease(flags, kube, logger) : undefined;
  const controller = controllerOf(flags, { kube, store, logger, fence: lease?.fence ?? noFence });
  // One that stands by is ready to take over: an update of two replicas waits for nobody.
  const isReady = () => lease?.isHeld() === false || controller.isReady();
  const health = flags.healthPort === 0 ? undefined : serveHealth(flags.healthPort, isReady);
  logger.info({ server: connection.server, namespace: flags.namespace ?? 'all' }, 'starting');
  try {
    if (lease === undefined) await controller.run(stopped);
    else return await runAsLeader(controller, lease, { logger, stopped });
    return 0;
  } finally {
    health?.close();
    store.close();
    kube.close();
    logger.info({}, 'stopped');
  }
}

function controllerOf(
  flags: OperatorFlags,
  modules: {
    readonly kube: HttpKubeClient;
    readonly store: StoreClient;
    readonly logger: Logger;
    readonly fence: Fence;
  },
): Controller {
  const system = { clock: systemClock, random: systemRandom };
  return new Controller(
    {
      ...modules,
      ...system,
      recorder: new KubeRecorder({ ...modules, ...system }),
      wallMs: () => systemClock.wallMs(),
      newNonce: () => randomBytes(8).toString('hex'),
      imageRepository: flags.imageRepository,
    },
    { namespace: flags.namespace, workers: flags.workers },
  );
}

/** A process that lost the lease ends: what it still had in mind is not worth knowing any more. */
async function runAsLeader(
  controller: Controller,
  lease: LeaderLease,
  { logger, stopped }: { readonly logger: Logger; readonly stopped: AbortSignal },
): Promise<number> {
  await lease.acquire(stopped);
  if (stopped.aborted) return 0;
  logger.info({}, 'holds the leader lease');
  const lost = new AbortController();
  const working = controller.run(AbortSignal.any([stopped, lost.signal]));
  const released = new AbortController();
  const holding = lease.hold(released.signal).finally(() => lost.abort());
  await working;
  const isLost = lost.signal.aborted;
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
      ...leaderLeaseDefaults,
      namespace,
      name: 'mainstay-operator',
      identity: `${hostname()}-${randomBytes(4).toString('hex')}`,
    },
  );
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`mainstay-operator: ${String(error)}\n`);
    process.exitCode = 1;
  },
);
