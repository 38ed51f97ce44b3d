import { hexId } from '../../base/ids.ts';
import {
  Cluster,
  type Member,
  MemberAddResponse,
  MemberListResponse,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
  ResponseHeader,
} from '../../proto/gen/rpc.ts';
import type { MessageType } from '../../proto/wire.ts';
import { writeDone, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { type CommandLine, idOf } from './command-line.ts';
import { etcdJson } from './etcd-json.ts';
import { type Field, headerFields, itemEnd, quotedText } from './fields.ts';
import { type Flag, UsageError } from './flags.ts';

const chapter = 'Members';
const idExample = '8e9e05c52164694d';

const peerUrlsFlag: Flag = {
  name: 'peer-urls',
  value: 'URL,...',
  summary: 'where the other members reach it',
};

export const memberCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'member list',
    chapter,
    summary:
      'Who is in the cluster: id, status, name, peer URLs, client URLs, whether it is a learner; an observer is an observer.',
    formats: ['simple', 'table', 'json', 'fields'],
    flags: [
      {
        name: 'consistency',
        value: 'l|s',
        default: 'l',
        choices: ['l', 's'],
        summary: 's: what the member that is asked knows, also without a quorum',
      },
    ],
    examples: [
      { words: 'member list' },
      { words: 'member list -w table' },
      { words: 'member list -w json --hex' },
    ],
    run: list,
  }),
  commandOf({
    name: 'member add',
    operands: 'NAME',
    chapter,
    summary: 'Let a member in before it starts; prints the settings that it has to start with.',
    isWrite: true,
    flags: [
      peerUrlsFlag,
      { name: 'learner', summary: 'it only follows and counts for no quorum until it is promoted' },
      {
        name: 'observer',
        summary: 'a learner that stays one: it serves reads and watches, and counts for no quorum',
      },
    ],
    examples: [
      { words: 'member add d --peer-urls http://10.0.0.4:2380 --learner' },
      { words: 'member add o --peer-urls http://10.0.0.6:2380 --observer' },
    ],
    run: add,
  }),
  commandOf({
    name: 'member promote',
    operands: 'MEMBER_ID',
    chapter,
    summary: 'Make a learner a voter, once it has caught up.',
    isWrite: true,
    examples: [{ words: `member promote ${idExample}` }],
    run: promote,
  }),
  commandOf({
    name: 'member update',
    operands: 'MEMBER_ID',
    chapter,
    summary: 'Change where the other members reach a member.',
    isWrite: true,
    flags: [peerUrlsFlag],
    examples: [{ words: `member update ${idExample} --peer-urls http://10.0.0.5:2380` }],
    run: update,
  }),
  commandOf({
    name: 'member remove',
    operands: 'MEMBER_ID',
    chapter,
    summary: 'Take a member out of the cluster for good.',
    isWrite: true,
    examples: [{ words: `member remove ${idExample}` }],
    run: remove,
  }),
];

function memberIdOf(line: CommandLine): bigint {
  return idOf(line.operands[0] ?? '', 'MEMBER_ID');
}

function peerUrlsOf(line: CommandLine): string[] {
  const urls = line.text('peer-urls') ?? '';
  if (urls === '') throw new UsageError('--peer-urls is missing: where the other members reach it');
  return urls.split(',');
}

async function list(command: Command): Promise<boolean> {
  const { line, client } = command;
  const linearizable = line.choice('consistency') === 'l';
  const answer = await client.memberList({ linearizable });
  writeForms(command, {
    simple: () => answer.members.map((member) => `${memberRow(member).join(', ')}\n`),
    json: () => (line.isHex ? hexJson(answer) : etcdJson(MemberListResponse, answer)),
    fields: () => [...headerFields(answer.header), ...answer.members.flatMap(memberFields)],
    table: () => [memberHead, ...answer.members.map(memberRow)],
  });
  return true;
}

const memberHead = ['ID', 'STATUS', 'NAME', 'PEER URLS', 'CLIENT URLS', 'IS LEARNER'];

function memberRow({ ID, name, isLearner, isObserver, peerURLs, clientURLs }: Member): string[] {
  return [
    hexId(ID),
    name === '' ? 'unstarted' : 'started',
    name,
    peerURLs.join(','),
    clientURLs.join(','),
    learnerText({ isLearner, isObserver }),
  ];
}

