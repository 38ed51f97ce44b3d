import { readFileSync } from 'node:fs';
import { orAborted } from '../abort.ts';
import { Client } from '../client.ts';
import type { TlsOptions } from '../endpoint.ts';
import type { Credentials } from '../tokens.ts';
import type { CommandSpec, Environment, Terminal } from './command.ts';
import { type CommandLine, type TlsFlags, wishOf } from './command-line.ts';
import { complain } from './complaint.ts';
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
      const running = line.spec.run({ line, client, terminal, commands });
      const stops = line.spec.endsItself === true ? [] : [terminal.signal];
      return (await orAborted(running, stops)) ? 0 : 1;
    } finally {
      client.close();
    }
  } catch (error) {
    return complain(error, terminal, line?.spec.isWrite);
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
    ...(cacert !== undefined && { ca: content(cacert, '--cacert') }),
    ...(cert !== undefined && { cert: content(cert, '--cert') }),
    ...(key !== undefined && { key: content(key, '--key') }),
    insecureSkipVerify: isInsecure,
  };
}

function content(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${flag}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
