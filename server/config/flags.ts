import {
  auditFileMebibytesDefault,
  auditFilesDefault,
  authTokenTtlDefault,
  bcryptCostDefault,
  bcryptCostMax,
  bcryptCostMin,
  electionMsMax,
  expensiveAtOnceDefault,
  learnersMaxDefault,
  observerStalenessMsDefault,
  observersMaxDefault,
  requestBytesMaxDefault,
  txnOpsMaxDefault,
} from './limits.ts';

/** A wrong command line or environment: one line for the person who wrote it, exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

const groups = [
  'Member',
  'Clustering',
  'Maintenance',
  'HTTP',
  'Auth',
  'Security',
  'Logging',
  'Audit',
  'Limits',
] as const;

export interface Flag {
  readonly name: string;
  readonly group: (typeof groups)[number];
  /** What stands for the value in the help. */
  readonly value: string;
  readonly defaultText: string;
  readonly help: string;
}

const flags = [
  flag('name', 'Member', 'NAME', 'default', 'Name of this member, unique in its cluster.'),
  flag('data-dir', 'Member', 'DIR', 'NAME.etcd', 'Everything that this member keeps on disk.'),
  flag(
    'wal-dir',
    'Member',
    'DIR',
    'DATA-DIR/member/wal',
    'The log, for a disk of its own; not one that another member uses.',
  ),
  flag(
    'config-file',
    'Member',
    'FILE',
    '',
    "YAML with etcd's keys; all other flags and variables are then ignored.",
  ),
  flag(
    'listen-client-urls',
    'Member',
    'URLS',
    'http://localhost:2379',
    'Where to listen for clients: an IP address or localhost.',
  ),
  flag(
    'listen-peer-urls',
    'Member',
    'URLS',
    'http://localhost:2380',
    'Where to listen for the other members.',
  ),
  flag(
    'heartbeat-interval',
    'Member',
    'MS',
    '100',
    'Milliseconds between the heartbeats of a leader.',
  ),
  flag(
    'election-timeout',
    'Member',
    'MS',
    '1000',
    `Milliseconds without a leader until an election; at least 5 heartbeats, at most ${electionMsMax}.`,
  ),
  flag(
    'snapshot-count',
    'Member',
    'N',
    '10000',
    'Applied entries kept for followers that are behind, at most 5000; further back they get a snapshot.',
  ),
  flag(
    'max-request-bytes',
    'Member',
    'N',
    String(requestBytesMaxDefault),
    'Largest request of a client, in bytes.',
  ),
  flag(
    'max-txn-ops',
    'Member',
    'N',
    String(txnOpsMaxDefault),
    'Most operations in one transaction.',
  ),
  flag(
    'advertise-client-urls',
    'Clustering',
    'URLS',
    'http://localhost:2379',
    'What clients are told; needed with --listen-client-urls.',
  ),
  flag(
    'initial-advertise-peer-urls',
    'Clustering',
    'URLS',
    'http://localhost:2380',
    'Where the other members reach this one; the same as in --initial-cluster.',
  ),
  flag(
    'initial-cluster',
    'Clustering',
    'NAME=URL,...',
    'NAME=its own peer URLs',
    'Every member to start with, this one included.',
  ),
  flag(
    'initial-cluster-state',
    'Clustering',
    'new|existing',
    'new',
    'existing: join the cluster that these members already are.',
  ),
  flag(
    'initial-cluster-token',
    'Clustering',
    'TOKEN',
    'etcd-cluster',
    'Makes the ids of this cluster and its members unlike those of any other.',
  ),
  flag(
    'force-new-cluster',
    'Clustering',
    'true|false',
    'false',
    'Give the other members up, all at once and for good: start as the only member, with the same data.',
  ),
  flag(
    'auth-token',
    'Auth',
    'TYPE,OPTIONS',
    'simple',
    'Tokens of users: simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m.',
  ),
  flag(
    'auth-token-ttl',
    'Auth',
    'SECONDS',
    String(authTokenTtlDefault),
    'How long a simple token that is not used is good.',
  ),
  flag(
    'bcrypt-cost',
    'Auth',
    'N',
    String(bcryptCostDefault),
    `Work to hash a password, ${bcryptCostMin} to ${bcryptCostMax}: one more doubles it.`,
  ),
  flag(
    'strict-reconfig-check',
    'Clustering',
    'true|false',
    'true',
    'Refuse a change of membership that could cost the cluster its quorum.',
  ),
  flag('max-learners', 'Clustering', 'N', String(learnersMaxDefault), 'Most learners at a time.'),
  flag(
    'max-observers',
    'Clustering',
    'N',
    String(observersMaxDefault),
    'Most observers at a time: learners that stay, and serve reads.',
  ),
  flag(
    'observer-max-staleness',
    'Clustering',
    'DURATION',
    `${observerStalenessMsDefault / 1000}s`,
    'An observer whose state may be older answers no reads and ends its watches.',
  ),
  flag(
    'grpc-keepalive-min-time',
    'Member',
    'DURATION',
    '5s',
    'A client that pings more often is sent away.',
  ),
  flag(
    'grpc-keepalive-interval',
    'Member',
    'DURATION',
    '2h',
    'A client that is silent for so long is pinged.',
  ),
  flag(
    'grpc-keepalive-timeout',
    'Member',
    'DURATION',
    '20s',
    'How long to wait for the answer to such a ping.',
  ),
  flag(
    'quota-backend-bytes',
    'Maintenance',
    'N',
    '0',
    'What the data may take on disk until the NOSPACE alarm; 0: 2 GiB, negative: no limit.',
  ),
  flag(
    'auto-compaction-mode',
    'Maintenance',
    'periodic|revision',
    'periodic',
    'What --auto-compaction-retention counts.',
  ),
  flag(
    'auto-compaction-retention',
    'Maintenance',
    'N|DURATION',
    '0',
    'History to keep: hours or a duration (periodic), or revisions; 0: all.',
  ),
  flag(
    'watch-progress-notify-interval',
    'Maintenance',
    'DURATION',
    '10m0s',
    'How often watchers that asked for it are told that nothing happened.',
  ),
  flag(
    'corrupt-check-time',
    'Maintenance',
    'DURATION',
    '0s',
    'How often the members compare their data; 0: only where it was compacted.',
  ),
  flag(
    'compact-hash-check-time',
    'Maintenance',
    'DURATION',
    '1m0s',
    'How often the members compare their data where it was compacted.',
  ),
  flag(
    'feature-gates',
    'Maintenance',
    'NAME=BOOL,...',
    'CompactHashCheck=true',
    'InitialCorruptCheck, CompactHashCheck, LeaseCheckpoint.',
  ),
  flag(
    'experimental-initial-corrupt-check',
    'Maintenance',
    'true|false',
    'false',
    "Compare the data with the other members' before serving (3.6: a feature gate).",
  ),
  flag(
    'experimental-compact-hash-check-enabled',
    'Maintenance',
    'true|false',
    'true',
    'Compare the data where it was compacted (3.6: a feature gate).',
  ),
  flag(
    'experimental-enable-lease-checkpoint',
    'Maintenance',
    'true|false',
    'false',
    'A new leader knows what is left of long leases (3.6: a feature gate).',
  ),
  flag(
    'experimental-enable-lease-checkpoint-persist',
    'Maintenance',
    'true|false',
    'false',
    'Allowed with the flag before; what is left is kept on disk in any case.',
  ),
  flag(
    'cert-file',
    'Security',
    'FILE',
    '',
    'Certificate of the listeners for clients, PEM; read again when it changes.',
  ),
  flag('key-file', 'Security', 'FILE', '', 'Its key, PEM.'),
  flag(
    'client-cert-auth',
    'Security',
    'true|false',
    'false',
    'Clients need a certificate that --trusted-ca-file has signed.',
  ),
  flag(
    'trusted-ca-file',
    'Security',
    'FILE',
    '',
    'Who signs certificates of clients, PEM; given, clients need one.',
  ),
  flag(
    'client-cert-file',
    'Security',
    'FILE',
    '',
    'Certificate to show when connecting to the own client port.',
  ),
  flag('client-key-file', 'Security', 'FILE', '', 'Its key, PEM.'),
  flag(
    'client-crl-file',
    'Security',
    'FILE',
    '',
    'Certificates that are refused although they are signed, DER or PEM.',
  ),
  flag(
    'client-cert-allowed-hostname',
    'Security',
    'NAMES',
    '',
    'Host names, one of which a certificate of a client must be for.',
  ),
  flag(
    'auto-tls',
    'Security',
    'true|false',
    'false',
    'Make a certificate for the listeners for clients.',
  ),
  flag(
    'peer-cert-file',
    'Security',
    'FILE',
    '',
    'Certificate of this member among its peers, PEM; read again when it changes.',
  ),
  flag('peer-key-file', 'Security', 'FILE', '', 'Its key, PEM.'),
  flag(
    'peer-client-cert-auth',
    'Security',
    'true|false',
    'false',
    'Peers need a certificate that --peer-trusted-ca-file has signed.',
  ),
  flag(
    'peer-trusted-ca-file',
    'Security',
    'FILE',
    '',
    'Who signs certificates of peers, PEM; given, peers need one.',
  ),
  flag(
    'peer-client-cert-file',
    'Security',
    'FILE',
    '--peer-cert-file',
    'Certificate to show when connecting to peers.',
  ),
  flag('peer-client-key-file', 'Security', 'FILE', '--peer-key-file', 'Its key, PEM.'),
  flag(
    'peer-crl-file',
    'Security',
    'FILE',
    '',
    'Certificates of peers that are refused although they are signed, DER or PEM.',
  ),
  flag(
    'peer-cert-allowed-cn',
    'Security',
    'NAMES',
    '',
    'Common names, one of which a certificate of a peer must have.',
  ),
  flag(
    'peer-cert-allowed-hostname',
    'Security',
    'NAMES',
    '',
    'Host names, one of which a certificate of a peer must be for.',
  ),
  flag(
    'peer-skip-client-san-verification',
    'Security',
    'true|false',
    'false',
    'Peers may come from other addresses than their certificates name.',
  ),
  flag(
    'peer-auto-tls',
    'Security',
    'true|false',
    'false',
    'Make a certificate for this member among its peers.',
  ),
  flag(
    'self-signed-cert-validity',
    'Security',
    'YEARS',
    '1',
    'How long certificates that are made are valid.',
  ),
  flag(
    'cipher-suites',
    'Security',
    'NAMES',
    'AEAD with ECDHE',
    'Cipher suites of TLS 1.2, best first, by their names in Go.',
  ),
  flag('tls-min-version', 'Security', 'TLS1.2|TLS1.3', 'TLS1.2', 'Oldest version of TLS.'),
  flag('tls-max-version', 'Security', 'TLS1.2|TLS1.3', 'TLS1.3', 'Newest version of TLS.'),
  flag(
    'max-concurrent-streams',
    'Member',
    'N',
    '1000',
    'Most streams that a connection may have open at a time; also the calls of the JSON gateway, where set.',
  ),
  flag(
    'listen-client-http-urls',
    'HTTP',
    'URLS',
    'the client URLs',
    'Where to serve HTTP; the client URLs then serve gRPC alone.',
  ),
  flag(
    'listen-metrics-urls',
    'HTTP',
    'URLS',
    'none',
    'Where else to serve /metrics, /health, /livez and /readyz.',
  ),
  flag('metrics', 'HTTP', 'basic|extensive', 'basic', 'extensive: how long each RPC took, too.'),
  flag('enable-grpc-gateway', 'HTTP', 'true|false', 'true', 'The JSON gateway, /v3/*.'),
  flag(
    'enable-console',
    'HTTP',
    'true|false',
    'false',
    'A page for people, /console/; it asks the JSON gateway.',
  ),
  flag(
    'cors',
    'HTTP',
    'ORIGINS',
    '*',
    'Web pages of these origins may ask: URLs with a port, or *.',
  ),
  flag(
    'host-whitelist',
    'HTTP',
    'HOSTS',
    '*',
    'Without TLS only requests for these hosts are answered.',
  ),
  flag(
    'data-encryption-key-file',
    'Security',
    'FILE,...',
    '',
    'Encrypts log and state with the first key, 32 bytes, also in hex or base64; the others, where they are there, open older data. Read again when changed.',
  ),
  flag('log-level', 'Logging', 'LEVEL', 'info', 'debug, info, warn, error, panic or fatal.'),
  flag(
    'audit-log-path',
    'Audit',
    'FILE|-',
    '',
    'Where to write who did what, a line of JSON each; -: standard output.',
  ),
  flag(
    'audit-log-rules',
    'Audit',
    'RULES',
    '',
    'What is written beside authentication, administration and refusals: write:/secrets/,read:*,lease,inspect.',
  ),
  flag(
    'audit-log-max-size-mb',
    'Audit',
    'N',
    String(auditFileMebibytesDefault),
    'MiB after which the file is put aside as FILE.1.',
  ),
  flag(
    'audit-log-max-files',
    'Audit',
    'N',
    String(auditFilesDefault),
    'Files put aside that are kept.',
  ),
  flag(
    'audit-log-when-full',
    'Audit',
    'drop|block',
    'drop',
    'When the disk is too slow: drop lines and count them, or let the calls wait.',
  ),
  flag(
    'limit-user-requests-per-second',
    'Limits',
    'N',
    '0',
    'What each user may ask of this member; more is refused with when to ask again. 0: no limit.',
  ),
  flag(
    'limit-user-in-flight',
    'Limits',
    'N',
    '0',
    'Requests of each user that this member has not answered yet. 0: no limit.',
  ),
  flag(
    'limit-connection-requests-per-second',
    'Limits',
    'N',
    '0',
    'The same for each connection; without authentication the only one.',
  ),
  flag(
    'limit-connection-in-flight',
    'Limits',
    'N',
    '0',
    'The same for each connection. 0: no limit.',
  ),
  flag(
    'limit-expensive-in-flight',
    'Limits',
    'N',
    String(expensiveAtOnceDefault),
    'Requests for more than 10000 keys that run at once; the others wait, and users take turns. 0: no limit.',
  ),
  flag(
    'limit-prefix-quotas',
    'Limits',
    'PREFIX=SIZE,...',
    '',
    'What the keys with a prefix may take with their values: /tenants/a/=100Mi. Puts that would make it more are refused.',
  ),
] as const;