/** etcdctl's column; an observer is told from a learner that is to be promoted. */
export function learnerText(member: { isLearner: boolean; isObserver: boolean }): string {
  return member.isObserver ? 'observer' : String(member.isLearner);
}

function memberFields({ ID, name, peerURLs, clientURLs, isLearner, isObserver }: Member): Field[] {
  return [
    ['ID', ID],
    ['Name', quotedText(name)],
    ...peerURLs.map((url): Field => ['PeerURL', quotedText(url)]),
    ...clientURLs.map((url): Field => ['ClientURL', quotedText(url)]),
    ['IsLearner', isLearner],
    ...(isObserver ? [['IsObserver', true] as const] : []),
    itemEnd,
  ];
}

/** Ids that a shell can use: etcdctl has this form for this one command. */
function hexJson({ header, members }: MemberListResponse): string {
  const { clusterId, memberId, raftTerm } = header ?? ResponseHeader.create();
  const head = { cluster_id: hexId(clusterId), member_id: hexId(memberId), raft_term: raftTerm };
  const rows = members.map(({ ID, name, peerURLs, clientURLs, isLearner, isObserver }) => {
    const learner = { ...(isLearner && { isLearner }), ...(isObserver && { isObserver }) };
    return { ID: hexId(ID), name, peerURLs, clientURLs, ...learner };
  });
  return JSON.stringify({ header: head, members: rows });
}

async function add(command: Command): Promise<boolean> {
  const { line, client } = command;
  const [name = ''] = line.operands;
  const isObserver = line.flag('observer');
  const isLearner = line.flag('learner') || isObserver;
  const answer = await client.memberAdd(peerUrlsOf(line), { isLearner, isObserver });
  if (isObserver) refuseLearner(answer);
  writeForms(command, {
    simple: () => addedText(answer, name, line.text('peer-urls') ?? ''),
    json: () => etcdJson(MemberAddResponse, answer),
  });
  return true;
}

/** A store that does not know observers takes one for a learner. */
function refuseLearner({ member }: MemberAddResponse): void {
  if (member?.isObserver === true) return;
  const id = hexId(member?.ID ?? 0n);
  throw new CommandError(
    `this store does not know observers and added ${id} as a learner: take it out again with member remove ${id}`,
  );
}

function addedText({ header, member, members }: MemberAddResponse, name: string, urls: string) {
  const id = member?.ID ?? 0n;
  const all = members.flatMap((each) => {
    const own = each.ID === id ? name : each.name;
    return each.peerURLs.map((url) => `${own}=${url}`);
  });
  return [
    `Member ${padded(id)} added to cluster ${padded(header?.clusterId ?? 0n)}\n\n`,
    `ETCD_NAME=${quotedText(name)}\n`,
    `ETCD_INITIAL_CLUSTER=${quotedText(all.join(','))}\n`,
    `ETCD_INITIAL_ADVERTISE_PEER_URLS=${quotedText(urls)}\n`,
    'ETCD_INITIAL_CLUSTER_STATE="existing"\n',
  ];
}

function padded(id: bigint): string {
  return hexId(id).padStart(16);
}

async function promote(command: Command): Promise<boolean> {
  const id = memberIdOf(command.line);
  const answer = await command.client.call(Cluster.methods.memberPromote, { ID: id });
  return done(command, [MemberPromoteResponse, answer], { id, what: 'promoted in' });
}

async function update(command: Command): Promise<boolean> {
  const id = memberIdOf(command.line);
  const answer = await command.client.memberUpdate(id, peerUrlsOf(command.line));
  return done(command, [MemberUpdateResponse, answer], { id, what: 'updated in' });
}

async function remove(command: Command): Promise<boolean> {
  const id = memberIdOf(command.line);
  const answer = await command.client.call(Cluster.methods.memberRemove, { ID: id });
  return done(command, [MemberRemoveResponse, answer], { id, what: 'removed from' });
}

function done<T extends { header: ResponseHeader | undefined }>(
  command: Command,
  answered: readonly [MessageType<T>, T],
  { id, what }: { id: bigint; what: string },
): boolean {
  const cluster = padded(answered[1].header?.clusterId ?? 0n);
  writeDone(command, answered, `Member ${padded(id)} ${what} cluster ${cluster}`);
  return true;
}
