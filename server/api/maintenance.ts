import { EtcdError } from '../base/errors.ts';
import { noMember } from '../base/ids.ts';
import { clusterVersion, compatibilityVersion } from '../config/version.ts';
import {
  type AlarmMember,
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  DefragmentResponse,
  HashKVResponse,
  HashResponse,
  Maintenance,
  type MoveLeaderRequest,
  MoveLeaderResponse,
  StatusResponse,
} from '../proto/gen/rpc.ts';
import { hashOfState } from '../snapshot/client-snapshot.ts';
import type { Call } from './call.ts';
import { downgrade } from './downgrade.ts';
import { statusOf } from './errors.ts';
import type { Gate } from './gate.ts';
import { answered, header } from './header.ts';
import type { MemberPort } from './member-port.ts';
import { snapshotCall } from './snapshot.ts';

export function maintenanceCalls(modules: { port: MemberPort; gate: Gate }): Call[] {
  const { port, gate } = modules;
  const { methods } = Maintenance;
  return [
    gate.unary(methods.status, 'serves', async () => memberStatus(port)),
    gate.unary(methods.alarm, 'refuses', (request) => alarm(port, request)),
    gate.unary(methods.hash, 'observes', () => hash(port), { isExpensive: () => true }),
    gate.unary(methods.hashKV, 'observes', ({ revision }) => hashKv(port, revision), {
      isExpensive: () => true,
    }),
    snapshotCall(modules),
    gate.unary(methods.defragment, 'observes', () => defragment(port)),
    gate.unary(methods.downgrade, 'refuses', (request) => downgrade(port, request)),
    gate.unary(methods.moveLeader, 'refuses', (request) => moveLeader(port, request)),
  ];
}

function memberStatus(port: MemberPort): StatusResponse {
  const raft = port.raftStatus();
  const { sizeBytes, inUseBytes, quotaBytes } = port.dbSize();
  const targetVersion = port.downgradeTarget();
  return StatusResponse.create({
    header: header(port, port.revision()),
    version: compatibilityVersion,
    storageVersion: clusterVersion,
    dbSize: sizeBytes,
    dbSizeInUse: inUseBytes,
    dbSizeQuota: quotaBytes,
    downgradeInfo: { enabled: targetVersion !== '', targetVersion },
    leader: raft.leader,
    raftIndex: raft.commitIndex,
    raftAppliedIndex: raft.appliedIndex,
    raftTerm: raft.term,
    isLearner: raft.isLearner,
    isObserver: raft.isObserver,
    errors: [
      ...(raft.leader === noMember ? [statusOf('NoLeader').message] : []),
      ...port.alarms().map(alarmText),
    ],
  });
}

/** As Go prints the message: what is zero is left out. */
function alarmText({ memberID, alarm }: AlarmMember): string {
  const name = Object.entries(AlarmType).find(([, value]) => value === alarm)?.[0] ?? String(alarm);
  const subject = memberID === noMember ? '' : `memberID:${memberID} `;
  return `${subject}alarm:${name} `;
}

/** Also asking goes through raft, as in etcd. */
async function alarm(port: MemberPort, request: AlarmRequest): Promise<AlarmResponse> {
  return answered(port, await port.propose({ kind: 'alarm', value: request }));
}

/** A response without a header. */
async function defragment(port: MemberPort): Promise<DefragmentResponse> {
  await port.defragment();
  return DefragmentResponse.create();
}

/** Over everything that this member has applied, its membership included: for tests, as etcd says of it too. */
async function hash(port: MemberPort): Promise<HashResponse> {
  const state = port.pinState();
  const revision = port.revision();
  try {
    return { header: header(port, revision), hash: await hashOfState(state) };
  } finally {
    state.release();
  }
}

/** Of what this member has applied, without asking the others: to compare members is what it is for. */
async function hashKv(port: MemberPort, asked: number): Promise<HashKVResponse> {
  const hashed = await port.hashKv(asked);
  return HashKVResponse.create({ header: header(port, port.revision()), ...hashed });
}

/** The other response without a header. */
async function moveLeader(
  port: MemberPort,
  { targetID }: MoveLeaderRequest,
): Promise<MoveLeaderResponse> {
  if (!port.raftStatus().isLeader) throw new EtcdError('NotLeader');
  const target = port.members().find(({ id }) => id === targetID);
  if (target === undefined || target.isLearner) throw new EtcdError('BadLeaderTransferee');
  if (targetID !== port.memberId) await port.transferLeadership(targetID);
  return MoveLeaderResponse.create();
}
