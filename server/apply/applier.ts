import { Access, type Caller } from '../auth/access.ts';
import type { AuthStore } from '../auth/auth-store.ts';
import type { Backend } from '../backend/backend.ts';
import { EtcdError } from '../base/errors.ts';
import type { LeaseId, LogIndex, Revision, Term } from '../base/ids.ts';
import type { Lessor } from '../lease/lessor.ts';
import { singleKey } from '../mvcc/key-range.ts';
import type { Store } from '../mvcc/store.ts';
import type { WriteTxn } from '../mvcc/write-txn.ts';
import {
  type ClusterVersionSet,
  type DowngradeSet,
  InternalRequest,
  type InternalRequestRequest,
  type LeaseRevokeInternal,
  type MemberAttributes,
} from '../proto/gen/internal.ts';
import {
  AlarmAction,
  type AlarmRequest,
  type AlarmResponse,
  AlarmType,
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type LeaseCheckpointRequest,
  type LeaseCheckpointResponse,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseRevokeResponse,
  type PutRequest,
  type PutResponse,
  type ResponseHeader,
  type TxnRequest,
  type TxnResponse,
} from '../proto/gen/rpc.ts';
import type { WatchHub } from '../watch/watch-hub.ts';
import type { Alarms } from './alarms.ts';
import { applyAuth, checkKeys, checkRoot } from './auth.ts';
import { costBytes } from './cost.ts';
import { guard } from './guard.ts';
import { revisionHeader } from './header.ts';
import { checkPath, choosePath, runPath } from './txn.ts';
import { checkKept, checkLease, deleteRange, put } from './write.ts';

/** What the cluster knows of itself beside keys, leases and alarms. */
export interface ClusterState {
  setAttributes(attributes: MemberAttributes): void;
  setVersion(version: string): void;
  /** Empty: the cluster is not to go back. */
  setDowngradeTarget(version: string): void;
}

export interface ApplierModules {
  readonly backend: Pick<Backend, 'applied' | 'setApplied'>;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly alarms: Alarms;
  readonly auth: AuthStore;
  readonly cluster: ClusterState;
  readonly watches: Pick<WatchHub, 'publish'>;
}

/** A committed entry of the log that does not change the membership. */
export interface CommittedEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly data: Uint8Array;
}

export interface ApplyResult {
  /** Of the request, for who waits for it; 0n for an entry without one. */
  readonly id: bigint;
  /** What was asked; undefined for an entry without a request. */
  readonly kind?: InternalRequestRequest['kind'] | undefined;
  /** The RPC's response message; its header carries the revision only. */
  readonly response?: object | undefined;
  /** What the client is told instead. */
  readonly error?: EtcdError | undefined;
  /** The store's after the entry. */
  readonly revision: Revision;
  /** What the entry may have added to the state. */
  readonly costBytes: number;
}

/**
 * Committed entries into state: in order, each exactly once. Total and deterministic: every entry moves the applied
 * index and yields an answer, errors included, and nothing enters that could differ between members.
 */
export class Applier {
  readonly #modules: ApplierModules;
  readonly #access: Access;

  constructor(modules: ApplierModules) {
    this.#modules = modules;
    this.#access = new Access({ auth: modules.auth, leases: modules.lessor });
  }

