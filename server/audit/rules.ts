import type { AuditRule } from '../config/audit.ts';
import { keyRange } from '../mvcc/key-range.ts';
import type { AuditedRange, AuditKind, Subject } from './subject.ts';

/** Decides which calls are written down. */
export class AuditRules {
  readonly #prefixes: Readonly<Record<'read' | 'write', readonly Prefix[]>>;
  readonly #kinds: ReadonlySet<AuditKind>;

  constructor(rules: readonly AuditRule[]) {
    const of = (kind: 'read' | 'write'): Prefix[] =>
      rules.flatMap((rule) => (rule.kind === kind ? [prefixOf(rule.prefix)] : []));
    this.#prefixes = { read: of('read'), write: of('write') };
    this.#kinds = new Set<AuditKind>(['auth', 'admin', ...rules.map(({ kind }) => kind)]);
  }

  /** Whether a call of this kind may be wanted, whatever its keys are. A transaction may do both. */
  mayWant(kind: AuditKind): boolean {
    if (kind === 'write') return this.#kinds.has('write') || this.#kinds.has('read');
    return this.#kinds.has(kind);
  }

  wants({ kind, ranges = [] }: Subject): boolean {
    if (kind !== 'read' && kind !== 'write' && this.#kinds.has(kind)) return true;
    return ranges.some((range) => this.#isWanted(range));
  }

  #isWanted({ op, key, rangeEnd }: AuditedRange): boolean {
    if (op !== 'read' && op !== 'write') return false;
    const prefixes = this.#prefixes[op];
    if (prefixes.length === 0) return false;
    const { start, end } = keyRange(key, rangeEnd);
    return prefixes.some(
      (prefix) =>
        (prefix.end === undefined || start < prefix.end) &&
        (end === undefined || end > prefix.start),
    );
  }
}

interface Prefix {
  readonly start: string;
  /** Undefined: to the last key. */
  readonly end: string | undefined;
}

function prefixOf(prefix: string): Prefix {
  const cut = prefix.replace(/\u00ff+$/, '');
  if (cut === '') return { start: prefix, end: undefined };
  const last = String.fromCharCode(cut.charCodeAt(cut.length - 1) + 1);
  return { start: prefix, end: cut.slice(0, -1) + last };
}
