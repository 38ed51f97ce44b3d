import { isIP } from 'node:net';
import type { LogLevel } from '../base/logging.ts';
import { type AuditConfig, auditConfig } from './audit.ts';
import { readConfigFile } from './config-file.ts';
import { durationMs } from './duration.ts';
import { type FlagName, readSettings, type Settings, UsageError } from './flags.ts';
import {
  authTokenTtlDefault,
  bcryptCostDefault,
  concurrentStreamsFlagMax,
  electionMsMax,
  heartbeatsPerElectionMin,
  requestBytesFlagMax,
  requestBytesMaxDefault,
  txnOpsMaxDefault,
  walSegmentBytesDefault,
} from './limits.ts';
import { type MaintenanceConfig, maintenanceConfig } from './maintenance.ts';
import { type RequestLimitsConfig, requestLimitsConfig } from './request-limits.ts';
import { checkTlsUrls, type TlsConfig, tlsConfig } from './tls.ts';
import { memberUrls, parseUrl, UrlError } from './urls.ts';
import { booleanOf } from './values.ts';

/** What the flags say, checked and frozen. URLs are texts as etcd prints them; a list of them is sorted. */
export interface Config {
  readonly name: string;
  readonly dataDir: string;
  /** Undefined: in the data directory. */
  readonly walDir: string | undefined;
  readonly listenClientUrls: readonly string[];
  readonly advertiseClientUrls: readonly string[];
  readonly listenPeerUrls: readonly string[];
  /** `--initial-advertise-peer-urls` */
  readonly advertisePeerUrls: readonly string[];
  /** Every member to begin with, this one included, in the order given. */
  readonly initialCluster: readonly InitialMember[];
  readonly initialClusterState: 'new' | 'existing';
  readonly initialClusterToken: string;
  /** Start as the only member of the cluster that the data directory is of. */
  readonly forceNewCluster: boolean;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  /** Applied entries between two snapshots of the log. */
  readonly snapshotCount: number;
  readonly requestBytesMax: number;
  readonly txnOpsMax: number;
  readonly authToken: AuthTokenConfig;
  /** Of simple tokens; 0 or less means the default. */
  readonly authTokenTtlMs: number;
  readonly bcryptCost: number;
  /** HTTP has these ports for itself, and the client URLs serve gRPC alone. */
  readonly listenClientHttpUrls: readonly string[];
  /** Besides the client URLs. */
  readonly listenMetricsUrls: readonly string[];
  readonly hasExtensiveMetrics: boolean;
  /** The JSON gateway, `/v3/*`. */
  readonly hasGateway: boolean;
  /** A page for people, `/console/`. */
  readonly hasConsole: boolean;
  /** Undefined when it is not set: then `streamsPerConnectionMax` for gRPC, and no limit of its own for the gateway. */
  readonly concurrentStreamsMax: number | undefined;
  /** Empty, or with a `*`: all. */
  readonly corsOrigins: readonly string[];
  readonly hostWhitelist: readonly string[];
  /** Of keys that log and state are encrypted with; empty: not. The files are not read yet. */
  readonly dataEncryptionKeyFiles: readonly string[];
  readonly logLevel: LogLevel;
  /** Undefined: nothing is written down. */
  readonly audit: AuditConfig | undefined;
  readonly requestLimits: RequestLimitsConfig;
  readonly maintenance: MaintenanceConfig;
  readonly clientTls: TlsConfig;
  readonly peerTls: TlsConfig;
  /** The log on disk goes on in a new segment when one has grown past this. `MAINSTAY_WAL_SEGMENT_BYTES`, for tests. */
  readonly walSegmentBytes: number;
}

/** `--auth-token`. The files of the keys are not read yet. */
export type AuthTokenConfig =
  | { readonly kind: 'none' | 'simple' }
  | {
      readonly kind: 'jwt';
      readonly signMethod: string;
      readonly publicKeyFile: string | undefined;
      readonly privateKeyFile: string | undefined;
      readonly ttlMs: number;
    };

export interface InitialMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

export type CommandLine =
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'serve'; readonly config: Config; readonly warnings: readonly string[] };

