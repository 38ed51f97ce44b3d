import { clientPort } from '../api/defaults.ts';
import { unseen } from '../api/schema.ts';
import type { Condition, MemberRecord, PlanRecord, StoreCluster } from '../api/types.ts';
import { quorumOf } from '../resources/budget.ts';
import { clientServiceHost } from '../resources/names.ts';
import { type Cell, type Colour, cut, duration, type Paint, table, wrap } from './terminal.ts';

/** What `kubectl mainstay status` shows: everything is from the object. `nowMs` is since the epoch. */
export function statusView(cluster: StoreCluster, nowMs: number, paint: Paint): string[] {
  const { status } = cluster;
  if (isUnseen(status)) {
    return [
      titleOf(cluster, paint),
      '',
      ...wrap(
        'No operator has looked at it yet. Is one running that looks after this namespace?',
        '',
      ),
    ];
  }
  return [
    titleOf(cluster, paint),
    ...factsOf(cluster),
    '',
    ...membersView(cluster, paint),
    '',
    ...planView(cluster, nowMs, paint),
    '',
    ...conditionsView(cluster, nowMs, paint),
  ];
}

function titleOf({ metadata, status, spec }: StoreCluster, paint: Paint): string {
  const isReady = status?.conditions?.some(
    ({ type, status: is }) => type === 'Ready' && is === 'True',
  );
  const ready = status?.ready ?? `0/${spec.replicas ?? 0}`;
  const name = `${metadata.namespace}/${metadata.name}`;
  return `${paint('bold', name)}  ${paint(isReady ? 'green' : 'yellow', `${ready} ready`)}  ${status?.version ?? ''}`.trimEnd();
}

/** Nothing, or what API servers show in its place. */
function isUnseen(status: StoreCluster['status']): boolean {
  const isEmpty = status === undefined || Object.keys(status).length === 0;
  return isEmpty || status.observedGeneration === unseen.observedGeneration;
}

function factsOf(cluster: StoreCluster): string[] {
  const { status, spec, metadata } = cluster;
  const scheme = spec.tls?.client === undefined ? 'http' : 'https';
  const facts = [
    `for clients: ${scheme}://${clientServiceHost(cluster)}:${clientPort}`,
    status?.clusterID === undefined ? 'the store was not started yet' : `id ${status.clusterID}`,
    quorumFact(status?.members ?? []),
    mirrorFact(cluster),
    parkedFact(status?.restore),
    metadata.generation === status?.observedGeneration
      ? undefined
      : 'the last edit was not looked at yet',
    metadata.deletionTimestamp === undefined ? undefined : 'it is being deleted',
  ];
  return facts.filter((fact) => fact !== undefined).flatMap((fact) => wrap(fact, ''));
}

function parkedFact(restore: NonNullable<StoreCluster['status']>['restore']): string | undefined {
  if (restore?.parked === undefined) return undefined;
  return `kept aside since the restore: ${restore.parked.join(', ')}; spec.restore.confirmRestored: ${restore.id} deletes them`;
}

function quorumFact(members: readonly MemberRecord[]): string | undefined {
  const voters = members.filter(isVoter);
  if (voters.length === 0) return undefined;
  const healthy = voters.filter((member) => member.healthy).length;
  const needed = quorumOf(voters.length);
  const spare = healthy - needed;
  const have = `quorum: ${needed} of ${voters.length} voters, ${healthy} healthy`;
  if (spare < 0) return `${have}: the store cannot serve`;
  return spare === 0 ? `${have}: none may fail` : `${have}: ${spare} more may fail`;
}

function mirrorFact({ spec, status }: StoreCluster): string | undefined {
  const { phase, revision, sourceRevision, lagSeconds } = status?.mirror ?? {};
  if (phase === undefined) return undefined;
  const endpoints = spec.bootstrap?.mirrorFrom?.endpoints.join(', ') ?? 'its source';
  if (phase === 'Done') return `cut over from ${endpoints}, at revision ${revision ?? 'unknown'}`;
  const doing = { Following: 'follows', CuttingOver: 'is cut over from', Failed: 'cannot follow' };
  const far =
    revision === undefined
      ? ''
      : `: revision ${revision} of ${sourceRevision ?? revision}, ${lagSeconds ?? 0} s behind`;
  return `${doing[phase]} ${endpoints}${far}; ${status?.mirror?.message ?? ''}`;
}

