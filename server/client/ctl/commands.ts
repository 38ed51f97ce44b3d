import { asBuffer } from '../../base/bytes.ts';
import { hexId } from '../../base/ids.ts';
import { type Event, EventType, KeyValue } from '../../proto/gen/kv.ts';
import type { Member, StatusResponse } from '../../proto/gen/rpc.ts';
import type { Client } from '../client.ts';
import { ClientError } from '../errors.ts';
import { type Keys, keysBetween, keysFrom, keysUnder, oneKey } from '../keys.ts';
import {
  type CommandLine,
  type CommandName,
  type FileCommandName,
  UsageError,
} from './command-line.ts';
import { table } from './table.ts';
import { jsonOf, kvFields, lineOf, sizeText } from './text.ts';

/** What a command needs of the world around it. */
export interface Terminal {
  write(output: string | Uint8Array): void;
  complain(text: string): void;
  readInput(): Promise<Uint8Array>;
  /** Shows how far long work is, in place of what was shown before; undefined when nobody looks. */
  readonly progress: ((text: string) => void) | undefined;
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal;
}

export interface Command {
  readonly line: CommandLine;
  readonly client: Client;
  readonly terminal: Terminal;
}

/** Resolves with whether all went well. */
export type Run = (command: Command) => Promise<boolean>;

export type FileCommands = Readonly<Record<FileCommandName, Run>>;

export const commands: Readonly<Record<Exclude<CommandName, FileCommandName>, Run>> = {
  put,
  get,
  watch,
  status,
  'member list': memberList,
};

async function put({ line, client, terminal }: Command): Promise<boolean> {
  const [key, text] = operands(line, 2, 'put KEY VALUE');
  const value = text === '-' ? await terminal.readInput() : (text ?? '');
  const lease = line.id('lease');
  const response = await client.put(key ?? '', value, {
    prevKv: line.flag('prev-kv'),
    mayRepeat: line.flag('may-repeat'),
    ...(lease === undefined ? {} : { lease }),
  });
  const revision = response.header?.revision;
  const { prevKv } = response;
  if (line.format('simple') === 'json') {
    terminal.write(
      jsonOf({ revision, ...(prevKv === undefined ? {} : { prevKv: kvFields(prevKv) }) }),
    );
  } else {
    terminal.write('OK\n');
    if (prevKv !== undefined) writePair(terminal, prevKv);
  }
  return true;
}

async function get({ line, client, terminal }: Command): Promise<boolean> {
  const response = await client.range(keysOf(line), {
    revision: line.whole('rev'),
    limit: line.whole('limit'),
    keysOnly: line.flag('keys-only'),
    countOnly: line.flag('count-only'),
    serializable: line.flag('serializable'),
  });
  const { kvs, count, more, header } = response;
  switch (line.format('simple')) {
    case 'json':
      terminal.write(jsonOf({ revision: header?.revision, count, more, kvs: kvs.map(kvFields) }));
      break;
    case 'table':
      terminal.write(table([kvHead, ...kvs.map(kvRow)]));
      break;
    case 'simple':
      if (line.flag('count-only')) terminal.write(`${count}\n`);
      for (const kv of kvs) writeSimple(kv, line, terminal);
  }
  if (more) terminal.complain(`${kvs.length} of ${count} keys; --limit 0 prints all\n`);
  return true;
}

function writeSimple(kv: KeyValue, line: CommandLine, terminal: Terminal): void {
  if (line.flag('print-value-only')) {
    terminal.write(kv.value);
    terminal.write('\n');
  } else if (line.flag('keys-only')) {
    terminal.write(kv.key);
    terminal.write('\n');
  } else {
    writePair(terminal, kv);
  }
}

/** As etcdctl does: the bytes as they are. */
function writePair(terminal: Terminal, { key, value }: KeyValue): void {
  const newline = asBuffer(new Uint8Array([10]));
  for (const part of [key, newline, value, newline]) terminal.write(part);
}

const kvHead = ['KEY', 'VALUE', 'VERSION', 'CREATED AT', 'MODIFIED AT', 'LEASE'];

function kvRow(kv: KeyValue): string[] {
  const { version, createRevision, modRevision, lease } = kv;
  const numbers = [version, createRevision, modRevision].map(String);
  return [lineOf(kv.key), lineOf(kv.value), ...numbers, lease === 0n ? '' : hexId(lease)];
}

async function watch({ line, client, terminal }: Command): Promise<boolean> {
  const format = line.format('simple');
  const followed = client.watch(keysOf(line), {
    startRevision: line.whole('rev'),
    prevKv: line.flag('prev-kv'),
    signal: terminal.signal,
  });
  for await (const { events } of followed) {
    for (const event of events) writeEvent(event, format, terminal);
  }
  return true;
}

