import { EtcdError } from '../base/errors.ts';
import { noMember } from '../base/ids.ts';
import { clusterVersion, compatibilityVersion } from '../config/version.ts';
import {
  AlarmAction,
  type AlarmMember,
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  HashKVResponse,
  HashResponse,
  Maintenance,
  type MoveLeaderRequest,
  MoveLeaderResponse,
  StatusResponse,
} from '../proto/gen/rpc.ts';
import { hashOfState } from '../snapshot/client-snapshot.ts';
import type { Call } from './call.ts';
import { statusOf, unknownMethod } from './errors.ts';
import type { Gate } from './gate.ts';
import { header } from './header.ts';
import type { MemberPort } from './member-port.ts';
import { snapshotCall } from './snapshot.ts';

export function maintenanceCalls(modules: { port: MemberPort; gate: Gate }): Call[] {
  const { port, gate } = modules;
  const { methods } = Maintenance;
  return [
    gate.unary(methods.status, 'serves', async () => memberStatus(port)),
    gate.unary(methods.alarm, 'refuses', (request) => alarm(port, request)),
    gate.unary(methods.hash, 'refuses', () => hash(port)),
    gate.unary(methods.hashKV, 'refuses', ({ revision }) => hashKv(port, revision)),
    snapshotCall(modules),
    gate.unary(methods.moveLeader, 'refuses', (request) => moveLeader(port, request)),
  ];
}

function memberStatus(port: MemberPort): StatusResponse {
  const raft = port.raftStatus();
  const { sizeBytes, inUseBytes } = port.dbSize();
  return StatusResponse.create({
    header: header(port, port.revision()),
    version: compatibilityVersion,
    storageVersion: clusterVersion,
    dbSize: sizeBytes,
    dbSizeInUse: inUseBytes,
    leader: raft.leader,
    raftIndex: raft.commitIndex,
    raftAppliedIndex: raft.appliedIndex,
    raftTerm: raft.term,
    isLearner: raft.isLearner,
    errors: [
      ...(raft.leader === noMember ? [statusOf('NoLeader').message] : []),
      ...port.alarms().map(alarmText),
    ],
  });
}

/** As Go prints the message. */
function alarmText({ memberID, alarm }: AlarmMember): string {
  const name = Object.entries(AlarmType).find(([, value]) => value === alarm)?.[0] ?? String(alarm);
  return `memberID:${memberID} alarm:${name} `;
}

/** Only asking for the alarms yet: what etcdctl's `endpoint health` does. */
async function alarm(port: MemberPort, request: AlarmRequest): Promise<AlarmResponse> {
  if (request.action !== AlarmAction.GET) throw unknownMethod(Maintenance.name, 'Alarm');
  await port.linearizableRead();
  const alarms = port.alarms().filter((raised) => isAsked(raised, request));
  return { header: header(port, port.revision()), alarms };
}

function isAsked(raised: AlarmMember, { memberID, alarm: asked }: AlarmRequest): boolean {
  return (
    (memberID === noMember || raised.memberID === memberID) &&
    (asked === AlarmType.NONE || raised.alarm === asked)
  );
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

/** The one response without a header, besides Defragment's. */
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
