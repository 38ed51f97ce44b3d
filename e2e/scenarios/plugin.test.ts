import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { KubeObject } from '../../operator/api/objects.ts';
import { collectionPath } from '../../operator/kube/paths.ts';
import { programPath } from '../../test/support/programs.ts';
import { needs, toolPath } from '../../test/support/tools.ts';
import { isWhole, onlyWhole } from '../../test/support/whole.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';

// kubectl mainstay, as people call it.

const program = programPath('operator/cli/main');
const canary = 'canary-7f3a9';

interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

type Kubectl = (...args: readonly string[]) => Promise<Output>;

scenario(
  'kubectl mainstay shows, forecasts, moves and reports',
  { ...needs('kubectl'), isLong: true },
  (stage) =>
    withPlugin(stage, async (kubectl, directory) => {
      const demo = stage.cluster('demo');
      await demo.create({ replicas: 3 });
      await demo.untilSettled(3);
      await show(kubectl, demo);
      await foresee(kubectl, demo);
      await moveLead(kubectl, demo);
      await pauseAndRestart(kubectl, demo);
      await report(stage, kubectl, directory);
    }),
);

async function withPlugin(
  stage: Stage,
  body: (kubectl: Kubectl, directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-plugin-'));
  chmodSync(program, 0o755);
  symlinkSync(program, join(directory, 'kubectl-mainstay'));
  try {
    await body(kubectlOf(stage, directory), directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function show(kubectl: Kubectl, demo: TestedCluster): Promise<void> {
  const { code, stdout } = await kubectl('status', 'demo');
  assert.equal(code, 0);
  assert.match(stdout, /demo {2}3\/3 ready/);
  assert.match(stdout, /quorum: 2 of 3 voters, 3 healthy: 1 more may fail/);
  assert.match(stdout, /PLAN {2}nothing to do/);
  assert.ok(!stdout.includes('\u001b'), 'no colours in a pipe');
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
  const members = await kubectl('members', 'storecluster/demo');
  const leader = await demo.leader();
  assert.match(members.stdout, new RegExp(`^${leader.name} +leader .*healthy`, 'm'));
  const none = await kubectl('status', 'nobody');
  assert.deepEqual([none.code, none.stdout], [1, '']);
  assert.match(none.stderr, /there is no StoreCluster .*\/nobody/);
}

/** What it says of growing is what happens. */
async function foresee(kubectl: Kubectl, demo: TestedCluster): Promise<void> {
  const { generation } = (await demo.get()).metadata;
  const told = await kubectl('plan', 'demo', '--replicas', '5');
  assert.equal(told.code, 0, told.stderr);
  assert.match(told.stdout, /demo-4 joins as a learner[^]*demo-5 joins as a learner/);
  assert.match(told.stdout, /pods started: 2; members joining: 2, leaving: 0; leader moves: 0/);
  const restart = await kubectl('plan', 'demo', '--set', 'update.restart=now');
  assert.match(restart.stdout, /pods started: 3; members joining: 0, leaving: 0; leader moves: 1/);
  const refused = await kubectl('plan', 'demo', '--set', 'replicas=9');
  assert.deepEqual([refused.code, refused.stdout], [3, '']);
  assert.match(refused.stderr, /would refuse this edit: .*replicas must be from 1 to 7/);
  assert.equal((await demo.get()).metadata.generation, generation, 'nothing was changed');
}

async function moveLead(kubectl: Kubectl, demo: TestedCluster): Promise<void> {
  const before = await demo.leader();
  const moved = await kubectl('move-leader', 'demo');
  assert.equal(moved.code, 0, moved.stderr);
  const [target] = /^demo-\d/.exec(moved.stdout) ?? [];
  assert.notEqual(target, before.name);
  const back = await kubectl('move-leader', 'demo', String(target));
  assert.match(back.stdout + back.stderr, /leads already|leads now|not leader/);
  const wrong = await kubectl('move-leader', 'demo', 'demo-9');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /demo-9 is no member; members are demo-1, demo-2, demo-3/);
}

async function pauseAndRestart(kubectl: Kubectl, demo: TestedCluster): Promise<void> {
  const before = await demo.podUids();
  assert.equal((await kubectl('pause', 'demo')).code, 0);
  assert.equal((await kubectl('restart', 'demo')).code, 0);
  const told = await kubectl('plan', 'demo', '--set', 'paused=false');
  assert.match(told.stdout, /pods started: 3/);
  assert.match((await kubectl('resume', 'demo')).stdout, /not paused/);
  await demo.untilSettled(3);
  const after = await demo.podUids();
  for (const [pod, uid] of after) assert.notEqual(uid, before.get(pod), pod);
}

const longer = isWhole ? needs('kubectl') : onlyWhole;

scenario('kubectl mainstay moves the lead over TLS, as root', longer, async (stage) => {
  const { kube, namespace } = stage.environment;
  await kube.create(collectionPath('Secret', namespace), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'root-of-guarded', namespace },
    data: { password: Buffer.from('let-me-in').toString('base64') },
  } as KubeObject);
  await withPlugin(stage, async (kubectl) => {
    const guarded = stage.cluster('guarded');
    const auth = { rootPassword: { name: 'root-of-guarded', key: 'password' } };
    await guarded.create({ replicas: 3, tls: { client: {}, peer: {} }, auth } as object);
    await guarded.untilSettled(3);
    const before = await guarded.leader();
    const moved = await kubectl('move-leader', 'guarded');
    assert.equal(moved.code, 0, moved.stderr);
    assert.match(moved.stdout, new RegExp(`leads now; before it was ${before.name}`));
    const told = await kubectl('plan', 'guarded', '--replicas', '1');
    assert.match(told.stdout, /leaving: 2[^]*Users and roles are not part of it/);
  });
});

scenario('where members want certificates, kubectl mainstay says so', longer, (stage) =>
  withPlugin(stage, async (kubectl) => {
    const strict = stage.cluster('strict');
    await strict.create({ replicas: 2, tls: { client: { verifyClients: true } } } as object);
    await strict.untilSettled(2);
    const refused = await kubectl('move-leader', 'strict');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /members want to see a certificate \(tls.client.verifyClients\)/);
  }),
);

