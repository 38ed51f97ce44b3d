import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeError } from '../../../operator/kube/errors.ts';
import { NodeCache } from '../../../operator/observe/nodes.ts';
import { FakeKube, type Stored } from '../support/fake-kube.ts';

function setting() {
  const kube = new FakeKube();
  const asked: string[] = [];
  let nowMs = 0;
  const get = kube.get.bind(kube);
  kube.get = (path) => {
    asked.push(path.split('/').at(-1) ?? '');
    return get(path);
  };
  const cache = new NodeCache({ kube, nowMs: () => nowMs });
  const add = (name: string) =>
    kube.put(`/api/v1/nodes/${name}`, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
      spec: { unschedulable: true, podCIDR: '10.0.0.0/24' },
      status: { conditions: [{ type: 'Ready', status: 'True' }], images: [] },
    } as unknown as Stored);
  const read = (...names: string[]) => cache.read(new Set(names));
  return { kube, asked, add, read, pass: (ms: number) => (nowMs += ms) };
}

test('each node is asked for once in a while, also one that is not there', async () => {
  const { asked, add, read, pass } = setting();
  add('a');
  const nodes = await read('a', 'gone');
  assert.deepEqual([...(nodes?.keys() ?? [])], ['a']);
  assert.deepEqual(nodes?.get('a'), {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'a' },
    spec: { unschedulable: true },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
  pass(4_000);
  add('gone');
  assert.deepEqual([...((await read('a', 'gone'))?.keys() ?? [])], ['a']);
  assert.deepEqual(asked, ['a', 'gone']);
  pass(2_000);
  assert.deepEqual([...((await read('gone'))?.keys() ?? [])], ['gone']);
  assert.deepEqual(asked, ['a', 'gone', 'gone']);
});

test('what one pass forgets while another asks is not gone for the other', async () => {
  const { add, read, pass } = setting();
  add('a');
  add('b');
  add('c');
  await read('a');
  pass(4_000);
  const first = read('a', 'b');
  pass(2_000);
  await read('c');
  assert.deepEqual([...((await first)?.keys() ?? [])], ['a', 'b']);
});

test('where nodes may not be seen, nothing is known of them, and it is rarely asked again', async () => {
  const { kube, read, pass } = setting();
  let count = 0;
  kube.get = () => {
    count += 1;
    return Promise.reject(new KubeError(403, 'Forbidden', 'no'));
  };
  for (let times = 0; times < 3; times += 1) assert.equal(await read('a'), undefined);
  assert.equal(count, 1);
  pass(600_000);
  assert.equal(await read('a'), undefined);
  assert.equal(count, 2);
});

test('an API server that fails is no answer about nodes', async () => {
  const { kube, read } = setting();
  kube.get = () => Promise.reject(new KubeError(500, 'InternalError', 'no'));
  await assert.rejects(read('a'), KubeError);
});
