import { type FlagName, UsageError } from './flags.ts';
import { integerOf, type Values } from './values.ts';

/** Of each user, or each connection; 0: without a limit. */
export interface AllowanceConfig {
  readonly requestsPerSecond: number;
  readonly inFlight: number;
}

export interface RequestLimitsConfig {
  readonly user: AllowanceConfig;
  readonly connection: AllowanceConfig;
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
  };
}

function limitOf(values: Values, flag: FlagName): number {
  const limit = integerOf(values, flag, 0);
  if (limit < 0) throw new UsageError(`--${flag} must not be negative; 0 stands for no limit`);
  return limit;
}
