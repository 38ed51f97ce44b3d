#!/usr/bin/env node

import { StateDamagedError } from './backend/damage.ts';
import { FormatError } from './backend/restore.ts';
import type { Logger } from './base/logger.ts';
import { jsonLogger } from './base/logging.ts';
import { type Config, readCommandLine } from './config/config.ts';
import { helpText, UsageError } from './config/flags.ts';
import { stopMsMax } from './config/limits.ts';
import { compatibilityVersion, mainstayVersion } from './config/version.ts';
import { BootstrapError } from './member/bootstrap.ts';
import { startMember } from './member/member.ts';
import { DataRefusedError } from './member/peer-service.ts';
import { DataDamagedError } from './member/recovery.ts';
import { RemovedError } from './member/replica.ts';
import { ForeignLogError } from './wal/segment.ts';

/** After sysexits.h, so that whoever restarts a member can tell what restarting cannot mend (78). */
const exitStatus = { ok: 0, failed: 1, usage: 2, bug: 70, io: 74, data: 78 } as const;

/** Errors that say what is wrong with the data directory, and what to do. */
const dataErrors = [
  DataDamagedError,
  DataRefusedError,
  RemovedError,
  StateDamagedError,
  FormatError,
  ForeignLogError,
];

async function main(): Promise<void> {
  const commandLine = readCommandLine(process.argv.slice(2), process.env);
  switch (commandLine.kind) {
    case 'help':
      process.stdout.write(helpText('mainstay'));
      return;
    case 'version':
      process.stdout.write(
        `etcd Version: ${compatibilityVersion}\nMainstay Version: ${mainstayVersion}\n`,
      );
      return;
    case 'serve': {
      const logger = jsonLogger({ level: commandLine.config.logLevel });
      for (const warning of commandLine.warnings) logger.warn({}, warning);
      await serve(commandLine.config, logger);
    }
  }
}

async function serve(config: Config, logger: Logger): Promise<void> {
  const end = (error: unknown): never => {
    logger.error({ error, 'exit-status': statusOf(error) }, 'the member cannot go on');
    process.exit(statusOf(error));
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
  const { name, dataDir } = config;
  logger.info({ name, 'data-dir': dataDir, version: mainstayVersion }, 'starting a member');
  const member = await startMember(config, logger).catch(end);
  void member.failed.then(end);
  let isStopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    logger.info({ signal }, 'stopping: leadership is handed over, streams are ended');
    setTimeout(() => end(new Error('stopping took too long')), stopMsMax).unref();
    void member.stop().then(() => {
      logger.info({}, 'stopped');
      process.exit(exitStatus.ok);
    }, end);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

function statusOf(error: unknown): number {
  if (error instanceof UsageError) return exitStatus.usage;
  if (dataErrors.some((kind) => error instanceof kind)) return exitStatus.data;
  if (error instanceof BootstrapError) return exitStatus.failed;
  if (error instanceof Error && 'syscall' in error) return exitStatus.io;
  return exitStatus.bug;
}

main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`mainstay: ${error instanceof Error ? error.message : String(error)}\n`);
  if (isUsage) process.stderr.write('Run with --help for the flags.\n');
  process.exit(statusOf(error));
});
