import type { StoreBackupStatus } from '../api/backup-types.ts';
import type { ContainerState, Pod } from '../api/objects.ts';
import { describeBytes } from '../api/quantity.ts';
import { hasTools } from '../api/versions.ts';
import type { BackupObservation } from '../observe/backup-observation.ts';
import { hasEnded, isTerminating } from '../observe/view.ts';
import { backupOwner, savePodName, verifyPodName } from '../resources/backup-names.ts';
import { backupLabel, buildBackupPod } from '../resources/backup-pod.ts';
import { type FoundBackup, foundAnnotation, foundIn } from '../resources/found-backup.ts';
import { namespaceOf } from '../resources/names.ts';

/** What is done for one StoreBackup now, and what its status says then. */
export interface BackupPlan {
  readonly action: BackupAction | undefined;
  readonly status: StoreBackupStatus;
  /** For the event; a pass that changes nothing has none. */
  readonly event: { readonly type: 'Normal' | 'Warning'; readonly reason: string } | undefined;
}

export type BackupAction =
  | { readonly kind: 'createPod'; readonly pod: Pod }
  | { readonly kind: 'deletePod'; readonly pod: Pod };

const failuresMax = 3;
/** How often a pod says how far it is, and the status with it. */
const toldEvery = '--progress=5s';

/**
 * Pure. One pod saves, another restores what was saved and compares; each leaves one line of JSON as its last word. What
 * is in the target is not touched afterwards: only a schedule removes backups.
 */
export function planBackup(observation: BackupObservation): BackupPlan {
  const { backup, save, verify } = observation;
  const status: StoreBackupStatus = { phase: 'Pending', ...backup.status };
  if (status.phase === 'Complete' || status.phase === 'Failed') return finish(observation, status);
  const found = foundIn(backup.metadata.annotations?.[foundAnnotation]);
  if (found !== undefined && status.object === undefined) return takeUp(status, found);
  if (status.object === undefined) {
    return save === undefined ? begin(observation, status) : watchSave(observation, status, save);
  }
  if (backup.spec.verify === false) {
    return say({ ...status, phase: 'Complete', message: whole(status) }, 'BackupComplete');
  }
  if (verify === undefined) return beginVerify(observation, status);
  return watchVerify(observation, status, verify);
}

function begin(observation: BackupObservation, status: StoreBackupStatus): BackupPlan {
  const { backup, cluster, spec, now } = observation;
  const wait = waitsFor(observation);
  if (cluster === undefined || spec === undefined || wait !== undefined) {
    const message = wait ?? `There is no StoreCluster ${backup.spec.cluster} in this namespace.`;
    return { action: undefined, status: { ...status, message }, event: undefined };
  }
  const pod = buildBackupPod(cluster, spec, {
    name: savePodName(backup),
    owner: backupOwner(backup),
    labels: { [backupLabel]: backup.metadata.name },
    command: [
      'save',
      toldEvery,
      `--backup-id=${backup.metadata.uid}`,
      `--cluster=${cluster.metadata.name}`,
      `--namespace=${namespaceOf(cluster)}`,
      `--cluster-uid=${cluster.metadata.uid}`,
    ],
    target: backup.spec.target,
    encryption: backup.spec.encryption,
    asksStore: true,
    needsScratch: false,
    restartPolicy: 'Never',
  });
  const startedAt = status.startedAt ?? now;
  return {
    action: { kind: 'createPod', pod },
    status: {
      ...status,
      phase: 'Running',
      startedAt,
      message: triedAgain(status, 'The backup is being made.'),
    },
    event: { type: 'Normal', reason: 'BackupStarted' },
  };
}

/** One that was there before this object. */
function takeUp(status: StoreBackupStatus, found: FoundBackup): BackupPlan {
  const known: StoreBackupStatus = {
    ...status,
    ...savedFields(found),
    ...(found.finishedAt === undefined ? {} : { completedAt: found.finishedAt }),
    ...(found.verifiedAt === undefined ? {} : { verifiedAt: found.verifiedAt }),
    phase: 'Complete',
  };
  return say({ ...known, message: `${whole(known)} It was found in the target.` }, 'BackupFound');
}

