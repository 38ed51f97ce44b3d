import { hexId } from '../../base/ids.ts';
import { AlarmType, HashKVResponse, StatusResponse } from '../../proto/gen/rpc.ts';
import { ClientError } from '../errors.ts';
import { writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { etcdJson, jsonString } from './etcd-json.ts';
import { type Field, headerFields, itemEnd, quotedText } from './fields.ts';
import type { Flag } from './flags.ts';
import { learnerText } from './member.ts';
import { decimalSize } from './text.ts';

export const clusterFlag: Flag = {
  name: 'cluster',
  summary: 'every member that the endpoints know, instead of the endpoints',
};

const chapter = 'Members';
const formats = ['simple', 'table', 'json', 'fields'] as const;

export const endpointCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'endpoint status',
    chapter,
    summary:
      'What each endpoint says of itself: id, version, size, leader, learner, term, index, applied index, errors.',
    formats,
    flags: [clusterFlag],
    examples: [{ words: 'endpoint status -w table' }, { words: 'endpoint status --cluster' }],
    run: status,
  }),
  commandOf({
    name: 'endpoint health',
    chapter,
    summary:
      'Whether each endpoint answers a read that needs a quorum, how fast, and without alarms.',
    formats,
    flags: [clusterFlag],
    examples: [{ words: 'endpoint health' }, { words: 'endpoint health --cluster -w json' }],
    run: health,
  }),
  commandOf({
    name: 'endpoint hashkv',
    chapter,
    summary: 'The hash of all keys and values of each endpoint: equal on all members.',
    formats,
    flags: [
      clusterFlag,
      { name: 'rev', value: 'REVISION', default: 'the newest', summary: 'up to this revision' },
    ],
    examples: [
      { words: 'endpoint hashkv --cluster -w table' },
      { words: 'endpoint hashkv --rev 2' },
    ],
    run: hashKV,
  }),
];

/** The endpoints as they were given, or those of all members. */
export async function endpointsFor({ line, client }: Command): Promise<readonly string[]> {
  if (!line.flag('cluster')) return line.endpoints;
  const { members } = await client.memberList({ linearizable: false });
  return members.flatMap(({ clientURLs }) => clientURLs);
}

interface Told<T> {
  readonly endpoint: string;
  readonly answer: T;
}

/** Asks every endpoint; says which do not answer. */
async function askEach<T>(
  command: Command,
  ask: (endpoint: string) => Promise<T>,
  what: string,
): Promise<{ told: Told<T>[]; isWhole: boolean }> {
  const endpoints = await endpointsFor(command);
  const answers = await Promise.all(
    endpoints.map(async (endpoint) => {
      try {
        return { endpoint, answer: await ask(endpoint) };
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        command.terminal.complain(
          `mainstayctl: cannot get the ${what} of ${endpoint}: ${error.text}\n`,
        );
        return undefined;
      }
    }),
  );
  const told = answers.filter((each) => each !== undefined);
  return { told, isWhole: told.length === endpoints.length };
}

async function status(command: Command): Promise<boolean> {
  const { client } = command;
  const ask = (endpoint: string) => client.status(endpoint);
  const { told, isWhole } = await askEach(command, ask, 'status');
  writeForms(command, {
    simple: () => told.map((each) => `${statusRow(each).join(', ')}\n`),
    json: () => listJson(told, (of) => `"Status":${etcdJson(StatusResponse, of)}`),
    fields: () => told.flatMap(statusFields),
    table: () => [statusHead, ...told.map(statusRow)],
  });
  return isWhole;
}

function listJson<T>(told: readonly Told<T>[], json: (of: T) => string): string {
  const items = told.map(
    ({ endpoint, answer }) => `{"Endpoint":${jsonString(endpoint)},${json(answer)}}`,
  );
  return `[${items.join(',')}]`;
}

const statusHead = ['ENDPOINT', 'ID', 'VERSION', 'DB SIZE', 'IS LEADER', 'IS LEARNER'].concat([
  'RAFT TERM',
  'RAFT INDEX',
  'APPLIED INDEX',
  'ERRORS',
]);

function statusRow({ endpoint, answer }: Told<StatusResponse>): string[] {
  const { header, version, dbSize, leader, errors } = answer;
  return [
    endpoint,
    hexId(header?.memberId ?? 0n),
    version,
    decimalSize(dbSize),
    String(leader === header?.memberId),
    learnerText(answer),
    ...[answer.raftTerm, answer.raftIndex, answer.raftAppliedIndex].map(String),
    errors.join(', '),
  ];
}