/** Changes nothing; reads the config file, where one is named. Throws {@link UsageError}. */
export function readCommandLine(argv: readonly string[], env: Environment): CommandLine {
  const settings = readSettings(argv, env);
  if (settings.showsHelp) return { kind: 'help' };
  if (settings.showsVersion) return { kind: 'version' };
  const { config, warnings } =
    settings.configFile === undefined
      ? { config: configOf(settings.values, env), warnings: [] }
      : configInFile(settings.configFile, env);
  return {
    kind: 'serve',
    config,
    warnings: [...settings.warnings, ...warnings, ...config.maintenance.warnings],
  };
}

function configInFile(
  path: string,
  env: Environment,
): { config: Config; warnings: readonly string[] } {
  try {
    const { values, warnings } = readConfigFile(path);
    return { config: configOf(values, env), warnings };
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`config file ${path}: ${error.message}`);
    throw error;
  }
}

/** How long a proposal, or a linearizable read, is waited for: etcd's 5 s and two election timeouts. */
export function requestTimeoutMs(config: Pick<Config, 'electionMs'>): number {
  return 5_000 + 2 * config.electionMs;
}

type Values = Settings['values'];
type Environment = Readonly<Record<string, string | undefined>>;

function configOf(values: Values, env: Environment): Config {
  const name = values.get('name') ?? 'default';
  const advertisePeerUrls = urls(values, 'initial-advertise-peer-urls', 'http://localhost:2380');
  const config: Config = {
    name,
    dataDir: values.get('data-dir') ?? `${name}.etcd`,
    walDir: values.get('wal-dir') || undefined,
    listenClientUrls: urls(values, 'listen-client-urls', 'http://localhost:2379'),
    advertiseClientUrls: urls(values, 'advertise-client-urls', 'http://localhost:2379'),
    listenPeerUrls: urls(values, 'listen-peer-urls', 'http://localhost:2380'),
    advertisePeerUrls,
    initialCluster: initialCluster(values, { name, peerUrls: advertisePeerUrls }),
    initialClusterState: oneOf(values, 'initial-cluster-state', ['new', 'existing']),
    initialClusterToken: values.get('initial-cluster-token') ?? 'etcd-cluster',
    forceNewCluster: oneOf(values, 'force-new-cluster', ['false', 'true']) === 'true',
    heartbeatMs: whole(values, 'heartbeat-interval', 100),
    electionMs: whole(values, 'election-timeout', 1_000),
    snapshotCount: whole(values, 'snapshot-count', 10_000) || 10_000,
    requestBytesMax: whole(values, 'max-request-bytes', requestBytesMaxDefault),
    txnOpsMax: whole(values, 'max-txn-ops', txnOpsMaxDefault),
    authToken: authToken(values.get('auth-token') ?? 'simple'),
    authTokenTtlMs: 1_000 * whole(values, 'auth-token-ttl', authTokenTtlDefault),
    bcryptCost: whole(values, 'bcrypt-cost', bcryptCostDefault),
    listenClientHttpUrls: optionalUrls(values, 'listen-client-http-urls'),
    listenMetricsUrls: optionalUrls(values, 'listen-metrics-urls'),
    hasExtensiveMetrics: oneOf(values, 'metrics', ['basic', 'extensive']) === 'extensive',
    hasGateway: booleanOf(values, 'enable-grpc-gateway', true),
    hasConsole: booleanOf(values, 'enable-console', false),
    concurrentStreamsMax: concurrentStreamsMax(values),
    corsOrigins: corsOrigins(values),
    hostWhitelist: list(values, 'host-whitelist'),
    dataEncryptionKeyFiles: list(values, 'data-encryption-key-file'),
    logLevel: logLevel(values),
    audit: auditConfig(values),
    requestLimits: requestLimitsConfig(values),
    maintenance: maintenanceConfig(values, env),
    clientTls: tlsConfig(values, ''),
    peerTls: tlsConfig(values, 'peer-'),
    walSegmentBytes: segmentBytes(env['MAINSTAY_WAL_SEGMENT_BYTES']),
  };
  checkMember(config, values);
  checkTimes(config);
  checkCluster(config);
  return deepFreeze(config);
}

