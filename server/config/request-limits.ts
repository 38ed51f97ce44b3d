import { latin1OfPrefix } from './audit.ts';
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
  readonly prefixQuotas: readonly PrefixQuota[];
}

/** What the keys with a prefix, latin-1 and not empty, may take with their values. */
export interface PrefixQuota {
  readonly prefix: string;
  readonly sizeBytes: number;
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
    prefixQuotas: prefixQuotas(values.get('limit-prefix-quotas') ?? ''),
  };
}

function limitOf(values: Values, flag: FlagName, fallback = 0): number {
  const limit = integerOf(values, flag, fallback);
  if (limit < 0) throw new UsageError(`--${flag} must not be negative; 0 stands for no limit`);
  return limit;
}

const bytesPerUnit: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

/** `PREFIX=SIZE,...`; in a prefix `%2C` stands for a comma, `%25` for a percent sign. Throws {@link UsageError}. */
export function prefixQuotas(text: string): PrefixQuota[] {
  const parts = text.split(',').map((part) => part.trim());
  const quotas = parts.filter((part) => part !== '').map(prefixQuota);
  const prefixes = quotas.map(({ prefix }) => prefix);
  const twice = prefixes.find((prefix, at) => prefixes.indexOf(prefix) !== at);
  if (twice !== undefined) {
    const shown = Buffer.from(twice, 'latin1').toString();
    throw new UsageError(`--limit-prefix-quotas: "${shown}" has two quotas`);
  }
  return quotas;
}

/** A prefix may have an equals sign, a size has none. */
function prefixQuota(text: string): PrefixQuota {
  const [, prefix = '', digits = '', unit = ''] = /^(.+)=(\d+)(Ki|Mi|Gi)?$/su.exec(text) ?? [];
  const sizeBytes = Number(digits) * (bytesPerUnit[unit] ?? 1);
  if (prefix === '' || !Number.isSafeInteger(sizeBytes)) {
    throw new UsageError(
      `--limit-prefix-quotas: "${text}" is no quota; one is PREFIX=SIZE, such as /tenants/a/=100Mi, and the size of the whole database is --quota-backend-bytes`,
    );
  }
  return { prefix: latin1OfPrefix('limit-prefix-quotas', text, prefix), sizeBytes };
}