export type FlagName = (typeof flags)[number]['name'];

/** What was set, from either source; a value is never empty of meaning but may be the empty string. */
export interface Settings {
  readonly values: ReadonlyMap<FlagName, string>;
  readonly showsVersion: boolean;
  readonly showsHelp: boolean;
  /** For the log: what was ignored. */
  readonly warnings: readonly string[];
  /** Where all the rest comes from instead: then there are no values here. */
  readonly configFile: string | undefined;
}

/** Flags of etcd that may say only what Mainstay does anyway. */
const fixedFlags: ReadonlyMap<string, readonly string[]> = new Map([
  ['logger', ['zap']],
  ['log-outputs', ['default', 'stderr']],
  ['log-format', ['json']],
  ['pre-vote', ['true']],
  ['initial-election-tick-advance', ['true']],
  ['enable-v2', ['false']],
  ['enable-pprof', ['false']],
  ['downgrade-check-time', ['5s']],
  ['compaction-batch-limit', ['1000']],
  ['compaction-sleep-interval', ['10ms', '0', '0s']],
  ['bootstrap-defrag-threshold-megabytes', ['0']],
  ['socket-reuse-port', ['false']],
  ['socket-reuse-address', ['false']],
  ['memory-mlock', ['false']],
  ['unsafe-no-fsync', ['false']],
  ['enable-log-rotation', ['false']],
  ['enable-distributed-tracing', ['false']],
  // Defragmentation stops nothing here, and a transaction has no buffer to share.
  ['experimental-stop-grpc-service-on-defrag', ['false', 'true']],
  ['experimental-txn-mode-write-with-shared-buffer', ['true', 'false']],
]);

