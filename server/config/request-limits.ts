import { type FlagName, UsageError } from './flags.ts';
import { expensiveAtOnceDefault } from './limits.ts';
import { integerOf, type Values } from './values.ts';

/** Of each user, or each connection; 0: without a limit. */
export interface AllowanceConfig {
  readonly requestsPerSecond: number;
  readonly inFlight: number;
}

export interface RequestLimitsConfig {
  readonly user: AllowanceConfig;
  readonly connection: AllowanceConfig;
  /** Requests for many keys that run at once, the others wait; 0: all. */
  readonly expensiveInFlight: number;
}

/** Throws {@link UsageError}. */
export function requestLimitsConfig(values: Values): RequestLimitsConfig {
  return {
    user: {
      requestsPerSecond: limitOf(values, 'limit-user-requests-per-second'),
      inFlight: limitOf(values, 'limit-user-in-flight'),
    },
    connection: {
      requestsPerSecond: limitOf(values, 'limit-connection-requests-per-second'),
      inFlight: limitOf(values, 'limit-connection-in-flight'),
    },
    expensiveInFlight: limitOf(values, 'limit-expensive-in-flight', expensiveAtOnceDefault),
  };
}

function limitOf(values: Values, flag: FlagName, fallback = 0): number {
  const limit = integerOf(values, flag, fallback);
  if (limit < 0) throw new UsageError(`--${flag} must not be negative; 0 stands for no limit`);
  return limit;
}
