import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { Event, EventType } from '../../proto/gen/kv.ts';
import { ResponseHeader } from '../../proto/gen/rpc.ts';
import type { Watch, WatchBatch, WatchEvent } from '../watch.ts';
import { type Output, writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { CommandLine } from './command-line.ts';
import { complain } from './complaint.ts';
import { etcdJson, goQuoted } from './etcd-json.ts';
import { watchFields } from './fields.ts';
import { UsageError } from './flags.ts';
import { fromKeyFlag, keysOf, prefixFlag } from './keys-of.ts';
import { pairLines } from './kv.ts';
import { lineOf } from './text.ts';
import { wordsOf } from './txn-text.ts';

export const watchCommand: CommandSpec = commandOf({
  name: 'watch',
  operands: '[KEY] [RANGE_END] [-- PROGRAM...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  chapter: 'Keys',
  summary:
    'Follow the changes of keys until Ctrl-C; over lost connections and members without a gap or a repetition.',
  formats: ['simple', 'json', 'fields', 'table'],
  flags: [
    prefixFlag,
    fromKeyFlag,
    { name: 'rev', value: 'REVISION', default: 'now', summary: 'begin with this revision' },
    { name: 'prev-kv', summary: 'also print what each key was before' },
    {
      name: 'progress-notify',
      summary: 'also say, every ten minutes, how far the watch is when nothing changes',
    },
    {
      name: 'interactive',
      short: 'i',
      summary:
        'read lines of standard input: "watch KEY [flags]" begins a watch, "progress" asks how far they are',
    },
  ],
  examples: [
    { words: 'watch greeting', goesOn: true },
    { words: 'watch --prefix config/ -w table', goesOn: true },
    {
      words: 'watch --prefix config/ --rev 2',
      note: 'everything since revision 2, then what comes',
      goesOn: true,
    },
    { words: "watch --prefix '' --prev-kv -w json", goesOn: true },
    {
      words: `watch greeting --rev 1 -- sh -c 'echo "$ETCD_WATCH_KEY is $ETCD_WATCH_VALUE"'`,
      note: 'run a program for each change; it is told by ETCD_WATCH_REVISION, _EVENT_TYPE, _KEY and _VALUE',
      goesOn: true,
    },
  ],
  endsItself: true,
  run: watch,
});

async function watch(command: Command): Promise<boolean> {
  const { line } = command;
  if (line.flag('interactive')) return watchInteractively(command);
  const { operands, program } = apart(line);
  const watched = begin(command, line, operands);
  await follow(command, watched, program);
  return true;
}

/** What to watch, which the environment can say too, and the program to run. */
function apart(line: CommandLine): { operands: readonly string[]; program: readonly string[] } {
  const { behindDashes: program = [], env } = line;
  if (line.behindDashes?.length === 0) throw new UsageError('-- needs a program behind it');
  const given = line.operands.slice(0, line.operands.length - program.length);
  const [key, end] = ['KEY', 'RANGE_END'].map(
    (name) => env[`MAINSTAYCTL_WATCH_${name}`] || env[`ETCDCTL_WATCH_${name}`] || undefined,
  );
  const fromEnv = [key, end].filter((word) => word !== undefined);
  const operands = given.length > 0 ? given : fromEnv;
  if (operands.length === 0) throw new UsageError('watch needs a KEY, or MAINSTAYCTL_WATCH_KEY');
  if (operands.length > 2) throw line.wrongOperands();
  return { operands, program };
}

function begin({ client, terminal }: Command, line: CommandLine, operands: readonly string[]) {
  return client.watch(keysOf(line, operands), {
    startRevision: line.whole('rev'),
    prevKv: line.flag('prev-kv'),
    progressNotify: line.flag('progress-notify'),
    signal: terminal.signal,
  });
}

async function follow(command: Command, watched: Watch, program: readonly string[]): Promise<void> {
  for await (const batch of watched) {
    if (batch.events.length === 0) {
      if (command.line.format('simple') !== 'json') {
        command.terminal.write(`progress notify: ${batch.revision}\n`);
        continue;
      }
    }
    writeBatch(command, batch);
    if (program.length === 0) continue;
    for (const event of batch.events) await runFor(event, batch, program);
  }
}

function writeBatch(command: Command, batch: WatchBatch): void {
  const { line, terminal } = command;
  // Columns that line up from one batch to the next are none of a table's.
  if (line.format('simple') === 'table') {
    for (const event of batch.events) terminal.write(eventRow(event));
    return;
  }
  writeForms(command, {
    simple: () => batch.events.flatMap((event) => eventText(event, line)),
    json: () => batchJson(batch),
    fields: () => watchFields(batch),
  });
}

function batchJson({ header, events }: WatchBatch): string {
  const list = events.map((event) => etcdJson(Event, event)).join(',');
  const parts = [
    `"Header":${etcdJson(ResponseHeader, header)}`,
    `"Events":${events.length === 0 ? 'null' : `[${list}]`}`,
    '"CompactRevision":0,"Canceled":false,"Created":false',
  ];
  return `{${parts.join(',')}}`;
}

function eventText({ type, kv, prevKv }: WatchEvent, line: CommandLine): Output[] {
  const before = prevKv === undefined ? [] : pairLines(prevKv, line);
  return [`${nameOf(type)}\n`, ...before, ...pairLines(kv, line)];
}

function eventRow({ type, kv, prevKv }: WatchEvent): string {
  const value = type === EventType.PUT ? lineOf(kv.value) : '';
  const before = prevKv === undefined ? '' : `  (was ${lineOf(prevKv.value)})`;
  const revision = String(kv.modRevision).padStart(8);
  return `${revision}  ${nameOf(type).padEnd(6)}  ${lineOf(kv.key)}  ${value}${before}\n`;
}

function nameOf(type: EventType): string {
  return type === EventType.PUT ? 'PUT' : 'DELETE';
}

/** Tells the program of one event. Throws {@link CommandError} when it fails. */
async function runFor(
  { type, kv }: WatchEvent,
  { revision }: WatchBatch,
  [program = '', ...args]: readonly string[],
): Promise<void> {
  const env = {
    ...process.env,
    ETCD_WATCH_REVISION: String(revision),
    ETCD_WATCH_EVENT_TYPE: goQuoted(Buffer.from(nameOf(type))),
    ETCD_WATCH_KEY: goQuoted(kv.key),
    ETCD_WATCH_VALUE: goQuoted(kv.value),
  };
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new CommandError(`${program}: ${error.message}`)));
    child.once('close', resolve);
  });
  if (status !== 0) throw new CommandError(`${program} ended with exit status ${status}`);
}

/** Until the input ends, or a person has had enough. */
async function watchInteractively(command: Command): Promise<boolean> {
  const { terminal, line } = command;
  const watches: Watch[] = [];
  const following: Promise<boolean>[] = [];
  for await (const text of terminal.inputLines()) {
    try {
      const [word, ...words] = wordsOf(text);
      if (word === 'progress') {
        for (const each of watches) await each.requestProgress();
      } else if (word === 'watch') {
        const asked = new CommandLine(line.spec, words, line.env);
        const { operands, program } = apart(asked);
        const watched = begin(command, asked, operands);
        watches.push(watched);
        following.push(followed({ ...command, line: asked }, watched, program));
      } else if (word !== undefined) {
        throw new UsageError(`"${text}" is neither watch nor progress`);
      }
    } catch (error) {
      complain(error, terminal);
    }
  }
  return (await Promise.all(following)).every(Boolean);
}

/** One watch of several: when it fails, the others go on. */
async function followed(
  command: Command,
  watched: Watch,
  program: readonly string[],
): Promise<boolean> {
  try {
    await follow(command, watched, program);
    return true;
  } catch (error) {
    complain(error, command.terminal);
    return false;
  }
}
