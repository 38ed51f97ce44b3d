import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeSpec } from '../../../operator/api/defaults.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { withPresentImage } from '../../../operator/observe/observe-backup.ts';

/** The image of pods that work on backups, while a store is to change from one to another. */
function imageBetween(present: string | undefined, image: string): string {
  const spec = { image, storage: { size: '1Gi' } };
  const cluster = { spec, status: { image: present } } as StoreCluster;
  return withPresentImage(completeSpec(cluster.spec), cluster).image;
}

test('backups are made with the tools that the store has, not with those that it is to get', () => {
  assert.equal(imageBetween('mainstay:0.2.0', 'mainstay:0.2.1'), 'mainstay:0.2.0');
  assert.equal(imageBetween('mainstay:0.2.1', 'mainstay:0.2.0'), 'mainstay:0.2.1');
  assert.equal(imageBetween('mainstay:0.2.0', 'mainstay:0.1.0'), 'mainstay:0.2.0');
  assert.equal(
    imageBetween('registry.example/own@sha256:1', 'mainstay:0.2.0'),
    'registry.example/own@sha256:1',
  );
});

test('but where it has none, or has run nothing yet', () => {
  assert.equal(imageBetween('mainstay:0.1.0', 'mainstay:0.2.0'), 'mainstay:0.2.0');
  assert.equal(imageBetween(undefined, 'mainstay:0.2.0'), 'mainstay:0.2.0');
});
