import { type FlagName, UsageError } from './flags.ts';
import { auditFileMebibytesDefault, auditFilesDefault } from './limits.ts';
import { integerOf, invalid, type Values } from './values.ts';

/** What is written down beside authentication and administration, which always are. */
export type AuditRule =
  /** Calls that read or write a key with this prefix, latin-1; empty: any key. */
  | { readonly kind: 'read' | 'write'; readonly prefix: string }
  /** Grants, renewals and revocations of leases; questions about the cluster: status, members. */
  | { readonly kind: 'lease' | 'inspect' };

export interface AuditConfig {
  /** `-`: standard output. */
  readonly path: string;
  readonly rules: readonly AuditRule[];
  /** A file that has grown past this is put aside. */
  readonly fileBytesMax: number;
  /** Those that were put aside and are kept. */
  readonly filesMax: number;
  /** Of the queue, whose disk is slower than its clients. */
  readonly whenFull: 'drop' | 'block';
}

const dependents = [
  'audit-log-rules',
  'audit-log-max-size-mb',
  'audit-log-max-files',
  'audit-log-when-full',
] as const;

/** Undefined: nothing is written down. Throws {@link UsageError}. */
export function auditConfig(values: Values): AuditConfig | undefined {
  const path = values.get('audit-log-path') ?? '';
  if (path === '') {
    const lonely = dependents.find((name) => values.has(name));
    if (lonely === undefined) return undefined;
    throw new UsageError(`--${lonely} needs --audit-log-path: a file, or - for standard output`);
  }
  const mebibytes = integerOf(values, 'audit-log-max-size-mb', auditFileMebibytesDefault);
  const filesMax = integerOf(values, 'audit-log-max-files', auditFilesDefault);
  if (mebibytes < 1) throw new UsageError('--audit-log-max-size-mb must be at least 1');
  if (filesMax < 1) throw new UsageError('--audit-log-max-files must be at least 1');
  const whenFull = values.get('audit-log-when-full') ?? 'drop';
  if (whenFull !== 'drop' && whenFull !== 'block') {
    throw invalid('audit-log-when-full', whenFull, 'drop or block');
  }
  const rules = auditRules(values.get('audit-log-rules') ?? '');
  return { path, rules, fileBytesMax: mebibytes * 1024 ** 2, filesMax, whenFull };
}

/** `KIND:PREFIX,...`; in a prefix `%2C` stands for a comma, `%25` for a percent sign. */
export function auditRules(text: string): AuditRule[] {
  const parts = text.split(',').map((part) => part.trim());
  return parts.filter((part) => part !== '').map(auditRule);
}

function auditRule(text: string): AuditRule {
  if (text === 'lease' || text === 'inspect') return { kind: text };
  const [, kind, prefix = ''] = /^(read|write):(.*)$/su.exec(text) ?? [];
  if (kind !== 'read' && kind !== 'write') {
    throw new UsageError(
      `--audit-log-rules: "${text}" is no rule; one is read:PREFIX, write:PREFIX, lease or inspect, and read:* reads of any key`,
    );
  }
  return { kind, prefix: prefix === '*' ? '' : latin1OfPrefix('audit-log-rules', text, prefix) };
}

/** Of `part` of a flag; in the prefix `%XX` stands for a byte. */
export function latin1OfPrefix(flag: FlagName, part: string, prefix: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(prefix)) {
    throw new UsageError(
      `--${flag}: "${part}" has a % that begins no byte such as %2C; a percent sign is %25`,
    );
  }
  const bytes = Buffer.from(prefix, 'utf8').toString('latin1');
  return bytes.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
