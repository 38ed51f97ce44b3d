import { Client } from '../client/client.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from '../client/ctl/command.ts';
import {
  durationOf,
  endpointsOf,
  settingIn,
  tlsFlags,
  userOf,
} from '../client/ctl/command-line.ts';
import { credentialsOf, tlsOf } from '../client/ctl/ctl.ts';
import { type Flag, UsageError } from '../client/ctl/flags.ts';
import { jsonOf, lineOf } from '../client/ctl/text.ts';
import { ClientError } from '../client/errors.ts';
import { isPassing } from '../client/retry.ts';
import { cutOver, type NotYet } from '../mirror/cut-over.ts';
import { type Comparison, compareSides, type Difference } from '../mirror/difference.ts';
import { MirrorError } from '../mirror/failure.ts';
import { Mirror, type MirrorStatus } from '../mirror/mirror.ts';
import { writeResult } from './backup-report.ts';
import { mappingFlags, mappingOf, txnOpsMaxOf } from './mapping-flags.ts';

const differencesMax = 10;

const destinationFlags: readonly Flag[] = [
  {
    name: 'dest-cacert',
    value: 'FILE',
    summary: "who signs the certificates of the destination's members",
  },
  { name: 'dest-cert', value: 'FILE', summary: 'the certificate to show there, with --dest-key' },
  { name: 'dest-key', value: 'FILE', summary: 'the key of --dest-cert' },
  {
    name: 'dest-user',
    value: 'NAME[:PASSWORD]',
    default: 'MAINSTAYCTL_DEST_USER',
    summary: 'who asks there; without a password it is asked for',
  },
  {
    name: 'dest-password',
    value: 'PASSWORD',
    default: 'MAINSTAYCTL_DEST_PASSWORD',
    summary: 'the password of --dest-user, apart from the name',
  },
  {
    name: 'dest-insecure-transport',
    default: 'true',
    summary: '--dest-insecure-transport=false asks for TLS where nothing else does',
  },
  {
    name: 'dest-insecure-skip-tls-verify',
    summary: 'believe any certificate of the destination: for tests only',
  },
];

export const mirrorCommand: CommandSpec = commandOf({
  name: 'mirror',
  operands: 'DESTINATION',
  chapter: 'Files and other clusters',
  summary:
    'Keep another cluster as this one is, with leases and deletes, until Ctrl-C; goes on exactly where it was when it is started again.',
  flags: [
    ...mappingFlags,
    {
      name: 'rev',
      value: 'REVISION',
      summary:
        'where there is no checkpoint yet: copy only what changes from this revision on; the destination has what was before',
    },
    {
      name: 'max-txn-ops',
      value: 'COUNT',
      default: '128',
      summary: 'operations in a transaction of the destination; a larger one of the source is cut',
    },
    {
      name: 'overwrite',
      summary:
        'take a destination that has keys already: those that the source does not have are deleted',
    },
    { name: 'once', summary: 'end when everything is copied that was there when it began' },
    {
      name: 'check',
      summary:
        'copy nothing: compare keys, values and leases of both sides, at revisions that belong together',
    },
    {
      name: 'cut-over',
      summary:
        'beside the mirror that runs: wait until nothing writes to the source and both sides are equal, then end the mirror for good',
    },
    {
      name: 'still',
      value: 'DURATION',
      default: '5s',
      summary: 'with --cut-over: how long nothing may have been written',
    },
    {
      name: 'interval',
      value: 'DURATION',
      default: '10s',
      summary: 'how often a line says how far it is, where there is no terminal to show it',
    },
    {
      name: 'result-file',
      value: 'FILE',
      summary: 'the outcome as a line of JSON, 4 KiB at most, also when it fails',
    },
    ...destinationFlags,
  ],
  examples: [
    { words: 'mirror 127.0.0.1:22379', goesOn: true },
    { words: 'mirror 127.0.0.1:22379 --once', note: 'what is there now, and no more' },
    { words: 'mirror 127.0.0.1:22379 --check', note: 'exit status 0: equal; 1: not, and how' },
    {
      words: 'mirror 127.0.0.1:22379 --cut-over',
      note: 'when the application is stopped: afterwards no mirror writes there',
    },
    {
      words: 'mirror 127.0.0.1:22379 --prefix config/ --dest-prefix copy/ --once -w json',
      note: 'a part, under another name',
    },
  ],
  notes: [
    'DESTINATION is HOST:PORT,..., of Mainstay or etcd, as --endpoints is for the source. What happened in one transaction of the',
    'source is done in one there, with the checkpoint. Leases have the same id where that is free, and end when the source ends',
    'them. When the source has compacted what comes next, everything is copied anew; that is said. One mirror at a time.',
    'A cut-over is one transaction of the destination, which holds only if the mirror has written nothing since both were',
    'found equal; from then on the mirror that runs and every later one are refused, even after a crash. One key stays there,',
    'under --reserved-prefix, to say so: delete it to begin a mirror anew.',
    'Exit status: 0 ended by Ctrl-C, --once or --cut-over done, or --check found both equal; 1 failed or different; 2 wrong',
    'command line.',
  ],
  endsItself: true,
  run: withDestination(run),
});

