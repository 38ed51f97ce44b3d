import { type ParseArgsConfig, parseArgs } from 'node:util';

/** A wrong command line; exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export type Format = 'simple' | 'table' | 'json';

type Options = NonNullable<ParseArgsConfig['options']>;

const globalOptions = {
  endpoints: { type: 'string' },
  'write-out': { type: 'string', short: 'w' },
  'command-timeout': { type: 'string' },
  cacert: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'insecure-skip-tls-verify': { type: 'string' },
  'insecure-transport': { type: 'string' },
  user: { type: 'string' },
  password: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies Options;

const keyOptions = { prefix: { type: 'boolean' }, 'from-key': { type: 'boolean' } } as const;

/** Of the member that a restored data directory is for. */
const memberOptions = {
  name: { type: 'string' },
  'data-dir': { type: 'string' },
  'initial-cluster': { type: 'string' },
  'initial-cluster-token': { type: 'string' },
  'initial-advertise-peer-urls': { type: 'string' },
} as const satisfies Options;

/** Where backups are, and how their outcome is told. */
const backupOptions = {
  target: { type: 'string' },
  's3-endpoint': { type: 'string' },
  's3-region': { type: 'string' },
  's3-addressing': { type: 'string' },
  's3-ca-file': { type: 'string' },
  's3-credentials-dir': { type: 'string' },
  's3-sse': { type: 'string' },
  's3-sse-kms-key-id': { type: 'string' },
  's3-timeout': { type: 'string' },
  's3-retry-for': { type: 'string' },
  'cluster-uid': { type: 'string' },
  'encryption-key-file': { type: 'string' },
  'result-file': { type: 'string' },
  progress: { type: 'string' },
} as const satisfies Options;

/** What each command takes beside the global options. */
const commandOptions = {
  put: {
    lease: { type: 'string' },
    'prev-kv': { type: 'boolean' },
    'may-repeat': { type: 'boolean' },
  },
  get: {
    ...keyOptions,
    rev: { type: 'string' },
    limit: { type: 'string' },
    'keys-only': { type: 'boolean' },
    'count-only': { type: 'boolean' },
    'print-value-only': { type: 'boolean' },
    serializable: { type: 'boolean' },
  },
  watch: { ...keyOptions, rev: { type: 'string' }, 'prev-kv': { type: 'boolean' } },
  status: { cluster: { type: 'boolean' } },
  'member list': {},
  'snapshot save': {},
  'snapshot status': {},
  'snapshot restore': {
    ...memberOptions,
    'wal-dir': { type: 'string' },
    'skip-hash-check': { type: 'boolean' },
    'bump-revision': { type: 'string' },
    'mark-compacted': { type: 'boolean' },
  },
  'backup save': {
    ...backupOptions,
    'backup-id': { type: 'string' },
    cluster: { type: 'string' },
    'create-target': { type: 'boolean' },
  },
  'backup list': {
    ...backupOptions,
    cluster: { type: 'string' },
    brief: { type: 'boolean' },
    before: { type: 'string' },
    'create-target': { type: 'boolean' },
  },
  'backup verify': {
    ...backupOptions,
    'scratch-dir': { type: 'string' },
    'no-record': { type: 'boolean' },
  },
  'backup restore': {
    ...backupOptions,
    ...memberOptions,
    object: { type: 'string' },
    revision: { type: 'string' },
    time: { type: 'string' },
    'bump-revision': { type: 'string' },
    'above-revision': { type: 'string' },
    'dry-run': { type: 'boolean' },
  },
  'backup archive': {
    ...backupOptions,
    cluster: { type: 'string' },
    interval: { type: 'string' },
    silence: { type: 'string' },
    once: { type: 'boolean' },
  },
  'backup prune': {
    ...backupOptions,
    'keep-last': { type: 'string' },
    'keep-daily': { type: 'string' },
    'keep-weekly': { type: 'string' },
    'keep-monthly': { type: 'string' },
    'at-most': { type: 'string' },
    'time-zone': { type: 'string' },
    'dry-run': { type: 'boolean' },
  },
} as const satisfies Record<string, Options>;

/** Files of certificates, and what else says how to connect. */
export interface TlsFlags {
  readonly cacert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly isInsecure: boolean;
}

export type CommandName = keyof typeof commandOptions;

/** Commands that work with files; the others only ask members. */
export type FileCommandName = Extract<CommandName, `${'snapshot' | 'backup'} ${string}`>;

/** One command, taken apart. */
export class CommandLine {
  readonly command: CommandName | 'help';
  readonly operands: readonly string[];
  readonly #values: Readonly<Record<string, string | boolean | undefined>>;
  readonly #env: Readonly<Record<string, string | undefined>>;

  constructor(argv: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    this.#env = env;
    const given = argv.map((argument) => switched(argument));
    const words = commandWords(given);
    const { values, positionals } = parsed(given, commandOptions[words ?? 'member list']);
    this.#values = values as Record<string, string | boolean | undefined>;
    if (words === undefined && positionals.length > 0 && positionals[0] !== 'help') {
      throw new UsageError(`unknown command "${positionals.join(' ')}"`);
    }
    this.command = words === undefined || this.flag('help') ? 'help' : words;
    this.operands = positionals.slice(words?.split(' ').length ?? 0);
  }

