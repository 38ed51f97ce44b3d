import { readFileSync } from 'node:fs';
import { Client } from '../client.ts';
import type { TlsOptions } from '../endpoint.ts';
import { ClientError, CompactedError } from '../errors.ts';
import type { Credentials } from '../tokens.ts';
import {
  CommandError,
  type CommandSpec,
  type Environment,
  ExitStatus,
  type Terminal,
} from './command.ts';
import { type CommandLine, type TlsFlags, wishOf } from './command-line.ts';
import { UsageError } from './flags.ts';
import { helpFor } from './help.ts';

/** Runs one command of mainstayctl; its exit status: 0 done, 1 failed, 2 wrong command line. */
export async function runCtl(
  argv: readonly string[],
  env: Environment,
  { terminal, commands }: { terminal: Terminal; commands: readonly CommandSpec[] },
): Promise<number> {
  let line: CommandLine | undefined;
  try {
    const wish = wishOf(argv, commands, env);
    if (wish.kind === 'help') {
      terminal.write(helpFor(wish.words, commands));
      return 0;
    }
    line = wish.line;
    const client = await clientFor(line, terminal);
    try {
      return (await line.spec.run({ line, client, terminal, commands })) ? 0 : 1;
    } finally {
      client.close();
    }
  } catch (error) {
    return complain(error, terminal, line?.spec.isWrite === true);
  }
}

async function clientFor(line: CommandLine, terminal: Terminal): Promise<Client> {
  const hostsFile = line.env['MAINSTAY_HOSTS_FILE'];
  const { endpoints, timeoutMs, dialTimeoutMs, tls, user } = line;
  const credentials = user && (await credentialsOf(user, terminal));
  return new Client({
    endpoints,
    timeoutMs,
    dialTimeoutMs,
    credentials,
    ...(hostsFile && { hostsFile }),
    ...(tls && { tls: tlsOf(tls) }),
  });
}

export async function credentialsOf(
  { username, password }: { username: string; password: string | undefined },
  { askSecret }: Terminal,
): Promise<Credentials> {
  if (password !== undefined) return { username, password };
  if (askSecret === undefined) {
    throw new UsageError('--user has no password: --user NAME:PASSWORD, or --password');
  }
  return { username, password: await askSecret(`Password of ${username}: `) };
}

export function tlsOf({ cacert, cert, key, isInsecure }: TlsFlags): TlsOptions {
  return {
    ...(cacert !== undefined && { ca: content(cacert) }),
    ...(cert !== undefined && { cert: content(cert) }),
    ...(key !== undefined && { key: content(key) }),
    insecureSkipVerify: isInsecure,
  };
}

function content(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function complain(error: unknown, terminal: Terminal, isWrite: boolean): number {
  if (error instanceof ExitStatus) return error.status;
  if (error instanceof UsageError) {
    terminal.complain(`mainstayctl: ${error.message}\n`);
    return 2;
  }
  if (error instanceof CommandError) {
    terminal.complain(`mainstayctl: ${error.message}\n`);
    return 1;
  }
  if (terminal.signal.aborted) return 1;
  if (!(error instanceof ClientError) && !(error instanceof CompactedError)) throw error;
  terminal.complain(`mainstayctl: ${error.message}\n`);
  const next = nextStep(error, isWrite);
  if (next !== undefined) terminal.complain(`${next}\n`);
  return 1;
}

/** What the server says, and what the person can do about it. */
const nextSteps: readonly (readonly [RegExp, string])[] = [
  [/has been compacted$/, 'That history is gone: leave out --rev, or ask for a newer revision.'],
  [
    /is a future revision$/,
    'The store has not come so far: leave out --rev, or look at the revision of "mainstayctl get KEY -w json".',
  ],
  [/requested lease not found$/, 'Leases that there are: mainstayctl lease list'],
  [/member not found$/, 'Members that there are: mainstayctl member list'],
  [/user name not found$/, 'Users that there are: mainstayctl user list'],
  [/role name not found$/, 'Roles that there are: mainstayctl role list'],
  [/user name is empty$/, 'Authentication is on: say who you are with --user NAME:PASSWORD.'],
  [/authentication failed/, 'Is the name right, and the password? --user NAME:PASSWORD'],
  [/permission denied$/, 'What a user may do: mainstayctl user get NAME --detail, as root.'],
  [
    /database space exceeded$/,
    'Make room: mainstayctl compaction REVISION, mainstayctl defrag --cluster, then mainstayctl alarm disarm.',
  ],
  [/root user does not exist$/, 'Make one first: mainstayctl user add root'],
  [/request is too large$/, 'The members take --max-request-bytes, 1.5 MiB by default.'],
];

function nextStep(error: ClientError | CompactedError, isWrite: boolean): string | undefined {
  if (error instanceof CompactedError) {
    return `Watch from revision ${error.compactRevision} or later: --rev ${error.compactRevision}`;
  }
  if (error.text.startsWith('cannot ')) {
    return 'Is a member running there? Name others with --endpoints HOST:PORT,... or MAINSTAYCTL_ENDPOINTS.';
  }
  if (isWrite && error.isUncertain) {
    return 'The request may have taken effect: read what is there before you repeat it.';
  }
  if (error.isUncertain || error.text === 'etcdserver: no leader') {
    return 'An election is under way, or too few members are up. How they are: mainstayctl status';
  }
  return nextSteps.find(([pattern]) => pattern.test(error.text))?.[1];
}