function isVoter({ role }: MemberRecord): boolean {
  return role === 'leader' || role === 'follower';
}

export function membersView({ status }: StoreCluster, paint: Paint): string[] {
  const members = status?.members ?? [];
  if (members.length === 0) return ['No members yet.'];
  const isDrawnApart = members.some(({ hash }) => hash !== undefined);
  const head = ['MEMBER', 'ROLE', 'VERSION', 'REVISION', 'DATABASE', 'HEALTH', 'NODE'];
  const titles = isDrawnApart ? [...head, 'HASH'] : head;
  const rows = members.map((member) => {
    const cells = memberCells(member);
    return isDrawnApart ? [...cells, { text: member.hash ?? '-' }] : cells;
  });
  return table([titles.map((text): Cell => ({ text, colour: 'dim' })), ...rows], paint);
}

function memberCells(member: MemberRecord): Cell[] {
  const { name, role, version, revision, databaseSize, healthy, outdated, node } = member;
  const isOld = outdated === true ? ' (old)' : '';
  return [
    { text: name },
    { text: role, ...(role === 'leader' ? { colour: 'bold' as const } : {}) },
    { text: (version ?? '-') + isOld },
    { text: revision === undefined ? '-' : String(revision) },
    { text: databaseSize ?? '-' },
    healthy ? { text: 'healthy', colour: 'green' } : { text: 'not healthy', colour: 'red' },
    { text: node ?? '-' },
  ];
}

function planView({ status }: StoreCluster, nowMs: number, paint: Paint): string[] {
  const { plan } = status ?? {};
  if (plan === undefined) return ['PLAN  not known'];
  const since = duration(nowMs - Date.parse(plan.since));
  const head = `${doing(plan)}, for ${since}${deadlineText(plan, nowMs)}`;
  const isLate = plan.deadline !== undefined && Date.parse(plan.deadline) <= nowMs;
  const colour = isLate ? 'red' : plan.decision === 'Idle' ? 'green' : 'yellow';
  return [`PLAN  ${paint(colour, head)}`, ...wrap(plan.message, '      ')];
}

function doing({ decision, reason }: PlanRecord): string {
  switch (decision) {
    case 'Idle':
      return 'nothing to do';
    case 'Act':
      return `acts: ${reason}`;
    case 'Wait':
      return `waits: ${reason}`;
  }
}

function deadlineText({ decision, deadline }: PlanRecord, nowMs: number): string {
  if (decision !== 'Wait') return '';
  if (deadline === undefined) return '; a person has to act';
  const leftMs = Date.parse(deadline) - nowMs;
  if (leftMs > 0) return `; counts as stuck in ${duration(leftMs)}`;
  return `; counts as stuck since ${duration(-leftMs)} ago`;
}

function conditionsView({ status }: StoreCluster, nowMs: number, paint: Paint): string[] {
  const conditions = status?.conditions ?? [];
  const rows = conditions.map((condition): Cell[] => [
    { text: condition.type },
    { text: condition.status, ...colourOf(condition) },
    { text: duration(nowMs - Date.parse(condition.lastTransitionTime)) },
    { text: cut(condition.reason, 24) },
  ]);
  const titles = ['CONDITION', 'STATUS', 'FOR', 'REASON'];
  const lines = table([titles.map((text): Cell => ({ text, colour: 'dim' })), ...rows], paint);
  const told = status?.plan?.message ?? '';
  // What the plan says already is not said again.
  const messages = conditions.map(({ message }) => (told.includes(message) ? undefined : message));
  return lines.flatMap((line, at) => {
    const message = at === 0 ? undefined : messages[at - 1];
    const isSaid = messages.indexOf(message) < at - 1;
    return message === undefined || isSaid ? [line] : [line, ...wrap(message, '    ')];
  });
}

/** Of these, False is the good one. */
const troubles = ['Degraded', 'Stalled'];

function colourOf({ type, status }: Condition): { readonly colour?: Colour } {
  if (type === 'Progressing') return {};
  const good = troubles.includes(type) ? 'False' : 'True';
  return { colour: status === good ? 'green' : status === 'Unknown' ? 'yellow' : 'red' };
}
