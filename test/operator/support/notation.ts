import assert from 'node:assert/strict';
import { load } from 'js-yaml';
import { type CompleteSpec, completeSpec } from '../../../operator/api/defaults.ts';
import type {
  KubeObject,
  Labels,
  Node,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../../../operator/api/objects.ts';
import type { StoreCluster, StoreClusterStatus } from '../../../operator/api/types.ts';
import type {
  Alarm,
  BackupFirst,
  CutOverWait,
  MemberStatus,
  MirrorWork,
  Observation,
  RaftMember,
} from '../../../operator/observe/observation.ts';
import { buildBudget } from '../../../operator/resources/budget.ts';
import {
  beginsAnnotation,
  childLabels,
  clusterUidLabel,
  finalizer,
  memberIdAnnotation,
  type PodRole,
  recoveredAnnotation,
  restoredAnnotation,
  restoreLabel,
  roleLabel,
} from '../../../operator/resources/labels.ts';
import {
  buildCutOverPod,
  buildFollowerPod,
  mirrorFromOf,
} from '../../../operator/resources/mirror.ts';
import { clusterToken, peerUrl, serialOf } from '../../../operator/resources/names.ts';
import { buildPod } from '../../../operator/resources/pod.ts';
import type { RestoreSource } from '../../../operator/resources/restore.ts';
import {
  buildClientService,
  buildObserversService,
  buildPeersService,
} from '../../../operator/resources/services.ts';
import { buildVolume } from '../../../operator/resources/volume.ts';
import { parseSecurity } from './secret-notation.ts';

// A compact text for an Observation. Words that are left out mean "as it should be".
//
//   cluster replicas=3 uid=u1 id=abc next=4 seed=demo-1 joining=demo-4 policy=Delete finalizer=no deleting
//           size=1Gi version=0.2.0 (of the spec; what runs has 1Gi and 0.2.0)
//           services=no|foreign budget=no|foreign|N              (a word `key=-` takes a recorded value away)
//   demo-1 volume=1|new|none[,terminating][,uid=U][,2Gi][,recovered][,restored=ID] pod=ready|starting|pending|crashing|damaged|failed|terminating|none[,uid=U]
//          voter|learner|observer [leader] [unstarted] [raftid=N] [mute] [leaderless] [applied=N] [role=learner]
//          [new] (made of the present spec, not of the first one) [forced] [begins] (as the first one; begins=0.1: as release 0.1 made it) [node=n1]
//          [db=BYTES]
//   stranger 77 voter|learner
//   silent why nobody could be asked
//   spec {update: {surge: true}}                            (more of the spec; `status {...}` of the status)
//   node n1 [cordoned] [dead]                               (a member's is `node=n1`; no line: nodes are not seen)
//   alarm NOSPACE 2
//   prior Wait MemberNotHealthy 09:50
//   source ID                                               (what a restore that is wanted is from)
//   parked NAME [terminating]                               (a volume that a restore has put aside)
//   schedule NAME                                           (a StoreBackupSchedule of this store)
//   before Complete|Failed|... why                          (the StoreBackup that is made before a change of the image)
//   work NAME[@ID] running|terminating|done|failed|waiting why   (a pod that works on a backup; of the restore ID, of `source` by default)
//   follower running|old|ended [justnow]|terminating|pending why|down {...}|again {...}   (the pod that follows a source; the result of its last life)
//   cutover running|done {...}|down {...}|terminating      (the one that cuts over)
//   said copying|following REVISION/SOURCE LAG [what it waits for]     (the last line of the follower)
//   notyet behind|written|different why                    (the last line of the cut-over)
//   secret, loaded, auth, applied, access                   (see secret-notation.ts)

const now = '2026-01-01T10:00:00.000Z';
const nonce = 'n1';
/** What the members were made of. */
const running = completeSpec(
  { storage: { size: '1Gi' } },
  { repository: 'mainstay', present: ['mainstay:0.1.0'] },
);

export function parseObservation(lines: readonly string[]): Observation {
  const words = lines.map((line) => line.split(/\s+/));
  const clusterWords = wordsOf(words.find(([first]) => first === 'cluster') ?? ['cluster']);
  const memberLines = words.filter(([first]) => first?.startsWith('demo-'));
  const cluster = parseCluster(clusterWords, memberLines, words);
  const members = memberLines.map((line) => parseMember(cluster, line));
  const silent = words.find(([first]) => first === 'silent');
  const raftMembers = members.flatMap(({ raft }) => raft ?? []);
  const strangers = words.filter(([first]) => first === 'stranger').map(parseStranger);
  const security = parseSecurity(cluster, words);
  const leaderId = members.find((member) => member.isLeader)?.raft?.id ?? '0';
  return {
    now,
    nonce,
    cluster,
    spec: specOf(cluster),
    pods: [
      ...members.flatMap(({ pod }) => pod ?? []),
      ...words
        .filter(([first]) => first === 'work')
        .map((line) => parseWork(cluster, line, parseSource(words)?.id)),
    ],
    volumes: members.flatMap(({ volume }) => volume ?? []),
    ...parseChildren(cluster, clusterWords, raftMembers),
    store:
      silent !== undefined || raftMembers.length === 0
        ? { kind: 'silent', reason: silent?.slice(1).join(' ') ?? 'no pod has an address yet' }
        : {
            kind: 'answered',
            clusterId: 'abc',
            members: [...raftMembers, ...strangers],
            alarms: parseAlarms(words),
          },
    nodes: parseNodes(words),
    networkPolicy: undefined,
    restore: parseSource(words),
    parked: parseParked(words),
    backupFirst: parseBackupFirst(words),
    ...security,
    mirror: parseMirror(cluster, words, security.secrets),
    memberStatuses: new Map(
      members.flatMap(({ name, status }) => (status ? [[name, { leaderId, ...status }]] : [])),
    ),
  };
}

function parseSource(lines: readonly string[][]): RestoreSource | undefined {
  const [, id] = lines.find(([first]) => first === 'source') ?? [];
  if (id === undefined) return undefined;
  const target = { volume: { claimName: 'backups' } };
  return { id, target, encryption: undefined, which: [`backup-of-${id}`] };
}

function parseParked(lines: readonly string[][]): PersistentVolumeClaim[] {
  return lines
    .filter(([first]) => first === 'parked')
    .map(([, name = '', state]) => ({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        name,
        namespace: 'default',
        ...(state === 'terminating' ? { deletionTimestamp: '2026-01-01T09:59:00Z' } : {}),
      },
      spec: { accessModes: [], resources: { requests: { storage: '1Gi' } } },
    }));
}

