import { type Compare, type RequestOp, type ResponseOp, TxnResponse } from '../../proto/gen/rpc.ts';
import { createRevisionOf, leaseOf, modRevisionOf, valueOf, versionOf } from '../compare.ts';
import { deleteOp, putOp, rangeOp } from '../txn.ts';
import { type Output, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { CommandLine, idOf, wholeOf } from './command-line.ts';
import { etcdJson } from './etcd-json.ts';
import { txnFields } from './fields.ts';
import { UsageError } from './flags.ts';
import { keysOf } from './keys-of.ts';
import {
  delCommand,
  deleteText,
  getCommand,
  pairLines,
  putCommand,
  putOf,
  putText,
  rangeOf,
} from './kv.ts';
import { compareOf, type TextCompare, wordsOf } from './txn-text.ts';

export const txnCommand: CommandSpec = commandOf({
  name: 'txn',
  chapter: 'Keys',
  summary:
    'Run a transaction from standard input: comparisons, what to do when all hold, what to do otherwise; an empty line ends each.',
  isWrite: true,
  formats: ['simple', 'json', 'fields'],
  flags: [
    { name: 'interactive', short: 'i', summary: 'say what comes next, for a person who types' },
  ],
  examples: [
    {
      before: `printf 'mod("greeting") > "0"\\n\\nput greeting changed\\nget greeting\\n\\nput greeting first\\n\\n' |`,
      words: 'txn',
    },
    {
      before: `printf 'create("lock") = "0"\\n\\nput lock mine\\n\\nget lock\\n\\n' |`,
      words: 'txn -w json',
      note: 'write a key only where there is none',
    },
  ],
  notes: [
    'A comparison is version("KEY"), create("KEY"), mod("KEY"), value("KEY") or lease("KEY"), then =, !=, < or >, then "OPERAND".',
    'An operation is a line of put, get or del with the flags of that command.',
  ],
  run: txn,
});

async function txn(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const lines = terminal.inputLines()[Symbol.asyncIterator]();
  const ask = async (what: string): Promise<string[]> => {
    if (line.flag('interactive')) terminal.write(`${what}:\n`);
    return section(lines, what);
  };
  const compare = (await ask('compares')).map((text) => requestCompare(compareOf(text)));
  const success = await operations(await ask('success requests (get, put, del)'), line);
  const failure = await operations(await ask('failure requests (get, put, del)'), line);
  const answer = await client.txn({ compare, success, failure });
  writeForms(command, {
    simple: () => txnText(answer, line),
    json: () => etcdJson(TxnResponse, answer),
    fields: () => txnFields(answer),
  });
  return true;
}

/** The lines up to an empty one. */
async function section(lines: AsyncIterator<string>, what: string): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const { value, done } = await lines.next();
    if (done === true) {
      throw new UsageError(`the input ended within the ${what}: an empty line ends each part`);
    }
    const text = value.trim();
    if (text === '') return found;
    found.push(text);
  }
}

function requestCompare({ target, key, operator, operand }: TextCompare): Compare {
  const what = `${target}("${key}")`;
  switch (target) {
    case 'version':
      return compared(versionOf(key), operator, wholeOf(operand, what));
    case 'create':
      return compared(createRevisionOf(key), operator, wholeOf(operand, what));
    case 'mod':
      return compared(modRevisionOf(key), operator, wholeOf(operand, what));
    case 'lease':
      return compared(leaseOf(key), operator, BigInt.asIntN(64, idOf(operand, what)));
    case 'value':
      return compared(valueOf(key), operator, operand);
  }
}

interface Comparable<Value> {
  equals(value: Value): Compare;
  differsFrom(value: Value): Compare;
  isGreaterThan(value: Value): Compare;
  isLessThan(value: Value): Compare;
}

function compared<Value>(
  of: Comparable<Value>,
  operator: TextCompare['operator'],
  value: Value,
): Compare {
  switch (operator) {
    case '=':
      return of.equals(value);
    case '!=':
      return of.differsFrom(value);
    case '>':
      return of.isGreaterThan(value);
    case '<':
      return of.isLessThan(value);
  }
}

function operations(texts: readonly string[], line: CommandLine): Promise<RequestOp[]> {
  return Promise.all(texts.map((text) => operationOf(text, line)));
}

/** A line such as `put KEY VALUE --prev-kv`. */
async function operationOf(text: string, { env }: CommandLine): Promise<RequestOp> {
  const [name, ...words] = wordsOf(text);
  switch (name) {
    case 'put': {
      const nothing = async (): Promise<Uint8Array> => {
        throw new UsageError(`a put in a transaction has its value in the same line: ${text}`);
      };
      const { key, value, fields } = await putOf(new CommandLine(putCommand, words, env), nothing);
      return putOp(key, value, fields);
    }
    case 'get': {
      const { keys, fields } = rangeOf(new CommandLine(getCommand, words, env));
      return rangeOp(keys, fields);
    }
    case 'del': {
      const line = new CommandLine(delCommand, words, env);
      return deleteOp(keysOf(line, line.operands), { prevKv: line.flag('prev-kv') });
    }
    default:
      throw new UsageError(`"${text}" is none of put, get and del`);
  }
}

function txnText({ succeeded, responses }: TxnResponse, line: CommandLine): Output[] {
  const parts = responses.flatMap((response): Output[] => ['\n', ...opText(response, line)]);
  return [succeeded ? 'SUCCESS\n' : 'FAILURE\n', ...parts];
}

function opText({ response }: ResponseOp, line: CommandLine): Output[] {
  switch (response?.kind) {
    case 'responsePut':
      return putText(response.value, line);
    case 'responseRange':
      return response.value.kvs.flatMap((kv) => pairLines(kv, line));
    case 'responseDeleteRange':
      return deleteText(response.value, line);
    default:
      throw new CommandError('the answer is of an operation that was not asked for');
  }
}
