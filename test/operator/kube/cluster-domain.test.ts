import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterDomain, domainOf } from '../../../operator/kube/cluster-domain.ts';

test('the domain is the one of the search list of a pod', () => {
  const inPod = 'search shop.svc.k8s.example svc.k8s.example k8s.example\nnameserver 10.96.0.10\n';
  assert.equal(domainOf(inPod), 'k8s.example');
  assert.equal(domainOf('search svc.k8s.example.\n'), 'k8s.example');
});

test('elsewhere it is the usual one', () => {
  assert.equal(domainOf('search example.com\nnameserver 192.0.2.1\n'), 'cluster.local');
  assert.equal(clusterDomain('/nowhere/resolv.conf'), 'cluster.local');
});
