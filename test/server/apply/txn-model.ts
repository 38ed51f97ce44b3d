import { latin1 } from '../../../server/base/bytes.ts';
import { type ErrorName, EtcdError } from '../../../server/base/errors.ts';
import { isInRange, keyRange } from '../../../server/mvcc/key-range.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from '../../../server/proto/gen/rpc.ts';
import { brief } from './applying.ts';

type State = ReadonlyMap<string, KeyValue>;

/** The whole state at every revision, copied for each: what etcd's documentation says, in the fewest words. */
export class Model {
  /** By revision; there is none before 1. */
  readonly states: State[] = [new Map(), new Map()];
  readonly leases = new Set<bigint>();
  compactRevision = -1;
  /** Of the last transaction. */
  changes: string[] = [];
  #next = new Map<string, KeyValue>();

  get revision(): number {
    return this.states.length - 1;
  }

  get state(): State {
    return this.states.at(-1) ?? new Map();
  }

  /** The answer in brief, or the error's name. */
  txn(request: TxnRequest): string {
    return this.#atomically(() => {
      const wanted = this.#chosen(request);
      this.#check(wanted);
      return this.#run(wanted, true);
    });
  }

  put(request: PutRequest): string {
    return this.#atomically(() => {
      if (request.lease !== 0n && !this.leases.has(request.lease)) fail('LeaseNotFound');
      if (keeps(request) && !this.state.has(latin1(request.key))) fail('KeyNotFound');
      return this.#put(request);
    });
  }

  revoke(id: bigint): string {
    return this.#atomically(() => {
      if (!this.leases.delete(id)) fail('LeaseNotFound');
      for (const key of [...this.#next.keys()].toSorted(bytewise)) {
        if (this.#next.get(key)?.lease === id) this.#drop(key);
      }
      return `@${this.#current}`;
    });
  }

  compact(revision: number): string {
    if (revision <= this.compactRevision) return 'Compacted';
    if (revision > this.revision) return 'FutureRevision';
    this.compactRevision = revision;
    return `@${this.revision}`;
  }

  /** `key=value(...)` of all keys, in order. */
  get all(): string[] {
    return [...this.state.keys()].toSorted(bytewise).map((key) => brief(this.state.get(key)));
  }

  #atomically(run: () => string): string {
    this.#next = new Map(this.state);
    this.changes = [];
    try {
      const answer = run();
      if (this.changes.length > 0) this.states.push(this.#next);
      return answer;
    } catch (error) {
      this.changes = [];
      if (error instanceof EtcdError) return error.error;
      throw error;
    }
  }

  /** What a range in the running transaction takes for the current revision. */
  get #current(): number {
    return this.changes.length > 0 ? this.revision + 1 : this.revision;
  }

  #chosen(request: TxnRequest): Chosen {
    const succeeded = request.compare.every((compare) => this.#holds(compare));
    const ops = (succeeded ? request.success : request.failure).map(({ request }) =>
      request?.kind === 'requestTxn' ? this.#chosen(request.value) : request,
    );
    return { kind: 'chosen', succeeded, ops };
  }

  #holds(compare: Compare): boolean {
    const kvs = inRange(this.state, compare);
    if (kvs.length === 0) {
      if (compare.target === CompareTarget.VALUE) return false;
      kvs.push(KeyValue.create());
    }
    return kvs.every((kv) => {
      const [a, b] = sides(kv, compare);
      switch (compare.result) {
        case CompareResult.EQUAL:
          return a === b;
        case CompareResult.NOT_EQUAL:
          return a !== b;
        case CompareResult.GREATER:
          return a > b;
        case CompareResult.LESS:
          return a < b;
      }
      return true;
    });
  }

  #check({ ops }: Chosen): void {
    const all = flat(ops);
    for (const op of all) {
      if (op.kind !== 'requestPut') continue;
      if (keeps(op.value) && !this.state.has(latin1(op.value.key))) fail('KeyNotFound');
      if (op.value.lease !== 0n && !this.leases.has(op.value.lease)) fail('LeaseNotFound');
    }
    for (const op of all) {
      if (op.kind !== 'requestRange' || op.value.revision === 0) continue;
      if (op.value.revision > this.revision) fail('FutureRevision');
      if (op.value.revision < this.compactRevision) fail('Compacted');
    }
  }

  #run({ succeeded, ops }: Chosen, isTop: boolean): string {
    const answers = ops.map((op) => {
      switch (op?.kind) {
        case 'chosen':
          return this.#run(op, false);
        case 'requestPut':
          return this.#put(op.value);
        case 'requestDeleteRange':
          return this.#delete(op.value);
        case 'requestRange':
          return this.#range(op.value);
        default:
          return 'nothing';
      }
    });
    return `txn@${isTop ? this.#current : 0} ${succeeded} [${answers.join(', ')}]`;
  }

  #put(request: PutRequest): string {
    const key = latin1(request.key);
    const before = this.#next.get(key);
    const revision = this.revision + 1;
    const kv = KeyValue.create({
      key: request.key,
      value: request.ignoreValue && before ? before.value : request.value,
      lease: request.ignoreLease && before ? before.lease : request.lease,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
    });
    this.#next.set(key, kv);
    this.changes.push(brief(kv));
    return `put@${revision} ${brief(request.prevKv ? before : undefined)}`;
  }

  #delete(request: DeleteRangeRequest): string {
    const kvs = inRange(this.#next, request);
    for (const kv of kvs) this.#drop(latin1(kv.key));
    const shown = request.prevKv ? kvs.map(brief) : [];
    return [`delete@${this.#current}`, kvs.length, ...shown].join(' ');
  }

  #drop(key: string): void {
    this.#next.delete(key);
    this.changes.push(`${key}=(0,${this.revision + 1},0,0)`);
  }

  #range(request: RangeRequest): string {
    const isOld = request.revision > 0 && request.revision <= this.revision;
    const kvs = inRange((isOld && this.states[request.revision]) || this.#next, request);
    const shown = request.limit > 0 ? kvs.slice(0, request.limit) : kvs;
    return [`range@${this.#current}`, ...shown.map(brief), `count=${kvs.length}`].join(' ');
  }
}

