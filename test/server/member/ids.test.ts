import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hexId } from '../../../server/base/ids.ts';
import { clusterIdOf, memberIdOf } from '../../../server/member/ids.ts';

test('ids of a new cluster are those that etcd computes from the same flags', () => {
  const id = memberIdOf(['http://localhost:2380'], { token: 'etcd-cluster' });
  assert.equal(hexId(id), '8e9e05c52164694d');
  assert.equal(hexId(clusterIdOf([id])), 'cdf818194e3a8c32');
});

test('neither the order of URLs nor that of members matters', () => {
  const token = 'etcd-cluster';
  const a = memberIdOf(['http://a:1', 'http://b:2'], { token });
  assert.equal(memberIdOf(['http://b:2', 'http://a:1'], { token }), a);
  const b = memberIdOf(['http://c:3'], { token });
  assert.equal(clusterIdOf([a, b]), clusterIdOf([b, a]));
});

test('a member added twice under one URL gets another id', () => {
  const first = memberIdOf(['http://a:1'], { unixSeconds: 1_000 });
  assert.notEqual(memberIdOf(['http://a:1'], { unixSeconds: 1_001 }), first);
});