function parseBackupFirst(lines: readonly string[][]): BackupFirst | undefined {
  const [, name] = lines.find(([first]) => first === 'schedule') ?? [];
  if (name === undefined) return undefined;
  const [before, phase, ...why] = lines.find(([first]) => first === 'before') ?? [];
  const apiVersion = 'mainstay.dev/v1alpha1';
  const spec = { cluster: 'demo', target: { volume: { claimName: 'backups' } } };
  const schedule = { ...spec, schedule: '@daily' };
  return {
    schedule: { apiVersion, kind: 'StoreBackupSchedule', metadata: { name }, spec: schedule },
    backup:
      before === undefined
        ? undefined
        : {
            apiVersion,
            kind: 'StoreBackup',
            metadata: { name: 'demo-before-1' },
            spec,
            status: { phase: phase as 'Complete', message: why.join(' ') },
          },
  };
}

function parseWork(
  cluster: StoreCluster,
  [, text = '', state, ...why]: readonly string[],
  source: string | undefined,
): Pod {
  const [name = '', id = source] = text.split('@');
  const terminated = { exitCode: 1, message: why.join(' ') };
  const phase =
    state === 'done'
      ? 'Succeeded'
      : state === 'failed'
        ? 'Failed'
        : state === 'waiting'
          ? 'Pending'
          : 'Running';
  const labels = { ...childLabels(cluster), ...(id === undefined ? {} : { [restoreLabel]: id }) };
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', uid: name, labels },
    spec: { containers: [{ name: 'backup', image: 'mainstay' }] },
    status: {
      phase,
      ...(state === 'failed' ? { containerStatuses: [{ state: { terminated } }] } : {}),
      ...(state === 'waiting'
        ? { containerStatuses: [{ state: { waiting: { reason: why.join(' ') } } }] }
        : {}),
    },
  };
  return withFlags(pod, [state ?? '']);
}

