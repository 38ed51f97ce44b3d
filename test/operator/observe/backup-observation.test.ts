import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSamePlace } from '../../../operator/observe/backup-observation.ts';

const s3 = { endpoint: 'https://s3.example', bucket: 'b', credentialsSecretName: 'c' };

test('targets are the same place whatever they are reached with', () => {
  const bare = { s3: { ...s3, prefix: 'a/b' } };
  const other = { ...s3, endpoint: 'https://s3.example/', prefix: 'a/b/' };
  assert.equal(isSamePlace(bare, { s3: { ...other, credentialsSecretName: 'd' } }), true);
  assert.equal(isSamePlace({ s3 }, { s3: { ...s3, region: 'eu-central-1' } }), true);
  const volume = { claimName: 'backups' };
  assert.equal(
    isSamePlace({ volume: { ...volume, path: 'a/' } }, { volume: { ...volume, path: 'a' } }),
    true,
  );
});

test('and different ones by server, bucket, prefix, claim and path', () => {
  for (const other of [
    { s3: { ...s3, endpoint: 'http://s3.example' } },
    { s3: { ...s3, bucket: 'c' } },
    { s3: { ...s3, prefix: 'a' } },
    { volume: { claimName: 'b' } },
  ]) {
    assert.equal(isSamePlace({ s3 }, other), false);
  }
  const volume = { claimName: 'backups' };
  assert.equal(isSamePlace({ volume }, { volume: { claimName: 'others' } }), false);
  assert.equal(isSamePlace({ volume }, { volume: { ...volume, path: 'a' } }), false);
});