/** Flags that lost their `experimental-` in etcd 3.6: both spellings mean the same. */
const graduatedFlags: ReadonlySet<string> = new Set([
  'watch-progress-notify-interval',
  'corrupt-check-time',
  'compact-hash-check-time',
  'compaction-batch-limit',
  'compaction-sleep-interval',
  'downgrade-check-time',
  'max-learners',
  'bootstrap-defrag-threshold-megabytes',
  'peer-skip-client-san-verification',
  'memory-mlock',
  'enable-distributed-tracing',
]);

export function currentName(given: string): string {
  const plain = given.replace(/^experimental-/, '');
  return graduatedFlags.has(plain) ? plain : given;
}

/** Flags of etcd 3.4 to 3.6 that Mainstay does not have yet: refused, because ignoring one could hurt. */
const unsupportedFlags = new Set(
  `discovery discovery-fallback discovery-proxy discovery-srv discovery-srv-name discovery-token
  discovery-endpoints discovery-cacert discovery-cert discovery-key discovery-user discovery-password
  discovery-dial-timeout discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout
  discovery-insecure-transport discovery-insecure-skip-tls-verify enable-v2v3 debug log-output log-package-levels
  log-rotation-config-json distributed-tracing-address distributed-tracing-service-name
  distributed-tracing-instance-id distributed-tracing-sampling-rate proxy proxy-failure-wait
  proxy-refresh-interval proxy-dial-timeout proxy-write-timeout proxy-read-timeout
  txn-mode-write-with-shared-buffer stop-grpc-service-on-defrag`.split(/\s+/),
);

