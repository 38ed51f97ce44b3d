import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { objectPath } from '../../operator/kube/paths.ts';
import { needs, toolPath } from '../../test/support/tools.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { seconds } from './waiting.ts';

/** A retrying client's put, in any of these changes. */
const putMsMax = 3_000;

scenario(
  'three members, five and back to three; the leader’s pod is deleted',
  {},
  async (stage) => {
    const demo = stage.cluster('demo');
    await demo.create({ replicas: 3 });
    await demo.untilSettled(3);
    const load = await stage.load(demo);
    for (const replicas of [5, 3]) {
      await stage.measure(`${replicas} members`, async () => {
        await demo.scale(replicas);
        await demo.untilSettled(replicas);
      });
      const longest = `a put took ${seconds(load.longestMs)} while scaling`;
      assert.ok(load.longestMs <= putMsMax, longest);
    }
    await deleteLeader(stage, demo);
    assert.ok(load.count > 100, 'there was load');
  },
);

/** Same id, same volume, caught up. */
async function deleteLeader(stage: Stage, demo: TestedCluster): Promise<void> {
  const leader = await demo.leader();
  const volumeOf = async () =>
    (await demo.volumes()).find(({ metadata }) => metadata.name === leader.name)?.metadata.uid;
  const volume = await volumeOf();
  await stage.measure('the leader’s pod is deleted', async () => {
    await demo.deletePod(leader.name);
    await demo.untilSettled(3);
  });
  const after = (await demo.members()).find(({ name }) => name === leader.name);
  assert.equal(after?.id, leader.id);
  assert.equal(await volumeOf(), volume);
}

scenario('kubectl shows, scales and refuses with a sentence', needs('kubectl'), async (stage) => {
  const { kubeconfigPath, namespace } = stage.environment;
  const kubectl = (args: readonly string[], input = ''): Promise<Output> => {
    const where = ['--kubeconfig', kubeconfigPath, '--namespace', namespace];
    return run(toolPath('kubectl'), [...where, ...args], input);
  };
  const cluster = stage.cluster('shown');
  await cluster.create({ replicas: 1 });
  await cluster.untilSettled(1);
  const shown = await kubectl(['get', 'storeclusters', 'shown']);
  assert.match(shown.stdout, /NAME +READY +DESIRED +VERSION +LEADER +AGE\nshown +1\/1 +1/);
  await kubectl(['scale', 'storecluster/shown', '--replicas=3']);
  await cluster.untilSettled(3);
  assert.match((await kubectl(['get', 'msc', 'shown'])).stdout, /shown +3\/3 +3/);
  const refusal = async (spec: object): Promise<string> => {
    const head = { apiVersion: 'mainstay.dev/v1alpha1', kind: 'StoreCluster' };
    const wrong = { ...head, metadata: { name: 'wrong' }, spec };
    const { code, stderr } = await kubectl(['apply', '-f', '-'], JSON.stringify(wrong));
    return code === 0 ? 'it was accepted' : stderr;
  };
  const storage = { size: '1Gi' };
  assert.match(await refusal({ replicas: 9, storage }), /replicas must be from 1 to 7/);
  assert.match(await refusal({ replicas: 3, storage: { size: 'much' } }), /spec\.storage\.size/);
  assert.match(await refusal({ repicas: 3, storage }), /unknown field "spec\.repicas"/);
});

interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Beside us, since localkube may be in this process. */
function run(program: string, args: readonly string[], input: string): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

scenario(
  'deleted with Retain: the volumes stay, and one made again stops at them',
  {},
  async (stage) => {
    const cluster = stage.cluster('gone');
    await cluster.create({ replicas: 1, deletionPolicy: 'Retain' });
    await cluster.untilSettled(1);
    await cluster.delete();
    const kept = await cluster.volumes();
    assert.deepEqual(
      kept.map(({ metadata }) => metadata.name),
      ['gone-1'],
    );
    // One that is made again under the name stops until somebody decides.
    await cluster.create({ replicas: 1 });
    await cluster.untilSaid(/gone-1/);
    for (const { metadata } of kept) {
      const { namespace } = stage.environment;
      await stage.environment.remove(
        objectPath('PersistentVolumeClaim', { namespace, name: metadata.name }),
      );
    }
    await cluster.untilSettled(1);
  },
);
