import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { expand, redirectPaths } from '../../e2e/localkube/kubelet/environment.ts';
import { startTimeOf } from '../../e2e/localkube/kubelet/leftovers.ts';
import {
  type LocalKube,
  type LocalKubeOptions,
  startLocalKube,
} from '../../e2e/localkube/local-kube.ts';
import { at, type JsonObject, numberAt, objectsAt, stringAt } from '../../e2e/localkube/objects.ts';
import { silentLogger } from '../../server/base/logger.ts';
import { atEnd, call, eventually, temporaryDirectory } from './support.ts';

/**
 * A server for pods: `node app.js IP PORT DATA`. Ready when DATA/ready is there; /quit ends it; SIGTERM is written down; every
 * start adds a line to DATA/starts.
 */
const program = `
const { appendFileSync, existsSync, writeFileSync } = require('node:fs');
const [ip, port, data] = process.argv.slice(2);
appendFileSync(data + '/starts', process.pid + '\\n');
console.log('started', process.env.GREETING, process.env.MAINSTAY_HOSTS_FILE !== undefined);
process.on('SIGTERM', () => {
  writeFileSync(data + '/terminated', '');
  if (!existsSync(data + '/stubborn')) process.exit(0);
});
require('node:http').createServer((request, response) => {
  if (request.url === '/quit') process.exit(3);
  if (request.url === '/readyz') response.statusCode = existsSync(data + '/ready') ? 200 : 503;
  response.end(process.env.NAME);
}).listen(Number(port), ip);
`;

const pods = '/api/v1/namespaces/default/pods';
const claims = '/api/v1/namespaces/default/persistentvolumeclaims';
const services = '/api/v1/namespaces/default/services';

interface Fixture {
  readonly kube: LocalKube;
  readonly dataDirectory: string;
  readonly workingDirectory: string;
}

async function start(
  context: TestContext,
  dataDirectory = temporaryDirectory(context),
  more: Partial<LocalKubeOptions> = {},
): Promise<Fixture> {
  const workingDirectory = temporaryDirectory(context);
  writeFileSync(join(workingDirectory, 'app.cjs'), program);
  const kube = await startLocalKube({
    dataDirectory,
    workingDirectory,
    logger: silentLogger,
    backoffMs: 50,
    ...more,
  });
  atEnd(context, () => kube.stop());
  return { kube, dataDirectory, workingDirectory };
}

function podOf(name: string, container: object = {}, more: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: 'a' } },
    spec: {
      hostname: name,
      subdomain: 'peers',
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: 'c',
          image: 'ignored:1',
          command: ['node', 'app.cjs'],
          args: ['$(POD_IP)', '8080', '/data'],
          env: [
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'GREETING', value: 'from $(NAME) in /data' },
          ],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
          readinessProbe: {
            httpGet: { path: '/readyz', port: 8080 },
            periodSeconds: 1,
            failureThreshold: 1,
          },
          ...container,
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
      ...more,
    },
  };
}

async function createClaim(kube: LocalKube, name: string): Promise<string> {
  const { body } = await call(kube, 'POST', claims, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });
  return stringAt(body, 'metadata', 'uid');
}

async function getPod(kube: LocalKube, name: string): Promise<JsonObject> {
  return (await call(kube, 'GET', `${pods}/${name}`)).body;
}

function isReady(pod: JsonObject): boolean {
  return objectsAt(pod, 'status', 'conditions').some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
}

function restarts(pod: JsonObject): number {
  return numberAt(objectsAt(pod, 'status', 'containerStatuses')[0], 'restartCount') ?? -1;
}

/** A pod on its claim, running and ready; returns its address and the directory of its claim. */
async function runPod(
  { kube, dataDirectory }: Fixture,
  name: string,
  container: object = {},
): Promise<{ ip: string; directory: string }> {
  const directory = join(dataDirectory, 'volumes', await createClaim(kube, name));
  await eventually('the volume', () => (existsSync(directory) ? true : undefined));
  writeFileSync(join(directory, 'ready'), '');
  await call(kube, 'POST', pods, podOf(name, container));
  const pod = await eventually(`${name} ready`, async () => {
    const found = await getPod(kube, name);
    return isReady(found) ? found : undefined;
  });
  return { ip: stringAt(pod, 'status', 'podIP'), directory };
}

function startsOf(directory: string): number[] {
  return readFileSync(join(directory, 'starts'), 'utf8').trim().split('\n').map(Number);
}

