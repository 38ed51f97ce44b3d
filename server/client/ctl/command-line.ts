import type { CommandSpec, Environment, Format } from './command.ts';
import { isFlag, parseWords, UsageError, type Words, wordsTaken } from './flags.ts';
import { globalFlags } from './global-flags.ts';
import { nearest } from './nearest.ts';

/** Files of certificates, and what else says how to connect. */
export interface TlsFlags {
  readonly cacert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly isInsecure: boolean;
}

/** What was asked for: help, for a command or a group of them, or a command. */
export type Wish =
  | { readonly kind: 'help'; readonly words: readonly string[] }
  | { readonly kind: 'command'; readonly line: CommandLine };

/** Throws {@link UsageError}. */
export function wishOf(
  argv: readonly string[],
  commands: readonly CommandSpec[],
  env: Environment,
): Wish {
  const { words, rest, next, behind } = commandWords(argv, commands);
  const spec = commands.find(({ name }) => name === words.join(' '));
  const before = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  const isHelp = before.includes('--help') || before.includes('-h');
  if (words.length === 0 && next === 'help') {
    const asked = commandWords(behind, commands);
    return {
      kind: 'help',
      words: [...asked.words, ...(asked.next === undefined ? [] : [asked.next])],
    };
  }
  if (spec === undefined) {
    if (words.length === 0 && next === undefined) {
      parseWords(rest, globalFlags, 'mainstayctl');
      return { kind: 'help', words };
    }
    if (isHelp && next === undefined) return { kind: 'help', words };
    throw unknownCommand(words, next, commands);
  }
  if (isHelp) return { kind: 'help', words };
  return { kind: 'command', line: new CommandLine(spec, rest, env) };
}

interface CommandWords {
  /** Those that name a command or a group of them, wherever flags stand between them. */
  readonly words: readonly string[];
  /** All the others. */
  readonly rest: readonly string[];
  /** The first of the others that is neither a flag nor the value of one. */
  readonly next: string | undefined;
  /** What stands behind `next`. */
  readonly behind: readonly string[];
}

function commandWords(argv: readonly string[], commands: readonly CommandSpec[]): CommandWords {
  const words: string[] = [];
  const rest: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    const candidates = commands.filter(({ name }) => begins(name, words));
    if (word === '--') {
      return { words, rest: [...rest, ...argv.slice(at)], next: argv[at + 1], behind: [] };
    }
    if (isFlag(word)) {
      const flags = [...globalFlags, ...candidates.flatMap((each) => each.flags)];
      const end = at + wordsTaken(word, flags);
      rest.push(...argv.slice(at, end));
      at = end - 1;
      continue;
    }
    if (!candidates.some(({ name }) => begins(name, [...words, word]))) {
      return { words, rest: [...rest, ...argv.slice(at)], next: word, behind: argv.slice(at + 1) };
    }
    words.push(word);
  }
  return { words, rest, next: undefined, behind: [] };
}

function begins(name: string, words: readonly string[]): boolean {
  const parts = name.split(' ');
  return words.length <= parts.length && words.every((word, at) => word === parts[at]);
}

export function unknownCommand(
  words: readonly string[],
  next: string | undefined,
  commands: readonly CommandSpec[],
): UsageError {
  const below = commands.filter(({ name }) => begins(name, words)).map(({ name }) => name);
  const given = [...words, ...(next === undefined ? [] : [next])].join(' ');
  if (next === undefined) {
    const choices = below.map((name) => name.split(' ').slice(words.length).join(' '));
    return new UsageError(`"${given}" needs one more word: ${choices.join(', ')}`);
  }
  const like = nearest(given, words.length > 0 ? below : commands.map(({ name }) => name));
  const group = commands.map(({ name }) => name.split(' ')[0] ?? '');
  const likeWord = like ?? nearest(given.split(' ')[0] ?? '', group);
  const hint =
    likeWord === undefined ? 'mainstayctl --help lists them' : `did you mean "${likeWord}"?`;
  return new UsageError(`unknown command "${given}"; ${hint}`);
}

/** One command, taken apart. */
export class CommandLine {
  readonly spec: CommandSpec;
  readonly operands: readonly string[];
  /** The operands behind `--`; undefined without it. */
  readonly behindDashes: readonly string[] | undefined;
  readonly env: Environment;
  readonly #words: Words;

  /** Throws {@link UsageError}. */
  constructor(spec: CommandSpec, argv: readonly string[], env: Environment) {
    this.spec = spec;
    this.env = env;
    this.#words = parseWords(argv, [...spec.flags, ...globalFlags], spec.name);
    const { operands, dashesAt } = this.#words;
    this.operands = operands;
    this.behindDashes = dashesAt === undefined ? undefined : operands.slice(dashesAt);
    const count = operands.length;
    if (count < spec.operandsMin || count > spec.operandsMax) throw this.wrongOperands();
    this.format(spec.formats[0] ?? 'simple');
  }

  get command(): string {
    return this.spec.name;
  }

  wrongOperands(): UsageError {
    const { name, operands } = this.spec;
    return new UsageError(`usage: mainstayctl ${name}${operands === '' ? '' : ` ${operands}`}`);
  }