/** Of Secrets there is nothing in it but their names, however their contents are written. */
async function report(stage: Stage, kubectl: Kubectl, directory: string): Promise<void> {
  const { kube, namespace } = stage.environment;
  const encoded = Buffer.from(canary).toString('base64');
  await kube.create(collectionPath('Secret', namespace), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'demo-canary',
      namespace,
      labels: { 'mainstay.dev/cluster': 'demo' },
      annotations: {
        'kubectl.kubernetes.io/last-applied-configuration': `{"data":{"password":"${encoded}"}}`,
        note: canary,
      },
    },
    data: { password: encoded },
  } as KubeObject);
  const file = join(directory, 'report.tar.gz');
  const { code, stderr } = await kubectl('report', 'demo', '-o', file);
  assert.equal(code, 0, stderr);
  const text = gunzipSync(readFileSync(file)).toString('latin1');
  for (const secret of [canary, encoded]) assert.ok(!text.includes(secret), secret);
  assert.ok(text.includes('demo-canary'), 'its name is there');
  const listed = spawnSync('tar', ['tzf', file], { encoding: 'utf8' });
  assert.equal(listed.status, 0, listed.stderr);
  for (const name of [
    'README.txt',
    'storecluster.yaml',
    'pods.yaml',
    'events.txt',
    'logs/demo-1.log',
  ])
    assert.match(listed.stdout, new RegExp(`^mainstay-report/${name}$`, 'm'));
}

function kubectlOf(stage: Stage, directory: string): Kubectl {
  const { kubeconfigPath, namespace } = stage.environment;
  const where = ['--kubeconfig', kubeconfigPath, '--namespace', namespace];
  const kubectl = toolPath('kubectl');
  const path = [directory, dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter);
  return (...args) =>
    new Promise((resolve, reject) => {
      const child = spawn(kubectl, ['mainstay', ...args, ...where], {
        env: { ...process.env, PATH: path },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      child.once('error', reject);
      child.once('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    });
}