type Run = (command: Command, destination: Client) => Promise<boolean>;

function withDestination(body: Run): (command: Command) => Promise<boolean> {
  return async (command) => {
    let destination: Client | undefined;
    try {
      destination = await destinationOf(command);
      return await body(command, destination);
    } catch (error) {
      const message = sideOf(error, destination) + (error as Error).message;
      writeResult(command, { ok: false, kind: 'mirror', failure: failureOf(error), message });
      if (!(error instanceof MirrorError)) throw error;
      throw new CommandError(error.message, { cause: error });
    } finally {
      command.terminal.progress?.('');
      destination?.close();
    }
  };
}

function failureOf(error: unknown): string {
  if (error instanceof MirrorError) return 'Refused';
  if (error instanceof ClientError) {
    return isPassing(error) || error.isUncertain ? 'ClusterUnreachable' : 'ClusterRefused';
  }
  return error instanceof UsageError ? 'Invalid' : 'Failed';
}

/** Whose word it is: both sides speak the same language. */
function sideOf(error: unknown, destination: Client | undefined): string {
  if (!(error instanceof ClientError)) return '';
  return destination?.endpoints.includes(error.endpoint) === true ? 'destination: ' : 'source: ';
}

async function destinationOf({ line, terminal }: Command): Promise<Client> {
  const [operand = ''] = line.operands;
  const given = (name: string) =>
    line.text(`dest-${name}`) ?? settingIn(line.env, `MAINSTAYCTL_DEST_${name.toUpperCase()}`);
  const user = userOf(given('user'), given('password'));
  const credentials = user && (await credentialsOf(user, terminal));
  const [cacert, cert, key] = ['cacert', 'cert', 'key'].map((name) => line.text(`dest-${name}`));
  const isWanted = line.text('dest-insecure-transport') === 'false';
  const isInsecure = line.flag('dest-insecure-skip-tls-verify');
  const tls = tlsFlags({ cacert, cert, key }, { isInsecure, isWanted });
  const hostsFile = line.env['MAINSTAY_HOSTS_FILE'];
  return new Client({
    endpoints: endpointsOf(operand, 'DESTINATION'),
    timeoutMs: line.timeoutMs,
    dialTimeoutMs: line.dialTimeoutMs,
    credentials,
    ...(hostsFile && { hostsFile }),
    ...(tls && { tls: tlsOf(tls) }),
  });
}

async function run(command: Command, destination: Client): Promise<boolean> {
  const { line } = command;
  const [isCheck, isCutOver] = [line.flag('check'), line.flag('cut-over')];
  if (isCheck && isCutOver) throw new UsageError('--check and --cut-over exclude each other');
  if (isCheck) return check(command, destination);
  if (isCutOver) return cut(command, destination);
  const { terminal, client } = command;
  const options = { ...mappingOf(line), signal: terminal.signal };
  const intervalMs = durationOf(line.text('interval') ?? '10s', '--interval');
  const isJson = line.format('simple') === 'json';
  let toldAtMs = performance.now();
  const tell = (status: MirrorStatus) =>
    terminal.write(isJson ? jsonOf(status) : `${textOf(status)}\n`);
  const mirror = new Mirror(
    { source: client, destination },
    {
      ...options,
      startRevision: line.whole('rev'),
      txnOpsMax: txnOpsMaxOf(line),
      overwrites: line.flag('overwrite'),
      isOnce: line.flag('once'),
      onStatus: (status) => {
        terminal.progress?.(textOf(status));
        if (terminal.progress !== undefined && !isJson) return;
        if (performance.now() - toldAtMs < intervalMs) return;
        toldAtMs = performance.now();
        tell(status);
      },
      onResync: (why) => {
        terminal.progress?.('');
        terminal.complain(`mainstayctl: everything is copied anew: ${why}\n`);
      },
    },
  );
  const status = await mirror.run();
  terminal.progress?.('');
  writeResult(command, { ok: true, kind: 'mirror', ...status });
  tell(status);
  return true;
}