test('a pod runs as a process on its volume, with an address of its own, and is stopped in order', async (context) => {
  const fixture = await start(context);
  const { kube } = fixture;
  const { ip, directory } = await runPod(fixture, 'one');
  assert.equal(await (await fetch(`http://${ip}:8080/`)).text(), 'one');
  const second = await runPod(fixture, 'two');
  assert.notEqual(second.ip, ip);
  const log = await (await fetch(`${kube.url}${pods}/one/log?container=c`)).text();
  assert.equal(log, `started from one in ${directory} true\n`);
  const [pid = 0] = startsOf(directory);
  await call(kube, 'DELETE', `${pods}/one`);
  const stopping = await getPod(kube, 'one');
  assert.notEqual(at(stopping, 'metadata', 'deletionTimestamp'), undefined);
  await eventually('the pod is gone', async () =>
    (await call(kube, 'GET', `${pods}/one`)).code === 404 ? true : undefined,
  );
  assert.equal(existsSync(join(directory, 'terminated')), true);
  assert.equal(startTimeOf(pid), undefined);
});

test('a pod that does not heed SIGTERM is killed after its grace period', async (context) => {
  const fixture = await start(context);
  const { directory } = await runPod(fixture, 'one');
  writeFileSync(join(directory, 'stubborn'), '');
  const begin = Date.now();
  await call(fixture.kube, 'DELETE', `${pods}/one`, { gracePeriodSeconds: 1 });
  await eventually('gone', async () =>
    (await call(fixture.kube, 'GET', `${pods}/one`)).code === 404 ? true : undefined,
  );
  assert.ok(Date.now() - begin >= 950);
});

test('a container that ends is started again, on the same address', async (context) => {
  const fixture = await start(context);
  const { ip, directory } = await runPod(fixture, 'one');
  await fetch(`http://${ip}:8080/quit`).catch(() => undefined);
  const pod = await eventually('a second start', async () => {
    const found = await getPod(fixture.kube, 'one');
    return restarts(found) === 1 && isReady(found) ? found : undefined;
  });
  assert.equal(stringAt(pod, 'status', 'podIP'), ip);
  assert.equal(startsOf(directory).length, 2);
  assert.equal(
    at(objectsAt(pod, 'status', 'containerStatuses')[0], 'lastState', 'terminated', 'exitCode'),
    3,
  );
});

test('readiness follows its probe, and so do names and endpoints', async (context) => {
  const fixture = await start(context);
  const { kube } = fixture;
  await call(kube, 'POST', services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'peers' },
    spec: { clusterIP: 'None', selector: { app: 'a' }, ports: [{ port: 8080 }] },
  });
  const balanced = await call(kube, 'POST', services, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'front' },
    spec: { selector: { app: 'a' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  const serviceIp = stringAt(balanced.body, 'spec', 'clusterIP');
  const one = await runPod(fixture, 'one');
  const two = await runPod(fixture, 'two');
  const hosts = () => readFileSync(kube.hostsFile, 'utf8');
  await eventually('names', () => (hosts().includes('two.peers') ? true : undefined));
  assert.ok(
    hosts().includes(`${one.ip} one.peers.default.svc.cluster.local one.peers.default.svc\n`),
  );
  assert.ok(
    hosts().includes(
      `${serviceIp} front.default.svc.cluster.local front.default.svc front.default\n`,
    ),
  );
  const seen = new Set<string>();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    seen.add(
      await (await fetch(`http://${serviceIp}/`, { headers: { Connection: 'close' } })).text(),
    );
  }
  assert.deepEqual([...seen].toSorted(), ['one', 'two']);
  const { unlinkSync } = await import('node:fs');
  unlinkSync(join(two.directory, 'ready'));
  await eventually('two is not ready', async () =>
    isReady(await getPod(kube, 'two')) ? undefined : true,
  );
  await eventually('its name is gone', () => (hosts().includes('two.peers') ? undefined : true));
  for (let attempt = 0; attempt < 3; attempt += 1) {
    assert.equal(
      await (await fetch(`http://${serviceIp}/`, { headers: { Connection: 'close' } })).text(),
      'one',
    );
  }
  const endpoints = (await call(kube, 'GET', '/api/v1/namespaces/default/endpoints/front')).body;
  assert.deepEqual(
    objectsAt(objectsAt(endpoints, 'subsets')[0], 'addresses').map(({ ip }) => ip),
    [one.ip],
  );
});

test('a failing liveness probe has the container started again', async (context) => {
  const fixture = await start(context);
  const { directory } = await runPod(fixture, 'one', {
    livenessProbe: {
      httpGet: { path: '/readyz', port: 8080 },
      periodSeconds: 1,
      failureThreshold: 2,
    },
  });
  const { unlinkSync } = await import('node:fs');
  unlinkSync(join(directory, 'ready'));
  await eventually('a restart', async () =>
    restarts(await getPod(fixture.kube, 'one')) > 0 ? true : undefined,
  );
});

