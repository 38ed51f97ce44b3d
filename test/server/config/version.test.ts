import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  clusterVersion,
  compatibilityVersion,
  mainstayVersion,
} from '../../../server/config/version.ts';

test('Mainstay’s version is the package’s', () => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  assert.equal(mainstayVersion, manifest.version);
});

test('the compatibility version is one that Kubernetes and Patroni can parse', () => {
  assert.match(compatibilityVersion, /^3\.6\.\d+$/);
  assert.equal(clusterVersion, compatibilityVersion.replace(/\d+$/, '0'));
});
