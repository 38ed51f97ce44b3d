import type { Outcome } from '../act/act.ts';
import type { Finding } from '../api/conditions.ts';
import { type ClusterView, isVoter, type MemberView } from '../observe/view.ts';
import { type Plan, reasonOf } from '../plan/plan.ts';
import { expiringCertificate } from './certificates.ts';

/** What the conditions say after a pass. Pure: one function for each condition. */
export function findingsOf(view: ClusterView, plan: Plan, outcome: Outcome): readonly Finding[] {
  return [
    available(view),
    progressing(view, plan, outcome),
    degraded(view, plan, outcome),
    ready(view, plan, outcome),
    ...stalled(view, plan),
  ];
}

/** Whether clients are served: there is a leader and a quorum answered through it. */
function available({ answered, leaderId, observation }: ClusterView): Finding {
  const type = 'Available';
  if (answered && leaderId !== undefined) {
    return {
      type,
      status: 'True',
      reason: 'Serving',
      message: 'The store has a leader and a quorum.',
    };
  }
  if (observation.cluster.status?.clusterID === undefined) {
    const message = 'The store has not been started yet.';
    return { type, status: 'False', reason: 'NotStarted', message };
  }
  if (observation.memberStatuses.size > 0) {
    const message = 'Members answer, but they have no leader or no quorum.';
    return { type, status: 'False', reason: 'QuorumLost', message };
  }
  if (observation.pods.length === 0) {
    return { type, status: 'False', reason: 'NoPods', message: 'No member runs.' };
  }
  return { type, status: 'Unknown', reason: 'CannotAsk', message: 'No member can be asked.' };
}

/** Whether something is being changed or awaited. False when that has taken too long, or waits for a person. */
function progressing(view: ClusterView, plan: Plan, outcome: Outcome): Finding {
  const type = 'Progressing';
  if (plan.kind === 'idle') {
    return { type, status: 'False', reason: reasonOf(plan), message: 'Nothing is left to do.' };
  }
  if (isOverdue(view, plan)) {
    return { type, status: 'False', reason: 'Overdue', message: plan.message };
  }
  if (isStopped(plan) || plan.reason === 'Paused') {
    return { type, status: 'False', reason: plan.reason, message: plan.message };
  }
  const notYet = outcome.kind === 'refused' ? ` Not yet: ${outcome.error.message}.` : '';
  return { type, status: 'True', reason: plan.reason, message: plan.message + notYet };
}

/** Whether something is wrong that was right before, or that a person has to look at. */
function degraded(view: ClusterView, plan: Plan, outcome: Outcome): Finding {
  const type = 'Degraded';
  if (outcome.kind === 'failed') {
    const message = `${reasonOf(plan)} failed: ${outcome.error.message}`;
    return { type, status: 'True', reason: 'ActionFailed', message };
  }
  if (plan.kind === 'wait' && (isStopped(plan) || isOverdue(view, plan))) {
    return { type, status: 'True', reason: plan.reason, message: plan.message };
  }
  const sick = view.members.filter((member) => isVoter(member) && !member.isHealthy);
  if (sick.length > 0) {
    const message = `Not healthy: ${namesOf(sick)}.`;
    return { type, status: 'True', reason: 'MemberNotHealthy', message };
  }
  if (view.observation.cluster.status?.clusterID !== undefined && !view.answered) {
    const message = 'The store cannot be asked for its members.';
    return { type, status: 'True', reason: 'StoreSilent', message };
  }
  const lack = lackOfRoom(view, outcome);
  if (lack !== undefined) return { type, status: 'True', ...lack };
  const expiring = expiringCertificate(view.observation);
  if (expiring !== undefined) {
    const message = `The certificate in the Secret ${expiring.name} ends ${expiring.expires}: put a new one there.`;
    return { type, status: 'True', reason: 'CertificateExpiring', message };
  }
  return { type, status: 'False', reason: 'AllWell', message: 'Nothing is wrong.' };
}

function lackOfRoom(
  view: ClusterView,
  outcome: Outcome,
): Pick<Finding, 'reason' | 'message'> | undefined {
  const refused = outcome.cluster.status?.growthRefused;
  if (refused !== undefined && refused.size === view.observation.spec.storage.size) {
    const message = `The volumes cannot grow to ${refused.size}: ${refused.message}`;
    return { reason: 'GrowthRefused', message };
  }
  if (!view.members.some(({ alarms }) => alarms.includes('NOSPACE'))) return undefined;
  const message =
    'The database is full and refuses writes. Delete keys that are not needed, or raise storage.size or options.quota.';
  return { reason: 'NoSpace', message };
}

/** Whether the spec is met: what `kubectl wait` waits for. */
function ready(view: ClusterView, plan: Plan, outcome: Outcome): Finding {
  const type = 'Ready';
  const { replicas } = view.observation.spec;
  if (plan.kind !== 'idle' || outcome.kind !== 'done') {
    const message = plan.kind === 'idle' ? 'The last action failed.' : plan.message;
    return { type, status: 'False', reason: reasonOf(plan), message };
  }
  const healthy = `${replicas} of ${replicas} members are healthy.`;
  const message = [healthy, ...advice(replicas)].join(' ');
  return { type, status: 'True', reason: 'Converged', message };
}

/** Whether nothing will come of waiting: what kstatus calls failed. Someone who pauses it wants it so. */
function stalled(view: ClusterView, plan: Plan): readonly Finding[] {
  if (plan.kind !== 'wait' || !(isStopped(plan) || isOverdue(view, plan))) return [];
  return [{ type: 'Stalled', status: 'True', reason: plan.reason, message: plan.message }];
}

function advice(replicas: number): readonly string[] {
  if (replicas % 2 === 1) return [];
  const [below, above] = [replicas - 1, replicas + 1];
  return [
    `An even number survives no more failures than ${below}: ${below} or ${above} is better.`,
  ];
}

function namesOf(members: readonly MemberView[]): string {
  return members.map((member) => member.name).join(', ');
}

/** Nothing but a person goes on from here, who may want it so. */
function isStopped(plan: Plan): boolean {
  return plan.kind === 'wait' && plan.limitMs === undefined && plan.reason !== 'Paused';
}

function isOverdue({ observation }: ClusterView, plan: Plan): boolean {
  return plan.deadline !== undefined && Date.parse(observation.now) >= Date.parse(plan.deadline);
}