function parseMirror(
  cluster: StoreCluster,
  lines: readonly string[][],
  secrets: Observation['secrets'],
): MirrorWork | undefined {
  const known = mirrorFromOf(cluster.spec);
  if (known === undefined && cluster.status?.mirror === undefined) return undefined;
  const source = known ?? { endpoints: ['http://gone:2379'] };
  const lineOf = (what: string) => lines.find(([first]) => first === what);
  const [, phase, revisions = '', lag, ...waiting] = lineOf('said') ?? [];
  const [revision = 0, sourceRevision = 0] = revisions.split('/').map(Number);
  const [, why, ...message] = lineOf('notyet') ?? [];
  const pod = (what: string, build: typeof buildFollowerPod) => {
    const line = lineOf(what);
    const built = build(cluster, specOf(cluster), source, secrets);
    return line === undefined ? undefined : mirrorPod(built, line);
  };
  return {
    follower: pod('follower', buildFollowerPod),
    cutOver: pod('cutover', buildCutOverPod),
    progress:
      phase === undefined
        ? undefined
        : {
            isCopying: phase === 'copying',
            revision,
            sourceRevision,
            lagSeconds: Number(lag),
            waitingFor: waiting.length === 0 ? undefined : waiting.join(' '),
          },
    notYet:
      why === undefined
        ? undefined
        : { why: why as CutOverWait['why'], message: message.join(' ') },
  };
}

function mirrorPod(built: Pod, [, state = '', ...words]: readonly string[]): Pod {
  const message = words.join(' ');
  const down = {
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 1, message } },
  };
  const done = { state: { terminated: { exitCode: 0, message } } };
  const statuses: Readonly<Record<string, NonNullable<Pod['status']>>> = {
    done: { phase: 'Succeeded', containerStatuses: [done] },
    ended: { phase: 'Failed', reason: 'Evicted' },
    pending: {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', message }],
    },
    down: { phase: 'Running', containerStatuses: [down] },
    again: { phase: 'Running', containerStatuses: [{ ...down, state: {} }] },
  };
  const annotations = state === 'old' ? {} : built.metadata.annotations;
  const creationTimestamp = words.includes('justnow') ? now : '2026-01-01T09:00:00Z';
  const metadata = { ...built.metadata, creationTimestamp, ...(annotations && { annotations }) };
  const status = statuses[state] ?? { phase: 'Running' };
  return withFlags({ ...built, metadata, status }, [state]);
}

function parseAlarms(lines: readonly string[][]): Alarm[] {
  return lines
    .filter(([first]) => first === 'alarm')
    .map(([, kind, memberId = '']) => ({ kind: kind as Alarm['kind'], memberId }));
}

function parseNodes(lines: readonly string[][]): ReadonlyMap<string, Node> | undefined {
  const nodes = lines.filter(([first]) => first === 'node');
  if (nodes.length === 0) return undefined;
  return new Map(
    nodes.map(([, name = '', ...flags]) => {
      const status = flags.includes('dead') ? 'False' : 'True';
      const node: Node = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name },
        spec: flags.includes('cordoned') ? { unschedulable: true } : {},
        status: { conditions: [{ type: 'Ready', status }] },
      };
      return [name, node];
    }),
  );
}

function specOf({ spec }: StoreCluster): CompleteSpec {
  return completeSpec(spec, { repository: 'mainstay', present: ['mainstay:0.1.0'] });
}

type Words = ReadonlyMap<string, string>;

function wordsOf(line: readonly string[]): Words {
  return new Map(
    line.slice(1).map((word) => {
      const cut = word.indexOf('=');
      return cut < 0 ? [word, ''] : [word.slice(0, cut), word.slice(cut + 1)];
    }),
  );
}

