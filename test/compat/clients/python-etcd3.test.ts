import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { needs, toolPath } from '../../support/tools.ts';
import { onVariants, type SecuredStore } from './variants.ts';

const script = fileURLToPath(
  new URL('../../../../test/compat/clients/python_etcd3.py', import.meta.url),
);

const steps = [
  'keys_and_values',
  'transactions',
  'leases',
  'watches',
  'compacted_watch',
  'locks',
  'members',
  'maintenance',
  'errors',
];

function environmentOf({ address, certificates, user }: SecuredStore) {
  return {
    STORE_ADDRESS: address,
    ...(certificates && {
      STORE_CA: certificates.caFile,
      STORE_CERT: certificates.certFile,
      STORE_KEY: certificates.keyFile,
    }),
    ...(user && { STORE_USER: user.username, STORE_PASSWORD: user.password }),
  };
}

onVariants("Debian's python3-etcd3", needs('python3-etcd3'), (store) => {
  test('what its documentation shows', async () => {
    const { stdout } = await promisify(execFile)(toolPath('python3-etcd3'), [script], {
      env: environmentOf(store),
      timeout: 120_000,
    });
    assert.deepEqual(stdout.trim().split('\n'), steps);
  });
});