  /** As they were given. */
  get endpoints(): string[] {
    return endpointsOf(this.#setting('endpoints') ?? '127.0.0.1:2379', '--endpoints');
  }

  get timeoutMs(): number {
    return this.#duration('command-timeout', '5s');
  }

  get dialTimeoutMs(): number {
    return this.#duration('dial-timeout', '2s');
  }

  /** Undefined where nothing speaks for TLS but an endpoint's own scheme. As etcdctl. */
  get tls(): TlsFlags | undefined {
    const names = ['cacert', 'cert', 'key'] as const;
    const [cacert, cert, key] = names.map((name) => this.#setting(name));
    const isInsecure = this.#switch('insecure-skip-tls-verify', false);
    const isWanted = !this.#switch('insecure-transport', true);
    return tlsFlags({ cacert, cert, key }, { isInsecure, isWanted });
  }

  /** Undefined where nobody is named. `--user NAME:PASSWORD`, or the password apart, as etcdctl. */
  get user(): { readonly username: string; readonly password: string | undefined } | undefined {
    return userOf(this.#setting('user'), this.#setting('password'));
  }

  get isHex(): boolean {
    return this.#switch('hex', false);
  }

  /** A global flag, or what the environment says. */
  #setting(name: string): string | undefined {
    const variable = name.toUpperCase().replaceAll('-', '_');
    return (
      this.text(name) ||
      settingIn(this.env, `MAINSTAYCTL_${variable}`) ||
      settingIn(this.env, `ETCDCTL_${variable}`)
    );
  }

  #switch(name: string, fallback: boolean): boolean {
    const text = this.#setting(name) ?? String(fallback);
    if (text === 'true' || text === 'false') return text === 'true';
    throw new UsageError(`--${name}: "${text}" is not true or false`);
  }

  #duration(name: string, fallback: string): number {
    return durationOf(this.#setting(name) ?? fallback, `--${name}`);
  }

  /** How to print; `fallback` where nothing is said. What the environment says holds for commands that can do it. */
  format(fallback: Format): Format {
    const { formats } = this.spec;
    const given = this.text('write-out');
    const text = given ?? this.#setting('write-out') ?? fallback;
    const format = formats.find((each) => each === text);
    if (format !== undefined) return format;
    if (given === undefined && isFormat(text)) return fallback;
    const choices = formats.length < 2 ? formats.join('') : listed(formats);
    throw new UsageError(`--write-out: "${text}" is not ${choices}`);
  }

  /** Whether a switch is on. */
  flag(name: string): boolean {
    const fallback = this.spec.flags.find((flag) => flag.name === name)?.default;
    return (this.text(name) ?? fallback) === 'true';
  }

  /** Undefined when it is not given. */
  text(name: string): string | undefined {
    return this.#words.values.get(name);
  }

  /** Of a flag whose choices are the table's. */
  choice(name: string): string {
    const flag = this.spec.flags.find((each) => each.name === name);
    const text = this.text(name) ?? flag?.default ?? '';
    if (flag?.choices?.includes(text) === true) return text;
    throw new UsageError(`--${name}: "${text}" is not ${listed(flag?.choices ?? [])}`);
  }

  /** 0 when it is not given. */
  whole(name: string): number {
    return wholeOf(this.text(name) ?? '0', `--${name}`);
  }

  /** Hexadecimal, as ids are printed; undefined when it is not given. */
  id(name: string): bigint | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : BigInt.asIntN(64, idOf(text, `--${name}`));
  }
}

/** As a file has it, or a Secret that was made of one: the line end behind it is none of it. */
export function settingIn(env: Environment, variable: string): string | undefined {
  return env[variable]?.replace(/\r?\n$/, '') || undefined;
}

export function listed(choices: readonly string[]): string {
  return [choices.slice(0, -1).join(', '), ...choices.slice(-1)].filter(Boolean).join(' or ');
}

function isFormat(text: string): boolean {
  return ['simple', 'table', 'json', 'fields', 'protobuf'].includes(text);
}

/** `what` is for the message. */
export function wholeOf(text: string, what: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`${what}: "${text}" is no whole number`);
}

/** Hexadecimal, unsigned. */
export function idOf(text: string, what: string): bigint {
  if (/^[0-9a-fA-F]{1,16}$/.test(text)) return BigInt(`0x${text}`);
  throw new UsageError(`${what}: "${text}" is no hexadecimal id`);
}

/** Milliseconds. */
export function durationOf(text: string, what: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    throw new UsageError(`${what}: "${text}" is no time like 5s`);
  }
  const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  const ms = parts.reduce((sum, [, n, unit = 's']) => sum + Number(n) * (unitMs[unit] ?? 0), 0);
  return Math.min(ms, 2 ** 31 - 1);
}

export function endpointsOf(text: string, what: string): string[] {
  const endpoints = text.split(',').map((endpoint) => endpoint.trim());
  for (const endpoint of endpoints) {
    const url = endpoint.includes('://') ? endpoint : `http://${endpoint}`;
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
      throw new UsageError(`${what}: "${endpoint}" is not of the form HOST:PORT`);
    }
  }
  return endpoints;
}

export function userOf(
  user: string | undefined,
  password: string | undefined,
): { username: string; password: string | undefined } | undefined {
  if (user === undefined) return undefined;
  const colon = user.indexOf(':');
  if (password !== undefined || colon < 0) return { username: user, password };
  return { username: user.slice(0, colon), password: user.slice(colon + 1) };
}

export function tlsFlags(
  files: { cacert?: string | undefined; cert?: string | undefined; key?: string | undefined },
  { isInsecure, isWanted }: { isInsecure: boolean; isWanted: boolean },
): TlsFlags | undefined {
  const { cacert, cert, key } = files;
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError(
      `KeyFile and CertFile must both be present[key: ${key ?? ''}, cert: ${cert ?? ''}]`,
    );
  }
  if (cacert === undefined && cert === undefined && !isInsecure && !isWanted) return undefined;
  return { cacert, cert, key, isInsecure };
}