function waitsFor({ cluster, spec }: BackupObservation): string | undefined {
  if (spec !== undefined && !hasTools(spec.image)) {
    return `The image ${spec.image} has no tools for backups: they came with 0.2. Upgrade the StoreCluster.`;
  }
  const available = cluster?.status?.conditions?.find(({ type }) => type === 'Available');
  if (cluster === undefined || available?.status === 'True') return undefined;
  return `Waiting for the StoreCluster ${cluster.metadata.name}: ${available?.message ?? 'it is new'}`;
}

function watchSave(
  observation: BackupObservation,
  status: StoreBackupStatus,
  pod: Pod,
): BackupPlan {
  const { now } = observation;
  if (!hasEnded(pod) || isTerminating(pod)) {
    const running = { ...status, phase: 'Running' } as const;
    const of = { pod, what: 'The backup is being made' };
    return beginsNot(observation, running, of) ?? goesOn(observation, running, of);
  }
  const result = resultOf(pod);
  if (pod.status?.phase === 'Succeeded' && result !== undefined) {
    const saved: StoreBackupStatus = {
      ...withoutProgress(status),
      ...savedFields(result),
      completedAt: now,
    };
    return {
      action: { kind: 'deletePod', pod },
      status: { ...saved, message: whole(saved) },
      event: { type: 'Normal', reason: 'BackupSaved' },
    };
  }
  return failed(status, pod, 'The backup was not made');
}

interface Work {
  readonly pod: Pod;
  /** What it does. */
  readonly what: string;
}

/** What is said and done of a pod that does not start; undefined for one that does, or may yet. */
function beginsNot(
  { now, spec }: BackupObservation,
  status: StoreBackupStatus,
  { pod, what }: Work,
): BackupPlan | undefined {
  const stuck = stuckStart(pod, { now, image: spec?.image });
  if (stuck === undefined) return undefined;
  const message = triedAgain(status, `${what}, but its pod does not start: ${stuck.why}`);
  const action = stuck.isOutdated ? ({ kind: 'deletePod', pod } as const) : undefined;
  return { action, status: { ...status, message }, event: undefined };
}

/** The status with how far it is; what the pod said last stays until it says more. */
function goesOn(
  { progress }: BackupObservation,
  status: StoreBackupStatus,
  { what }: Work,
): BackupPlan {
  if (progress === undefined) {
    const message = status.progress === undefined ? triedAgain(status, `${what}.`) : status.message;
    return {
      action: undefined,
      status: { ...status, ...(message && { message }) },
      event: undefined,
    };
  }
  const { step, doneBytes, totalBytes } = progress;
  const percent =
    totalBytes === 0 ? 100 : Math.min(100, Math.floor((100 * doneBytes) / totalBytes));
  const told = `${what} (${step}: ${percent} % of ${describeBytes(totalBytes)}).`;
  const message = triedAgain(status, told);
  return { action: undefined, status: { ...status, progress, message }, event: undefined };
}

/** What is done, and why once more: a person need not wait for the last try to see what is wrong. */
function triedAgain({ failures = 0, lastFailure }: StoreBackupStatus, told: string): string {
  if (failures === 0 || lastFailure === undefined) return told;
  return `${told} Try ${failures + 1} of ${failuresMax}, since the one before failed: ${lastFailure}`;
}

/** Nothing is on its way any more. */
function withoutProgress({ progress: _progress, ...status }: StoreBackupStatus): StoreBackupStatus {
  return status;
}

function savedFields(result: Result): Partial<StoreBackupStatus> {
  const { name, revision, keys, sizeBytes, hash, storageVersion, clusterUid } = result;
  return {
    ...(name === undefined ? {} : { object: name }),
    ...(revision === undefined ? {} : { revision }),
    ...(keys === undefined ? {} : { keys }),
    ...(sizeBytes === undefined ? {} : { sizeBytes, size: describeBytes(sizeBytes) }),
    ...(hash === undefined ? {} : { hash: String(hash) }),
    ...(storageVersion === undefined ? {} : { storageVersion }),
    ...(clusterUid === undefined ? {} : { clusterUID: clusterUid }),
  };
}