/** Flags of etcd about files, buffers and reports that are not here: any value is taken, and the log says that it means nothing. */
const idleFlags = new Set(
  `max-snapshots max-wals backend-batch-interval backend-batch-limit backend-bbolt-freelist-type
  snapshot-catchup-entries raft-read-timeout raft-write-timeout warning-apply-duration
  warning-unary-request-duration v2-deprecation`.split(/\s+/),
);

const flagNames: ReadonlySet<string> = new Set(flags.map(({ name }) => name));
const switches: ReadonlySet<string> = new Set(['version', 'help', 'h']);

/** Reads `--flag value`, `--flag=value`, `-flag`, and `ETCD_FLAG` of the environment. Throws {@link UsageError}. */
export function readSettings(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const values = new Map<string, string>();
  const shown = readArguments(argv, values);
  const configFile = values.get('config-file') || env['ETCD_CONFIG_FILE'] || undefined;
  if (configFile === undefined) {
    const warnings = readEnvironment(env, values);
    return checkedSettings(values, { shown, warnings, configFile });
  }
  for (const [name, value] of values) checkKnown(name, value);
  const warnings = ignoredFor(values, env).map(
    (name) => `${name} has no effect: everything comes from the config file`,
  );
  return checkedSettings(new Map(), { shown, warnings, configFile });
}