test('a pod waits for its claim; a claim outlives its pods, and goes with its data when it is deleted', async (context) => {
  const fixture = await start(context);
  const { kube } = fixture;
  await call(kube, 'POST', pods, podOf('one'));
  await eventually('it is unschedulable', async () =>
    objectsAt(await getPod(kube, 'one'), 'status', 'conditions').find(
      ({ reason }) => reason === 'Unschedulable',
    ),
  );
  const directory = join(fixture.dataDirectory, 'volumes', await createClaim(kube, 'one'));
  await eventually('it runs', async () =>
    stringAt(await getPod(kube, 'one'), 'status', 'phase') === 'Running' ? true : undefined,
  );
  await call(kube, 'DELETE', `${claims}/one`);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(existsSync(directory), true, 'a claim in use stays');
  await call(kube, 'DELETE', `${pods}/one`);
  await eventually('the claim is gone', async () =>
    (await call(kube, 'GET', `${claims}/one`)).code === 404 ? true : undefined,
  );
  await eventually('the data is gone', () => (existsSync(directory) ? undefined : true));
});

test('a container waits for the Secret that it refers to', async (context) => {
  const fixture = await start(context);
  const { kube } = fixture;
  await createClaim(kube, 'one');
  const env = [
    { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'GREETING', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } },
  ];
  await call(kube, 'POST', pods, podOf('one', { env }));
  const waiting = await eventually('it waits', async () => {
    const state = at(
      objectsAt(await getPod(kube, 'one'), 'status', 'containerStatuses')[0],
      'state',
      'waiting',
    );
    return stringAt(state, 'reason') === 'CreateContainerConfigError' ? state : undefined;
  });
  assert.equal(stringAt(waiting, 'message'), 'secret "s" not found');
  await call(kube, 'POST', '/api/v1/namespaces/default/secrets', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    stringData: { k: 'v' },
  });
  await eventually('its greeting', async () =>
    (await (await fetch(`${kube.url}${pods}/one/log`)).text()).includes('started v true')
      ? true
      : undefined,
  );
});

test('the files of a mounted Secret change together, and what reads them through a link sees one state', async (context) => {
  const fixture = await start(context);
  const { kube } = fixture;
  await createClaim(kube, 'one');
  const secrets = '/api/v1/namespaces/default/secrets';
  const head = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
  await call(kube, 'POST', secrets, { ...head, stringData: { a: '1', b: '1' } });
  const volumeMounts = [
    { name: 'data', mountPath: '/data' },
    { name: 'secret', mountPath: '/secret' },
  ];
  const volumes = [
    { name: 'data', persistentVolumeClaim: { claimName: 'one' } },
    { name: 'secret', secret: { secretName: 's' } },
  ];
  const { body } = await call(kube, 'POST', pods, podOf('one', { volumeMounts }, { volumes }));
  const uid = stringAt(body, 'metadata', 'uid');
  const directory = join(fixture.dataDirectory, 'pods', uid, 'volumes/secret');
  const read = (name: string) => readFileSync(join(directory, name), 'utf8');
  await eventually('the files', () => (existsSync(join(directory, 'a')) ? true : undefined));
  const moment = realpathSync(join(directory, '..data'));
  assert.deepEqual([read('a'), read('b')], ['1', '1']);
  await call(kube, 'PUT', `${secrets}/s`, { ...head, stringData: { a: '2', c: '2' } });
  await eventually('the new files', () => (existsSync(join(directory, 'c')) ? true : undefined));
  assert.deepEqual([read('a'), read('c'), existsSync(join(directory, 'b'))], ['2', '2', false]);
  assert.notEqual(realpathSync(join(directory, '..data')), moment);
});

test('an image that is nowhere is waited for; a known one runs in the directory that it stands for', async (context) => {
  const image = temporaryDirectory(context);
  writeFileSync(
    join(image, 'app.cjs'),
    "console.log('from the image'); setInterval(() => {}, 1e6);",
  );
  const images = new Map([['known:1', image]]);
  const { kube } = await start(context, temporaryDirectory(context), { images });
  for (const name of ['one', 'two']) await createClaim(kube, name);
  await call(kube, 'POST', pods, podOf('one', { image: 'unknown:1' }));
  const waiting = (reason: string) =>
    eventually(reason, async () => {
      const [status] = objectsAt(await getPod(kube, 'one'), 'status', 'containerStatuses');
      const state = at(status, 'state', 'waiting');
      return stringAt(state, 'reason') === reason ? stringAt(state, 'message') : undefined;
    });
  assert.match(await waiting('ImagePullBackOff'), /Back-off pulling image "unknown:1": failed/);
  assert.equal(stringAt(await getPod(kube, 'one'), 'status', 'phase'), 'Pending');
  await call(kube, 'POST', pods, podOf('two', { image: 'known:1' }));
  await eventually('its greeting', async () =>
    (await (await fetch(`${kube.url}${pods}/two/log`)).text()).includes('from the image')
      ? true
      : undefined,
  );
});

