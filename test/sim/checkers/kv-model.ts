import { covers, type EventLog, type KeySpan, type Kv, type KvEvent } from './event-log.ts';

/** What a client asks of the keys, in the simulator's own words. */
export type KvOp =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly kind: 'delete'; readonly span: KeySpan }
  | { readonly kind: 'range'; readonly span: KeySpan };

export interface KvCompare {
  readonly key: string;
  readonly target: 'value' | 'mod' | 'create' | 'version';
  readonly result: 'equal' | 'notEqual' | 'greater' | 'less';
  readonly expected: string | number;
}

export interface KvTxn {
  readonly kind: 'txn';
  readonly compares: readonly KvCompare[];
  readonly success: readonly KvOp[];
  readonly failure: readonly KvOp[];
}

export type KvOpResult =
  | { readonly kind: 'put' }
  | { readonly kind: 'delete'; readonly deleted: number }
  | { readonly kind: 'range'; readonly kvs: readonly Kv[] };

export type KvResult =
  | KvOpResult
  | { readonly kind: 'txn'; readonly succeeded: boolean; readonly results: readonly KvOpResult[] };

/** The effects and the answer of one request upon the state as of `revision` - 1: a second opinion on apply and mvcc. */
export function execute(
  log: EventLog,
  request: KvOp | KvTxn,
  revision: number,
): { events: KvEvent[]; result: KvResult } {
  const overlay = new Overlay(log, revision);
  if (request.kind !== 'txn') {
    return { result: overlay.execute(request), events: overlay.events };
  }
  const succeeded = request.compares.every((compare) => overlay.holds(compare));
  const results = (succeeded ? request.success : request.failure).map((op) => overlay.execute(op));
  return { result: { kind: 'txn', succeeded, results }, events: overlay.events };
}

class Overlay {
  readonly events: KvEvent[] = [];
  readonly #log: EventLog;
  readonly #revision: number;
  readonly #changed = new Map<string, Kv | undefined>();

  constructor(log: EventLog, revision: number) {
    this.#log = log;
    this.#revision = revision;
  }

  execute(op: KvOp): KvOpResult {
    switch (op.kind) {
      case 'put':
        this.#put(op);
        return { kind: 'put' };
      case 'range':
        return { kind: 'range', kvs: this.#range(op.span) };
      case 'delete': {
        const kvs = this.#range(op.span);
        for (const kv of kvs) this.#delete(kv);
        return { kind: 'delete', deleted: kvs.length };
      }
    }
  }

  holds({ key, target, result, expected }: KvCompare): boolean {
    const kv = this.#get(key);
    // As etcd: the value of a missing key equals nothing, its numbers are zero.
    if (target === 'value' && kv === undefined) return false;
    const actual = kv === undefined ? 0 : kv[target];
    switch (result) {
      case 'equal':
        return actual === expected;
      case 'notEqual':
        return actual !== expected;
      case 'greater':
        return actual > expected;
      case 'less':
        return actual < expected;
    }
  }

  #put({ key, value, lease }: { key: string; value: string; lease: bigint }): void {
    const before = this.#get(key);
    const kv: Kv = {
      key,
      value,
      lease,
      create: before?.create ?? this.#revision,
      mod: this.#revision,
      version: (before?.version ?? 0) + 1,
    };
    this.#changed.set(key, kv);
    this.events.push({ kind: 'put', kv });
  }

  #delete(kv: Kv): void {
    this.#changed.set(kv.key, undefined);
    this.events.push({ kind: 'delete', kv: { ...kv, mod: this.#revision } });
  }

  #get(key: string): Kv | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#log.get(key, this.#revision - 1);
  }

  #range(span: KeySpan): Kv[] {
    const kvs = this.#log
      .range(span, this.#revision - 1)
      .filter((kv) => !this.#changed.has(kv.key));
    for (const [key, kv] of this.#changed) if (kv !== undefined && covers(span, key)) kvs.push(kv);
    return kvs.sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}
