import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../../../operator/act/act.ts';
import {
  storeBackupScheduleStatus,
  storeBackupStatus,
} from '../../../operator/api/backup-schema.ts';
import type { JsonSchema } from '../../../operator/api/json-schema.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { storeClusterStatus } from '../../../operator/api/schema.ts';
import type { Condition, StoreCluster } from '../../../operator/api/types.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { plan } from '../../../operator/plan/plan.ts';
import { statusOf } from '../../../operator/status/status.ts';
import { withBareKube } from '../support/bare-kube.ts';
import { parseObservation } from '../support/notation.ts';

// Flux, Argo CD and kubectl's `wait` judge an object they know nothing of by the rules of kstatus. They have to come to
// what a person would say.

type Verdict = 'InProgress' | 'Failed' | 'Current' | 'Terminating';

/** The generic rules of sigs.k8s.io/cli-utils/pkg/kstatus, for kinds that it does not know. */
function kstatus({ metadata, status }: StoreCluster): Verdict {
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  const { observedGeneration, conditions = [] } = status ?? {};
  if (observedGeneration !== undefined && observedGeneration !== metadata.generation) {
    return 'InProgress';
  }
  for (const condition of conditions as readonly Condition[]) {
    if (condition.type === 'Reconciling' && condition.status === 'True') return 'InProgress';
    if (condition.type === 'Stalled' && condition.status === 'True') return 'Failed';
  }
  const ready = conditions.find(({ type }) => type === 'Ready');
  return ready === undefined || ready.status === 'True' ? 'Current' : 'InProgress';
}

/** The object after a pass over what the lines say. */
function passed(lines: readonly string[], outcome?: 'failed' | 'refused'): StoreCluster {
  const observation = parseObservation(lines);
  const { cluster } = observation;
  const came: Outcome =
    outcome === undefined
      ? { kind: 'done', cluster }
      : { kind: outcome, cluster, error: new Error('no') };
  return { ...cluster, status: statusOf(observation, plan(observation), came) };
}

const three = ['cluster', 'demo-1 voter leader', 'demo-2 voter', 'demo-3 voter'];
const crashing = [...three.slice(0, 3), 'demo-3 voter pod=crashing'];

const samples: readonly [what: string, verdict: Verdict, cluster: StoreCluster][] = [
  ['all well', 'Current', passed(three)],
  ['just created', 'InProgress', passed(['cluster id=- next=- seed=- finalizer=no'])],
  ['the seed starts', 'InProgress', passed(['cluster id=-', 'demo-1 pod=starting volume=new'])],
  ['growing', 'InProgress', passed(['cluster replicas=5', ...three.slice(1)])],
  ['a member does not run', 'InProgress', passed(crashing)],
  [
    'a member does not run for longer than it may',
    'Failed',
    passed([...crashing, 'prior Wait MemberNotHealthy 09:00']),
  ],
  ['an action failed and is tried again', 'InProgress', passed(three.slice(0, 3), 'failed')],
  ['an action that was not possible yet', 'InProgress', passed(three.slice(0, 3), 'refused')],
  [
    'volumes of another, for a person to judge',
    'Failed',
    passed(['cluster id=- seed=- next=- uid=u2', 'demo-1 volume=1,uid=u1 pod=none']),
  ],
  ['a version that cannot be', 'Failed', passed(['cluster version=9.9.9', ...three.slice(1)])],
  ['paused by a person', 'InProgress', passed([...three, 'spec {paused: true}'])],
  ['being deleted', 'Terminating', passed(['cluster deleting', ...three.slice(1)])],
];

for (const [what, verdict, cluster] of samples) {
  test(`${what}: ${verdict}`, () => {
    assert.equal(kstatus(cluster), verdict, JSON.stringify(cluster.status, null, 1));
  });
}

/** As an API server shows what was just created: its own default is all the status that there is. */
const unseen: readonly [kind: string, status: JsonSchema][] = [
  ['StoreCluster', storeClusterStatus],
  ['StoreBackup', storeBackupStatus],
  ['StoreBackupSchedule', storeBackupScheduleStatus],
];

for (const [kind, schema] of unseen) {
  test(`a ${kind} that no operator has looked at: InProgress`, () => {
    const metadata = { name: 'x', generation: 1 };
    const object = { kind, metadata, status: schema.default } as unknown as StoreCluster;
    assert.equal(kstatus(object), 'InProgress');
  });
}

test('an API server shows them so, created or applied, and whatever status comes along', async () => {
  await withBareKube(async ({ kube }) => {
    const written = (name: string, status?: object) =>
      ({
        ...passed(three),
        metadata: { name, namespace: 'default' },
        spec: { storage: { size: '1Gi' } },
        status,
      }) as KubeObject;
    const at = (name: string) => objectPath('StoreCluster', { namespace: 'default', name });
    const status = { observedGeneration: 1, ready: '3/3' };
    await kube.create(collectionPath('StoreCluster', 'default'), written('a'));
    await kube.create(collectionPath('StoreCluster', 'default'), written('b', status));
    await kube.apply(at('c'), written('c'));
    for (const name of ['a', 'b', 'c']) {
      const shown = await kube.get<StoreCluster>(at(name));
      assert.deepEqual(shown?.status, storeClusterStatus.default, name);
    }
  });
});

test('an edit that was not seen yet: InProgress', () => {
  const cluster = passed(three);
  const metadata = { ...cluster.metadata, generation: 2 };
  assert.equal(kstatus({ ...cluster, metadata }), 'InProgress');
});

test('a stall that is over leaves nothing behind', () => {
  const stalled = passed([...crashing, 'prior Wait MemberNotHealthy 09:00']);
  const observation = parseObservation(three);
  const cluster = { ...observation.cluster, status: stalled.status } as StoreCluster;
  const decided = plan({ ...observation, cluster });
  const status = statusOf({ ...observation, cluster }, decided, { kind: 'done', cluster });
  assert.equal(kstatus({ ...cluster, status }), 'Current');
  assert.ok(!status.conditions?.some(({ type }) => type === 'Stalled'));
});

test('every condition has a reason of one word, a message and the generation it speaks of', () => {
  for (const [what, , { status }] of samples) {
    for (const condition of status?.conditions ?? []) {
      assert.match(condition.reason, /^[A-Z][A-Za-z]+$/, what);
      assert.ok(condition.message.length > 0, what);
      assert.equal(condition.observedGeneration, 1, what);
    }
  }
});
