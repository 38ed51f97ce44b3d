import { readFileSync } from 'node:fs';
import { FAILSAFE_SCHEMA, load, YAMLException } from 'js-yaml';
import {
  checkedSettings,
  currentName,
  isBoolean,
  isDuration,
  isKnown,
  type Settings,
  UsageError,
} from './flags.ts';

/** etcd's sections about TLS: which flag each key stands for. */
const sections: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'client-transport-security': {
    'cert-file': 'cert-file',
    'key-file': 'key-file',
    'client-cert-file': 'client-cert-file',
    'client-key-file': 'client-key-file',
    'client-cert-auth': 'client-cert-auth',
    'trusted-ca-file': 'trusted-ca-file',
    'auto-tls': 'auto-tls',
    'allowed-hostname': 'client-cert-allowed-hostname',
  },
  'peer-transport-security': {
    'cert-file': 'peer-cert-file',
    'key-file': 'peer-key-file',
    'client-cert-file': 'peer-client-cert-file',
    'client-key-file': 'peer-client-key-file',
    'client-cert-auth': 'peer-client-cert-auth',
    'trusted-ca-file': 'peer-trusted-ca-file',
    'auto-tls': 'peer-auto-tls',
    'allowed-cn': 'peer-cert-allowed-cn',
    'allowed-hostname': 'peer-cert-allowed-hostname',
    'skip-client-san-verification': 'peer-skip-client-san-verification',
  },
  'socket-options': {
    'reuse-port': 'socket-reuse-port',
    'reuse-address': 'socket-reuse-address',
  },
};
/** In etcd's sample file, and read by no etcd that there is, or only by its proxy when that is on. */
const idleKeys = new Set(
  `discovery-fallback proxy-failure-wait proxy-refresh-interval proxy-dial-timeout proxy-write-timeout
  proxy-read-timeout`.split(/\s+/),
);
const unset = /^(|~|null|Null|NULL)$/;
const booleans: Readonly<Record<string, string>> = {
  yes: 'true',
  on: 'true',
  no: 'false',
  off: 'false',
};

/** What keeps clients out, and would be missed if it were passed over. */
const refusedKeys = new Set([
  'client-transport-security.allowed-cn',
  'client-transport-security.skip-client-san-verification',
]);

/** What a YAML file with etcd's keys says, as the flags would say it. Throws {@link UsageError}. */
export function readConfigFile(path: string): Settings {
  const values = new Map<string, string>();
  const warnings: string[] = [];
  for (const { key, name, value } of entriesOf(mappingOf(path))) {
    const text = textOf(key, value);
    if (text === undefined || idleKeys.has(key)) continue;
    if (refusedKeys.has(key) && text !== 'false') throw new UsageError(`${key} is not supported`);
    if (name !== undefined && isKnown(name)) values.set(name, flagText(name, text));
    // As in etcd; but who has mistyped a key wants to know.
    else warnings.push(`${key} is no key of the config file and has no effect`);
  }
  return checkedSettings(values, { shown: new Set(), warnings, configFile: undefined });
}

interface Entry {
  /** As it stands in the file. */
  readonly key: string;
  /** The flag that it stands for, if any. */
  readonly name: string | undefined;
  readonly value: unknown;
}

function entriesOf(mapping: Mapping): Entry[] {
  return Object.entries(mapping).flatMap(([key, value]): Entry[] => {
    const section = sections[key];
    if (section === undefined) return [{ key, name: currentName(key), value }];
    if (value !== null && !isMapping(value)) throw new UsageError(`${key} is no mapping`);
    return Object.entries(value ?? {}).map(([inner, innerValue]) => ({
      key: `${key}.${inner}`,
      name: section[inner],
      value: innerValue,
    }));
  });
}

type Mapping = Readonly<Record<string, unknown>>;

function mappingOf(path: string): Mapping {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read it: ${(error as Error).message}`);
  }
  try {
    // Every scalar as it stands: what a number or a boolean is the flag decides.
    const value: unknown = load(text, { schema: FAILSAFE_SCHEMA });
    if (value === undefined || value === null) return {};
    if (isMapping(value)) return value;
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    throw new UsageError(`it is no YAML: ${error.reason} (line ${error.mark.line + 1})`);
  }
  throw new UsageError('it is no mapping of keys to values');
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A list as the flag takes it, with commas. Undefined when nothing is set. */
function textOf(key: string, value: unknown): string | undefined {
  const parts = Array.isArray(value) ? value : [value];
  const texts = parts.map((part: unknown) => {
    if (part === null || part === undefined) return '';
    if (typeof part !== 'string')
      throw new UsageError(`${key} is neither a value nor a list of values`);
    return part;
  });
  const text = texts.join(',');
  return unset.test(text) ? undefined : text;
}

/** Durations are numbers of nanoseconds in etcd's file, and YAML has many booleans. */
function flagText(name: string, text: string): string {
  if (isDuration(name) && /^\d+$/.test(text)) return `${text}ns`;
  return (isBoolean(name) ? booleans[text.toLowerCase()] : undefined) ?? text;
}
