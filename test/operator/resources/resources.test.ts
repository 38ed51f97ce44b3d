import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { dump } from 'js-yaml';
import { completeSpec, versionDefault } from '../../../operator/api/defaults.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { buildBackupPod } from '../../../operator/resources/backup-pod.ts';
import { buildBudget, quorumOf } from '../../../operator/resources/budget.ts';
import { covers } from '../../../operator/resources/covers.ts';
import { podEndpoint } from '../../../operator/resources/endpoints.ts';
import { ownerReference } from '../../../operator/resources/labels.ts';
import {
  clusterToken,
  memberHost,
  memberOfPeerUrl,
  peerUrl,
  serialOf,
} from '../../../operator/resources/names.ts';
import { buildNetworkPolicy } from '../../../operator/resources/network-policy.ts';
import { buildPod } from '../../../operator/resources/pod.ts';
import { factsOf } from '../../../operator/resources/secret-facts.ts';
import { buildClientService, buildPeersService } from '../../../operator/resources/services.ts';
import { isOutdated } from '../../../operator/resources/template.ts';
import { buildVolume } from '../../../operator/resources/volume.ts';
import { auditRules } from '../../../server/config/audit.ts';
import { prefixQuotas } from '../../../server/config/request-limits.ts';

const cluster: StoreCluster = {
  apiVersion: 'mainstay.dev/v1alpha1',
  kind: 'StoreCluster',
  metadata: { name: 'demo', namespace: 'shop', uid: 'u1' },
  spec: {
    storage: { size: '10Gi', storageClassName: 'fast' },
    resources: { requests: { cpu: '500m' }, limits: { memory: '1Gi' } },
  },
};

test('where clients are named, pods that back the store up are let in as well', () => {
  const { metadata } = buildBackupPod(cluster, completeSpec(cluster.spec), {
    name: 'nightly',
    owner: ownerReference(cluster),
    labels: {},
    command: ['save'],
    target: { volume: { claimName: 'backups' } },
    encryption: undefined,
    asksStore: true,
    needsScratch: false,
    restartPolicy: 'Never',
  });
  const { ingress } = buildNetworkPolicy(cluster, { clients: [] }).spec;
  const admitted = (ingress as readonly { from?: readonly Peer[]; ports: unknown }[]).filter(
    ({ from }) => from?.some((peer) => isSelected(metadata.labels, peer)),
  );
  assert.deepEqual(
    admitted.map(({ ports }) => ports),
    [[{ protocol: 'TCP', port: 2379 }]],
  );
});

interface Peer {
  readonly podSelector: { readonly matchLabels?: Readonly<Record<string, string>> };
}

function isSelected(labels: Peer['podSelector']['matchLabels'], { podSelector }: Peer): boolean {
  const wanted = Object.entries(podSelector.matchLabels ?? {});
  return wanted.every(([name, value]) => labels?.[name] === value);
}