  /**
   * Applies the entry unless it was applied before. Throws, and so ends the process, only for an entry that this
   * version does not understand: going on would make its state differ from the others'.
   */
  apply(entry: CommittedEntry): ApplyResult {
    const { backend, store } = this.#modules;
    if (entry.index <= backend.applied.index) {
      return { id: 0n, revision: store.revision, costBytes: 0 };
    }
    const decoded = decode(entry);
    const { id, request } = decoded;
    const answer =
      request === undefined ? {} : { kind: request.kind, ...this.#answer(request, decoded, entry) };
    backend.setApplied({ index: entry.index, term: entry.term });
    const cost = request === undefined ? 0 : costBytes(request);
    return { id, ...answer, revision: store.revision, costBytes: cost };
  }

  /** The order of etcd's chain of appliers decides which of several refusals is told. */
  #answer(
    request: InternalRequestRequest,
    caller: Caller,
    entry: CommittedEntry,
  ): Pick<ApplyResult, 'response' | 'error'> {
    try {
      if (this.#access.isOn) checkRoot(this.#access, caller, request);
      guard(this.#modules.alarms, request);
      if (this.#access.isOn) checkKeys(this.#access, caller, request);
      return { response: this.#execute(request, entry) };
    } catch (error) {
      if (error instanceof EtcdError) return { error };
      throw error;
    }
  }

  #execute(request: InternalRequestRequest, { index, term }: CommittedEntry): object {
    switch (request.kind) {
      case 'put':
        return this.#put(request.value);
      case 'deleteRange':
        return this.#deleteRange(request.value);
      case 'txn':
        return this.#txn(request.value);
      case 'compaction':
        return this.#compact(request.value);
      case 'leaseGrant':
        return this.#grantLease(request.value);
      case 'leaseRevoke':
        return this.#revokeLease(request.value, term);
      case 'leaseCheckpoint':
        return this.#checkpointLeases(request.value);
      case 'alarm':
        return this.#alarm(request.value);
      case 'memberAttributes':
        return this.#setAttributes(request.value);
      case 'clusterVersionSet':
        return this.#setClusterVersion(request.value);
      case 'downgradeSet':
        return this.#setDowngrade(request.value);
      default:
        return applyAuth(this.#modules.auth, request, { index, header: this.#header() });
    }
  }

  #put(request: PutRequest): PutResponse {
    checkLease(this.#modules, request);
    checkKept(this.#modules, request);
    return this.#write((txn) => put({ txn, lessor: this.#modules.lessor }, request));
  }

  #deleteRange(request: DeleteRangeRequest): DeleteRangeResponse {
    return this.#write((txn) => deleteRange({ txn, lessor: this.#modules.lessor }, request));
  }

  #txn(request: TxnRequest): TxnResponse {
    const path = choosePath(this.#modules.store, request);
    checkPath(this.#modules, path);
    return this.#write((txn) => runPath({ txn, lessor: this.#modules.lessor }, path));
  }

  #compact(request: CompactionRequest): CompactionResponse {
    this.#modules.store.compact(request.revision);
    return { header: this.#header() };
  }

  #grantLease({ ID, TTL }: LeaseGrantRequest): LeaseGrantResponse {
    this.#modules.lessor.grant(ID, TTL);
    return { header: this.#header(), ID, TTL, error: '' };
  }

  /** An expiry is the word of the leader of a term: in a later one the lease has been extended (etcd#15247). */
  #revokeLease(request: LeaseRevokeInternal, term: Term): LeaseRevokeResponse {
    const isStale = request.term !== 0 && request.term !== term;
    if (!isStale) this.#deleteLease(request.id);
    return { header: this.#header() };
  }

  /** All keys in one revision, in the same order on every member. */
  #deleteLease(id: LeaseId): void {
    const { lessor } = this.#modules;
    if (!lessor.has(id)) throw new EtcdError('LeaseNotFound');
    const keys = lessor.keysOf(id);
    this.#write((txn) => {
      for (const key of keys) {
        txn.deleteRange(singleKey(key));
        lessor.detach(key);
      }
    });
    lessor.revoke(id);
  }

  #checkpointLeases({ checkpoints }: LeaseCheckpointRequest): LeaseCheckpointResponse {
    for (const { ID, remainingTTL } of checkpoints) {
      this.#modules.lessor.checkpoint(ID, remainingTTL);
    }
    return { header: this.#header() };
  }

  #alarm({ action, memberID, alarm }: AlarmRequest): AlarmResponse {
    const { alarms } = this.#modules;
    const header = this.#header();
    const subject = { memberID, alarm };
    switch (action) {
      case AlarmAction.GET:
        return { header, alarms: alarms.list(alarm) };
      case AlarmAction.ACTIVATE:
        if (alarm === AlarmType.NONE) return { header, alarms: [] };
        alarms.raise(subject);
        return { header, alarms: [subject] };
      case AlarmAction.DEACTIVATE:
        return { header, alarms: alarms.disarm(subject) ? [subject] : [] };
      default:
        return { header, alarms: [] };
    }
  }

  #setAttributes(attributes: MemberAttributes): object {
    this.#modules.cluster.setAttributes(attributes);
    return {};
  }

  #setClusterVersion({ version }: ClusterVersionSet): object {
    this.#modules.cluster.setVersion(version);
    return {};
  }

  #setDowngrade({ targetVersion }: DowngradeSet): object {
    this.#modules.cluster.setDowngradeTarget(targetVersion);
    return {};
  }

  /** One transaction: one revision, if it changes anything, and its events. */
  #write<T>(run: (txn: WriteTxn) => T): T {
    const { store, watches } = this.#modules;
    const txn = store.beginWrite();
    const result = run(txn);
    const { revision, events } = txn.end();
    if (events.length > 0) watches.publish(revision, events);
    return result;
  }

  #header(): ResponseHeader {
    return revisionHeader(this.#modules.store.revision);
  }
}

/** An entry of a kind that this version cannot apply. */
export class UnknownEntryError extends Error {
  override name = 'UnknownEntryError';
}

/** The first entry of every term is empty. */
function decode({ data, index }: CommittedEntry): InternalRequest {
  if (data.length === 0) return InternalRequest.create();
  const decoded = InternalRequest.decode(data);
  if (decoded.request === undefined) {
    throw new UnknownEntryError(`entry ${index} has no known request`);
  }
  return decoded;
}