function parseCluster(
  words: Words,
  memberLines: readonly string[][],
  lines: readonly string[][],
): StoreCluster {
  const serials = memberLines.map(([name]) => Number(name?.slice('demo-'.length)));
  const field = (key: string, otherwise: string) => {
    const value = words.get(key) ?? otherwise;
    return value === '-' ? undefined : value;
  };
  const id = field('id', 'abc');
  const next = field('next', String(1 + Math.max(0, ...serials)));
  const seed = field('seed', 'demo-1');
  const prior = lines.find(([first]) => first === 'prior');
  const status = {
    ...(id === undefined ? {} : { clusterID: id }),
    ...(next === undefined ? {} : { nextSerial: Number(next) }),
    ...(seed === undefined ? {} : { bootstrap: { nonce, seed } }),
    ...(words.has('joining') ? { joining: words.get('joining') } : {}),
    ...(prior === undefined ? {} : { plan: parsePrior(prior) }),
    ...parseFurther(lines, 'status'),
  } as StoreClusterStatus;
  return {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: {
      name: 'demo',
      namespace: 'default',
      uid: words.get('uid') ?? 'u1',
      resourceVersion: '1',
      generation: 1,
      finalizers: words.get('finalizer') === 'no' ? [] : [finalizer],
      ...(words.has('deleting') ? { deletionTimestamp: now } : {}),
    },
    spec: {
      replicas: Number(words.get('replicas') ?? '3'),
      storage: { size: words.get('size') ?? '1Gi' },
      ...(words.has('version') ? { version: words.get('version') ?? '' } : {}),
      ...(words.has('policy') ? { deletionPolicy: words.get('policy') as 'Delete' } : {}),
      ...parseFurther(lines, 'spec'),
    },
    status,
  };
}

/** `spec {update: {surge: true}}`: fields in YAML's flow style. */
function parseFurther(lines: readonly string[][], what: 'spec' | 'status'): object {
  const line = lines.find(([first]) => first === what);
  return line === undefined ? {} : (load(line.slice(1).join(' ')) as object);
}

function parsePrior([, decision, reason = '', time = '']: readonly string[]) {
  return { decision, reason, message: 'Before.', since: `2026-01-01T${time}:00.000Z` };
}

function parseChildren(cluster: StoreCluster, words: Words, raftMembers: readonly RaftMember[]) {
  const voters = raftMembers.filter((member) => !member.learner).length;
  const target = cluster.spec.replicas ?? 3;
  const desired = buildBudget(cluster, { voters, target });
  const budgetWord = words.get('budget');
  const minAvailable = Number(budgetWord ?? desired.spec.minAvailable);
  const budget: PodDisruptionBudget = { ...desired, spec: { ...desired.spec, minAvailable } };
  const services = words.get('services');
  const service = (object: Service) => (services === 'foreign' ? foreign(object) : object);
  return {
    peersService: services === 'no' ? undefined : service(buildPeersService(cluster)),
    clientService: services === 'no' ? undefined : service(buildClientService(cluster)),
    observersService:
      words.has('observersservice') || cluster.spec.observers !== undefined
        ? buildObserversService(cluster)
        : undefined,
    budget: budgetWord === 'no' ? undefined : budgetWord === 'foreign' ? foreign(desired) : budget,
  };
}

function foreign<T extends KubeObject>(object: T, uid = 'other'): T {
  const labels: Labels = { ...object.metadata.labels, [clusterUidLabel]: uid };
  return { ...object, metadata: { ...object.metadata, labels } };
}

function parseStranger([, id = '', role]: readonly string[]): RaftMember {
  const url = `http://elsewhere-${id}:2380`;
  return { id, name: `stranger-${id}`, peerUrls: [url], learner: role === 'learner' };
}

function parseMember(cluster: StoreCluster, line: readonly string[]) {
  const [name = ''] = line;
  const words = wordsOf(line);
  const serial = serialOf(cluster, name);
  assert.ok(serial !== undefined, `no member name: ${name}`);
  const raft = parseRaft(cluster, name, words);
  const podState = (words.get('pod') ?? 'ready').split(',')[0] ?? '';
  return {
    name,
    raft,
    isLeader: words.has('leader'),
    volume: parseVolume(cluster, name, words),
    pod: parsePod(cluster, name, words),
    status: parseStatus(words, podState, raft?.id ?? serial.toString(16)),
  };
}

function parseRaft(cluster: StoreCluster, name: string, words: Words): RaftMember | undefined {
  const observer = words.has('observer');
  if (!words.has('voter') && !words.has('learner') && !observer) return undefined;
  return {
    id: words.get('raftid') ?? (serialOf(cluster, name) ?? 0).toString(16),
    name: words.has('unstarted') ? '' : name,
    peerUrls: [peerUrl(cluster, name)],
    learner: words.has('learner') || observer,
    ...(observer ? { observer } : {}),
  };
}

