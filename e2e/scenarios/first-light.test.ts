import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import { needs, toolPath } from '../../test/support/tools.ts';
import { Environment } from './environment.ts';
import { WriteLoad } from './write-load.ts';

/** A retrying client's put, in any of these changes. */
const putMsMax = 3_000;
const returnMsMax = 30_000;

test('three members, five and back to three under load; the leader is deleted; nothing is lost', async (context) => {
  await Environment.run(async (environment) => {
    const startedMs = performance.now();
    await environment.createCluster('demo', 3);
    await environment.untilReady('demo', 3);
    context.diagnostic(`3 of 3 ready after ${seconds(performance.now() - startedMs)}`);

    const load = new WriteLoad(await environment.endpoint('demo'));
    environment.atEnd(() => load.close());
    for (const replicas of [5, 3]) {
      const beganMs = performance.now();
      await environment.scale('demo', replicas);
      await environment.untilReady('demo', replicas);
      const tookMs = performance.now() - beganMs;
      context.diagnostic(
        `${replicas} of ${replicas} after ${seconds(tookMs)}, longest put so far ${seconds(load.longestMs)}`,
      );
    }
    assert.ok(load.longestMs <= putMsMax, `a put took ${seconds(load.longestMs)} while scaling`);

    await deleteLeader(environment, load, (line) => context.diagnostic(line));
    await load.stop();
    await load.verify();
    context.diagnostic(`${load.count} acknowledged writes read back with value and revision`);
    assert.ok(load.count > 100, 'there was load');
  });
});

/** Same id, same volume, caught up. */
async function deleteLeader(
  environment: Environment,
  load: WriteLoad,
  print: (line: string) => void,
): Promise<void> {
  const before = await environment.cluster('demo');
  const leader = before.status?.members?.find(({ role }) => role === 'leader');
  assert.ok(leader?.pod !== undefined, 'there is a leader');
  const podPath = objectPath('Pod', { namespace: 'default', name: leader.pod });
  const volumePath = objectPath('PersistentVolumeClaim', {
    namespace: 'default',
    name: leader.name,
  });
  const pod = await environment.kube.get<{ metadata: { uid: string; resourceVersion: string } }>(
    podPath,
  );
  const volume = await environment.kube.get<{ metadata: { uid: string } }>(volumePath);
  assert.ok(pod !== undefined && volume !== undefined);
  load.restartGap();
  const deletedMs = performance.now();
  await environment.kube.remove(podPath, {
    uid: pod.metadata.uid,
    resourceVersion: pod.metadata.resourceVersion,
  });
  await environment.until('the pod is another one', async () => {
    const now = await environment.kube.get<{ metadata: { uid: string } }>(podPath);
    return now !== undefined && now.metadata.uid !== pod.metadata.uid;
  });
  await environment.untilReady('demo', 3);
  const tookMs = performance.now() - deletedMs;
  print(
    `the deleted leader was back after ${seconds(tookMs)}; no write for ${seconds(load.gapMs)}`,
  );
  assert.ok(tookMs <= returnMsMax, 'caught up in time');
  const after = await environment.cluster('demo');
  assert.equal(after.status?.members?.find(({ name }) => name === leader.name)?.id, leader.id);
  const sameVolume = await environment.kube.get<{ metadata: { uid: string } }>(volumePath);
  assert.equal(sameVolume?.metadata.uid, volume.metadata.uid);
}

test('kubectl shows, scales and refuses with a sentence', {
  ...needs('kubectl'),
  timeout: 180_000,
}, async () => {
  await Environment.run(async (environment) => {
    const kubectl = (args: readonly string[], input = ''): Promise<Output> =>
      run(toolPath('kubectl'), ['--kubeconfig', environment.kubeconfigPath, ...args], input);
    await environment.createCluster('shown', 1);
    await environment.untilReady('shown', 1);
    const shown = await kubectl(['get', 'storeclusters', 'shown']);
    assert.match(shown.stdout, /NAME +READY +DESIRED +VERSION +LEADER +AGE\nshown +1\/1 +1/);
    await kubectl(['scale', 'storecluster/shown', '--replicas=3']);
    await environment.untilReady('shown', 3);
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

test('a deleted cluster keeps its volumes unless it was told otherwise', async () => {
  await Environment.run(async (environment) => {
    await environment.createCluster('gone', 1);
    await environment.untilReady('gone', 1);
    const { metadata } = await environment.cluster('gone');
    await environment.kube.patch(
      objectPath('StoreCluster', { namespace: 'default', name: 'gone' }),
      { spec: { deletionPolicy: 'Retain' } },
    );
    const { resourceVersion = '' } = (await environment.cluster('gone')).metadata;
    const path = objectPath('StoreCluster', { namespace: 'default', name: 'gone' });
    await environment.kube.remove(path, { uid: metadata.uid ?? '', resourceVersion });
    await environment.until(
      'it is gone',
      async () => (await environment.kube.get(path)) === undefined,
    );
    const volumes = await environment.kube.list<{ items: Array<{ metadata: { name: string } }> }>(
      collectionPath('PersistentVolumeClaim', 'default'),
    );
    assert.deepEqual(
      volumes.items.map(({ metadata: { name } }) => name),
      ['gone-1'],
    );

    // One that is made again under the name stops until somebody decides.
    await environment.createCluster('gone', 1);
    await environment.until('it says that there are volumes of a former one', async () => {
      const { status } = await environment.cluster('gone');
      const conditions = status?.conditions ?? [];
      return conditions.some(({ message }) => message.includes('gone-1'));
    });
  });
});

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