test('pods are spread over the nodes that are not cordoned', async (context) => {
  const { kube } = await start(context, temporaryDirectory(context), { nodes: 3 });
  await call(kube, 'PATCH', '/api/v1/nodes/localkube-2', { spec: { unschedulable: true } });
  const placed: string[] = [];
  for (const name of ['one', 'two', 'three']) {
    await createClaim(kube, name);
    await call(kube, 'POST', pods, podOf(name));
    const node = await eventually(`${name} has a node`, async () => {
      return stringAt(await getPod(kube, name), 'spec', 'nodeName') || undefined;
    });
    placed.push(node);
  }
  assert.deepEqual(placed, ['localkube', 'localkube-3', 'localkube']);
});

test('stopping leaves no process; the next start runs the pods again on their data', async (context) => {
  const fixture = await start(context);
  const { directory } = await runPod(fixture, 'one');
  const [pid = 0] = startsOf(directory);
  await fixture.kube.stop();
  assert.equal(startTimeOf(pid), undefined);
  const { kube } = await start(context, fixture.dataDirectory);
  assert.equal(isReady(await getPod(kube, 'one')), false, 'not before it is');
  await eventually('it is ready again', async () => {
    const pod = await getPod(kube, 'one');
    return isReady(pod) && restarts(pod) === 1 ? true : undefined;
  });
  assert.equal(startsOf(directory).length, 2);
});

test('a killed localkube leaves processes that the next start removes', async (context) => {
  const dataDirectory = temporaryDirectory(context);
  const workingDirectory = temporaryDirectory(context);
  const main = fileURLToPath(new URL('../../e2e/localkube/main.js', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [main, '--data-dir', dataDirectory], {
    cwd: workingDirectory,
    stdio: 'ignore',
  });
  const url = await eventually('a kubeconfig', () => {
    const file = join(dataDirectory, 'kubeconfig');
    return existsSync(file) ? /http:\/\/[\d.:]+/.exec(readFileSync(file, 'utf8'))?.[0] : undefined;
  });
  const sleeper = podOf(
    'one',
    { command: ['sleep', '1000'], args: [], readinessProbe: undefined, volumeMounts: [] },
    { volumes: [] },
  );
  await fetch(`${url}${pods}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(sleeper),
  });
  const pid = await eventually('a process', () => {
    const records = JSON.parse(
      readFileSync(join(dataDirectory, 'processes.json'), 'utf8') || '[]',
    ) as { pid: number }[];
    return records[0]?.pid;
  });
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.notEqual(startTimeOf(pid), undefined, 'it runs on');
  await start(context, dataDirectory);
  await eventually('it is gone', () => (startTimeOf(pid) === undefined ? true : undefined));
});

test('two localkubes share no address, nor does one with what another left behind', async (context) => {
  const first = await start(context);
  const one = await runPod(first, 'one');
  const second = await start(context);
  const other = await runPod(second, 'one');
  const network = (ip: string) => ip.split('.').slice(0, 2).join('.');
  assert.notEqual(network(one.ip), network(other.ip));
  const orphan = createServer();
  const host = `${network(other.ip).replace(/\d+$/, (last) => String(Number(last) + 1))}.0.9`;
  await new Promise<void>((resolve) => orphan.listen(0, host, resolve));
  atEnd(context, () => orphan.close());
  const third = await start(context);
  const last = await runPod(third, 'one');
  assert.notEqual(network(last.ip), network(host));
});

test('$(NAME) is expanded as Kubernetes does', () => {
  assert.equal(expand('a $(B) $$(B) $(C) $D', { B: 'b' }), 'a b $(B) $(C) $D');
});

test('mount paths are redirected where they stand alone', () => {
  const mounts = [
    { mountPath: '/data', hostPath: '/v/1' },
    { mountPath: '/data/wal', hostPath: '/v/2' },
  ];
  assert.equal(
    redirectPaths('--dir=/data/x --wal=/data/wal,/database /srv/data', mounts),
    '--dir=/v/1/x --wal=/v/2,/database /srv/data',
  );
  const nested = [
    { mountPath: '/dev/log', hostPath: '/v/log' },
    { mountPath: '/v', hostPath: '/elsewhere' },
  ];
  assert.equal(redirectPaths('/dev/log /v', nested), '/v/log /elsewhere');
});