  get endpoints(): string[] {
    const { MAINSTAYCTL_ENDPOINTS, ETCDCTL_ENDPOINTS } = this.#env;
    const text =
      this.text('endpoints') || MAINSTAYCTL_ENDPOINTS || ETCDCTL_ENDPOINTS || '127.0.0.1:2379';
    const endpoints = text.split(',').map((endpoint) => endpoint.trim());
    for (const endpoint of endpoints) checkEndpoint(endpoint);
    return endpoints;
  }

  get timeoutMs(): number {
    const text = this.text('command-timeout') ?? '5s';
    const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text) ?? [];
    if (amount === undefined)
      throw new UsageError(`--command-timeout: "${text}" is no time like 5s`);
    return Number(amount) * (unit === 'ms' ? 1 : unit === 's' ? 1_000 : 60_000);
  }

  /** Undefined where nothing speaks for TLS but an endpoint's own scheme. As etcdctl. */
  get tls(): TlsFlags | undefined {
    const [cacert, cert, key] = [
      this.#setting('cacert'),
      this.#setting('cert'),
      this.#setting('key'),
    ];
    if ((cert === undefined) !== (key === undefined)) {
      throw new UsageError(
        `KeyFile and CertFile must both be present[key: ${key ?? ''}, cert: ${cert ?? ''}]`,
      );
    }
    const isInsecure = this.#switch('insecure-skip-tls-verify', false);
    const isWanted = !this.#switch('insecure-transport', true);
    if (cacert === undefined && cert === undefined && !isInsecure && !isWanted) return undefined;
    return { cacert, cert, key, isInsecure };
  }

  /** Undefined where nobody is named. `--user NAME:PASSWORD`, or the password apart, as etcdctl. */
  get credentials(): { readonly username: string; readonly password: string } | undefined {
    const [user, password] = [this.#setting('user'), this.#setting('password')];
    if (user === undefined) return undefined;
    if (password !== undefined) return { username: user, password };
    const colon = user.indexOf(':');
    if (colon < 0) {
      throw new UsageError('--user has no password: --user NAME:PASSWORD, or --password');
    }
    return { username: user.slice(0, colon), password: user.slice(colon + 1) };
  }

  /** A global option, or what the environment says. */
  #setting(name: string): string | undefined {
    const variable = name.toUpperCase().replaceAll('-', '_');
    return (
      this.text(name) ||
      this.#env[`MAINSTAYCTL_${variable}`] ||
      this.#env[`ETCDCTL_${variable}`] ||
      undefined
    );
  }

  #switch(name: string, fallback: boolean): boolean {
    const text = this.#setting(name) ?? String(fallback);
    if (text !== 'true' && text !== 'false') {
      throw new UsageError(`--${name}: "${text}" is not true or false`);
    }
    return text === 'true';
  }

  format(fallback: Format): Format {
    const text = this.text('write-out') ?? fallback;
    if (text === 'simple' || text === 'table' || text === 'json') return text;
    throw new UsageError(`--write-out: "${text}" is not simple, table or json`);
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** 0 when it is not given. */
  whole(name: string): number {
    const text = this.text(name) ?? '0';
    if (!/^\d+$/.test(text)) throw new UsageError(`--${name}: "${text}" is no whole number`);
    return Number(text);
  }

  /** Hexadecimal, as ids are printed; undefined when it is not given. */
  id(name: string): bigint | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^[0-9a-fA-F]{1,16}$/.test(text))
      throw new UsageError(`--${name}: "${text}" is no hexadecimal id`);
    return BigInt.asIntN(64, BigInt(`0x${text}`));
  }
}

/** As for Go's flags: `--switch` alone is `--switch=true`, and takes a value only with `=`. */
function switched(argument: string): string {
  const isSwitch = argument === '--insecure-skip-tls-verify' || argument === '--insecure-transport';
  return isSwitch ? `${argument}=true` : argument;
}

function commandWords(argv: readonly string[]): CommandName | undefined {
  const { positionals } = parseArgs({
    args: [...argv],
    options: { ...globalOptions, ...valueOptions() },
    allowPositionals: true,
    strict: false,
  });
  const names = Object.keys(commandOptions) as CommandName[];
  return names.find((name) => name.split(' ').every((word, at) => word === positionals[at]));
}

/** Every option with a value of any command: so that none is taken for the command's name. */
function valueOptions(): Options {
  const all = Object.values(commandOptions).flatMap((options) => Object.entries(options));
  return Object.fromEntries(all.filter(([, { type }]) => type === 'string'));
}

function parsed(argv: readonly string[], options: Options) {
  try {
    return parseArgs({
      args: withGoBooleans(argv, options),
      options: { ...globalOptions, ...options },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Go takes `--flag=true` and `--flag=false` as well, and etcd's documents have them. */
function withGoBooleans(argv: readonly string[], options: Options): string[] {
  return argv.flatMap((argument) => {
    const [, name = '', value] = /^--([a-z-]+)=(true|false)$/.exec(argument) ?? [];
    if (options[name]?.type !== 'boolean') return [argument];
    return value === 'true' ? [`--${name}`] : [];
  });
}

function checkEndpoint(endpoint: string): void {
  const url = endpoint.includes('://') ? endpoint : `http://${endpoint}`;
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new UsageError(`--endpoints: "${endpoint}" is not of the form HOST:PORT`);
  }
}