test('what a member is made of', () => {
  const spec = completeSpec(cluster.spec);
  const token = clusterToken(cluster, 'n1');
  const objects = [
    buildPeersService(cluster),
    buildClientService(cluster),
    buildBudget(cluster, { voters: 1, target: 3 }),
    buildVolume(cluster, spec, { member: 'demo-2', token }),
    buildPod(cluster, spec, {
      member: 'demo-2',
      role: 'learner',
      clusterState: 'existing',
      initialCluster: ['demo-1', 'demo-2'].map((name) => ({
        name,
        peerUrl: peerUrl(cluster, name),
      })),
      token,
    }),
  ];
  const path = 'test/operator/resources/testdata/member.yaml';
  const text = objects
    .map((object) => dump(object, { lineWidth: 100, noRefs: true }))
    .join('---\n');
  if (process.env['REWRITE'] === '1') writeFileSync(path, text);
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('clients are asked for certificates where the spec says so, members always', () => {
  const tlsFlags = (client: object, peer: object = {}) => {
    const secure = { ...cluster, spec: { ...cluster.spec, tls: { client, peer } } };
    const pod = buildPod(secure, completeSpec(secure.spec), {
      member: 'demo-4',
      role: 'voter',
      clusterState: 'new',
      initialCluster: [{ name: 'demo-4', peerUrl: peerUrl(secure, 'demo-4') }],
      token: clusterToken(secure, 'n1'),
    });
    const flags = pod.spec.containers[0]?.args ?? [];
    return flags.filter((flag) => /trusted-ca|client-cert-auth|peer-.*(san|allowed)/.test(flag));
  };
  const ofPeers = [
    '--peer-trusted-ca-file=/etc/mainstay/peer-tls/ca.crt',
    '--peer-client-cert-auth',
    '--peer-skip-client-san-verification',
  ];
  assert.deepEqual(tlsFlags({}), ofPeers);
  // The CA is a person's: it may sign for others too. The name is one that the certificate has as long as the member is there.
  const host = memberHost(cluster, 'demo-4');
  assert.deepEqual(tlsFlags({}, { secretName: 'given' }), [
    ...ofPeers,
    `--peer-cert-allowed-hostname=${host}`,
  ]);
  assert.deepEqual(tlsFlags({ verifyClients: true }), [
    '--trusted-ca-file=/etc/mainstay/client-tls/ca.crt',
    '--client-cert-auth',
    ...ofPeers,
  ]);
});

test('the console is switched on where it is known, and a pod without it is outdated', () => {
  const withConsole = (enabled: boolean | undefined, version?: string) => {
    const page = enabled === undefined ? {} : { console: { enabled } };
    const spec = { ...cluster.spec, ...page, ...(version === undefined ? {} : { version }) };
    const complete = completeSpec(spec);
    const pod = buildPod({ ...cluster, spec }, complete, {
      member: 'demo-1',
      role: 'voter',
      clusterState: 'existing',
      initialCluster: [{ name: 'demo-1', peerUrl: peerUrl(cluster, 'demo-1') }],
      token: clusterToken(cluster, 'n1'),
    });
    const isOn = pod.spec.containers[0]?.args?.includes('--enable-console') === true;
    return { spec: complete, pod, isOn };
  };
  const [unsaid, off, on] = [withConsole(undefined), withConsole(false), withConsole(true)];
  assert.deepEqual([unsaid.isOn, off.isOn, on.isOn], [false, false, true]);
  assert.equal(withConsole(true, '0.1.0').isOn, false);
  assert.equal(withConsole(true, '0.2.0').isOn, true);
  assert.equal(isOutdated(unsaid.pod, off.spec), false);
  assert.equal(isOutdated(unsaid.pod, on.spec), true);
  assert.equal(isOutdated(on.pod, off.spec), true);
});

test('the default release is the one of this repository', () => {
  assert.equal(JSON.parse(readFileSync('package.json', 'utf8')).version, versionDefault);
});

test('member names and peer URLs are each other’s inverse', () => {
  assert.equal(serialOf(cluster, 'demo-12'), 12);
  for (const name of ['demo-0', 'demo-012', 'demo-', 'demo-x', 'other-1', 'demo-1-1']) {
    assert.equal(serialOf(cluster, name), undefined, name);
  }
  assert.equal(memberOfPeerUrl(cluster, peerUrl(cluster, 'demo-7')), 'demo-7');
  assert.equal(memberOfPeerUrl(cluster, 'http://demo-7.demo-peers.other.svc:2380'), undefined);
  assert.equal(memberOfPeerUrl(cluster, 'http://127.0.0.1:2380'), undefined);
});

test('a pod is reached by its address', () => {
  const pod = (podIP: string) => ({ status: { podIP } }) as Parameters<typeof podEndpoint>[1];
  assert.equal(podEndpoint(cluster, pod('10.0.0.1')), 'http://10.0.0.1:2379');
  assert.equal(podEndpoint(cluster, pod('fd00::1')), 'http://[fd00::1]:2379');
  assert.equal(podEndpoint(cluster, pod('')), undefined);
});

test('the audit log is what the spec says, in words that Kubernetes leaves alone', () => {
  const flagsOf = (
    audit: StoreCluster['spec']['audit'] | undefined,
    more: Partial<StoreCluster['spec']> = {},
  ) => {
    const spec = { ...cluster.spec, ...(audit && { audit }), ...more };
    const pod = buildPod({ ...cluster, spec }, completeSpec(spec), {
      member: 'demo-1',
      role: 'voter',
      clusterState: 'new',
      initialCluster: [{ name: 'demo-1', peerUrl: peerUrl(cluster, 'demo-1') }],
      token: 't',
    });
    const args = pod.spec.containers[0]?.args ?? [];
    return args.filter((flag) => flag.startsWith('--audit'));
  };
  assert.deepEqual(flagsOf(undefined), []);
  assert.deepEqual(flagsOf({}), ['--audit-log-path=-', '--audit-log-when-full=drop']);
  // Members of 0.1 would not start with flags that they do not know.
  assert.deepEqual(flagsOf({}, { image: 'mainstay:0.1.0' }), []);
  // The files leave the volume to the store, whatever its size is.
  const sizeFlag = (size: string, maxFiles?: number) =>
    flagsOf(
      { target: 'Volume', ...(maxFiles === undefined ? {} : { maxFiles }) },
      { storage: { size } },
    ).find((flag) => flag.startsWith('--audit-log-max-size'));
  assert.equal(sizeFlag('1Gi'), '--audit-log-max-size-mb=8');
  assert.equal(sizeFlag('1Gi', 1), '--audit-log-max-size-mb=25');
  assert.equal(sizeFlag('100Gi'), '--audit-log-max-size-mb=100');
  const rules = ['write:/a,b/$(POD_IP)%', 'read:*', 'lease'];
  const flags = flagsOf({
    target: 'Volume',
    rules,
    maxFileSize: '10Mi',
    maxFiles: 3,
    whenFull: 'Block',
  });
  assert.deepEqual(flags, [
    '--audit-log-path=/var/lib/mainstay/audit/audit.log',
    '--audit-log-rules=write:/a%2Cb/%24(POD_IP)%25,read:*,lease',
    '--audit-log-max-size-mb=10',
    '--audit-log-max-files=3',
    '--audit-log-when-full=block',
  ]);
  assert.deepEqual(auditRules(flags[1]?.replace('--audit-log-rules=', '') ?? ''), [
    { kind: 'write', prefix: '/a,b/$(POD_IP)%' },
    { kind: 'read', prefix: '' },
    { kind: 'lease' },
  ]);
});

test('limits become flags that the store reads as they were meant', () => {
  const flagsOf = (limits: StoreCluster['spec']['limits'], more: object = {}) => {
    const spec = { ...cluster.spec, ...(limits && { limits }), ...more };
    const pod = buildPod({ ...cluster, spec }, completeSpec(spec), {
      member: 'demo-1',
      role: 'voter',
      clusterState: 'new',
      initialCluster: [],
      token: 't',
    });
    const args = pod.spec.containers[0]?.args ?? [];
    return args.filter((flag) => flag.startsWith('--limit'));
  };
  assert.deepEqual(flagsOf(undefined), []);
  assert.deepEqual(flagsOf({ prefixQuotas: [], user: {} }), []);
  const limits = {
    user: { requestsPerSecond: 100, inFlight: 10 },
    connection: { requestsPerSecond: 200, inFlight: 20 },
    expensive: { inFlight: 2 },
    prefixQuotas: [
      { prefix: '/a,b=$(POD_IP)%/', size: '1Gi' },
      { prefix: '/c', size: '0' },
    ],
  };
  const flags = flagsOf(limits);
  assert.deepEqual(flags, [
    '--limit-user-requests-per-second=100',
    '--limit-user-in-flight=10',
    '--limit-connection-requests-per-second=200',
    '--limit-connection-in-flight=20',
    '--limit-expensive-in-flight=2',
    '--limit-prefix-quotas=/a%2Cb=%24(POD_IP)%25/=1073741824,/c=0',
  ]);
  assert.deepEqual(prefixQuotas(flags.at(-1)?.replace('--limit-prefix-quotas=', '') ?? ''), [
    { prefix: '/a,b=$(POD_IP)%/', sizeBytes: 1024 ** 3 },
    { prefix: '/c', sizeBytes: 0 },
  ]);
  // Members of 0.1 would not start with flags that they do not know.
  assert.deepEqual(flagsOf(limits, { image: 'mainstay:0.1.0' }), []);
});

test('encryption: the Secret whole, the former key behind the new one, also for an image that refuses it', () => {
  const madeOf = (spec: Partial<StoreCluster['spec']>) => {
    const whole = { ...cluster.spec, ...spec };
    const pod = buildPod({ ...cluster, spec: whole }, completeSpec(whole), {
      member: 'demo-1',
      role: 'voter',
      clusterState: 'existing',
      initialCluster: [],
      token: 't',
    });
    const flag = pod.spec.containers[0]?.args?.find((arg) => arg.includes('encryption'));
    return [flag, ...(pod.spec['volumes'] as readonly object[]).slice(1)];
  };
  assert.deepEqual(madeOf({}), [undefined]);
  const secretName = 'demo-key';
  const volume = { name: 'encryption', secret: { secretName } };
  const at = '--data-encryption-key-file=/etc/mainstay/encryption';
  assert.deepEqual(madeOf({ encryption: { secretName }, image: 'mainstay:0.1.0' }), [
    `${at}/key,/etc/mainstay/encryption/former`,
    volume,
  ]);
  assert.deepEqual(madeOf({ encryption: { secretName, key: 'a', formerKey: 'b' } }), [
    `${at}/a,/etc/mainstay/encryption/b`,
    volume,
  ]);
});

test('the operator knows of a key of encryption that it is one, and nothing else', () => {
  const key = randomBytes(32);
  const entries = {
    hex: Buffer.from(key.toString('hex')),
    base64: Buffer.from(`${key.toString('base64')}\n`),
    raw: key,
    short: key.subarray(1),
    empty: Buffer.alloc(0),
  };
  const data = Object.fromEntries(
    Object.entries(entries).map(([name, value]) => [name, value.toString('base64')]),
  );
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data } as const;
  const facts = factsOf(secret, undefined);
  assert.deepEqual(facts.encryptionKeys, ['hex', 'base64', 'raw']);
  const text = JSON.stringify(facts);
  for (const form of ['hex', 'base64', 'latin1'] as const) {
    assert.ok(!text.includes(key.toString(form).slice(0, 12)), form);
  }
});

test('quorum and the budget’s floor', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(quorumOf), [1, 2, 2, 3, 3, 4, 4]);
  const floor = (voters: number, target: number) =>
    buildBudget(cluster, { voters, target }).spec.minAvailable;
  assert.deepEqual([floor(1, 3), floor(5, 3), floor(3, 5), floor(1, 1)], [2, 3, 3, 1]);
});

test('covers: what others added does not matter, what is missing or different does', () => {
  const desired = { spec: { a: 1, list: [{ x: 1 }] } };
  assert.ok(covers({ spec: { a: 1, b: 2, list: [{ x: 1, y: 2 }] }, status: {} }, desired));
  assert.ok(!covers({ spec: { a: 2, list: [{ x: 1 }] } }, desired));
  assert.ok(!covers({ spec: { a: 1, list: [{ x: 1 }, { x: 2 }] } }, desired));
  assert.ok(!covers({ spec: { a: 1 } }, desired));
  assert.ok(!covers(undefined, desired));
});
