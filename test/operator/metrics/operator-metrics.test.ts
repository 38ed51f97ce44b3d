import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition, StoreCluster } from '../../../operator/api/types.ts';
import { OperatorMetrics } from '../../../operator/metrics/operator-metrics.ts';
import type { Plan } from '../../../operator/plan/plan.ts';
import { exposition } from '../../../server/base/exposition.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const since = '2026-01-01T00:00:00.000Z';
const planned = { since, deadline: undefined, message: '' };
const wait = (reason: string): Plan => ({ ...planned, kind: 'wait', reason, limitMs: undefined });
const acting: Plan = {
  ...planned,
  kind: 'act',
  reason: 'Accepted',
  action: { kind: 'addFinalizer' },
};
const idle: Plan = { since, deadline: undefined, kind: 'idle' };

function clusterWith(conditions: Readonly<Record<string, [Condition['status'], string]>>) {
  return {
    metadata: { namespace: 'ns', name: 'demo' },
    status: {
      conditions: Object.entries(conditions).map(([type, [status, time]]) => {
        const lastTransitionTime = `2026-01-01T${time}Z`;
        return { type, status, lastTransitionTime, reason: 'X', message: '' };
      }),
    },
  } as unknown as StoreCluster;
}

const demo = clusterWith({});
const done = { kind: 'done', cluster: demo } as const;

