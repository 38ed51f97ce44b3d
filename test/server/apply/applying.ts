import { Alarms } from '../../../server/apply/alarms.ts';
import { Applier, type ApplyResult } from '../../../server/apply/applier.ts';
import { type Caller, noCaller } from '../../../server/auth/access.ts';
import { AuthStore } from '../../../server/auth/auth-store.ts';
import { Backend } from '../../../server/backend/backend.ts';
import { MemoryDisk, MemoryStore } from '../../../server/backend/memory.ts';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { Lessor } from '../../../server/lease/lessor.ts';
import { Store } from '../../../server/mvcc/store.ts';
import {
  InternalRequest,
  type InternalRequestRequest,
} from '../../../server/proto/gen/internal.ts';
import type { KeyValue } from '../../../server/proto/gen/kv.ts';
import {
  Compare,
  CompareResult,
  CompareTarget,
  type CompareTargetUnion,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
} from '../../../server/proto/gen/rpc.ts';
import { WatchHub } from '../../../server/watch/watch-hub.ts';

/** The applied state of one member, in memory, and its applier. */
export class Applying {
  readonly disk: MemoryDisk;
  readonly backend = new Backend({ logger: silentLogger });
  readonly store = new Store({ backend: this.backend });
  readonly lessor: Lessor;
  readonly alarms = new Alarms({ backend: this.backend });
  readonly auth = new AuthStore({ backend: this.backend });
  readonly watches: WatchHub;
  readonly applier: Applier;
  /** What the cluster was told of itself. */
  readonly told: object[] = [];
  nowMs = 0;
  term = 1;

  private constructor(disk: MemoryDisk) {
    this.disk = disk;
    this.lessor = new Lessor({ backend: this.backend, clock: { nowMs: () => this.nowMs } });
    this.watches = new WatchHub({ store: this.store, schedule: (callback) => callback() });
    const { backend, store, lessor, alarms, auth, watches } = this;
    this.applier = new Applier({
      backend,
      store,
      lessor,
      alarms,
      auth,
      watches,
      cluster: {
        setAttributes: (attributes) => this.told.push(attributes),
        setVersion: (version) => this.told.push({ version }),
        setDowngradeTarget: (downgrade) => this.told.push({ downgrade }),
      },
    });
  }

  static async open(disk = new MemoryDisk()): Promise<Applying> {
    const applying = new Applying(disk);
    const parts = [applying.store, applying.lessor, applying.alarms, applying.auth];
    await applying.backend.open(new MemoryStore({ disk }), parts);
    applying.lessor.attachAll(applying.store.takeRestoredLeases());
    applying.watches.storeReplaced(applying.store);
    return applying;
  }

  apply(request: InternalRequestRequest, caller: Caller = noCaller): ApplyResult {
    return this.applyData(InternalRequest.encode({ id: 1n, ...caller, request }));
  }

  applyData(data: Uint8Array): ApplyResult {
    const { index } = this.backend.applied;
    return this.applier.apply({ index: index + 1, term: this.term, data });
  }

  put(key: string, value: string, options: Partial<PutRequest> = {}): ApplyResult {
    return this.apply({ kind: 'put', value: putRequest(key, value, options) });
  }

  grant(ID: bigint, TTL = 60): ApplyResult {
    return this.apply({ kind: 'leaseGrant', value: LeaseGrantRequest.create({ ID, TTL }) });
  }

  txn(request: Partial<TxnRequest>): ApplyResult {
    return this.apply({ kind: 'txn', value: TxnRequest.create(request) });
  }

  /** Makes everything durable and opens it anew. */
  async reopen(): Promise<Applying> {
    await new Promise<void>((resolve, reject) => {
      this.backend.flush((error) => (error === null ? resolve() : reject(error)));
    });
    return Applying.open(this.disk);
  }
}

export function putRequest(
  key: string,
  value: string,
  options: Partial<PutRequest> = {},
): PutRequest {
  return PutRequest.create({ key: fromLatin1(key), value: fromLatin1(value), ...options });
}

export function putOp(key: string, value: string, options: Partial<PutRequest> = {}): RequestOp {
  return { request: { kind: 'requestPut', value: putRequest(key, value, options) } };
}

export function rangeOp(key: string, end = '', options: Partial<RangeRequest> = {}): RequestOp {
  const bounds = { key: fromLatin1(key), rangeEnd: fromLatin1(end) };
  return {
    request: { kind: 'requestRange', value: RangeRequest.create({ ...bounds, ...options }) },
  };
}

export function deleteOp(key: string, end = '', prevKv = false): RequestOp {
  const value = DeleteRangeRequest.create({
    key: fromLatin1(key),
    rangeEnd: fromLatin1(end),
    prevKv,
  });
  return { request: { kind: 'requestDeleteRange', value } };
}

export function txnOp(request: Partial<TxnRequest>): RequestOp {
  return { request: { kind: 'requestTxn', value: TxnRequest.create(request) } };
}

export function compare(
  key: string,
  target: keyof typeof CompareTarget,
  result: keyof typeof CompareResult,
  targetUnion?: CompareTargetUnion,
  end = '',
): Compare {
  return Compare.create({
    key: fromLatin1(key),
    rangeEnd: fromLatin1(end),
    target: CompareTarget[target],
    result: CompareResult[result],
    targetUnion,
  });
}

/** `key=value(create,mod,version,lease)` */
export function brief(kv: KeyValue | undefined): string {
  if (kv === undefined) return '-';
  const { createRevision, modRevision, version, lease } = kv;
  const numbers = [createRevision, modRevision, version, lease].join(',');
  return `${latin1(kv.key)}=${latin1(kv.value)}(${numbers})`;
}

/** An operation's answer, all that is in it. */
export function briefOp({ response }: TxnResponse['responses'][number]): string {
  const revision = `@${response?.value.header?.revision}`;
  switch (response?.kind) {
    case 'responseRange': {
      const { kvs, count } = response.value;
      return [`range${revision}`, ...kvs.map(brief), `count=${count}`].join(' ');
    }
    case 'responsePut':
      return `put${revision} ${brief(response.value.prevKv)}`;
    case 'responseDeleteRange': {
      const { deleted, prevKvs } = response.value;
      return [`delete${revision}`, deleted, ...prevKvs.map(brief)].join(' ');
    }
    case 'responseTxn': {
      const { succeeded, responses } = response.value;
      return `txn${revision} ${succeeded} [${responses.map(briefOp).join(', ')}]`;
    }
    case undefined:
      return 'nothing';
  }
}
