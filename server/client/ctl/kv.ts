import { Buffer } from 'node:buffer';
import { asBuffer } from '../../base/bytes.ts';
import { hexId } from '../../base/ids.ts';
import type { KeyValue } from '../../proto/gen/kv.ts';
import {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  SortOrder,
  SortTarget,
} from '../../proto/gen/rpc.ts';
import type { Keys } from '../keys.ts';
import type { PutFields, RangeFields } from '../txn.ts';
import { type Output, writeForms } from './answer.ts';
import { type Command, type CommandSpec, commandOf } from './command.ts';
import { type CommandLine, listed } from './command-line.ts';
import { etcdJson } from './etcd-json.ts';
import { deleteFields, putFields, rangeFields } from './fields.ts';
import { type Flag, UsageError } from './flags.ts';
import { everyKey, fromKeyFlag, keysOf, prefixFlag } from './keys-of.ts';
import { lineOf } from './text.ts';

const sortTargets = {
  CREATE: SortTarget.CREATE,
  KEY: SortTarget.KEY,
  MODIFY: SortTarget.MOD,
  VALUE: SortTarget.VALUE,
  VERSION: SortTarget.VERSION,
} as const;

const prevKvFlag: Flag = { name: 'prev-kv', summary: 'also print what was there before' };

export const putCommand: CommandSpec = commandOf({
  name: 'put',
  operands: 'KEY [VALUE]',
  chapter: 'Keys',
  summary: 'Write a key; without VALUE, what comes from standard input.',
  isWrite: true,
  formats: ['simple', 'json', 'fields'],
  flags: [
    { name: 'lease', value: 'ID', summary: 'the lease that the key lives with, in hexadecimal' },
    prevKvFlag,
    { name: 'ignore-value', summary: 'keep the value that the key has' },
    { name: 'ignore-lease', summary: 'keep the lease that the key has' },
    {
      name: 'may-repeat',
      summary: 'try again also when it is not known whether the first try took effect',
    },
  ],
  examples: [
    { words: 'put greeting hello' },
    { words: 'put config/app < app.json', note: 'the value from a file' },
    { words: 'put --lease 694d77aa9e38260f session alive', note: 'it goes when the lease ends' },
    { words: 'put --prev-kv greeting bye', note: 'print what was there before' },
    { words: 'put -- offset -1', note: 'behind -- nothing is taken for a flag' },
  ],
  run: put,
});

export const getCommand: CommandSpec = commandOf({
  name: 'get',
  operands: 'KEY [RANGE_END]',
  chapter: 'Keys',
  summary: 'Read a key, or a range of keys from KEY to before RANGE_END.',
  formats: ['simple', 'json', 'fields', 'table'],
  flags: [
    prefixFlag,
    fromKeyFlag,
    { name: 'limit', value: 'COUNT', default: '0', summary: 'at most so many keys; 0: all' },
    { name: 'rev', value: 'REVISION', default: 'now', summary: 'as it was at that revision' },
    {
      name: 'sort-by',
      value: 'WHAT',
      choices: Object.keys(sortTargets),
      summary: 'CREATE, KEY, MODIFY, VALUE or VERSION',
    },
    {
      name: 'order',
      value: 'ORDER',
      choices: ['ASCEND', 'DESCEND'],
      summary: 'ASCEND or DESCEND',
    },
    { name: 'keys-only', summary: 'no values' },
    { name: 'count-only', summary: 'only how many there are' },
    { name: 'print-value-only', summary: 'no keys; for -w simple' },
    {
      name: 'consistency',
      value: 'l|s',
      default: 'l',
      choices: ['l', 's'],
      summary: 'l: the newest of all; s: what the member that is asked has, also without a quorum',
    },
    { name: 'serializable', summary: 'as --consistency s' },
  ],
  examples: [
    { words: 'get greeting' },
    { words: 'get --prefix config/ --limit 10' },
    everyKey,
    { words: 'get --prefix config/ --count-only' },
    { words: 'get a c', note: 'from a to before c' },
    { words: 'get --from-key b', note: 'from b on' },
    {
      words: 'get --prefix config/ --sort-by MODIFY --order DESCEND --limit 1',
      note: 'the last one written',
    },
    { words: 'get greeting --rev 2', note: 'as it was at revision 2' },
    { words: 'get greeting --print-value-only > file' },
    { words: 'get greeting -w json' },
    { words: 'get --prefix config/ -w table' },
  ],
  run: get,
});

export const delCommand: CommandSpec = commandOf({
  name: 'del',
  operands: 'KEY [RANGE_END]',
  chapter: 'Keys',
  summary: 'Delete a key, or a range of keys from KEY to before RANGE_END.',
  isWrite: true,
  formats: ['simple', 'json', 'fields'],
  flags: [
    prefixFlag,
    fromKeyFlag,
    prevKvFlag,
    { name: 'range', summary: 'taken for the sake of etcdctl: RANGE_END needs no flag here' },
  ],
  examples: [
    { words: 'del greeting', note: 'prints how many were deleted' },
    { words: 'del --prefix config/ --prev-kv', note: 'and what they were' },
    { words: 'del a c', note: 'from a to before c' },
  ],
  run: del,
});

