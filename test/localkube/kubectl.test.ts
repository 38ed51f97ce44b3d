import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startLocalKube } from '../../e2e/localkube/local-kube.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { needs, toolPath } from '../support/tools.ts';
import { atEnd, temporaryDirectory } from './support.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const definition = join(root, 'crds/storeclusters.mainstay.dev.yaml');
const example = join(root, 'examples/storecluster.yaml');

interface Output {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

type Kubectl = (...args: readonly string[]) => Promise<Output>;

/** A real kubectl on a fresh localkube that has our CRD. */
async function start(context: TestContext): Promise<{ kubectl: Kubectl; directory: string }> {
  const directory = temporaryDirectory(context);
  const kube = await startLocalKube({
    dataDirectory: join(directory, 'kube'),
    logger: silentLogger,
    backoffMs: 100,
  });
  atEnd(context, () => kube.stop());
  const env = { PATH: process.env['PATH'], HOME: directory, KUBECONFIG: kube.kubeconfigPath };
  const kubectl: Kubectl = (...args) =>
    new Promise((resolve) => {
      execFile(toolPath('kubectl'), args, { env, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code ?? 1) });
      });
    });
  assert.match(
    (await kubectl('apply', '-f', definition)).stdout,
    /storeclusters.mainstay.dev created/,
  );
  await kubectl(
    'wait',
    '--for=condition=Established',
    'crd/storeclusters.mainstay.dev',
    '--timeout=30s',
  );
  return { kubectl, directory };
}

function ok({ code, stdout, stderr }: Output): string {
  assert.equal(code, 0, stderr);
  return stdout;
}

test(
  'kubectl applies, shows, scales, explains and deletes a StoreCluster',
  needs('kubectl'),
  async (context) => {
    const { kubectl, directory } = await start(context);
    assert.match(ok(await kubectl('apply', '-f', example)), /demo created/);
    assert.match(ok(await kubectl('apply', '-f', example)), /demo unchanged/);
    assert.match(
      ok(await kubectl('get', 'storeclusters')),
      /^NAME +READY +DESIRED +VERSION +LEADER +AGE\ndemo +3 /,
    );
    assert.match(ok(await kubectl('get', 'msc', '-A', '-o', 'wide')), /NAMESPACE.*DOING +WHY/);
    assert.equal(ok(await kubectl('get', 'msc', 'demo', '-o', 'jsonpath={.spec.replicas}')), '3');
    assert.match(ok(await kubectl('scale', 'storecluster/demo', '--replicas=5')), /scaled/);
    assert.match(
      (await kubectl('scale', 'storecluster/demo', '--replicas=9')).stderr,
      /replicas must be from 1 to 7/,
    );
    ok(await kubectl('annotate', 'msc', 'demo', 'a=b'));
    ok(await kubectl('label', 'msc', 'demo', 'c=d'));
    assert.match(ok(await kubectl('describe', 'msc', 'demo')), /Replicas: +5/);
    assert.match(ok(await kubectl('explain', 'storecluster.spec')), /enum: Retain, Delete/);
    const bad = join(directory, 'bad.yaml');
    writeFileSync(bad, readFileSync(example, 'utf8').replace('replicas:', 'replicass:'));
    assert.match((await kubectl('apply', '-f', bad)).stderr, /unknown field "spec.replicass"/);
    assert.match(
      (await kubectl('apply', '--server-side', '-f', example)).stderr,
      /conflict with "kubectl"/,
    );
    assert.match(
      ok(await kubectl('apply', '--server-side', '--force-conflicts', '-f', example)),
      /serverside-applied/,
    );
    assert.match(ok(await kubectl('delete', '-f', example)), /deleted/);
    assert.match(
      (await kubectl('get', 'msc', 'demo')).stderr,
      /storeclusters.mainstay.dev "demo" not found/,
    );
  },
);

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - {name: c, image: "x:1", command: [sh, -c, "echo hello; sleep 1000"]}
`;

test('kubectl sees a pod through its life', needs('kubectl'), async (context) => {
  const { kubectl, directory } = await start(context);
  const file = join(directory, 'pod.yaml');
  writeFileSync(file, pod);
  ok(await kubectl('apply', '-f', file));
  ok(await kubectl('wait', '--for=condition=Ready', 'pod/p', '--timeout=30s'));
  assert.match(ok(await kubectl('get', 'pods', '-o', 'wide')), /p +1\/1 +Running +0 .*127\./);
  assert.equal(ok(await kubectl('logs', 'p')), 'hello\n');
  assert.match(ok(await kubectl('describe', 'pod', 'p')), /Started container c/);
  ok(await kubectl('drain', 'localkube', '--force', '--timeout=30s'));
  assert.match((await kubectl('get', 'pod', 'p')).stderr, /not found/);
  assert.match(ok(await kubectl('get', 'nodes')), /SchedulingDisabled/);
});

test('kubectl creates what it sends as protobuf', needs('kubectl'), async (context) => {
  const { kubectl } = await start(context);
  ok(await kubectl('create', 'namespace', 'n'));
  ok(await kubectl('-n', 'n', 'create', 'secret', 'generic', 's', '--from-literal=a=b'));
  assert.equal(
    ok(await kubectl('-n', 'n', 'get', 'secret', 's', '-o', 'jsonpath={.data.a}')),
    'Yg==',
  );
  ok(
    await kubectl(
      '-n',
      'n',
      'create',
      'configmap',
      'm',
      '--from-literal=a=b',
      '--from-literal=c=d',
    ),
  );
  ok(await kubectl('-n', 'n', 'create', 'pdb', 'b', '--min-available=1', '--selector=a=b'));
  ok(await kubectl('delete', 'namespace', 'n', '--timeout=30s'));
});
