import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { EditError, edited } from '../../../operator/cli/edit.ts';

const present = {
  apiVersion: 'mainstay.dev/v1alpha1',
  kind: 'StoreCluster',
  metadata: { name: 'demo', namespace: 'ns', resourceVersion: '7' },
  spec: { replicas: 3, storage: { size: '1Gi' }, options: { logLevel: 'Info' } },
} as unknown as StoreCluster;

function specAfter(set: readonly string[], replicas?: number) {
  const edit = { name: 'demo', set, replicas };
  return edited(present, edit, { text: undefined, namespace: 'ns' }).spec;
}

function fromFile(text: string, cluster: StoreCluster | undefined = present) {
  return edited(cluster, { name: 'demo', set: [], replicas: undefined }, { text, namespace: 'ns' });
}

test('fields are set by their path, below the spec or with it, as YAML', () => {
  assert.deepEqual(specAfter(['options.logLevel=Debug', 'spec.update.surge=true']), {
    replicas: 3,
    storage: { size: '1Gi' },
    options: { logLevel: 'Debug' },
    update: { surge: true },
  });
  assert.equal(specAfter(['version="0.2"']).version, '0.2');
  assert.equal(specAfter(['options=null']).options, undefined);
  assert.equal(specAfter([], 5).replicas, 5);
  assert.equal(present.spec.replicas, 3);
});

test('an assignment that makes no sense is refused with a sentence', () => {
  assert.throws(() => specAfter(['replicas']), /--set wants PATH=VALUE, not "replicas"/);
  assert.throws(() => specAfter(['replicas.x=1']), /spec.replicas.x cannot be set: replicas is no/);
  assert.throws(() => specAfter(['a..b=1']), EditError);
  assert.throws(() => specAfter(['a={']), /is no value in YAML/);
});

test('a file’s spec takes the place of the present one; what is there keeps its identity', () => {
  const text = 'kind: StoreCluster\nmetadata: {name: demo}\nspec: {storage: {size: 2Gi}}\n';
  const { metadata, spec } = fromFile(text);
  assert.deepEqual(spec, { storage: { size: '2Gi' } });
  assert.equal(metadata.resourceVersion, '7');
  const fresh = edited(
    undefined,
    { name: 'demo', set: ['replicas=1'], replicas: undefined },
    { text, namespace: 'ns' },
  );
  assert.deepEqual(fresh.metadata, { name: 'demo', namespace: 'ns' });
  assert.equal(fresh.spec.replicas, 1);
});

test('a file about something else is refused', () => {
  assert.throws(() => fromFile('kind: Pod'), /holds no StoreCluster/);
  assert.throws(() => fromFile(''), /holds no StoreCluster/);
  const other = 'kind: StoreCluster\nmetadata: {name: other}\nspec: {}';
  assert.throws(() => fromFile(other), /the file is about other, not about demo/);
  const elsewhere = 'kind: StoreCluster\nmetadata: {namespace: prod}\nspec: {}';
  assert.throws(() => fromFile(elsewhere), /give -n prod/);
});
