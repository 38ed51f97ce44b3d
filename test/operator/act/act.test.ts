import assert from 'node:assert/strict';
import { test } from 'node:test';
import { act, type Outcome } from '../../../operator/act/act.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import type { KubeClient } from '../../../operator/kube/client.ts';
import { collectionPath, pathOf } from '../../../operator/kube/paths.ts';
import type { StoreAdmin } from '../../../operator/observe/store-admin.ts';
import type { Action } from '../../../operator/plan/action.ts';
import { buildBudget } from '../../../operator/resources/budget.ts';
import { buildClientService } from '../../../operator/resources/services.ts';
import { FakeKube, type Stored } from '../support/fake-kube.ts';
import { parseObservation } from '../support/notation.ts';

// An action changes what was observed and nothing else: what the world did meanwhile is seen by the next pass.

const three = ['cluster', 'demo-1 voter leader', 'demo-2 voter', 'demo-3 voter'];
const observation = parseObservation(three);
const { cluster } = observation;
const service = buildClientService(cluster);

interface Tried {
  readonly outcome: Outcome['kind'];
  readonly events: readonly string[];
}

async function tryIt(
  action: Action,
  kube: KubeClient = new FakeKube(),
  { seen = observation, store = {} as StoreAdmin } = {},
): Promise<Tried> {
  const events: string[] = [];
  const modules = {
    kube,
    store: { ...store, as: () => store } as StoreAdmin,
    recorder: { record: (_of: KubeObject, { type }: { type: string }) => void events.push(type) },
    fence() {},
  };
  const planned = { kind: 'act', reason: 'Tried', message: 'It is tried.', action } as const;
  const plan = { ...planned, since: seen.now, deadline: undefined };
  const outcome = await act(modules as Parameters<typeof act>[0], seen, plan);
  return { outcome: outcome.kind, events };
}

const apply = (present: KubeObject | undefined): Action => ({
  kind: 'apply',
  object: service,
  seen: present?.metadata,
});

test('a Service is made where none was seen, and changed as it was seen', async () => {
  const kube = new FakeKube();
  assert.equal((await tryIt(apply(undefined), kube)).outcome, 'done');
  const made = kube.read(pathOf(service));
  assert.equal((await tryIt(apply(made), kube)).outcome, 'done');
});

test('one that has changed, or come, since it was looked at is left as it is', async () => {
  const spec = { selector: { app: 'theirs' } };
  for (const isSeen of [true, false]) {
    const kube = new FakeKube();
    const path = pathOf(service);
    const before = kube.put(path, service as unknown as Stored);
    kube.set(path, (present) => ({ ...present, spec }));
    const { outcome, events } = await tryIt(apply(isSeen ? before : undefined), kube);
    assert.deepEqual([outcome, events], ['refused', []]);
    assert.deepEqual(kube.read(path)?.['spec'], spec);
  }
});

test('what somebody else has deleted already is no failure', async () => {
  const [pod] = observation.pods;
  const [volume] = observation.volumes;
  assert.ok(pod !== undefined && volume !== undefined);
  const seen = { name: 'gone', uid: 'u', resourceVersion: '1' };
  const actions: readonly Action[] = [
    { kind: 'deletePod', pod },
    { kind: 'deleteVolume', volume },
    { kind: 'deleteSecret', seen },
    { kind: 'remove', object: buildBudget(cluster, { voters: 3, target: 3 }) },
  ];
  for (const action of actions) {
    assert.deepEqual(await tryIt(action), { outcome: 'refused', events: [] }, action.kind);
  }
});

test('what is there already, or is to be changed and is gone, is one', async () => {
  const [pod] = observation.pods;
  assert.ok(pod !== undefined);
  const kube = new FakeKube();
  const { resourceVersion: _seen, uid: _of, ...metadata } = pod.metadata;
  const fresh = { ...pod, metadata };
  await kube.create(collectionPath('Pod', 'default'), fresh);
  const failed = { outcome: 'failed', events: ['Warning'] };
  assert.deepEqual(await tryIt({ kind: 'createPod', pod: fresh }, kube), failed);
  assert.deepEqual(await tryIt({ kind: 'labelPod', pod, role: 'voter' }), failed);
});

test('the lead is asked of the leader, not of one that was deposed and does not know it', async () => {
  const asked: string[] = [];
  const store = {
    moveLeader: async (leader: string) => void asked.push(leader),
  } as unknown as StoreAdmin;
  const pods = observation.pods.map((pod, at) => ({
    ...pod,
    status: { ...pod.status, podIP: `10.0.0.${at + 1}` },
  }));
  const claim = (name: string, raftTerm: number) => {
    const status = observation.memberStatuses.get(name);
    assert.ok(status !== undefined);
    return [name, { ...status, raftTerm, leaderId: status.memberId }] as const;
  };
  const action: Action = { kind: 'moveLeader', target: 'demo-3', targetId: '3' };
  for (const [deposed, leader] of [
    ['demo-1', 'demo-2'],
    ['demo-2', 'demo-1'],
  ] as const) {
    const memberStatuses = new Map([claim(deposed, 4), claim(leader, 5)]);
    const seen = { ...observation, pods, memberStatuses };
    assert.equal((await tryIt(action, new FakeKube(), { seen, store })).outcome, 'done');
    const at = pods.findIndex(({ metadata }) => metadata.name === leader);
    assert.match(asked.at(-1) ?? '', new RegExp(`10\\.0\\.0\\.${at + 1}:`));
  }
});
