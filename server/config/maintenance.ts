import { durationMs } from './duration.ts';
import { type FlagName, UsageError } from './flags.ts';
import {
  compactHashCheckMsDefault,
  keepaliveIntervalMs,
  keepaliveTimeoutMs,
  learnersMaxDefault,
  leaseCheckpointIntervalMs,
  observerStalenessMsDefault,
  observerStalenessMsMin,
  observersMaxDefault,
  pingIntervalMsMin,
  quotaBytesAdvisedMax,
  quotaBytesDefault,
  timerMsMax,
  watchProgressNotifyMsDefault,
  watchProgressNotifyMsMin,
} from './limits.ts';
import { booleanOf, durationOf, integerOf, invalid, parseBoolean, type Values } from './values.ts';

/** How the store looks after itself. */
export interface MaintenanceConfig {
  /** What the applied state may take on disk; negative: no limit. */
  readonly quotaBytes: number;
  /** Undefined: history is compacted by clients only. */
  readonly autoCompaction: AutoCompaction | undefined;
  readonly isReconfigurationStrict: boolean;
  readonly learnersMax: number;
  readonly observersMax: number;
  /** An observer's state that may be older answers no reads. */
  readonly observerStalenessMaxMs: number;
  readonly watchProgressNotifyMs: number;
  readonly checksDataInitially: boolean;
  /** 0: never. */
  readonly corruptCheckMs: number;
  /** 0: never. */
  readonly compactHashCheckMs: number;
  /** 0: no checkpoints. `MAINSTAY_LEASE_CHECKPOINT_MS`, for tests. */
  readonly leaseCheckpointMs: number;
  readonly keepalive: KeepaliveConfig;
  readonly warnings: readonly string[];
}

export type AutoCompaction =
  | { readonly mode: 'periodic'; readonly retentionMs: number }
  | { readonly mode: 'revision'; readonly retentionRevisions: number };