function valueOf(metrics: OperatorMetrics, sample: string): number | undefined {
  const lines = exposition(metrics.families()).split('\n');
  const line = lines.find((each) => each.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}

const blocked = (reason: string) => `mainstay_operator_blocked_seconds_total{reason="${reason}"}`;

test('waits are counted by their reason, while they last and to their end', async () => {
  const clock = new VirtualClock();
  const metrics = new OperatorMetrics(clock);
  metrics.clusterSeen(demo);
  assert.equal(metrics.decided('ns/demo', wait('A'), done), true);
  await clock.advance(2_000);
  assert.equal(valueOf(metrics, blocked('A')), 2);
  assert.equal(metrics.decided('ns/demo', wait('A'), done), false);
  await clock.advance(3_000);
  assert.equal(metrics.decided('ns/demo', wait('B'), done), true);
  await clock.advance(1_000);
  assert.deepEqual([valueOf(metrics, blocked('A')), valueOf(metrics, blocked('B'))], [5, 1]);
  metrics.decided('ns/demo', idle, done);
  await clock.advance(60_000);
  assert.equal(valueOf(metrics, blocked('B')), 1);
});

test('a StoreCluster that is gone waits no more and has no conditions', async () => {
  const clock = new VirtualClock();
  const metrics = new OperatorMetrics(clock);
  metrics.clusterSeen(clusterWith({ Ready: ['True', '00:00:00'] }));
  const ready = 'mainstay_operator_clusters{condition="Ready",status="True"}';
  const own =
    'mainstay_operator_cluster_condition{namespace="ns",cluster="demo",condition="Ready"}';
  assert.deepEqual([valueOf(metrics, ready), valueOf(metrics, own)], [1, 1]);
  metrics.decided('ns/demo', wait('A'), done);
  await clock.advance(1_000);
  metrics.clusterGone(demo);
  await clock.advance(60_000);
  assert.deepEqual([valueOf(metrics, ready), valueOf(metrics, own)], [0, undefined]);
  assert.equal(valueOf(metrics, blocked('A')), 1);
});

test('actions are counted by kind and outcome', () => {
  const metrics = new OperatorMetrics(new VirtualClock());
  metrics.decided('ns/demo', acting, done);
  metrics.decided('ns/demo', acting, { kind: 'failed', cluster: demo, error: new Error() });
  metrics.decided('ns/demo', acting, done);
  const count = (outcome: string) =>
    valueOf(metrics, `mainstay_operator_actions_total{action="addFinalizer",outcome="${outcome}"}`);
  assert.deepEqual([count('done'), count('failed'), count('refused')], [2, 1, undefined]);
});

test('the time to repair is that of the conditions, also of one that began before this process', () => {
  const metrics = new OperatorMetrics(new VirtualClock());
  const sum = () => valueOf(metrics, 'mainstay_operator_repair_duration_seconds_sum');
  const count = () => valueOf(metrics, 'mainstay_operator_repair_duration_seconds_count');
  metrics.clusterSeen(clusterWith({ Degraded: ['True', '10:00:00'] }));
  metrics.clusterSeen(clusterWith({ Degraded: ['True', '10:00:00'] }));
  assert.equal(count(), 0);
  metrics.clusterSeen(clusterWith({ Degraded: ['False', '10:01:30'] }));
  metrics.clusterSeen(clusterWith({ Degraded: ['False', '10:01:30'] }));
  assert.deepEqual([count(), sum()], [1, 90]);
});

test('a mirror tells its phase, and how far behind it is until it is done', () => {
  const metrics = new OperatorMetrics(new VirtualClock());
  const seen = (mirror: object) =>
    metrics.clusterSeen({ ...demo, status: { ...demo.status, mirror } } as StoreCluster);
  seen({ phase: 'Following', since: '', lagSeconds: 3 });
  const text = exposition(metrics.families());
  const labels = 'namespace="ns",cluster="demo"';
  assert.match(text, new RegExp(`mirror_phase{${labels},phase="Following"} 1`));
  assert.match(text, new RegExp(`mirror_lag_seconds{${labels}} 3`));
  seen({ phase: 'Done', since: '', lagSeconds: 0 });
  assert.doesNotMatch(exposition(metrics.families()), /mirror_lag_seconds{/);
  metrics.clusterGone(demo);
  assert.doesNotMatch(exposition(metrics.families()), /mirror_phase{/);
});

test('certificates tell when they end and what they are for, until they are gone', () => {
  const metrics = new OperatorMetrics(new VirtualClock());
  const [begins, expires] = ['2026-02-26T00:00:00.000Z', '2026-03-01T00:00:00.000Z'];
  const names = ['demo-ca', 'demo-client-tls', 'peers', 'demo-operator-tls', 'demo-app-connection'];
  const certificates = [
    ...names.map((name) => ({ name, begins, expires })),
    { name: 'odd', begins, expires: 'never' },
  ];
  const tls = { client: {}, peer: { secretName: 'peers' } };
  const secured = { ...demo, spec: { ...demo.spec, tls } };
  metrics.clusterSeen({ ...secured, status: { ...demo.status, certificates } });

  const sample = (what: string, kind: string, secret: string) =>
    `mainstay_operator_certificate_${what}` +
    `{namespace="ns",cluster="demo",kind="${kind}",secret="${secret}"}`;
  const kinds = ['clientCA', 'client', 'peer', 'operator', 'user'];
  for (const [at, kind] of kinds.entries()) {
    const name = names[at] ?? '';
    const end = valueOf(metrics, sample('expiry_timestamp_seconds', kind, name));
    assert.equal(end, Date.parse(expires) / 1000, kind);
    assert.equal(valueOf(metrics, sample('lifetime_seconds', kind, name)), 3 * 86_400, kind);
  }
  assert.equal(exposition(metrics.families()).match(/certificate_\w+\{/g)?.length, 2 * 5);
  const ofBefore = [{ name: 'of before', expires }];
  metrics.clusterSeen({ ...secured, status: { ...demo.status, certificates: ofBefore } });
  // A status that an operator of before has written.
  assert.deepEqual(exposition(metrics.families()).match(/certificate_\w+(?=\{)/g), [
    'certificate_expiry_timestamp_seconds',
  ]);
  metrics.clusterSeen(demo);
  assert.doesNotMatch(exposition(metrics.families()), /certificate_\w+\{/);
});

test('a Secret of a person tells what it is for, whatever they have named it', () => {
  const metrics = new OperatorMetrics(new VirtualClock());
  const secretName = 'demo-ca';
  const tls = { client: { secretName }, peer: { secretName: 'demo-operator-tls' } };
  const certificates = [secretName, 'demo-operator-tls'].map((name) => ({
    name,
    expires: '2026-03-01T00:00:00.000Z',
  }));
  const secured = { ...demo, spec: { ...demo.spec, tls } };
  metrics.clusterSeen({ ...secured, status: { ...demo.status, certificates } });
  const text = exposition(metrics.families());
  assert.match(text, /kind="client",secret="demo-ca"/);
  assert.match(text, /kind="peer",secret="demo-operator-tls"/);
});
