import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RangeResponse } from '../../proto/gen/rpc.ts';
import { whenAborted } from '../abort.ts';
import type { Held } from '../held.ts';
import { oneKey } from '../keys.ts';
import { writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf, ExitStatus } from './command.ts';
import { etcdJson } from './etcd-json.ts';
import { rangeFields } from './fields.ts';
import { UsageError } from './flags.ts';
import { rangeText } from './kv.ts';

const chapter = 'Leases, locks and elections';
const formats = ['simple', 'json', 'fields'] as const;
const defaultTtlSeconds = 10;

export const lockCommands: readonly CommandSpec[] = [
  commandOf({
    name: 'lock',
    operands: 'NAME [PROGRAM...]',
    chapter,
    summary: 'Wait for a lock and hold it until Ctrl-C, or while a program runs.',
    formats,
    flags: [
      {
        name: 'ttl',
        value: 'SECONDS',
        default: String(defaultTtlSeconds),
        summary: 'how long the lock outlives a holder that has died',
      },
    ],
    examples: [
      { words: 'lock report', note: 'prints the key that holds it', goesOn: true },
      { words: 'lock report -- sh -c "date >> report"' },
    ],
    notes: [
      'The program is told by ETCD_LOCK_KEY and ETCD_LOCK_REV; its exit status is that of the command. Whoever holds the lock',
      'through etcdctl keeps it from mainstayctl, and the other way round.',
    ],
    endsItself: true,
    run: lock,
  }),
  commandOf({
    name: 'elect',
    operands: 'NAME [PROPOSAL]',
    chapter,
    summary: 'Campaign with a proposal and lead until Ctrl-C, or see who leads.',
    formats,
    flags: [{ name: 'listen', short: 'l', summary: 'print who leads, and each who follows' }],
    examples: [
      { words: 'elect scheduler node-1', goesOn: true },
      { words: 'elect scheduler --listen', goesOn: true },
    ],
    endsItself: true,
    run: elect,
  }),
];

async function lock(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const [name = '', ...program] = line.operands;
  const ttlSeconds = line.text('ttl') === undefined ? defaultTtlSeconds : line.whole('ttl');
  const session = await client.session({ ttlSeconds, signal: terminal.signal });
  try {
    const held = await client.lock(name, { session, signal: terminal.signal });
    if (program.length > 0) return await runHolding(command, held, program);
    writeHolder(command, await client.range(oneKey(held.key)));
    await untilLost(held, 'the lock', terminal.signal);
    return true;
  } catch (error) {
    if (terminal.signal.aborted && !(error instanceof ExitStatus)) return true;
    throw error;
  } finally {
    await session.end();
  }
}

/** Resolves at Ctrl-C; throws when what is held is lost before. */
async function untilLost({ lost }: Held, what: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const each of [lost, signal]) {
      if (each.aborted) resolve();
      else whenAborted(each, resolve);
    }
  });
  if (!signal.aborted) throw new CommandError(`session expired: another may have ${what} now`);
}

async function runHolding(
  { terminal }: Command,
  held: Held,
  [program = '', ...args]: readonly string[],
): Promise<boolean> {
  const env = { ...process.env, ETCD_LOCK_KEY: held.key, ETCD_LOCK_REV: String(held.revision) };
  const child = spawn(program, args, { stdio: ['inherit', 'inherit', 'inherit'], env });
  const stop = () => {
    child.kill('SIGTERM');
  };
  for (const each of [held.lost, terminal.signal]) whenAborted(each, stop);
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', (error) => reject(new CommandError(`${program}: ${error.message}`)));
    child.once('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
  if (held.lost.aborted) throw new CommandError('session expired while the program ran');
  if (status !== 0) throw new ExitStatus(status);
  return true;
}

async function elect(command: Command): Promise<boolean> {
  const { line, client, terminal } = command;
  const [name = '', proposal] = line.operands;
  const isListening = line.flag('listen');
  if (isListening !== (proposal === undefined)) {
    throw new UsageError('elect takes either a PROPOSAL or --listen');
  }
  const election = client.election(name);
  if (proposal === undefined) {
    for await (const kv of election.observe({ signal: terminal.signal })) {
      writeHolder(command, RangeResponse.create({ kvs: [kv] }));
    }
    return true;
  }
  const session = await client.session({ signal: terminal.signal });
  try {
    const leadership = await election.campaign(proposal, { session, signal: terminal.signal });
    writeHolder(command, await client.range(oneKey(leadership.key)));
    await untilLost(leadership, 'the lead', terminal.signal);
    return true;
  } catch (error) {
    if (terminal.signal.aborted) return true;
    throw error;
  } finally {
    await session.end();
  }
}

function writeHolder(command: Command, answer: RangeResponse): void {
  writeForms(command, {
    simple: () => rangeText(answer, command.line),
    json: () => etcdJson(RangeResponse, answer),
    fields: () => rangeFields(answer),
  });
}