function beginVerify(observation: BackupObservation, status: StoreBackupStatus): BackupPlan {
  const { backup, cluster, spec } = observation;
  if (cluster === undefined || spec === undefined) {
    const message = `The StoreCluster ${backup.spec.cluster} is gone; the backup is whole but was not restored to prove it.`;
    return say({ ...status, phase: 'Complete', message }, 'BackupComplete');
  }
  const pod = buildBackupPod(cluster, spec, {
    name: verifyPodName(backup),
    owner: backupOwner(backup),
    labels: { [backupLabel]: backup.metadata.name },
    command: ['verify', toldEvery, status.object ?? 'latest', `--cluster-uid=${status.clusterUID}`],
    target: backup.spec.target,
    encryption: backup.spec.encryption,
    asksStore: false,
    needsScratch: true,
    restartPolicy: 'Never',
  });
  const message = triedAgain(status, `${whole(status)} It is being restored to prove it.`);
  return {
    action: { kind: 'createPod', pod },
    status: { ...status, phase: 'Verifying', message },
    event: { type: 'Normal', reason: 'VerificationStarted' },
  };
}

function watchVerify(
  observation: BackupObservation,
  status: StoreBackupStatus,
  pod: Pod,
): BackupPlan {
  const { now } = observation;
  if (!hasEnded(pod) || isTerminating(pod)) {
    const verifying = { ...status, phase: 'Verifying' } as const;
    const what = `${whole(status)} It is being restored to prove it`;
    const of = { pod, what };
    return beginsNot(observation, verifying, of) ?? goesOn(observation, verifying, of);
  }
  if (pod.status?.phase === 'Succeeded') {
    const verified: StoreBackupStatus = {
      ...withoutProgress(status),
      phase: 'Complete',
      verifiedAt: now,
    };
    return {
      action: { kind: 'deletePod', pod },
      status: { ...verified, message: `${whole(verified)} It was restored and is equal.` },
      event: { type: 'Normal', reason: 'BackupVerified' },
    };
  }
  return failed(status, pod, 'The backup could not be restored');
}

/** A few tries: a pod may be evicted, a server away. The last one's words stay for a person to read. */
function failed(status: StoreBackupStatus, pod: Pod, what: string): BackupPlan {
  const failures = (status.failures ?? 0) + 1;
  const { failure } = resultOf(pod) ?? {};
  const why = whyFailed(pod);
  const isLast = failures >= failuresMax || hopeless.has(failure ?? '');
  const message = `${what}: ${why}${isLast ? '' : ` (try ${failures} of ${failuresMax})`}`;
  return {
    action: { kind: 'deletePod', pod },
    status: {
      ...withoutProgress(status),
      phase: isLast ? 'Failed' : (status.phase ?? 'Pending'),
      failures,
      lastFailure: why,
      message,
    },
    event: { type: 'Warning', reason: isLast ? 'BackupFailed' : 'BackupRetried' },
  };
}

/** Nothing is left to do but to let go of what was used. */
function finish({ save, verify }: BackupObservation, status: StoreBackupStatus): BackupPlan {
  const pod = [save, verify].find((each) => each !== undefined && !isTerminating(each));
  const action = pod === undefined ? undefined : ({ kind: 'deletePod', pod } as const);
  return { action, status, event: undefined };
}

function say(status: StoreBackupStatus, reason: string): BackupPlan {
  return { action: undefined, status, event: { type: 'Normal', reason } };
}

function whole({ object, revision, size, keys }: StoreBackupStatus): string {
  return `${object} holds revision ${revision}: ${keys} keys in ${size}.`;
}

/** Failures that no further try can mend: a person has to do something first. */
const hopeless = new Set(['WrongKey', 'NewerFormat', 'Damaged', 'ForeignObject', 'Invalid']);