/** Flags and variables beside a config file. */
function ignoredFor(
  values: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const variables = Object.keys(env).filter((name) => name.startsWith('ETCD_') && env[name]);
  const names = [...values.keys()].map((name) => `--${name}`);
  return [...names, ...variables].filter(
    (name) => name !== '--config-file' && name !== 'ETCD_CONFIG_FILE',
  );
}

/** Throws {@link UsageError} when one of the values is not for a flag that is taken. */
export function checkedSettings(
  values: ReadonlyMap<string, string>,
  read: {
    readonly shown: ReadonlySet<string>;
    readonly warnings: readonly string[];
    readonly configFile: string | undefined;
  },
): Settings {
  const { shown, configFile } = read;
  const warnings = [...read.warnings];
  for (const [name, value] of values) {
    checkKnown(name, value);
    if (isIdle(name)) warnings.push(`--${name} has no effect`);
  }
  return {
    values: new Map(
      [...values].filter((pair): pair is [FlagName, string] => flagNames.has(pair[0])),
    ),
    showsVersion: shown.has('version'),
    showsHelp: shown.has('help') || shown.has('h'),
    warnings,
    configFile,
  };
}

function readArguments(argv: readonly string[], values: Map<string, string>): Set<string> {
  const shown = new Set<string>();
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] ?? '';
    const [, given, attached] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument) ?? [];
    if (given === undefined) throw new UsageError(`'${argument}' is not a valid flag`);
    const name = currentName(given);
    if (switches.has(name)) {
      if (attached !== 'false') shown.add(name);
    } else {
      values.set(name, attached ?? (isBoolean(name) ? 'true' : valueAfter(name, argv, ++at)));
    }
  }
  return shown;
}

