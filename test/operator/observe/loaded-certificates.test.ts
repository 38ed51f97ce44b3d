import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../../operator/api/objects.ts';
import { observeLoaded, parseLoaded } from '../../../operator/observe/loaded-certificates.ts';

const metrics = `# HELP mainstay_tls_certificate_expiry_seconds The unix time.
# TYPE mainstay_tls_certificate_expiry_seconds gauge
mainstay_tls_certificate_expiry_seconds{listener="client",serial="5a01"} 1.8e+09
mainstay_tls_certificate_expiry_seconds{listener="peer",serial="5a02"} 1.8e+09
mainstay_tls_trust_bundle_info{listener="client",sha256="aa"} 1
mainstay_tls_trust_bundle_info{listener="peer",sha256="bb"} 1
`;

test('what members say of their certificates', () => {
  assert.deepEqual(parseLoaded(metrics), {
    client: { serial: '5a01', trust: 'aa' },
    peer: { serial: '5a02', trust: 'bb' },
  });
  assert.deepEqual(parseLoaded('etcd_server_has_leader 1\n'), {});
});

test('a member that does not say is absent', async () => {
  const pods = ['a', 'b', 'c'].map((name, at) => pod(name, at === 2 ? undefined : `10.0.0.${at}`));
  const loaded = await observeLoaded(async (address) => {
    if (address !== '10.0.0.0') throw new Error('connection refused');
    return metrics;
  }, pods);
  assert.deepEqual([...loaded.keys()], ['a']);
});

function pod(name: string, podIP: string | undefined): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { containers: [] },
    status: podIP === undefined ? {} : { podIP },
  };
}