function checkMember(config: Config, values: Values): void {
  if (config.name === '') throw new UsageError('--name must not be empty');
  if (config.dataDir === '') throw new UsageError('--data-dir must not be empty');
  checkBindable(config.listenClientUrls, 'listen-client-urls');
  checkBindable(config.listenPeerUrls, 'listen-peer-urls');
  checkBindable(config.listenClientHttpUrls, 'listen-client-http-urls');
  checkBindable(config.listenMetricsUrls, 'listen-metrics-urls');
  checkReachable(config.advertiseClientUrls, 'advertise-client-urls');
  checkReachable(config.advertisePeerUrls, 'initial-advertise-peer-urls');
  checkTlsUrls(config.clientTls, '', [
    ...config.listenClientUrls,
    ...config.listenClientHttpUrls,
    ...config.listenMetricsUrls,
  ]);
  checkTlsUrls(config.peerTls, 'peer-', config.listenPeerUrls);
  if (values.has('listen-client-urls') && !values.has('advertise-client-urls')) {
    throw new UsageError(
      '--advertise-client-urls is required when --listen-client-urls is set explicitly',
    );
  }
  if (config.requestBytesMax < 1 || config.requestBytesMax > requestBytesFlagMax) {
    throw new UsageError(`--max-request-bytes must be from 1 to ${requestBytesFlagMax}`);
  }
  if (config.txnOpsMax < 1) throw new UsageError('--max-txn-ops must be at least 1');
  if (config.hasConsole && !config.hasGateway) {
    throw new UsageError(
      '--enable-console needs the JSON gateway: leave --enable-grpc-gateway at true',
    );
  }
}

function checkBindable(listenUrls: readonly string[], flag: FlagName): void {
  for (const url of listenUrls) {
    const { scheme, host } = parseUrl(url);
    if (scheme.startsWith('unix')) continue;
    if (host !== 'localhost' && isIP(host) === 0) {
      throw new UsageError(`--${flag}: expected IP in URL for binding (${url})`);
    }
  }
}

function checkReachable(advertised: readonly string[], flag: FlagName): void {
  for (const url of advertised) {
    if (parseUrl(url).host === '')
      throw new UsageError(`--${flag}: unexpected empty host (${url})`);
  }
}

function checkTimes({ heartbeatMs, electionMs }: Config): void {
  if (heartbeatMs === 0) {
    throw new UsageError('--heartbeat-interval must be >0 (set to 0ms)');
  }
  if (electionMs < heartbeatsPerElectionMin * heartbeatMs) {
    throw new UsageError(
      `--election-timeout[${electionMs}ms] should be at least as ${heartbeatsPerElectionMin} times` +
        ` as --heartbeat-interval[${heartbeatMs}ms]`,
    );
  }
  if (electionMs > electionMsMax) {
    throw new UsageError(
      `--election-timeout[${electionMs}ms] is too long, and should be set less than ${electionMsMax}ms`,
    );
  }
}

function checkCluster({ name, initialCluster, advertisePeerUrls }: Config): void {
  const own = initialCluster.find((member) => member.name === name);
  if (own === undefined) {
    throw new UsageError(`couldn't find local name "${name}" in the initial cluster configuration`);
  }
  if (own.peerUrls.join(',') !== advertisePeerUrls.join(',')) {
    throw new UsageError(
      `--initial-cluster has ${name}=${own.peerUrls.join(',')} but --initial-advertise-peer-urls is` +
        ` ${advertisePeerUrls.join(',')}; both must name the same URLs`,
    );
  }
  const all = initialCluster.flatMap((member) => member.peerUrls);
  const twice = all.find((url, at) => all.indexOf(url) !== at);
  if (twice !== undefined) throw new UsageError(`--initial-cluster has ${twice} more than once`);
}