/** Of a client's connection. */
export interface KeepaliveConfig {
  readonly pingMsMin: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function maintenanceConfig(values: Values, env: Environment): MaintenanceConfig {
  const warnings: string[] = [];
  const gates = featureGates(values, warnings);
  const quotaBytes = integerOf(values, 'quota-backend-bytes', 0) || quotaBytesDefault;
  if (quotaBytes > quotaBytesAdvisedMax) warnings.push('quota exceeds the maximum value of 8 GiB');
  const learnersMax = integerOf(values, 'max-learners', learnersMaxDefault);
  if (learnersMax < 0) throw new UsageError('--max-learners must be at least 0');
  const observersMax = integerOf(values, 'max-observers', observersMaxDefault);
  if (observersMax < 0) throw new UsageError('--max-observers must be at least 0');
  return {
    quotaBytes,
    autoCompaction: autoCompaction(values),
    isReconfigurationStrict: booleanOf(values, 'strict-reconfig-check', true),
    learnersMax,
    observersMax,
    observerStalenessMaxMs: observerStalenessMs(values),
    watchProgressNotifyMs: progressNotifyMs(values, warnings),
    checksDataInitially: gates.InitialCorruptCheck,
    corruptCheckMs: timerOf(values, 'corrupt-check-time', 0),
    compactHashCheckMs: gates.CompactHashCheck ? compactHashCheckMs(values) : 0,
    leaseCheckpointMs: gates.LeaseCheckpoint ? checkpointMs(env) : 0,
    keepalive: keepalive(values),
    warnings,
  };
}

/** 0 leaves grpc-go with its own default, as in etcd. */
function keepalive(values: Values): KeepaliveConfig {
  const intervalMs = timerOf(values, 'grpc-keepalive-interval', keepaliveIntervalMs);
  const timeoutMs = timerOf(values, 'grpc-keepalive-timeout', keepaliveTimeoutMs);
  const isSet = intervalMs > 0 && timeoutMs > 0;
  return {
    pingMsMin: timerOf(values, 'grpc-keepalive-min-time', pingIntervalMsMin) || 5 * 60_000,
    intervalMs: isSet ? intervalMs : keepaliveIntervalMs,
    timeoutMs: isSet ? timeoutMs : keepaliveTimeoutMs,
  };
}

/** etcd's reading: a plain number is hours, or revisions. */
function autoCompaction(values: Values): AutoCompaction | undefined {
  const mode = values.get('auto-compaction-mode') ?? 'periodic';
  const text = values.get('auto-compaction-retention') ?? '0';
  if (mode !== 'periodic' && mode !== 'revision') {
    throw new UsageError(`unknown auto-compaction-mode "${mode}"`);
  }
  const number = /^\d+$/.test(text) ? Number(text) : undefined;
  const isSafe = number === undefined || Number.isSafeInteger(number * hourMs);
  if (number === 0) return undefined;
  if (mode === 'revision') {
    if (number !== undefined && isSafe) return { mode, retentionRevisions: number };
    throw invalid('auto-compaction-retention', text, 'a number of revisions');
  }
  const retentionMs = number === undefined ? durationMs(text) : number * hourMs;
  if (retentionMs === undefined || retentionMs < 0 || !isSafe) {
    throw invalid('auto-compaction-retention', text, 'hours, or a duration such as 5m');
  }
  return retentionMs === 0 ? undefined : { mode, retentionMs };
}

const hourMs = 3_600_000;

function progressNotifyMs(values: Values, warnings: string[]): number {
  const flag = 'watch-progress-notify-interval';
  const ms = timerOf(values, flag, watchProgressNotifyMsDefault);
  if (ms >= watchProgressNotifyMsMin) return ms;
  warnings.push(`--${flag} is raised to the minimum of ${watchProgressNotifyMsMin} ms`);
  return watchProgressNotifyMsMin;
}

function observerStalenessMs(values: Values): number {
  const flag = 'observer-max-staleness';
  const ms = timerOf(values, flag, observerStalenessMsDefault);
  if (ms >= observerStalenessMsMin) return ms;
  throw invalid(flag, values.get(flag) ?? '', 'at least 1s: leaders change, and nobody is newer');
}

function compactHashCheckMs(values: Values): number {
  const flag = 'compact-hash-check-time';
  const ms = timerOf(values, flag, compactHashCheckMsDefault);
  if (ms === 0) throw new UsageError(`--${flag} must be >0 (set to ${values.get(flag)})`);
  return ms;
}

/** What a timer cannot hold is as good as never. */
function timerOf(values: Values, flag: FlagName, fallbackMs: number): number {
  return Math.min(durationOf(values, flag, fallbackMs), timerMsMax);
}

function checkpointMs(env: Environment): number {
  const text = env['MAINSTAY_LEASE_CHECKPOINT_MS'] ?? '';
  return /^\d+$/.test(text) ? Number(text) : leaseCheckpointIntervalMs;
}

/** The 3.5 flags that became feature gates in 3.6. */
const gateFlags = {
  InitialCorruptCheck: 'experimental-initial-corrupt-check',
  CompactHashCheck: 'experimental-compact-hash-check-enabled',
  LeaseCheckpoint: 'experimental-enable-lease-checkpoint',
  LeaseCheckpointPersist: 'experimental-enable-lease-checkpoint-persist',
} as const;
type Gate = keyof typeof gateFlags;

const gateDefaults: Readonly<Record<Gate, boolean>> = {
  InitialCorruptCheck: false,
  CompactHashCheck: true,
  LeaseCheckpoint: false,
  LeaseCheckpointPersist: false,
};

/** Gates that choose between ways of doing what is done in a third way here. */
const idleGates: ReadonlySet<string> = new Set([
  'StopGRPCServiceOnDefrag',
  'TxnModeWriteWithSharedBuffer',
  'FastLeaseKeepAlive',
  'PriorityRequest',
]);

function featureGates(values: Values, warnings: string[]): Record<Gate, boolean> {
  const gates = { ...gateDefaults };
  for (const [gate, flag] of Object.entries(gateFlags) as [Gate, FlagName][]) {
    gates[gate] = booleanOf(values, flag, gates[gate]);
  }
  for (const pair of (values.get('feature-gates') ?? '').split(',')) {
    if (pair.trim() !== '') setGate(gates, { pair: pair.trim(), values, warnings });
  }
  if (gates.LeaseCheckpointPersist && !gates.LeaseCheckpoint) {
    throw new UsageError(
      'enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint',
    );
  }
  return gates;
}

function setGate(
  gates: Record<Gate, boolean>,
  { pair, values, warnings }: { pair: string; values: Values; warnings: string[] },
): void {
  const [name = '', text] = pair.split('=').map((part) => part.trim());
  if (text === undefined) throw new UsageError(`missing bool value for feature gate ${name}`);
  const value = parseBoolean(text);
  if (value === undefined) throw new UsageError(`invalid value of ${name}: ${text}`);
  if (isGate(name)) {
    const flag = gateFlags[name];
    if (values.has(flag)) {
      throw new UsageError(
        `cannot specify both flags: --${flag}=(true|false) and --feature-gates=${name}=(true|false) at the same time,` +
          ` please just use --feature-gates=${name}=(true|false)`,
      );
    }
    gates[name] = value;
  } else if (idleGates.has(name)) {
    warnings.push(`feature gate ${name} changes nothing here`);
  } else if (name !== 'SetMemberLocalAddr' || value) {
    throw new UsageError(`unrecognized feature gate: ${name}`);
  }
}

function isGate(name: string): name is Gate {
  return name in gateFlags;
}