function statusFields({ endpoint, answer }: Told<StatusResponse>): Field[] {
  return [
    ...headerFields(answer.header),
    ['Version', quotedText(answer.version)],
    ['DBSize', answer.dbSize],
    ['Leader', answer.leader],
    ['IsLearner', answer.isLearner],
    ...(answer.isObserver ? [['IsObserver', true] as const] : []),
    ['RaftIndex', answer.raftIndex],
    ['RaftTerm', answer.raftTerm],
    ['RaftAppliedIndex', answer.raftAppliedIndex],
    ['Errors', `[${answer.errors.join(' ')}]`],
    ['Endpoint', quotedText(endpoint)],
    itemEnd,
  ];
}

async function hashKV(command: Command): Promise<boolean> {
  const { client, line } = command;
  const revision = line.whole('rev');
  const ask = (endpoint: string) => client.hashKV(endpoint, { revision });
  const { told, isWhole } = await askEach(command, ask, 'hash');
  const row = ({ endpoint, answer }: Told<HashKVResponse>) => [endpoint, String(answer.hash)];
  writeForms(command, {
    simple: () => told.map((each) => `${row(each).join(', ')}\n`),
    json: () => listJson(told, (of) => `"HashKV":${etcdJson(HashKVResponse, of)}`),
    fields: () =>
      told.flatMap(({ endpoint, answer }): Field[] => [
        ...headerFields(answer.header),
        ['Endpoint', quotedText(endpoint)],
        ['Hash', answer.hash],
        itemEnd,
      ]),
    table: () => [['ENDPOINT', 'HASH'], ...told.map(row)],
  });
  return isWhole;
}

interface Health {
  readonly endpoint: string;
  readonly health: boolean;
  readonly tookMs: number;
  readonly error: string;
}

async function health(command: Command): Promise<boolean> {
  const endpoints = await endpointsFor(command);
  const found = await Promise.all(endpoints.map((endpoint) => healthOf(command, endpoint)));
  const row = ({ endpoint, health: isWell, tookMs, error }: Health) => [
    endpoint,
    String(isWell),
    took(tookMs),
    error,
  ];
  if (command.line.format('simple') === 'simple') {
    for (const { endpoint, error } of found.filter(({ health: isWell }) => !isWell)) {
      command.terminal.complain(`${endpoint} is unhealthy: failed to commit proposal: ${error}\n`);
    }
  }
  writeForms(command, {
    simple: () =>
      found
        .filter(({ health: isWell }) => isWell)
        .map(
          ({ endpoint, tookMs }) =>
            `${endpoint} is healthy: successfully committed proposal: took = ${took(tookMs)}\n`,
        ),
    json: () => `[${found.map(healthJson).join(',')}]`,
    fields: () =>
      found.flatMap(({ endpoint, health: isWell, tookMs, error }): Field[] => [
        ['Endpoint', quotedText(endpoint)],
        ['Health', isWell],
        ['Took', took(tookMs)],
        ['Error', error],
        itemEnd,
      ]),
    table: () => [['ENDPOINT', 'HEALTH', 'TOOK', 'ERROR'], ...found.map(row)],
  });
  if (found.every(({ health: isWell }) => isWell)) return true;
  throw new CommandError('unhealthy cluster; how each member is: mainstayctl status --cluster');
}

function healthJson({ endpoint, health: isWell, tookMs, error }: Health): string {
  const why = error === '' ? '' : `,"error":${jsonString(error)}`;
  return `{"endpoint":${jsonString(endpoint)},"health":${isWell},"took":"${took(tookMs)}"${why}}`;
}

/** As Go prints durations. */
function took(ms: number): string {
  if (ms < 1) return `${Number((1_000 * ms).toFixed(3))}µs`;
  return ms < 1_000 ? `${Number(ms.toFixed(6))}ms` : `${Number((ms / 1_000).toFixed(9))}s`;
}

/** A linearizable read of any key shows that a quorum is there; that it may not be read shows the same. */
async function healthOf({ client }: Command, endpoint: string): Promise<Health> {
  const startMs = performance.now();
  const alone = client.only(endpoint);
  const result = (error: string): Health => {
    const tookMs = performance.now() - startMs;
    return { endpoint, health: error === '', tookMs, error };
  };
  try {
    await alone.get('health').catch((error: unknown) => {
      const isRefused = error instanceof ClientError && error.text.endsWith('permission denied');
      if (!isRefused) throw error;
    });
    const read = result('');
    const { alarms } = await alone.alarms();
    if (alarms.length === 0) return read;
    return result(`Active Alarm(s): ${alarms.map(({ alarm }) => alarmName(alarm)).join(' ')}`);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return result(error.text);
  } finally {
    alone.close();
  }
}

export function alarmName(alarm: AlarmType): string {
  const name = Object.entries(AlarmType).find(([, each]) => each === alarm)?.[0];
  return name ?? String(alarm);
}