function textOf(status: MirrorStatus): string {
  const { phase, revision, sourceRevision, lagSeconds, puts, deletes, leases } = status;
  const counts = `${puts} puts, ${deletes} deletes, ${leases} leases`;
  const waiting = status.waitingFor === undefined ? '' : `; waiting for ${status.waitingFor}`;
  if (phase === 'copying') return `copying everything: ${counts}${waiting}`;
  const behind = `${sourceRevision - revision} revisions, ${lagSeconds.toFixed(1)} s behind`;
  return `revision ${revision}: ${behind}; ${counts}${waiting}`;
}

async function check(command: Command, destination: Client): Promise<boolean> {
  const { line, client, terminal } = command;
  const compared = await compareSides(
    { source: client, destination },
    { ...mappingOf(line), differencesMax, patienceMs: line.timeoutMs, signal: terminal.signal },
  );
  const { differences, ...about } = compared;
  const isEqual = differences.length === 0;
  const texts = differences.map(differenceText);
  writeResult(command, { ok: isEqual, kind: 'check', ...about, differences: texts });
  if (line.format('simple') === 'json') terminal.write(jsonOf({ isEqual, ...compared }));
  else terminal.write(comparisonText(compared));
  return isEqual;
}

async function cut(command: Command, destination: Client): Promise<boolean> {
  const { line, client, terminal } = command;
  const isJson = line.format('simple') === 'json';
  const tell = (fields: object, text: string) =>
    terminal.write(isJson ? jsonOf(fields) : `${text}\n`);
  const { signal } = terminal;
  const stillMs = durationOf(line.text('still') ?? '5s', '--still');
  let told = '';
  const onNotYet = (why: NotYet) => {
    const message = notYetText(why);
    if (!isJson && message === told) return;
    told = message;
    tell({ kind: 'waiting', why: why.kind, message }, message);
  };
  const options = { ...mappingOf(line), patienceMs: line.timeoutMs, signal };
  try {
    const end = await cutOver(
      { source: client, destination },
      { ...options, differencesMax, stillMs, onNotYet },
    );
    const result = { ok: true, kind: 'cutOver', ...end };
    writeResult(command, result);
    const { revision, destinationRevision, keys, leases } = end;
    const at = `revision ${revision} of the source, ${destinationRevision} of the destination`;
    tell(result, `Cut over: ${keys} keys, ${leases} leases are equal; ${at}`);
    return true;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CommandError(`not cut over, the mirror goes on: ${told || 'interrupted'}`, {
      cause: error,
    });
  }
}

function notYetText(why: NotYet): string {
  switch (why.kind) {
    case 'behind':
      return why.why;
    case 'written':
      return `the source was written to at revision ${why.revision}: stop what writes there`;
    case 'different': {
      const [first, ...others] = why.differences;
      const more = others.length === 0 ? '' : `, and ${others.length} more`;
      return `the sides differ: ${first === undefined ? '' : differenceText(first)}${more}`;
    }
  }
}

function differenceText({ key, text }: Difference): string {
  return key.length === 0 ? text : `${lineOf(key)}: ${text}`;
}

function comparisonText({ differences, ...compared }: Comparison): string {
  const { revision, destinationRevision, keys, leases } = compared;
  const at = `revision ${revision} of the source, ${destinationRevision} of the destination`;
  if (differences.length === 0) return `Equal: ${keys} keys, ${leases} leases; ${at}\n`;
  const first = differences.length < differencesMax ? '' : ', the first ones';
  const lines = differences.map((difference) => `${differenceText(difference)}\n`);
  return `${lines.join('')}Different: ${differences.length}${first}; ${at}\n`;
}
