import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conflictOnce } from '../../e2e/localkube/faults.ts';
import type { LocalKube } from '../../e2e/localkube/local-kube.ts';
import { at, objectsAt, stringAt } from '../../e2e/localkube/objects.ts';
import { call, eventually, openWatch, startKube, temporaryDirectory } from './support.ts';

const maps = '/api/v1/namespaces/default/configmaps';

function configMap(name: string, metadata: object = {}): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata } };
}

async function create(kube: LocalKube, name: string, metadata: object = {}): Promise<string> {
  const { code, body } = await call(kube, 'POST', maps, configMap(name, metadata));
  assert.equal(code, 201);
  return stringAt(body, 'metadata', 'uid');
}

async function isGone(kube: LocalKube, name: string): Promise<true | undefined> {
  return (await call(kube, 'GET', `${maps}/${name}`)).code === 404 ? true : undefined;
}

const owner = (name: string, uid: string, more: object = {}) => ({
  ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name, uid, ...more }],
});

test('a watch shows every change once and in order, through its selector', async (context) => {
  const kube = await startKube(context);
  await create(kube, 'a', { labels: { x: '1' } });
  const { body } = await call(kube, 'GET', maps);
  const revision = stringAt(body, 'metadata', 'resourceVersion');
  const watch = openWatch(kube, `${maps}?watch=1&resourceVersion=${revision}&labelSelector=x%3D1`);
  context.after(watch.close);
  await create(kube, 'b', { labels: { x: '1' } });
  await create(kube, 'c');
  await call(kube, 'PATCH', `${maps}/c`, { metadata: { labels: { x: '1' } } });
  await call(kube, 'PATCH', `${maps}/b`, { metadata: { labels: { x: '2' } } });
  await call(kube, 'PATCH', `${maps}/a`, { data: { k: 'v' } });
  await call(kube, 'DELETE', `${maps}/a`);
  await eventually('five events', () => (watch.events.length >= 5 ? true : undefined));
  const seen = watch.events.map(
    ({ type, object }) => `${type} ${stringAt(object, 'metadata', 'name')}`,
  );
  assert.deepEqual(seen, ['ADDED b', 'ADDED c', 'DELETED b', 'MODIFIED a', 'DELETED a']);
  const revisions = watch.events.map(({ object }) =>
    Number(at(object, 'metadata', 'resourceVersion')),
  );
  assert.deepEqual(
    revisions,
    revisions.toSorted((a, b) => a - b),
  );
});

test('a watch may ask for the present first, and is told where it ends', async (context) => {
  const kube = await startKube(context);
  await create(kube, 'a');
  const query =
    'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
  const watch = openWatch(kube, `${maps}?${query}`);
  context.after(watch.close);
  await eventually('the bookmark', () => watch.events.find(({ type }) => type === 'BOOKMARK'));
  assert.deepEqual(
    watch.events.map(({ type }) => type),
    ['ADDED', 'BOOKMARK'],
  );
  const annotations = at(watch.events[1]?.object, 'metadata', 'annotations');
  assert.deepEqual(annotations, { 'k8s.io/initial-events-end': 'true' });
});

test('a watch ends after its timeoutSeconds', async (context) => {
  const kube = await startKube(context);
  const start = Date.now();
  await openWatch(kube, `${maps}?watch=1&timeoutSeconds=1`).closed;
  assert.ok(Date.now() - start >= 950);
});

test('a resourceVersion that is forgotten is answered 410', async (context) => {
  const kube = await startKube(context);
  const { body } = await call(kube, 'GET', maps);
  const revision = stringAt(body, 'metadata', 'resourceVersion');
  await create(kube, 'a');
  kube.forgetHistory();
  const watch = openWatch(kube, `${maps}?watch=1&resourceVersion=${revision}`);
  await watch.closed;
  assert.equal(watch.events[0]?.type, 'ERROR');
  assert.equal(at(watch.events[0]?.object, 'code'), 410);
});

test('pages of a list show one revision', async (context) => {
  const kube = await startKube(context);
  for (const name of ['a', 'b', 'c', 'd']) await create(kube, name);
  const first = (await call(kube, 'GET', `${maps}?limit=2`)).body;
  await call(kube, 'DELETE', `${maps}/c`);
  await create(kube, 'cc');
  const next = encodeURIComponent(stringAt(first, 'metadata', 'continue'));
  const second = (await call(kube, 'GET', `${maps}?limit=2&continue=${next}`)).body;
  const names = [first, second].map((page) =>
    objectsAt(page, 'items').map((item) => stringAt(item, 'metadata', 'name')),
  );
  assert.deepEqual(names, [
    ['a', 'b'],
    ['c', 'd'],
  ]);
  assert.equal(
    stringAt(second, 'metadata', 'resourceVersion'),
    stringAt(first, 'metadata', 'resourceVersion'),
  );
});

test('deleting an owner deletes its dependents in the background', async (context) => {
  const kube = await startKube(context);
  const uid = await create(kube, 'owner');
  await create(kube, 'child', owner('owner', uid));
  await create(
    kube,
    'grandchild',
    owner('child', stringAt((await call(kube, 'GET', `${maps}/child`)).body, 'metadata', 'uid')),
  );
  await call(kube, 'DELETE', `${maps}/owner`);
  await eventually('grandchild gone', () => isGone(kube, 'grandchild'));
  assert.equal(await isGone(kube, 'child'), true);
});

