import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { isConflict, isNotFound, KubeError } from '../../../operator/kube/errors.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { type Exchange, fakeApiServer, sendJson } from '../support/fake-api-server.ts';

const object: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } };

test('each verb is the request that an API server expects', async () => {
  const seen: string[] = [];
  const server = await fakeApiServer(({ method, path, query, contentType, body, response }) => {
    seen.push(`${method} ${path}?${query} ${contentType} ${body}`.trim());
    sendJson(response, 200, object);
  });
  const { kube } = server;
  const known = { ...object, metadata: { name: 'a', resourceVersion: '5' } };
  await kube.get('/p');
  await kube.list('/p', { labelSelector: 'a=b' });
  await kube.create('/p', object);
  await kube.apply('/p/a', object);
  await kube.apply('/p/a', known);
  await kube.replace('/p/a', object);
  await kube.patch('/p/a', { spec: 1 });
  await kube.remove('/p/a', { uid: 'u', resourceVersion: '7' });
  await server.close();
  const json = JSON.stringify(object);
  assert.deepEqual(seen, [
    'GET /p?',
    'GET /p?labelSelector=a%3Db',
    `POST /p?fieldManager=mainstay-operator application/json ${json}`,
    `PATCH /p/a?fieldManager=mainstay-operator&force=false application/apply-patch+yaml ${json}`,
    `PATCH /p/a?fieldManager=mainstay-operator&force=true application/apply-patch+yaml ${JSON.stringify(known)}`,
    `PUT /p/a?fieldManager=mainstay-operator application/json ${json}`,
    'PATCH /p/a?fieldManager=mainstay-operator application/merge-patch+json {"spec":1}',
    'DELETE /p/a? application/json {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u","resourceVersion":"7"}}',
  ]);
});

test('what is not there is undefined; other refusals are errors with code and reason', async () => {
  const server = await fakeApiServer(({ path, response }) => {
    if (path === '/none') return sendJson(response, 404, { reason: 'NotFound', message: 'none' });
    if (path === '/html') return response.writeHead(502).end('<html>');
    return sendJson(response, 409, { reason: 'AlreadyExists', message: 'a exists' });
  });
  const { kube } = server;
  assert.equal(await kube.get('/none'), undefined);
  await assert.rejects(kube.list('/none'), isNotFound);
  await assert.rejects(kube.create('/p', object), (error) => {
    assert.ok(error instanceof KubeError && isConflict(error));
    assert.equal(error.reason, 'AlreadyExists');
    assert.equal(error.message, 'POST /p: a exists');
    return true;
  });
  await assert.rejects(kube.get('/html'), /GET \/html: HTTP 502 <html>/);
  await server.close();
});

test('a watch yields whole lines however they are cut', async () => {
  const server = await fakeApiServer(({ response }: Exchange) => {
    response.writeHead(200);
    response.write('{"type":"ADD');
    setImmediate(() => {
      response.write('ED","name":"ä"}\n{"type":"DELETED"}\n{"ty');
      response.end('pe":"BOOKMARK"}\n');
    });
  });
  const events: unknown[] = [];
  const { signal } = new AbortController();
  for await (const event of server.kube.watch('/p', {}, signal)) events.push(event);
  await server.close();
  assert.deepEqual(events, [
    { type: 'ADDED', name: 'ä' },
    { type: 'DELETED' },
    { type: 'BOOKMARK' },
  ]);
});

test('paths', () => {
  const at = { namespace: 'ns', name: 'a' };
  assert.equal(
    objectPath('StoreCluster', at, 'status'),
    '/apis/mainstay.dev/v1alpha1/namespaces/ns/storeclusters/a/status',
  );
  assert.equal(objectPath('Pod', at), '/api/v1/namespaces/ns/pods/a');
});
