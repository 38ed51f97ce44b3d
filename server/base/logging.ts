import { destination, pino } from 'pino';
import type { Logger } from './logger.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** JSON lines with etcd's keys: `level`, `ts`, `msg`, then the fields; an Error in `error` becomes its text. */
export function jsonLogger(options: { level: LogLevel; fd?: number; file?: string }): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }), log: withErrorText },
    },
    // Written at once: the last lines before an end are the ones that matter.
    destination({ dest: options.file ?? options.fd ?? 2, sync: true }),
  );
}

/** zap's two fields for an error: what it says, and where it came from. */
function withErrorText(fields: Record<string, unknown>): Record<string, unknown> {
  const { error } = fields;
  if (!(error instanceof Error)) return fields;
  return { ...fields, error: error.message, errorVerbose: error.stack };
}