function parseVolume(
  cluster: StoreCluster,
  member: string,
  words: Words,
): PersistentVolumeClaim | undefined {
  const text = words.get('volume') ?? (serialOf(cluster, member) ?? 0).toString(16);
  const [id = '', ...flags] = text.split(',');
  const isObserver = words.has('observer') || flags.includes('observer');
  if (id === 'none') return undefined;
  const restored = flags.find((flag) => flag.startsWith('restored='))?.slice('restored='.length);
  const token = clusterToken(cluster, nonce);
  const built = buildVolume(cluster, running, { member, token, isObserver });
  const annotations = {
    ...built.metadata.annotations,
    ...(id === 'new' ? {} : { [memberIdAnnotation]: id }),
    ...(flags.includes('recovered') ? { [recoveredAnnotation]: 'true' } : {}),
    ...(restored === undefined ? {} : { [restoredAnnotation]: restored }),
  };
  const size = flags.find((flag) => /^[0-9]+[GM]i$/.test(flag)) ?? running.storage.size;
  const spec = { ...built.spec, resources: { requests: { storage: size } } };
  return withFlags({ ...built, spec, metadata: { ...built.metadata, annotations } }, flags);
}

function roleOf(words: Words): PodRole {
  const role = words.get('role') as PodRole | undefined;
  if (role !== undefined) return role;
  if (words.has('observer')) return 'observer';
  return words.has('learner') ? 'learner' : 'voter';
}

function parsePod(cluster: StoreCluster, member: string, words: Words): Pod | undefined {
  const [state = '', ...flags] = (words.get('pod') ?? 'ready').split(',');
  if (state === 'none') return undefined;
  const role = roleOf(words);
  const built = buildPod(cluster, words.has('new') ? specOf(cluster) : running, {
    member,
    role,
    clusterState: words.has('begins') ? 'new' : 'existing',
    forceNewCluster: words.has('forced'),
    initialCluster: (words.get('initial') ?? member)
      .split(',')
      .map((name) => ({ name, peerUrl: peerUrl(cluster, name) })),
    token: clusterToken(cluster, nonce),
  });
  const labels = { ...built.metadata.labels, [roleLabel]: role };
  const node = words.get('node');
  const { [beginsAnnotation]: _begins, ...ofRelease01 } = built.metadata.annotations ?? {};
  const annotations =
    words.get('begins') === '0.1' ? ofRelease01 : (built.metadata.annotations ?? {});
  const pod = {
    ...built,
    metadata: { ...built.metadata, labels, annotations },
    spec: { ...built.spec, ...(node === undefined ? {} : { nodeName: node }) },
    status: podStatus(state),
  };
  return withFlags(pod, state === 'terminating' ? ['terminating', ...flags] : flags);
}

function podStatus(state: string): NonNullable<Pod['status']> {
  const ready = state === 'ready' || state === 'terminating';
  const podIP = '127.0.0.9';
  switch (state) {
    case 'failed':
      return { phase: 'Failed', reason: 'Evicted' };
    case 'pending':
      return {
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes are available' }],
      };
    case 'damaged':
      return {
        phase: 'Running',
        podIP,
        containerStatuses: [
          {
            restartCount: 3,
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { exitCode: 78 } },
          },
        ],
      };
    case 'crashing':
      return {
        phase: 'Running',
        podIP,
        containerStatuses: [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      };
    default:
      return {
        phase: 'Running',
        podIP,
        conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      };
  }
}

function withFlags<T extends KubeObject>(object: T, flags: readonly string[]): T {
  const uid = flags.find((flag) => flag.startsWith('uid='))?.slice('uid='.length);
  const labelled = uid === undefined ? object : foreign(object, uid);
  if (!flags.includes('terminating')) return labelled;
  const deletionTimestamp = flags.includes('longago') ? '2026-01-01T09:50:00Z' : now;
  return { ...labelled, metadata: { ...labelled.metadata, deletionTimestamp } };
}

function parseStatus(
  words: Words,
  podState: string,
  memberId: string,
): (Partial<MemberStatus> & Omit<MemberStatus, 'leaderId'>) | undefined {
  const answers = podState === 'ready' || podState === 'terminating' || words.has('answers');
  if (!answers || words.has('mute')) return undefined;
  const applied = Number(words.get('applied') ?? '100');
  return {
    memberId,
    raftTerm: 1,
    raftIndex: applied,
    raftAppliedIndex: applied,
    revision: 50,
    databaseBytes: Number(words.get('db') ?? '1000'),
    databaseBytesInUse: 1000,
    ...(words.has('leaderless') ? { leaderId: '0' } : {}),
  };
}