interface Chosen {
  readonly kind: 'chosen';
  readonly succeeded: boolean;
  readonly ops: readonly (Chosen | RequestOp['request'])[];
}

type Op = NonNullable<RequestOp['request']>;

function flat(ops: Chosen['ops']): Op[] {
  return ops.flatMap((op) => {
    if (op === undefined) return [];
    return op.kind === 'chosen' ? flat(op.ops) : [op];
  });
}

function keeps({ ignoreValue, ignoreLease }: PutRequest): boolean {
  return ignoreValue || ignoreLease;
}

function inRange(
  state: State,
  { key, rangeEnd }: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array },
): KeyValue[] {
  const range = keyRange(key, rangeEnd);
  const kvs = [...state.values()].filter((kv) => isInRange(range, latin1(kv.key)));
  return kvs.sort((a, b) => bytewise(latin1(a.key), latin1(b.key)));
}

function sides(
  kv: KeyValue,
  { target, targetUnion }: Compare,
): [string | number | bigint, string | number | bigint] {
  switch (target) {
    case CompareTarget.VERSION:
      return [kv.version, targetUnion?.kind === 'version' ? targetUnion.value : 0];
    case CompareTarget.CREATE:
      return [kv.createRevision, targetUnion?.kind === 'createRevision' ? targetUnion.value : 0];
    case CompareTarget.MOD:
      return [kv.modRevision, targetUnion?.kind === 'modRevision' ? targetUnion.value : 0];
    case CompareTarget.LEASE:
      return [kv.lease, targetUnion?.kind === 'lease' ? targetUnion.value : 0n];
    case CompareTarget.VALUE:
      return [latin1(kv.value), targetUnion?.kind === 'value' ? latin1(targetUnion.value) : ''];
  }
}

function bytewise(a: string, b: string): number {
  return a < b ? -1 : 1;
}

function fail(error: ErrorName): never {
  throw new EtcdError(error);
}
