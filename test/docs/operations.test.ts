import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { KubeObject } from '../../operator/api/objects.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { clusterLabel, clusterUidLabel } from '../../operator/resources/labels.ts';
import { type BareKube, createCluster, withBareKube } from '../operator/support/bare-kube.ts';
import { needs } from '../support/tools.ts';

// Every command of docs/OPERATIONS.md, and of the README about Kubernetes, runs: what the API server alone can answer, on
// localkube; what needs a whole cluster, in the scenario that stands beside it here, and helm's values at least render.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
const namespace = 'default';

const helmScenario =
  'install, first write, upgrade with data pods untouched, uninstall that keeps data';
const inScenarios: readonly (readonly [RegExp, string])[] = [
  [/^helm install .* --set namespaced=true/, 'in one namespace, with no ClusterRole at all'],
  [/^helm (install|upgrade|uninstall) /, helmScenario],
  [/^kubectl apply -f crds\/ -f deploy\/operator\.yaml$/, 'with kubectl alone'],
  [/^kubectl logs .* 'a new key encrypts/, 'encryption at rest, switched on and with another key'],
  [/^kubectl (rollout status|exec|logs) /, 'with kubectl alone'],
  [/^kubectl drain /, 'drain'],
  [/^kubectl mainstay /, 'kubectl mainstay shows, forecasts, moves and reports'],
];

/** Each block as its commands, which may be of several lines. */
function blocksOf(file: string): string[][] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => commandsOf(block));
}

function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let open = '';
  for (const line of block.trimEnd().split('\n')) {
    open = open === '' ? line : `${open}\n${line}`;
    const isQuoted = (open.replaceAll(/<<'END'/g, '').split("'").length - 1) % 2 === 1;
    const isDocument = open.includes("<<'END'") && line !== 'END';
    if (line.endsWith('\\') || isQuoted || isDocument) continue;
    commands.push(open);
    open = '';
  }
  assert.equal(open, '', 'a block ends within a command');
  return commands;
}

const files = ['README.md', 'docs/OPERATIONS.md'];
const blocks = files.flatMap(blocksOf);
const commands = blocks.flat();

function scenarioOf(command: string): string | undefined {
  return inScenarios.find(([pattern]) => pattern.test(command))?.[1];
}

test('what is not run here is played by a scenario that exists', () => {
  const folder = join(root, 'e2e/scenarios');
  const scenarios = readdirSync(folder)
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n');
  for (const [pattern, scenario] of inScenarios) {
    assert.ok(
      commands.some((command) => pattern.test(command)),
      `${pattern} is of no use`,
    );
    assert.match(scenarios, new RegExp(`(scenario|test)\\(\\s*'${scenario}'`));
  }
});

test('the values that helm is given are taken', needs('helm'), async () => {
  const given = commands.filter((command) => /^helm (install|upgrade) /.test(command));
  assert.ok(given.length >= 5);
  for (const command of given) {
    const rendered = command
      .replace(/^helm (install|upgrade) /, 'helm template --kube-version 1.32.0 ')
      .replace(/ --(reuse-values|create-namespace)\b/g, '');
    await shell(rendered, {});
  }
});

test('everything else, on localkube', { ...needs('kubectl', 'openssl'), timeout: 300_000 }, () =>
  withBareKube(async (setting) => {
    await createCluster(setting, 'demo');
    await createMembers(setting);
    const KUBECONFIG = setting.localKube.kubeconfigPath;
    let count = 0;
    for (const block of blocks) {
      const local = block.filter((command) => scenarioOf(command) === undefined);
      const end = new AbortController();
      const getReady = local.map((command) => makeReady(setting, command, end.signal));
      try {
        if (local.length > 0) await shell(local.join('\n'), { KUBECONFIG });
      } finally {
        end.abort();
        await Promise.all(getReady);
      }
      count += local.length;
    }
    assert.ok(count > 30, `${count} commands`);
  }),
);

async function shell(script: string, variables: NodeJS.ProcessEnv): Promise<void> {
  const env = { ...process.env, ...variables };
  await run('sh', ['-e', '-u', '-c', script], { cwd: root, env, timeout: 120_000 });
}

/** What an operator and a kubelet would have made of `demo`. */
async function createMembers({ kube }: BareKube): Promise<void> {
  for (const name of ['demo-1', 'demo-2', 'demo-3']) {
    const labels = { [clusterLabel]: 'demo', [clusterUidLabel]: 'uid' };
    const create = (kind: 'Pod' | 'PersistentVolumeClaim', spec: object) =>
      kube.create(collectionPath(kind, namespace), {
        apiVersion: 'v1',
        kind,
        metadata: { name, namespace, labels },
        spec,
      } as KubeObject);
    const accessModes = ['ReadWriteOnce'];
    const resources = { requests: { storage: '1Gi' } };
    await create('PersistentVolumeClaim', { accessModes, resources });
    await create('Pod', { containers: [{ name: 'store', image: 'mainstay' }] });
  }
}

/** What a command waits for gets ready, once it is there: the command itself, or one before it, may make it. */
async function makeReady({ kube }: BareKube, command: string, end: AbortSignal): Promise<void> {
  const [, type = '', plural = '', name = ''] =
    /^kubectl wait --for=condition=(\w+) (\w+)\/([\w-]+) /.exec(command) ?? [];
  const kind = { storecluster: 'StoreCluster', storebackup: 'StoreBackup' }[plural];
  if (kind !== 'StoreCluster' && kind !== 'StoreBackup') return;
  const path = objectPath(kind, { namespace, name });
  const lastTransitionTime = '2026-01-01T00:00:00Z';
  const ready = { type, status: 'True', reason: 'Converged', message: '' };
  const restore = { id: 'r1', aboveRevision: 1, parked: ['demo-1', 'demo-2', 'demo-3'] };
  const status = {
    conditions: [{ ...ready, lastTransitionTime }],
    ...(kind === 'StoreCluster' && { restore }),
  };
  while (!end.aborted) {
    const object = await kube.get<KubeObject>(path);
    if (object !== undefined) {
      await kube.replace(`${path}/status`, { ...object, status } as KubeObject);
      return;
    }
    await sleep(50);
  }
}
