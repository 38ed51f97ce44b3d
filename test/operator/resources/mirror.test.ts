import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeSpec } from '../../../operator/api/defaults.ts';
import type { Labels } from '../../../operator/api/objects.ts';
import type { StoreCluster, StoreClusterSpec } from '../../../operator/api/types.ts';
import { buildBudget } from '../../../operator/resources/budget.ts';
import { mirrorLabel } from '../../../operator/resources/labels.ts';
import {
  buildCutOverPod,
  buildFollowerPod,
  isMirrorOutdated,
} from '../../../operator/resources/mirror.ts';
import { buildNetworkPolicy } from '../../../operator/resources/network-policy.ts';
import { factsOf, type SecretFacts } from '../../../operator/resources/secret-facts.ts';
import {
  buildClientService,
  buildObserversService,
  buildPeersService,
} from '../../../operator/resources/services.ts';
import { type Manifest } from '../../helm/helm.ts';
import { podSecurityFaults } from '../../helm/pod-security.ts';
import { Authority } from '../../support/certificates.ts';

type Source = NonNullable<NonNullable<StoreClusterSpec['bootstrap']>['mirrorFrom']>;

const source: Source = {
  endpoints: ['https://old:2379'],
  tls: { secretName: 'old-tls' },
  user: { secretName: 'old-user' },
};
const nothing = new Map<string, SecretFacts>();

function clusterWith(spec: Partial<StoreClusterSpec> = {}): StoreCluster {
  return {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name: 'demo', namespace: 'shop', uid: 'u1' },
    spec: { storage: { size: '10Gi' }, bootstrap: { mirrorFrom: source }, ...spec },
  };
}

function podsOf(cluster: StoreCluster, from: Source = source, secrets = nothing) {
  const spec = completeSpec(cluster.spec);
  return [buildFollowerPod, buildCutOverPod].map((build) => build(cluster, spec, from, secrets));
}

function isSelected(labels: Labels, selector: Labels): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

test('no selector of the members matches the pods of a mirror, and the network policy lets them in', () => {
  const cluster = clusterWith();
  const policy = buildNetworkPolicy(cluster, { clients: [] });
  const spec = policy.spec as unknown as {
    podSelector: { matchLabels: Labels };
    ingress: { from?: { podSelector?: { matchLabels?: Labels } }[]; ports: { port: number }[] }[];
  };
  const selectors = [
    buildPeersService(cluster).spec.selector ?? {},
    buildClientService(cluster).spec.selector ?? {},
    buildObserversService(cluster).spec.selector ?? {},
    buildBudget(cluster, { voters: 3, target: 3 }).spec.selector.matchLabels,
    spec.podSelector.matchLabels,
  ];
  for (const { metadata } of podsOf(cluster)) {
    const { labels = {} } = metadata;
    assert.equal(labels[mirrorLabel], 'demo');
    for (const selector of selectors) assert.ok(!isSelected(labels, selector));
    const admitted = spec.ingress.filter(({ from }) =>
      from?.some(({ podSelector }) => {
        const { matchLabels } = podSelector ?? {};
        return matchLabels !== undefined && isSelected(labels, matchLabels);
      }),
    );
    assert.deepEqual(
      admitted.map(({ ports }) => ports.map(({ port }) => port)),
      [[2379]],
    );
  }
});

test('the pods of a mirror keep the restricted standard, and have no rights and no password in sight', () => {
  const rootPassword = { name: 'root-password' };
  const cluster = clusterWith({ tls: { client: {} }, auth: { rootPassword } });
  for (const pod of podsOf(cluster)) {
    assert.deepEqual(podSecurityFaults(pod as unknown as Manifest), []);
    assert.equal(pod.spec['automountServiceAccountToken'], false);
    const [container] = pod.spec.containers;
    const env = container?.['env'] as readonly { name: string; valueFrom?: object }[];
    assert.deepEqual(
      env.map(({ name }) => name),
      ['USER', 'PASSWORD', 'DEST_USER', 'DEST_PASSWORD'].map((name) => `MAINSTAYCTL_${name}`),
    );
    assert.ok(env.every(({ valueFrom }) => valueFrom !== undefined));
  }
});

test('what looks like a variable of Kubernetes stays as it is written', () => {
  const prefix = 'a$$b$(HOME)';
  for (const pod of podsOf(clusterWith(), { ...source, prefix, destPrefix: '$' })) {
    const args = pod.spec.containers[0]?.args ?? [];
    assert.ok(args.includes('--prefix=a$$$$b$$(HOME)'));
    assert.ok(args.includes('--dest-prefix=$$'));
  }
});

test('a pod that has read an old certificate is outdated', async () => {
  const secretOf = async (): Promise<ReadonlyMap<string, SecretFacts>> => {
    const { cert } = await Authority.create('ca');
    const data = { 'ca.crt': Buffer.from(cert).toString('base64') };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'old-tls' }, data };
    return new Map([['old-tls', factsOf(secret as never, undefined)]]);
  };
  const [first, second] = [await secretOf(), await secretOf()];
  const cluster = clusterWith();
  const [before, same, after] = [first, first, second].map(
    (secrets) => podsOf(cluster, source, new Map(secrets))[0],
  );
  assert.ok(before !== undefined && same !== undefined && after !== undefined);
  assert.ok(!isMirrorOutdated(before, same));
  assert.ok(isMirrorOutdated(before, after));
});
