import { readFileSync } from 'node:fs';
import { Client } from '../client.ts';
import type { TlsOptions } from '../endpoint.ts';
import { ClientError, CompactedError } from '../errors.ts';
import { CommandLine, type TlsFlags, UsageError } from './command-line.ts';
import { commands, type FileCommands, type Terminal } from './commands.ts';
import { helpOf, overview } from './help.ts';

/** A command failed for a reason that the person can do something about. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** Runs one command of mainstayctl; its exit status: 0 done, 1 failed, 2 wrong command line. */
export async function runCtl(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { terminal, fileCommands }: { terminal: Terminal; fileCommands: FileCommands },
): Promise<number> {
  let line: CommandLine | undefined;
  try {
    line = new CommandLine(argv, env);
    if (line.command === 'help') {
      terminal.write(helpFor(argv));
      return 0;
    }
    const hostsFile = env['MAINSTAY_HOSTS_FILE'];
    const { endpoints, timeoutMs, credentials } = line;
    const tls = line.tls && tlsOf(line.tls);
    const client = new Client({
      endpoints,
      timeoutMs,
      credentials,
      ...(hostsFile && { hostsFile }),
      ...(tls && { tls }),
    });
    try {
      const run = { ...commands, ...fileCommands }[line.command];
      return (await run({ line, client, terminal })) ? 0 : 1;
    } finally {
      client.close();
    }
  } catch (error) {
    return complain(error, terminal, line?.command === 'put');
  }
}

function tlsOf({ cacert, cert, key, isInsecure }: TlsFlags): TlsOptions {
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

function helpFor(argv: readonly string[]): string {
  const words = argv.filter((word) => !word.startsWith('-') && word !== 'help').join(' ');
  const found = Object.entries(helpOf).find(([name]) => words.startsWith(name));
  return found?.[1] ?? overview;
}

function complain(error: unknown, terminal: Terminal, isWrite: boolean): number {
  if (error instanceof UsageError) {
    terminal.complain(`mainstayctl: ${error.message}\nTry: mainstayctl --help\n`);
    return 2;
  }
  if (error instanceof CommandError) {
    terminal.complain(`mainstayctl: ${error.message}\n`);
    return 1;
  }
  if (!(error instanceof ClientError) && !(error instanceof CompactedError)) throw error;
  terminal.complain(`mainstayctl: ${error.message}\n`);
  const next = nextStep(error, isWrite);
  if (next !== undefined) terminal.complain(`${next}\n`);
  return 1;
}

/** What the person can do about it. */
function nextStep(error: ClientError | CompactedError, isWrite: boolean): string | undefined {
  if (error instanceof CompactedError) {
    return `Watch from revision ${error.compactRevision} or later: --rev ${error.compactRevision}`;
  }
  if (error.text.startsWith('cannot ')) {
    return 'Is a member running there? Name others with --endpoints HOST:PORT,... or MAINSTAYCTL_ENDPOINTS.';
  }
  if (isWrite && error.isUncertain) {
    return 'The request may have taken effect: read the key before you repeat it.';
  }
  if (error.isUncertain || error.text === 'etcdserver: no leader') {
    return 'An election is under way, or too few members are up. How they are: mainstayctl status';
  }
  if (error.text.endsWith('has been compacted')) {
    return 'That history is gone: leave out --rev, or ask for a newer revision.';
  }
  return undefined;
}