function initialCluster(values: Values, own: InitialMember): InitialMember[] {
  const text = values.get('initial-cluster');
  if (text === undefined || text === '') return [own];
  const byName = new Map<string, string[]>();
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, Math.max(equals, 0)).trim();
    const url = pair.slice(equals + 1).trim();
    if (name === '' || url === '') {
      throw new UsageError(`--initial-cluster: expected NAME=URL but found "${pair}"`);
    }
    byName.set(name, [...(byName.get(name) ?? []), url]);
  }
  return [...byName].map(([name, texts]) => ({
    name,
    peerUrls: checkedUrls(texts, 'initial-cluster'),
  }));
}

function urls(values: Values, flag: FlagName, fallback: string): string[] {
  return checkedUrls((values.get(flag) ?? fallback).split(','), flag);
}

function checkedUrls(texts: readonly string[], flag: FlagName): string[] {
  try {
    return memberUrls(texts);
  } catch (error) {
    if (error instanceof UrlError) throw new UsageError(`--${flag}: ${error.message}`);
    throw error;
  }
}

function optionalUrls(values: Values, flag: FlagName): string[] {
  return (values.get(flag) ?? '') === '' ? [] : urls(values, flag, '');
}

function list(values: Values, flag: FlagName): string[] {
  const texts = (values.get(flag) ?? '').split(',').map((text) => text.trim());
  return texts.filter((text) => text !== '');
}

/** As etcd: each a URL with a port, or `*`. */
function corsOrigins(values: Values): string[] {
  const origins = list(values, 'cors');
  try {
    for (const origin of origins) if (origin !== '*') parseUrl(origin);
    return origins;
  } catch (error) {
    if (error instanceof UrlError) throw new UsageError(`--cors: ${error.message}`);
    throw error;
  }
}

function concurrentStreamsMax(values: Values): number | undefined {
  const max = whole(values, 'max-concurrent-streams', concurrentStreamsFlagMax);
  if (max < 1 || max > concurrentStreamsFlagMax) {
    throw new UsageError(`--max-concurrent-streams must be from 1 to ${concurrentStreamsFlagMax}`);
  }
  return max === concurrentStreamsFlagMax ? undefined : max;
}

function segmentBytes(text: string | undefined): number {
  return text === undefined
    ? walSegmentBytesDefault
    : wholeNumber(text, 'MAINSTAY_WAL_SEGMENT_BYTES');
}

function whole(values: Values, flag: FlagName, fallback: number): number {
  const text = values.get(flag);
  return text === undefined ? fallback : wholeNumber(text, `flag --${flag}`);
}

function wholeNumber(text: string, place: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number)) {
    throw new UsageError(`invalid value "${text}" for ${place}: expected a whole number`);
  }
  return number;
}

function oneOf<T extends string>(values: Values, flag: FlagName, allowed: readonly [T, ...T[]]): T {
  const text = values.get(flag) ?? allowed[0];
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  throw new UsageError(
    `invalid value "${text}" for flag --${flag}: expected ${allowed.join(' or ')}`,
  );
}

/** `type,option=value,...`; options that are not known are ignored, as by etcd. */
function authToken(text: string): AuthTokenConfig {
  const [kind = '', ...pairs] = text.split(',');
  const options = new Map<string, string>();
  for (const pair of pairs) {
    const [name = '', value, ...more] = pair.split('=');
    if (value === undefined || more.length > 0 || options.has(name)) {
      throw new UsageError(`--auth-token: invalid option "${pair}"`);
    }
    options.set(name, value);
  }
  if (kind === '') return { kind: 'none' };
  if (kind === 'simple') return { kind };
  if (kind !== 'jwt') throw new UsageError(`--auth-token: unknown type "${kind}"`);
  const ttlMs = durationMs(options.get('ttl') || '5m');
  if (ttlMs === undefined) throw new UsageError('--auth-token: ttl is no duration');
  return {
    kind,
    signMethod: options.get('sign-method') ?? '',
    publicKeyFile: options.get('pub-key') || undefined,
    privateKeyFile: options.get('priv-key') || undefined,
    ttlMs,
  };
}

function logLevel(values: Values): LogLevel {
  const level = oneOf(values, 'log-level', [
    'info',
    'debug',
    'warn',
    'error',
    'dpanic',
    'panic',
    'fatal',
  ]);
  return level === 'dpanic' || level === 'panic' ? 'fatal' : level;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
