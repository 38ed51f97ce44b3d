#!/usr/bin/env node

import type { Logger } from './base/logger.ts';
import { jsonLogger } from './base/logging.ts';
import { type Config, readCommandLine } from './config/config.ts';
import { helpText, UsageError } from './config/flags.ts';
import { stopMsMax } from './config/limits.ts';
import { compatibilityVersion, mainstayVersion } from './config/version.ts';
import { exitStatus, exitStatusOf } from './member/failures.ts';
import { type RunningMember, startMember } from './member/member.ts';

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
    const status = exitStatusOf(error);
    logger.error({ error, 'exit-status': status }, 'the member cannot go on');
    process.exit(status);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
  const { name, dataDir } = config;
  logger.info({ name, 'data-dir': dataDir, version: mainstayVersion }, 'starting a member');
  const starting = startMember(config, logger);
  stopOnSignals(starting, { logger, end });
  const member = await starting.catch(end);
  end(await member.failed);
}

function stopOnSignals(
  starting: Promise<RunningMember>,
  { logger, end }: { logger: Logger; end: (error: unknown) => never },
): void {
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    logger.info({ signal }, 'stopping: leadership is handed over, streams are ended');
    setTimeout(() => end(new Error('stopping took too long')), stopMsMax).unref();
    // A member that still waits for the others has promised nothing yet.
    const member = await Promise.race([starting, nextTurn()]);
    await member?.stop();
    logger.info({}, 'stopped');
    process.exit(exitStatus.ok);
  };
  let isStopping = false;
  const once = (signal: NodeJS.Signals): void => {
    if (isStopping) return;
    isStopping = true;
    stop(signal).catch(end);
  };
  process.on('SIGTERM', once);
  process.on('SIGINT', once);
}

function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => {
    setImmediate(resolve, undefined);
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`mainstay: ${error instanceof Error ? error.message : String(error)}\n`);
  const isUsage = error instanceof UsageError;
  process.exit(isUsage ? exitStatus.usage : exitStatusOf(error));
});
