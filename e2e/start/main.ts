// `npm start`: a Kubernetes for this machine, the operator, and a cluster of three members, until Ctrl-C.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { jsonLogger } from '../../server/base/logging.ts';
import { startLocalKube } from '../localkube/local-kube.ts';
import { applyFile, type ClusterView, readCluster, readService } from './kube-objects.ts';
import { OperatorProcess } from './operator-process.ts';
import { Progress } from './progress.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const help = `Runs Mainstay on this machine: a small Kubernetes (localkube), the operator, and the cluster of
examples/storecluster.yaml. Ctrl-C stops all of it; the next start goes on with the data.

Usage: npm start [-- --reset] [-- --data-dir DIR]

  --reset          forget everything of earlier runs first
  --data-dir DIR   where objects, volumes and logs are kept [.mainstay]
  --help           this text
`;
const pollMs = 250;
const patienceMs = 180_000;

interface Environment {
  readonly url: string;
  readonly kubeconfigPath: string;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      reset: { type: 'boolean' },
      'data-dir': { type: 'string', default: join(root, '.mainstay') },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const dataDirectory = values['data-dir'];
  if (values.reset === true) rmSync(dataDirectory, { recursive: true, force: true });
  mkdirSync(dataDirectory, { recursive: true });
  const progress = new Progress();
  const interrupted = untilInterrupted();
  progress.begin('a Kubernetes API for this machine');
  const kube = await startLocalKube({
    dataDirectory: join(dataDirectory, 'localkube'),
    logger: jsonLogger({ level: 'warn', file: join(dataDirectory, 'localkube.log') }),
  });
  progress.done(kube.url);
  const operator = new OperatorProcess(root, {
    kubeconfigPath: kube.kubeconfigPath,
    logFile: join(dataDirectory, 'operator.log'),
  });
  try {
    const started = bringUp(kube, { operator, progress });
    const isUp = await Promise.race([started.then(() => true), interrupted.then(() => false)]);
    if (isUp) {
      await tellWhatNext(kube);
      await Promise.race([interrupted, operator.ended]);
    }
    return operator.hasFailed ? 1 : 0;
  } catch (error) {
    process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    process.stdout.write('\nStopping...\n');
    await operator.stop();
    await kube.stop();
  }
}

/** The first Ctrl-C stops in good order; a second one ends at once. */
function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => resolve());
  });
}

async function bringUp(
  kube: Environment,
  { operator, progress }: { operator: OperatorProcess; progress: Progress },
): Promise<void> {
  progress.begin('the resources StoreCluster, StoreBackup and StoreBackupSchedule');
  for (const file of readdirSync(join(root, 'crds'))) {
    await applyFile(kube.url, join(root, 'crds', file));
  }
  progress.done();
  progress.begin('the operator');
  await operator.start();
  progress.done(relative(process.cwd(), operator.logFile));
  progress.begin('the cluster "demo" of examples/storecluster.yaml');
  // What a person made of it in an earlier run stays as it is.
  if ((await readCluster(kube.url, 'demo')) === undefined) {
    await applyFile(kube.url, join(root, 'examples/storecluster.yaml'));
  }
  const { ready, wanted } = await untilReady(kube.url, { operator, progress });
  progress.done(`${ready} of ${wanted} members ready`);
}

async function untilReady(
  url: string,
  { operator, progress }: { operator: OperatorProcess; progress: Progress },
): Promise<ClusterView> {
  const deadlineMs = performance.now() + patienceMs;
  let seen: ClusterView | undefined;
  for (;;) {
    const view = await readCluster(url, 'demo');
    if (view !== undefined && view.isSettled && view.ready === view.wanted) return view;
    if (operator.hasFailed) throw new Error(`the operator ended; see ${operator.logFile}`);
    if (performance.now() > deadlineMs) {
      throw new Error(
        `the cluster is not ready after ${patienceMs / 1000} s: ${view?.doing ?? 'no status'}`,
      );
    }
    if (view !== undefined && view.doing !== seen?.doing)
      progress.note(`${view.ready} of ${view.wanted} ready; ${view.doing}`);
    seen = view;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function tellWhatNext(kube: Environment): Promise<void> {
  const endpoint = await readService(kube.url, 'demo');
  const kubeconfig = relative(process.cwd(), kube.kubeconfigPath);
  process.stdout.write(`
The cluster serves at ${endpoint}. In another terminal, try:

  export MAINSTAYCTL_ENDPOINTS=${endpoint}
  npx mainstayctl put greeting hello
  npx mainstayctl get greeting
  npx mainstayctl status

With kubectl:

  export KUBECONFIG=${kubeconfig}
  kubectl get storeclusters
  kubectl scale storecluster/demo --replicas=5
  kubectl get pods --watch

With etcdctl:

  etcdctl --endpoints ${endpoint} endpoint status -w table

Ctrl-C stops everything; the next "npm start" goes on with the data, "npm start -- --reset" begins anew.
`);
}

process.exitCode = await main();
process.exit();