/** As for Go's flags, a boolean takes its value only with `=`. */
export function isBoolean(name: string): boolean {
  if (flags.some((each) => each.name === name && each.value === 'true|false')) return true;
  const value = fixedFlags.get(name)?.[0];
  const isFixed = value === 'true' || value === 'false';
  return isFixed || flags.some((each) => each.name === name && each.value === 'true|false');
}

export function isDuration(name: string): boolean {
  return flags.some((each) => each.name === name && each.value === 'DURATION');
}

function valueAfter(name: string, argv: readonly string[], at: number): string {
  if (!isKnown(name)) throw unknownFlag(name);
  const value = argv[at];
  if (value === undefined) throw new UsageError(`flag needs a value: --${name}`);
  return value;
}

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  values: Map<string, string>,
): string[] {
  const warnings: string[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('ETCD_') || value === undefined || value === '') continue;
    const name = currentName(variable.slice('ETCD_'.length).toLowerCase().replaceAll('_', '-'));
    if (values.has(name)) {
      throw new UsageError(
        `conflicting environment variable "${variable}" is shadowed by corresponding command-line flag` +
          ' (either unset environment variable or disable flag)',
      );
    }
    if (isKnown(name)) values.set(name, value);
    else warnings.push(`unrecognized environment variable ${variable}`);
  }
  return warnings;
}

function checkKnown(name: string, value: string): void {
  if (flagNames.has(name) || isIdle(name)) return;
  const fixed = fixedFlags.get(name);
  if (fixed?.includes(value) === true) return;
  if (fixed !== undefined) {
    throw new UsageError(`--${name}=${value} is not supported yet; only ${fixed.join(' or ')} is`);
  }
  if (isKnown(name)) throw new UsageError(`--${name} is a flag of etcd that is not supported yet`);
  throw unknownFlag(name);
}

export function isKnown(name: string): boolean {
  const plain = name.replace(/^experimental-/, '');
  return flagNames.has(name) || fixedFlags.has(name) || isIdle(name) || unsupportedFlags.has(plain);
}

function isIdle(name: string): boolean {
  return idleFlags.has(name.replace(/^experimental-/, ''));
}

function unknownFlag(name: string): UsageError {
  return new UsageError(`unknown flag --${name}; --help lists the flags`);
}

function flag<Name extends string>(
  name: Name,
  group: Flag['group'],
  value: string,
  defaultText: string,
  help: string,
): Flag & { readonly name: Name } {
  return { name, group, value, defaultText, help };
}

/** Every flag with its help, in the order of `--help`. */
export function documentedFlags(): readonly Flag[] {
  return groups.flatMap((group) => flags.filter((each) => each.group === group));
}

/** The text of `--help`. */
export function helpText(program: string): string {
  return [
    'A member of a Mainstay cluster: a key-value store that speaks the etcd v3 API.',
    '',
    'One member, for a try:',
    `  ${program} --data-dir /tmp/one`,
    '',
    'The first of three members; the others alike, with their own name and URLs:',
    `  ${program} --name a --data-dir /var/lib/mainstay/a \\`,
    '    --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \\',
    '    --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\',
    '    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380',
    '',
    'Every flag can be given by the environment instead: --data-dir as ETCD_DATA_DIR. Both at once is an error.',
    'Or all of them, but none beside it, by --config-file.',
    ...groups.flatMap((group) => ['', `${group}:`, ...helpOf(group)]),
    '',
    '  --version                            Print the versions and exit.',
    '',
    'Exit status: 0 stopped, 2 wrong flags, 70 a bug, 74 a disk failed, 78 the data directory is damaged or refused.',
    '',
  ].join('\n');
}

function helpOf(group: Flag['group']): string[] {
  return flags
    .filter((each) => each.group === group)
    .map((each) => {
      const left = `  --${each.name} ${each.value}`;
      return `${left.padEnd(38)} ${each.help}${each.defaultText && ` [${each.defaultText}]`}`;
    });
}