function writeEvent({ type, kv, prevKv }: Event, format: string, terminal: Terminal): void {
  const name = type === EventType.PUT ? 'PUT' : 'DELETE';
  const current = kv ?? KeyValue.create();
  if (format === 'json') {
    const before = prevKv === undefined ? {} : { prevKv: kvFields(prevKv) };
    terminal.write(jsonOf({ type: name, kv: kvFields(current), ...before }));
  } else if (format === 'table') {
    const value = type === EventType.PUT ? lineOf(current.value) : '';
    const before = prevKv === undefined ? '' : `  (was ${lineOf(prevKv.value)})`;
    const revision = String(current.modRevision).padStart(8);
    terminal.write(`${revision}  ${name.padEnd(6)}  ${lineOf(current.key)}  ${value}${before}\n`);
  } else {
    terminal.write(`${name}\n`);
    if (prevKv !== undefined) writePair(terminal, prevKv);
    writePair(terminal, current);
  }
}

/** A member's status, or why there is none. */
interface Health {
  readonly endpoint: string;
  readonly status?: StatusResponse;
  readonly failure?: string;
}

async function status({ line, client, terminal }: Command): Promise<boolean> {
  operands(line, 0, 'status');
  const endpoints = line.flag('cluster') ? await clusterEndpoints(client) : client.endpoints;
  const health = await Promise.all(endpoints.map((endpoint) => healthOf(client, endpoint)));
  switch (line.format('table')) {
    case 'json':
      terminal.write(jsonOf(health));
      break;
    case 'table':
      terminal.write(table([statusHead, ...health.map(statusRow)]));
      break;
    case 'simple':
      for (const each of health) terminal.write(`${statusRow(each).join(', ')}\n`);
  }
  return health.every(({ status: told }) => told !== undefined && told.errors.length === 0);
}

async function clusterEndpoints(client: Client): Promise<string[]> {
  const { members } = await client.memberList({ linearizable: false });
  return members.flatMap(({ clientURLs }) => clientURLs.slice(0, 1));
}

async function healthOf(client: Client, endpoint: string): Promise<Health> {
  try {
    return { endpoint, status: await client.status(endpoint) };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { endpoint, failure: error.text };
  }
}

const statusHead = ['ENDPOINT', 'ID', 'VERSION', 'ROLE', 'TERM', 'APPLIED', 'DB SIZE', 'ERRORS'];

function statusRow({ endpoint, status: told, failure }: Health): string[] {
  if (told === undefined) return [endpoint, '', '', '', '', '', '', failure ?? ''];
  const { header, raftTerm, raftAppliedIndex, raftIndex, dbSize, errors } = told;
  return [
    endpoint,
    hexId(header?.memberId ?? 0n),
    told.version,
    roleOf(told),
    String(raftTerm),
    `${raftAppliedIndex} of ${raftIndex}`,
    sizeText(dbSize),
    errors.map((error) => error.trim()).join('; '),
  ];
}

function roleOf({ isLearner, leader, header }: StatusResponse): string {
  if (isLearner) return 'learner';
  return leader !== 0n && leader === header?.memberId ? 'leader' : 'follower';
}

async function memberList({ line, client, terminal }: Command): Promise<boolean> {
  operands(line, 0, 'member list');
  const { members } = await client.memberList();
  switch (line.format('table')) {
    case 'json':
      terminal.write(jsonOf({ members }));
      break;
    case 'table':
      terminal.write(table([memberHead, ...members.map(memberRow)]));
      break;
    case 'simple':
      for (const member of members) terminal.write(`${memberRow(member).join(', ')}\n`);
  }
  return true;
}

const memberHead = ['ID', 'STATUS', 'NAME', 'ROLE', 'PEER URLS', 'CLIENT URLS'];

function memberRow({ ID, name, isLearner, peerURLs, clientURLs }: Member): string[] {
  return [
    hexId(ID),
    name === '' ? 'unstarted' : 'started',
    name,
    isLearner ? 'learner' : 'voter',
    peerURLs.join(','),
    clientURLs.join(','),
  ];
}

function keysOf(line: CommandLine): Keys {
  const usage = `${line.command} KEY [RANGE_END]`;
  const [key = '', end] = line.operands;
  if (line.operands.length < 1 || line.operands.length > 2) throw new UsageError(`usage: ${usage}`);
  if ([line.flag('prefix'), line.flag('from-key'), end !== undefined].filter(Boolean).length > 1) {
    throw new UsageError('--prefix, --from-key and RANGE_END exclude each other');
  }
  if (line.flag('prefix')) return keysUnder(key);
  if (line.flag('from-key')) return keysFrom(key);
  return end === undefined ? oneKey(key) : keysBetween(key, end);
}

/** As many words as the usage says. Throws {@link UsageError}. */
export function operands(line: CommandLine, count: number, usage: string): readonly string[] {
  if (line.operands.length !== count) throw new UsageError(`usage: ${usage}`);
  return line.operands;
}
