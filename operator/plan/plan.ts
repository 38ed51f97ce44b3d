import type { Observation } from '../observe/observation.ts';
import { type ClusterView, viewOf } from '../observe/view.ts';
import { accessRefused } from './access-refused.ts';
import { askTheStore } from './ask-the-store.ts';
import { auth, authWaits } from './auth.ts';
import { backupFirst } from './backup-first.ts';
import { bootstrap, endBootstrap } from './bootstrap.ts';
import { budget } from './budget.ts';
import { authorities, certificates, foreignSecrets } from './certificates.ts';
import { connections, connectionsTaken, operatorAccount } from './connections.ts';
import type { Decision, Rule } from './decision.ts';
import { deletion } from './deletion.ts';
import { moveLeaderOffDrain } from './drain.ts';
import { encryptionRefused, firstEncryptionRefused, startsRefused } from './encryption.ts';
import { finalizer } from './finalizer.ts';
import { finishRemoval, removalLeftovers } from './finish-removal.ts';
import { foreignChildren } from './foreign-children.ts';
import { freeSpace } from './free-space.ts';
import { firstSecretsMissing, secretsMissing } from './given-secrets.ts';
import { growVolumes } from './grow-volumes.ts';
import { identity } from './identity.ts';
import { dropUnjoined, finishJoining, scaleUp } from './joining.ts';
import { beginMirror, firstMirrorRefused, mirror, mirrorWaits } from './mirror.ts';
import { networkPolicy } from './network-policy.ts';
import { observersDown, observersSettle, observersUp } from './observers.ts';
import { paused } from './paused.ts';
import { promote } from './promote.ts';
import { recoverQuorum, recoveryRefused } from './recover-quorum.ts';
import { replaceLost } from './replace-lost.ts';
import { restart } from './restart.ts';
import { discardParked, restoreInPlace, restoreOfSilent, restoreWaits } from './restore.ts';
import { roles } from './roles.ts';
import { roll, rollBroken } from './roll.ts';
import { rotateAuthorities, rotationWaits } from './rotate-authorities.ts';
import { scaleDown } from './scale-down.ts';
import { serials } from './serials.ts';
import { services } from './services.ts';
import { settle } from './settle.ts';
import { firstVersionRefused, versionRefused } from './version-refused.ts';

/** At most one change of the world, or the reason why there is none now. */
export type Plan = (Decision | { readonly kind: 'idle' }) & {
  /** RFC 3339: since when the same thing has been decided. */
  readonly since: string;
  /** RFC 3339: when a wait counts as stuck. */
  readonly deadline: string | undefined;
};

/**
 * The rules in their order; the first that decides, wins. The order is the argument for safety: nothing that takes
 * redundancy away comes before what gives it back, and nothing that reads the MemberList comes before it was answered.
 * One exception keeps a way out: scaling down removes a sick member, so it comes before `settle`.
 */
const rules: readonly Rule[] = [
  // Whether to work on it at all.
  deletion,
  paused,
  firstVersionRefused,
  firstSecretsMissing,
  firstEncryptionRefused,
  firstMirrorRefused,
  finalizer,
  foreignChildren,
  foreignSecrets,
  // Finish what was begun, without asking the store.
  restoreInPlace,
  serials,
  services,
  networkPolicy,
  operatorAccount,
  authorities,
  connections,
  certificates,
  growVolumes,
  recoverQuorum,
  rollBroken,
  bootstrap,
  restart,
  restoreOfSilent,
  recoveryRefused,
  // From here on the store has answered.
  accessRefused,
  askTheStore,
  identity,
  finishJoining,
  roles,
  budget,
  moveLeaderOffDrain,
  // One repair, then promotion, then removal.
  freeSpace,
  replaceLost,
  promote,
  finishRemoval,
  // What the spec wants, once all is well.
  dropUnjoined,
  observersDown,
  scaleDown,
  mirror,
  startsRefused,
  restoreWaits,
  settle,
  endBootstrap,
  auth,
  rotateAuthorities,
  encryptionRefused,
  backupFirst,
  scaleUp,
  roll,
  observersUp,
  observersSettle,
  beginMirror,
  removalLeftovers,
  discardParked,
  rotationWaits,
  authWaits,
  secretsMissing,
  connectionsTaken,
  mirrorWaits,
  versionRefused,
];

/** Pure: the same observation always gives the same plan. */
export function plan(observation: Observation): Plan {
  const decision = decide(viewOf(observation)) ?? ({ kind: 'idle' } as const);
  const since = sinceWhen(observation, decision);
  return { ...decision, since, deadline: deadlineOf(decision, since) };
}

function decide(view: ClusterView): Decision | undefined {
  for (const rule of rules) {
    const decision = rule(view);
    if (decision !== undefined) return decision;
  }
  return undefined;
}

/** What `status.plan` calls a decision. */
export function reasonOf(decision: Decision | { readonly kind: 'idle' }): string {
  return decision.kind === 'idle' ? 'Converged' : decision.reason;
}

export const decisionNames = { act: 'Act', wait: 'Wait', idle: 'Idle' } as const;

function sinceWhen(
  observation: Observation,
  decision: Decision | { readonly kind: 'idle' },
): string {
  const previous = observation.cluster.status?.plan;
  const same =
    previous?.decision === decisionNames[decision.kind] && previous.reason === reasonOf(decision);
  return same ? previous.since : observation.now;
}

function deadlineOf(decision: Decision | { readonly kind: 'idle' }, since: string) {
  if (decision.kind !== 'wait' || decision.limitMs === undefined) return undefined;
  return new Date(Date.parse(since) + decision.limitMs).toISOString();
}
