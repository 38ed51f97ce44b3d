import { createHash } from 'node:crypto';
import type { Observation } from '../../../operator/observe/observation.ts';
import { viewOf } from '../../../operator/observe/view.ts';
import type { Plan } from '../../../operator/plan/plan.ts';
import type { Stored } from '../support/fake-kube.ts';
import type { FakeStore } from '../support/fake-store.ts';
import type { World } from './world.ts';

/** Objects never change in place: each is described once. */
const described = new WeakMap<Stored, string>();

/**
 * Everything of a world that its future depends on, in one short text: two worlds with the same go on alike. Versions,
 * UIDs and times do not count, but how long something has lasted, roughly.
 */
export function worldKey(world: World, more: readonly unknown[]): string {
  const objects = world.kube.all().map((object) => {
    const known = described.get(object) ?? describe(object);
    described.set(object, known);
    return known;
  });
  const stores = [...world.storage.stores].map(([token, store]) => [token, describeStore(store)]);
  const disks = world.volumes().map((volume) => world.storage.disk(volume));
  const containers = world.pods().map((pod) => world.kubelet.describe(pod));
  const { conditions } = world;
  const outside = [
    conditions.hasLocalVolumes,
    conditions.mayGrow,
    [...conditions.drained],
    world.mirrors.describe(),
  ];
  const rest = JSON.stringify([stores, disks, containers, outside, lasting(world), more]);
  return createHash('sha1').update(objects.join('\n')).update(rest).digest('base64').slice(0, 20);
}

function describe(object: Stored): string {
  const { metadata, status, ...rest } = object;
  const { name, labels, annotations, deletionTimestamp, finalizers, generation } = metadata;
  const isCluster = object.kind === 'StoreCluster';
  const notes = Object.entries(annotations ?? {}).filter(([note]) => !note.startsWith('sim/'));
  const kept = [name, labels, notes, deletionTimestamp !== undefined, finalizers];
  const owner = isCluster ? [metadata.uid, generation] : [];
  return JSON.stringify([kept, owner, rest, isCluster ? withoutTimes(status) : status]);
}

function withoutTimes(status: unknown): unknown {
  const text = JSON.stringify(status ?? {}, (name, value: unknown) =>
    ['lastTransitionTime', 'since', 'deadline', 'at', 'takenAt'].includes(name) ? undefined : value,
  );
  return text;
}

function describeStore(store: FakeStore): unknown {
  const { members, leaderId, liveBytes, historyBytes, alarms, entriesPerTurn } = store;
  const last = store.lastIndex;
  const raft = members.map(({ applied, ...member }) => [member, Math.min(last - applied, 5_001)]);
  const sets = [[...store.running].sort(), [...store.removed].sort()];
  return [raft, sets, leaderId, liveBytes, historyBytes, alarms, entriesPerTurn];
}

/** How long what a decision counts from has lasted, as far as any rule cares. */
function lasting(world: World): unknown {
  const { status } = world;
  const pods = world
    .pods()
    .flatMap(({ metadata }) => [
      metadata.deletionTimestamp,
      metadata.annotations?.['sim/dead-since'] ?? '',
    ]);
  const times = [status?.plan?.since, status?.space?.at, status?.growthRefused?.at];
  return [...times, ...pods].map((time) => roughly(world.nowMs, time));
}

const edgesMs = [1_000, 5_000, 20_000, 50_000, 120_000, 300_000, 600_000, 1_800_000];

function roughly(nowMs: number, time: string | undefined): number {
  if (time === undefined || time === '') return -1;
  const sinceMs = /^[0-9]+$/.test(time) ? Number(time) : Date.parse(time);
  return edgesMs.filter((edge) => nowMs - sinceMs >= edge).length;
}

/** What the planner saw, without names, numbers and times that mean nothing to it, and what it decided. */
export function plannerState(observation: Observation, plan: Plan): string {
  const view = viewOf(observation);
  const { cluster, spec, store } = observation;
  const members = view.members.map((member) => {
    const { pod, volume, raft, recordedId, status, isLeader, isHealthy, isAnswering } = member;
    const waiting = pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
    return [
      volume && [volume.metadata.deletionTimestamp !== undefined, volume.spec.resources.requests],
      pod && [pod.metadata.deletionTimestamp !== undefined, pod.status?.phase, waiting],
      raft && [raft.learner, raft.name === ''],
      [recordedId === undefined, status === undefined, isLeader, isHealthy, isAnswering],
      [member.isOutdated, member.alarms],
    ];
  });
  const { status, metadata } = cluster;
  const recorded = [status?.joining, status?.bootstrap, status?.space].map(
    (it) => it !== undefined,
  );
  const wanted = [spec.replicas, spec.paused, spec.recovery, spec.update, spec.deletionPolicy];
  const decision = plan.kind === 'act' ? plan.action.kind : plan.kind;
  const seen = [members, recorded, wanted, store.kind, metadata.deletionTimestamp !== undefined];
  const reason = plan.kind === 'idle' ? '' : plan.reason;
  const text = JSON.stringify([seen, view.strangers.length, decision, reason]);
  return createHash('sha1').update(text).digest('base64').slice(0, 12);
}
