import { hexId } from '../../base/ids.ts';
import {
  type AlarmMember,
  AlarmResponse,
  CompactionResponse,
  Maintenance,
  MoveLeaderResponse,
} from '../../proto/gen/rpc.ts';
import { ClientError } from '../errors.ts';
import { writeDone, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { idOf, wholeOf } from './command-line.ts';
import { alarmName, clusterFlag, endpointsFor } from './endpoint.ts';
import { etcdJson } from './etcd-json.ts';
import { type Field, headerFields, itemEnd } from './fields.ts';
import { jsonOf } from './text.ts';

const chapter = 'Members';

export const maintenanceCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'compaction',
    operands: 'REVISION',
    chapter: 'Keys',
    summary: 'Forget the history before a revision; what keys are now stays.',
    isWrite: true,
    flags: [
      { name: 'physical', summary: 'wait until it is gone from the disk of the member asked' },
    ],
    examples: [{ words: 'compaction 2' }, { words: 'compaction 3 --physical' }],
    run: compaction,
  }),
  commandOf({
    name: 'defrag',
    chapter,
    summary: 'Give back the space that compaction has freed, one member after the other.',
    flags: [clusterFlag],
    examples: [{ words: 'defrag --cluster' }, { words: 'defrag --command-timeout 1m' }],
    run: defrag,
  }),
  commandOf({
    name: 'alarm list',
    chapter,
    summary: 'Which alarms are raised: NOSPACE (the quota is reached) and CORRUPT.',
    formats: ['simple', 'json', 'fields'],
    examples: [{ words: 'alarm list' }],
    run: alarmList,
  }),
  commandOf({
    name: 'alarm disarm',
    chapter,
    summary: 'Take every alarm back, once its cause is gone; prints those that there were.',
    isWrite: true,
    formats: ['simple', 'json', 'fields'],
    examples: [{ words: 'alarm disarm' }],
    run: alarmDisarm,
  }),
  commandOf({
    name: 'move-leader',
    operands: 'MEMBER_ID',
    chapter,
    summary: 'Let another member lead; any endpoint will do.',
    examples: [{ words: 'move-leader 8e9e05c52164694d' }],
    run: moveLeader,
  }),
];

async function compaction(command: Command): Promise<boolean> {
  const { line, client } = command;
  const revision = wholeOf(line.operands[0] ?? '', 'REVISION');
  const answer = await client.compact(revision, { physical: line.flag('physical') });
  writeDone(command, [CompactionResponse, answer], `compacted revision ${revision}`);
  return true;
}

async function defrag(command: Command): Promise<boolean> {
  const { client, terminal, line } = command;
  const isJson = line.format('simple') === 'json';
  let failures = 0;
  for (const endpoint of await endpointsFor(command)) {
    try {
      await client.defragment(endpoint);
      const done = isJson
        ? jsonOf({ endpoint, defragmented: true })
        : `Finished defragmenting etcd member[${endpoint}]\n`;
      terminal.write(done);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      failures++;
      terminal.complain(`mainstayctl: cannot defragment ${endpoint}: ${error.text}\n`);
    }
  }
  return failures === 0;
}

async function alarmList(command: Command): Promise<boolean> {
  writeAlarms(command, await command.client.alarms());
  return true;
}

async function alarmDisarm(command: Command): Promise<boolean> {
  const { client } = command;
  const { alarms } = await client.alarms();
  const disarmed: AlarmMember[] = [];
  for (const alarm of alarms) disarmed.push(...(await client.disarm(alarm)).alarms);
  writeAlarms(command, AlarmResponse.create({ alarms: disarmed }));
  return true;
}

function writeAlarms(command: Command, answer: AlarmResponse): void {
  const { header, alarms } = answer;
  writeForms(command, {
    simple: () =>
      alarms.map(({ memberID, alarm }) => `memberID:${memberID} alarm:${alarmName(alarm)} \n`),
    json: () => etcdJson(AlarmResponse, answer),
    fields: () => [
      ...headerFields(header),
      ...alarms.flatMap(({ memberID, alarm }): Field[] => [
        ['MemberID', memberID],
        ['AlarmType', alarmName(alarm)],
        itemEnd,
      ]),
    ],
  });
}

async function moveLeader(command: Command): Promise<boolean> {
  const { line, client } = command;
  const target = idOf(line.operands[0] ?? '', 'MEMBER_ID');
  const { endpoint, id } = await leaderOf(command);
  const { moveLeader: method } = Maintenance.methods;
  const answer = await client.call(method, { targetID: target }, { endpoint });
  const sentence = `Leadership transferred from ${hexId(id)} to ${hexId(target)}`;
  writeDone(command, [MoveLeaderResponse, answer], sentence);
  return true;
}

/** Asks any member who leads, and finds where that one is. */
async function leaderOf({ client }: Command): Promise<{ endpoint: string; id: bigint }> {
  const { members } = await client.memberList({ linearizable: false });
  const { leader } = await client.call(Maintenance.methods.status, {}, { repeat: 'harmless' });
  const endpoint = members.find(({ ID }) => ID === leader)?.clientURLs[0];
  if (endpoint !== undefined) return { endpoint, id: leader };
  if (leader === 0n) {
    throw new CommandError('no member leads now: an election is under way, or too few are up');
  }
  throw new CommandError(
    `the leader ${hexId(leader)} has told no client URL; who has: mainstayctl member list`,
  );
}
