import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { age, evaluatePath } from '../../e2e/localkube/columns.ts';
import { duplicateFields } from '../../e2e/localkube/json-duplicates.ts';
import { equal, type JsonObject, type KubeObject } from '../../e2e/localkube/objects.ts';
import { compareFields, FieldSet } from '../../e2e/localkube/patch/field-set.ts';
import { applyJsonPatch } from '../../e2e/localkube/patch/json.ts';
import { applyMergePatch } from '../../e2e/localkube/patch/merge.ts';
import { applyStrategicPatch } from '../../e2e/localkube/patch/strategic.ts';
import { modelSchema } from '../../e2e/localkube/schema/builtin.ts';
import { parseQuantity, quantityValue } from '../../e2e/localkube/schema/quantity.ts';
import {
  labelSelectorMatches,
  parseFieldSelector,
  parseLabelSelector,
} from '../../e2e/localkube/selectors.ts';

function labelled(labels: Record<string, string>): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', uid: 'u', resourceVersion: '1', creationTimestamp: '', labels },
    status: { phase: 'Running' },
  };
}

test('label selectors', () => {
  const object = labelled({ a: '1', b: '2' });
  const cases: readonly (readonly [string, boolean])[] = [
    ['a=1', true],
    ['a==1,b=2', true],
    ['a!=1', false],
    ['c!=1', true],
    ['a in (0, 1),b notin (3)', true],
    ['c in (1)', false],
    ['c notin (1)', true],
    ['a', true],
    ['!a', false],
    ['!c', true],
  ];
  for (const [text, expected] of cases)
    assert.equal(parseLabelSelector(text)(object), expected, text);
});

test('field selectors', () => {
  const object = labelled({});
  assert.equal(
    parseFieldSelector('metadata.name=p,status.phase!=Failed', ['status.phase'])(object),
    true,
  );
  assert.equal(parseFieldSelector('metadata.name!=p', [])(object), false);
  assert.throws(() => parseFieldSelector('spec.x=1', []), /field label not supported: spec.x/);
});

test('selectors of disruption budgets', () => {
  const selector = {
    matchLabels: { a: '1' },
    matchExpressions: [{ key: 'b', operator: 'Exists' }],
  };
  assert.equal(labelSelectorMatches(selector, { a: '1', b: '' }), true);
  assert.equal(labelSelectorMatches(selector, { a: '1' }), false);
});

test('quantities', () => {
  assert.equal(quantityValue('1Gi'), 2 ** 30);
  assert.equal(quantityValue('1.5k'), 1500);
  assert.equal(quantityValue('100m'), 1);
  assert.equal(quantityValue('1e3'), 1000);
  assert.equal(parseQuantity('x'), undefined);
  assert.equal(parseQuantity('Gi'), undefined);
  const [half, five] = [parseQuantity('0.5'), parseQuantity('500m')];
  assert.ok(half !== undefined && five !== undefined);
  assert.equal(half.compareTo(five), 0);
});

test('ages', () => {
  const start = '2026-01-01T00:00:00Z';
  const after = (seconds: number) => age(start, new Date(Date.parse(start) + seconds * 1000));
  assert.deepEqual(
    [0, 119, 120, 305, 3600, 11_000, 30_000, 100_000, 200_000, 1_000_000].map(after),
    ['0s', '119s', '2m', '5m5s', '60m', '3h3m', '8h', '27h', '2d7h', '11d'],
  );
});

test('paths of print columns', () => {
  const object = {
    status: {
      conditions: [
        { type: 'A', status: 'x' },
        { type: 'Ready', status: 'True' },
      ],
      list: [1, 2],
    },
  };
  assert.deepEqual(evaluatePath(object, '.status.conditions[?(@.type=="Ready")].status'), ['True']);
  assert.deepEqual(evaluatePath(object, '.status.list[*]'), [1, 2]);
  assert.deepEqual(evaluatePath(object, '.status.nope'), []);
});

test('duplicate fields of a JSON text', () => {
  assert.deepEqual(duplicateFields('{"a":{"b":1,"c":[{"d":"}\\"","d":2}],"b":2}}'), [
    'a.c[0].d',
    'a.b',
  ]);
});

test('JSON patches', () => {
  const document = { a: [1, 2, 3], 'b/c': { d: 1 } };
  const patch = [
    { op: 'add', path: '/a/1', value: 9 },
    { op: 'remove', path: '/a/0' },
    { op: 'copy', from: '/b~1c', path: '/e' },
    { op: 'move', from: '/e/d', path: '/f' },
    { op: 'test', path: '/f', value: 1 },
    { op: 'replace', path: '/b~1c/d', value: 2 },
  ];
  assert.deepEqual(applyJsonPatch(document, patch), { a: [9, 2, 3], 'b/c': { d: 2 }, e: {}, f: 1 });
  assert.throws(() => applyJsonPatch(document, [{ op: 'replace', path: '/x', value: 1 }]));
});

test('a merge patch with what an object holds changes nothing', () => {
  const leaf = fc.oneof(fc.integer(), fc.string(), fc.boolean());
  const tree = fc.dictionary(
    fc.constantFrom('a', 'b', 'c'),
    fc.oneof(leaf, fc.dictionary(fc.constantFrom('x', 'y'), leaf)),
  );
  fc.assert(
    fc.property(tree, tree, (target, patch) => {
      const once = applyMergePatch(target, patch);
      assert.ok(equal(applyMergePatch(once, patch), once));
    }),
  );
});

test('strategic merge patches of lists with keys', () => {
  const schema = modelSchema('V1PodSpec');
  const spec = {
    containers: [
      { name: 'a', image: 'x', args: ['1', '2'] },
      { name: 'b', image: 'y' },
    ],
    tolerations: [{ key: 'k' }],
  };
  const patch = {
    containers: [
      { name: 'b', image: 'z' },
      { name: 'c', image: 'w' },
      { name: 'a', $patch: 'delete' },
    ],
    tolerations: [],
  };
  assert.deepEqual(applyStrategicPatch(spec, patch, schema), {
    containers: [
      { name: 'b', image: 'z' },
      { name: 'c', image: 'w' },
    ],
    tolerations: [],
  });
  const ordered = {
    $setElementOrder: null,
    '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }, { name: 'b' }],
    containers: [{ name: 'c', image: 'w' }],
  };
  const names = applyStrategicPatch(spec, ordered, schema)['containers'] as JsonObject[];
  assert.deepEqual(
    names.map(({ name }) => name),
    ['c', 'a', 'b'],
  );
  const metadata = { finalizers: ['a', 'b'] };
  assert.deepEqual(
    applyStrategicPatch(
      metadata,
      { '$deleteFromPrimitiveList/finalizers': ['a'], finalizers: ['c'] },
      modelSchema('V1ObjectMeta'),
    ),
    { finalizers: ['c', 'b'] },
  );
});

test('field sets are read and written as managedFields spell them', () => {
  const json = {
    'f:spec': {
      '.': {},
      'f:a': {},
      'f:list': { 'k:{"name":"x"}': { '.': {}, 'f:name': {} }, 'v:"y"': {} },
    },
  };
  assert.deepEqual(FieldSet.parse(json).toJson(), json);
  const { changed, removed } = compareFields(
    { a: 1, b: 1, c: { d: 1 } },
    { a: 2, c: { d: 1, e: 2 } },
    undefined,
  );
  assert.deepEqual([...changed.paths()], [['f:a'], ['f:c', 'f:e']]);
  assert.deepEqual([...removed.paths()], [['f:b']]);
});