async function put(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const { key, value, fields } = await putOf(line, () => terminal.readInput());
  const mayRepeat = line.flag('may-repeat');
  const answer = await client.put(key, value, { ...fields, mayRepeat });
  writeForms(command, {
    simple: () => putText(answer, line),
    json: () => etcdJson(PutResponse, answer),
    fields: () => putFields(answer),
  });
  return true;
}

export interface Put {
  readonly key: string;
  readonly value: string | Uint8Array;
  readonly fields: PutFields;
}

/** What a line of `put` asks for. */
export async function putOf(line: CommandLine, input: () => Promise<Uint8Array>): Promise<Put> {
  const [key = '', text] = line.operands;
  const ignoreValue = line.flag('ignore-value');
  if (ignoreValue && text !== undefined) {
    throw new UsageError('--ignore-value keeps the value: give none');
  }
  const value = ignoreValue ? '' : (text ?? (await input()));
  const fields = {
    lease: line.id('lease') ?? 0n,
    prevKv: line.flag('prev-kv'),
    ignoreValue,
    ignoreLease: line.flag('ignore-lease'),
  };
  return { key, value, fields };
}

async function get(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const { keys, fields } = rangeOf(line);
  const answer = await client.range(keys, fields);
  const { kvs, count, more } = answer;
  writeForms(command, {
    simple: () => rangeText(answer, line),
    json: () => etcdJson(RangeResponse, answer),
    fields: () => rangeFields(answer),
    table: () => [kvHead, ...kvs.map(kvRow)],
  });
  if (more) terminal.complain(`${kvs.length} of ${count} keys; --limit 0 prints all\n`);
  return true;
}

export function rangeText({ kvs, count }: RangeResponse, line: CommandLine): Output[] {
  if (line.flag('count-only')) return [`${count}\n`];
  if (line.flag('print-value-only')) return kvs.map(({ value }) => lineBytes(value, line));
  return kvs.flatMap((kv) => pairLines(kv, line));
}

/** What a line of `get` asks for. */
export function rangeOf(line: CommandLine): { keys: Keys; fields: RangeFields } {
  const keysOnly = line.flag('keys-only');
  const countOnly = line.flag('count-only');
  if (keysOnly && countOnly)
    throw new UsageError('--keys-only and --count-only exclude each other');
  if (line.flag('print-value-only') && line.format('simple') !== 'simple') {
    throw new UsageError('--print-value-only is for -w simple');
  }
  const fields = {
    revision: line.whole('rev'),
    limit: line.whole('limit'),
    sortTarget: choiceOf(line, 'sort-by', sortTargets) ?? SortTarget.KEY,
    sortOrder:
      choiceOf(line, 'order', { ASCEND: SortOrder.ASCEND, DESCEND: SortOrder.DESCEND }) ??
      SortOrder.NONE,
    keysOnly,
    countOnly,
    serializable: line.flag('serializable') || line.choice('consistency') === 's',
  };
  return { keys: keysOf(line, line.operands), fields };
}

function choiceOf<T>(
  line: CommandLine,
  flag: string,
  of: Readonly<Record<string, T>>,
): T | undefined {
  const text = line.text(flag);
  if (text === undefined || text === '') return undefined;
  const choice = of[text.toUpperCase()];
  if (choice !== undefined) return choice;
  throw new UsageError(`--${flag}: "${text}" is not ${listed(Object.keys(of))}`);
}

async function del(command: Command): Promise<boolean> {
  const { line, client } = command;
  const answer = await client.delete(keysOf(line, line.operands), {
    prevKv: line.flag('prev-kv'),
  });
  writeForms(command, {
    simple: () => deleteText(answer, line),
    json: () => etcdJson(DeleteRangeResponse, answer),
    fields: () => deleteFields(answer),
  });
  return true;
}

export function putText({ prevKv }: PutResponse, line: CommandLine): Output[] {
  return ['OK\n', ...(prevKv === undefined ? [] : pairLines(prevKv, line))];
}

export function deleteText({ deleted, prevKvs }: DeleteRangeResponse, line: CommandLine): Output[] {
  return [`${deleted}\n`, ...prevKvs.flatMap((kv) => pairLines(kv, line))];
}

export function pairLines({ key, value }: KeyValue, line: CommandLine): Output[] {
  return [lineBytes(key, line), lineBytes(value, line)];
}

/** As etcdctl does: the bytes as they are, or as escapes. */
export function lineBytes(bytes: Uint8Array, line: CommandLine): Buffer {
  if (!line.isHex) return Buffer.concat([bytes, Buffer.of(10)]);
  const hex = asBuffer(bytes).toString('hex');
  return Buffer.from(`${hex.replaceAll(/../g, '\\x$&')}\n`);
}

const kvHead = ['KEY', 'VALUE', 'VERSION', 'CREATED AT', 'MODIFIED AT', 'LEASE'];

function kvRow(kv: KeyValue): string[] {
  const { version, createRevision, modRevision, lease } = kv;
  const numbers = [version, createRevision, modRevision].map(String);
  return [lineOf(kv.key), lineOf(kv.value), ...numbers, lease === 0n ? '' : hexId(lease)];
}