test('a dependent lives while one of its owners does', async (context) => {
  const kube = await startKube(context);
  const [one, two] = [await create(kube, 'one'), await create(kube, 'two')];
  const references = [...owner('one', one).ownerReferences, ...owner('two', two).ownerReferences];
  await create(kube, 'child', { ownerReferences: references });
  await call(kube, 'DELETE', `${maps}/one`);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(await isGone(kube, 'child'), undefined);
  await call(kube, 'DELETE', `${maps}/two`);
  await eventually('child gone', () => isGone(kube, 'child'));
});

test('foreground deletion waits for dependents that block', async (context) => {
  const kube = await startKube(context);
  const uid = await create(kube, 'owner');
  await create(kube, 'child', {
    ...owner('owner', uid, { blockOwnerDeletion: true }),
    finalizers: ['test/hold'],
  });
  await call(kube, 'DELETE', `${maps}/owner`, { propagationPolicy: 'Foreground' });
  await eventually('child is deleted', async () =>
    at((await call(kube, 'GET', `${maps}/child`)).body, 'metadata', 'deletionTimestamp'),
  );
  assert.equal(await isGone(kube, 'owner'), undefined);
  await call(kube, 'PATCH', `${maps}/child`, { metadata: { finalizers: null } });
  await eventually('owner gone', () => isGone(kube, 'owner'));
});

test('orphaning leaves the dependents, without their owner', async (context) => {
  const kube = await startKube(context);
  const uid = await create(kube, 'owner');
  await create(kube, 'child', owner('owner', uid));
  await call(kube, 'DELETE', `${maps}/owner`, { propagationPolicy: 'Orphan' });
  await eventually('owner gone', () => isGone(kube, 'owner'));
  const { body } = await call(kube, 'GET', `${maps}/child`);
  assert.equal(at(body, 'metadata', 'ownerReferences'), undefined);
});

test('a namespace takes its contents with it', async (context) => {
  const kube = await startKube(context);
  await call(kube, 'POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'n' },
  });
  await call(kube, 'POST', '/api/v1/namespaces/n/configmaps', {
    ...configMap('a'),
    metadata: { name: 'a', finalizers: ['test/hold'] },
  });
  await call(kube, 'DELETE', '/api/v1/namespaces/n');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const refused = await call(kube, 'POST', '/api/v1/namespaces/n/configmaps', configMap('b'));
  assert.equal(refused.code, 403);
  await call(kube, 'PATCH', '/api/v1/namespaces/n/configmaps/a', {
    metadata: { finalizers: null },
  });
  await eventually('namespace gone', async () =>
    (await call(kube, 'GET', '/api/v1/namespaces/n')).code === 404 ? true : undefined,
  );
});

test('objects survive a restart, resource versions only grow', async (context) => {
  const dataDirectory = temporaryDirectory(context);
  const first = await startKube(context, dataDirectory);
  await create(first, 'a', { labels: { x: 'y' } });
  const before = (await call(first, 'GET', `${maps}/a`)).body;
  await call(first, 'POST', maps, configMap('b'));
  await call(first, 'DELETE', `${maps}/b`);
  const revision = first.api.store.revision;
  await first.stop();
  const second = await startKube(context, dataDirectory);
  assert.deepEqual((await call(second, 'GET', `${maps}/a`)).body, before);
  assert.equal(await isGone(second, 'b'), true);
  assert.ok(second.api.store.revision >= revision);
});

test('faults strike when told to', async (context) => {
  const kube = await startKube(context);
  kube.faults.add(conflictOnce('configmaps'));
  assert.equal((await call(kube, 'POST', maps, configMap('a'))).code, 409);
  assert.equal((await call(kube, 'POST', maps, configMap('a'))).code, 201);
  kube.faults.add({
    matches: ({ method }) => method === 'POST',
    fault: { kind: 'lostReply' },
    times: 1,
  });
  await assert.rejects(call(kube, 'POST', maps, configMap('b')));
  assert.equal((await call(kube, 'GET', `${maps}/b`)).code, 200);
  kube.faults.add({
    matches: ({ method }) => method === 'POST',
    fault: { kind: 'reset' },
    times: 1,
  });
  await assert.rejects(call(kube, 'POST', maps, configMap('c')));
  assert.equal(await isGone(kube, 'c'), true);
  const watch = openWatch(kube, `${maps}?watch=1`);
  await eventually('events', () => watch.events[1]);
  kube.faults.watchLagMs = 200;
  const start = Date.now();
  await create(kube, 'd');
  await eventually('the late event', () => watch.events[2]);
  assert.ok(Date.now() - start >= 190);
  kube.faults.breakWatches();
  await watch.closed;
});

test('the API server goes away and comes back on its port', async (context) => {
  const kube = await startKube(context);
  await create(kube, 'a');
  await kube.stopApi();
  await assert.rejects(call(kube, 'GET', `${maps}/a`));
  await kube.startApi();
  assert.equal((await call(kube, 'GET', `${maps}/a`)).code, 200);
});

test('what localkube does not know it says', async (context) => {
  const kube = await startKube(context);
  const unknown = [
    ['GET', '/apis/apps/v1/namespaces/default/deployments'],
    ['GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles'],
    ['GET', '/api/v1/namespaces/default/replicationcontrollers'],
    ['POST', '/api/v1/namespaces/default/pods/x/exec'],
  ];
  for (const [method = '', path = ''] of unknown) {
    const { code, body } = await call(kube, method, path);
    assert.equal(code, 501, path);
    assert.equal(body['reason'], 'NotImplemented');
  }
});
