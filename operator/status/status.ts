import type { Outcome } from '../act/act.ts';
import { mergeConditions } from '../api/conditions.ts';
import { describeBytes } from '../api/quantity.ts';
import { membersMax, messageLengthMax, parkedMax } from '../api/schema.ts';
import type { MemberRecord, PlanRecord, StoreClusterStatus } from '../api/types.ts';
import { tagOf } from '../api/versions.ts';
import type { Observation } from '../observe/observation.ts';
import { type ClusterView, hasNoVote, isVoter, type MemberView, viewOf } from '../observe/view.ts';
import { decisionNames, type Plan, reasonOf } from '../plan/plan.ts';
import { clusterLabel } from '../resources/labels.ts';
import { observersWanted } from '../resources/observers.ts';
import { certificateRecords } from './certificates.ts';
import { findingsOf } from './findings.ts';
import { migrated, mirrorRecord } from './mirror.ts';

/** The whole status after a pass. Pure; what was recorded by an action is kept as the outcome has it. */
export function statusOf(
  observation: Observation,
  plan: Plan,
  outcome: Outcome,
): StoreClusterStatus {
  const view = viewOf(observation);
  const { cluster, spec, now } = observation;
  const recorded = outcome.cluster.status ?? {};
  const { nextSerial, joining, bootstrap, clusterID, conditions = [] } = recorded;
  const generation = cluster.metadata.generation ?? 0;
  const mirror = mirrorRecord(view, recorded.mirror);
  const leader = view.members.find((member) => member.isLeader);
  return withoutUndefined({
    observedGeneration: generation,
    replicas: replicasOf(view),
    selector: `${clusterLabel}=${cluster.metadata.name}`,
    ready: `${view.healthyVoterCount}/${spec.replicas}`,
    observers: observersOf(view),
    version: versionOf(view),
    image: imageOf(observation, plan),
    leader: leader?.name,
    clusterID,
    nextSerial,
    joining,
    bootstrap,
    restore: restoreRecord(observation, recorded.restore),
    mirror,
    // What was made before a change is not one before the next.
    beforeChange: cluster.status?.image === spec.image ? undefined : recorded.beforeChange,
    space: recorded.space,
    growthRefused: recorded.growthRefused,
    certificates: certificateRecords(observation),
    members: memberRecords(view).slice(0, membersMax),
    conditions: mergeConditions(
      conditions,
      [...findingsOf(view, plan, outcome), ...migrated(view, mirror)],
      { now, generation },
    ),
    plan: planRecord(plan),
  });
}

function restoreRecord(
  { parked }: Observation,
  recorded: StoreClusterStatus['restore'],
): StoreClusterStatus['restore'] {
  if (recorded === undefined) return undefined;
  const { parked: _former, ...restore } = recorded;
  const names = parked.map(({ metadata }) => metadata.name).slice(0, parkedMax);
  return names.length === 0 ? restore : { ...restore, parked: names };
}

/**
 * What a member gets while the spec names nothing. What it names is recorded once all members run it: until then, to take
 * the name out of the spec is to go back.
 */
function imageOf({ cluster, spec }: Observation, plan: Plan): string | undefined {
  const isNamed = spec.imageWanted !== undefined || spec.version !== undefined;
  return !isNamed || plan.kind === 'idle' ? spec.image : cluster.status?.image;
}

/** Members that there are; while the store is silent, those that the volumes speak of. */
function replicasOf({ answered, members }: ClusterView): number {
  return members
    .filter(({ isObserver }) => !isObserver)
    .filter(({ raft, recordedId }) => (answered ? raft !== undefined : recordedId !== undefined))
    .length;
}

/** It stays as long as their Service, which is looked for because of it. */
function observersOf({ members, observation }: ClusterView): string | undefined {
  const { spec, observersService } = observation;
  const observers = members.filter(({ isObserver }) => isObserver);
  const isThere = observers.length > 0 || observersService !== undefined;
  if (spec.observers === undefined && !isThere) return undefined;
  const healthy = observers.filter(({ isHealthy }) => isHealthy).length;
  return `${healthy}/${observersWanted(spec)}`;
}

/** While the store is silent, members of which nothing is left are still known: their voices are missing. */
function memberRecords(view: ClusterView): readonly MemberRecord[] {
  const present = view.members.map(recordOf);
  if (view.answered) return present;
  const previous = view.observation.cluster.status?.members ?? [];
  const missing = previous.filter(
    ({ name, id }) => id !== undefined && !present.some((member) => member.name === name),
  );
  const records = present.map((record) => {
    const before = previous.find(({ name }) => name === record.name);
    return withoutUndefined({
      ...record,
      id: record.id ?? before?.id,
      role: before !== undefined && hasNoVote(before) ? before.role : record.role,
      revision: record.revision ?? before?.revision,
    });
  });
  const gone = missing.map(({ name, id, role, revision }) =>
    withoutUndefined({
      revision,
      name,
      id,
      role: hasNoVote({ role }) ? role : ('none' as const),
      healthy: false,
    }),
  );
  return [...records, ...gone];
}

function recordOf(member: MemberView): MemberRecord {
  const image = member.pod?.spec.containers[0]?.image;
  return withoutUndefined({
    name: member.name,
    id: member.raft?.id ?? member.recordedId,
    role: roleOf(member),
    pod: member.pod?.metadata.name,
    node: member.pod?.spec.nodeName,
    version: image === undefined ? undefined : tagOf(image),
    revision: member.status?.revision,
    databaseSize:
      member.status === undefined ? undefined : describeBytes(member.status.databaseBytes),
    hash: member.status?.hash,
    outdated: member.isOutdated ? true : undefined,
    healthy: member.isHealthy,
  });
}

function roleOf(member: MemberView): MemberRecord['role'] {
  if (member.raft === undefined) return 'none';
  if (member.isLeader) return 'leader';
  if (member.isObserver) return 'observer';
  return isVoter(member) ? 'follower' : 'learner';
}

/** The tags of the images that run; more than one while they change. */
function versionOf({ members, observation }: ClusterView): string {
  const images = members.flatMap(({ pod }) => pod?.spec.containers[0]?.image ?? []);
  const tags = images.length > 0 ? images.map(tagOf) : [tagOf(observation.spec.image)];
  return [...new Set(tags)].sort().join(',');
}

function planRecord(plan: Plan): PlanRecord {
  const message = plan.kind === 'idle' ? 'The store is as the spec wants it.' : plan.message;
  return withoutUndefined({
    decision: decisionNames[plan.kind],
    reason: reasonOf(plan),
    message: message.slice(0, messageLengthMax),
    since: plan.since,
    deadline: plan.deadline,
  });
}

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> };

/** JSON has no undefined: a field that is not known is absent. */
function withoutUndefined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Defined<T>;
}