/** The last word of `mainstayctl backup ...` and `mirror ...`, see server/ctl/backup-report.ts. */
interface Result {
  readonly name?: string;
  readonly revision?: number;
  readonly keys?: number;
  readonly leases?: number;
  readonly sizeBytes?: number;
  readonly hash?: number | string;
  readonly storageVersion?: string;
  readonly clusterUid?: string;
  /** One word: what went wrong. */
  readonly failure?: string;
  /** A sentence: what went wrong, and what would be right. */
  readonly message?: string;
  /** Names of backups that were removed. */
  readonly deleted?: readonly string[];
  /** What a list in brief has found. */
  readonly backups?: readonly FoundBackup[];
  /** How many it has come by that cannot be read: it does not know whose they are. Of a prune, their names. */
  readonly unreadable?: number | readonly string[];
}

/** What keeps a pod from running, as the scheduler or the kubelet says it; undefined while nothing does. */
function whyNotStarted({ metadata, status }: Pod): string | undefined {
  const unscheduled = (status?.conditions ?? []).find(
    (condition) => condition.type === 'PodScheduled' && condition.status === 'False',
  );
  if (unscheduled !== undefined) {
    return sentence(
      `${metadata.name} finds no node (${unscheduled.message ?? unscheduled.reason})`,
    );
  }
  const { reason, message } = status?.containerStatuses?.[0]?.state?.waiting ?? {};
  const isOnItsWay = ['ContainerCreating', 'PodInitializing', 'CrashLoopBackOff'].includes(
    reason ?? '',
  );
  if (reason === undefined || isOnItsWay) return undefined;
  return sentence(message === undefined ? reason : `${reason}, ${message}`);
}

/** After so long something keeps a pod from starting. */
const startMsMax = 5 * 60_000;

/**
 * Why a pod does not start; undefined for one that does, or may yet. What keeps it can be put right, and it goes on by itself,
 * but for its image: one that the store does not name any more is `isOutdated`, and another pod has to take its place.
 */
export function stuckStart(
  pod: Pod,
  { now, image }: { readonly now: string; readonly image: string | undefined },
): { readonly why: string; readonly isOutdated: boolean } | undefined {
  if (isTerminating(pod) || pod.status?.phase !== 'Pending') return undefined;
  const why = whyNotStarted(pod) ?? whySlow(pod, now);
  if (why === undefined) return undefined;
  return { why, isOutdated: image !== undefined && pod.spec.containers[0]?.image !== image };
}

/** What cannot be mounted, Kubernetes says in events alone. */
function whySlow({ metadata }: Pod, now: string): string | undefined {
  const { name, creationTimestamp = now } = metadata;
  const ageMs = Date.parse(now) - Date.parse(creationTimestamp);
  if (ageMs < startMsMax) return undefined;
  return `${name} has been starting for ${Math.floor(ageMs / 60_000)} minutes. A Secret or a claim that is not there may keep it: kubectl describe pod ${name}.`;
}

/** Why a container that is started again and again ended last time; undefined where it did not fail. */
export function lastFailure(
  pod: Pod,
): { readonly failure: string; readonly message: string } | undefined {
  const { state, lastState } = pod.status?.containerStatuses?.[0] ?? {};
  const ended = [state, lastState].find((each) => each?.terminated !== undefined);
  if (ended?.terminated?.exitCode === undefined || ended.terminated.exitCode === 0)
    return undefined;
  const { failure = 'Failed', message = ended.terminated.message ?? '' } = resultIn(ended) ?? {};
  return { failure, message: sentence(message.trim() || 'its pod failed') };
}

/** What a failed pod says of it, as a sentence. */
export function whyFailed(pod: Pod): string {
  const { terminated } = pod.status?.containerStatuses?.[0]?.state ?? {};
  const lastWords = resultOf(pod)?.message ?? terminated?.message?.trim();
  const why = lastWords || pod.status?.message || pod.status?.reason || 'its pod failed';
  return sentence(why);
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** undefined when the container said nothing that can be read, as after an eviction. */
export function resultOf(pod: Pod): Result | undefined {
  return resultIn(pod.status?.containerStatuses?.[0]?.state);
}

function resultIn(state: ContainerState | undefined): Result | undefined {
  try {
    const result: unknown = JSON.parse(state?.terminated?.message ?? '');
    return typeof result === 'object' && result !== null ? (result as Result) : undefined;
  } catch {
    return undefined;
  }
}
