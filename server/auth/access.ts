import { fromLatin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { LeaseId } from '../base/ids.ts';
import type { DeleteRangeRequest, PutRequest, RequestOp, TxnRequest } from '../proto/gen/rpc.ts';
import { type AuthStore, isRoot } from './auth-store.ts';

/** Who asks, and by which revision of users, roles and permissions it was found out. */
export interface Caller {
  readonly username: string;
  readonly authRevision: number;
}

/** A call without a token, and an entry of a member's own. */
export const noCaller: Caller = Object.freeze({ username: '', authRevision: 0 });

/** The keys of a request: `rangeEnd` as on the wire. */
export interface Keys {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

export interface AccessModules {
  readonly auth: Pick<AuthStore, 'isEnabled' | 'revision' | 'user' | 'coverageOf'>;
  readonly leases: { keysOf(id: LeaseId): readonly string[]; ids(): readonly LeaseId[] };
}

const noRangeEnd = new Uint8Array(0);
const smallestKey = new Uint8Array(1);

/**
 * Whether a caller may do what it asks: every check of every request, where it is read and where it is applied, is one of
 * these. They return when authentication is off or when it may, and throw the EtcdError otherwise. Order and errors are
 * etcd's (server/etcdserver/apply/auth.go).
 */
export class Access {
  readonly #auth: AccessModules['auth'];
  readonly #leases: AccessModules['leases'];

  constructor(modules: AccessModules) {
    this.#auth = modules.auth;
    this.#leases = modules.leases;
  }

  get isOn(): boolean {
    return this.#auth.isEnabled;
  }

  get revision(): number {
    return this.#auth.revision;
  }

  /** Throws UserEmpty. */
  user(caller: Caller | undefined): void {
    if (this.isOn && caller === undefined) throw new EtcdError('UserEmpty');
  }

  /** Throws UserEmpty, UserNotFound, PermissionDenied. */
  root({ username }: Caller): void {
    if (!this.isOn) return;
    if (username === '') throw new EtcdError('UserEmpty');
    const user = this.#auth.user(username);
    if (user === undefined) throw new EtcdError('UserNotFound');
    if (!isRoot(user)) throw new EtcdError('PermissionDenied');
  }

  /** A user may ask for itself. Throws as {@link root}. */
  userGet(caller: Caller, name: string): void {
    if (name !== caller.username) this.root(caller);
  }

  /** A user may ask for its own roles. Throws as {@link root}. */
  roleGet(caller: Caller, role: string): void {
    if (this.#auth.user(caller.username)?.roles.includes(role) !== true) this.root(caller);
  }

  /** Throws UserEmpty, AuthOldRevision, PermissionDenied, as all of the following do. */
  read(caller: Caller, { key, rangeEnd }: Keys): void {
    this.#check(caller, 'read', key, rangeEnd);
  }

  /** Without a key, from the smallest one on. */
  watch(caller: Caller, { key, rangeEnd }: Keys): void {
    this.#check(caller, 'read', key.length === 0 ? smallestKey : key, rangeEnd);
  }

  put(caller: Caller, request: PutRequest): void {
    if (!this.isOn) return;
    this.#check(caller, 'write', request.key, noRangeEnd);
    // Who could not revoke the lease may not attach a key to it either.
    this.leaseWrite(caller, request.lease);
    if (request.prevKv) this.#check(caller, 'read', request.key, noRangeEnd);
  }

  deleteRange(caller: Caller, { key, rangeEnd, prevKv }: DeleteRangeRequest): void {
    this.#check(caller, 'write', key, rangeEnd);
    if (prevKv) this.#check(caller, 'read', key, rangeEnd);
  }

  /** Both branches, whichever is taken, and all that is nested. */
  txn(caller: Caller, { compare, success, failure }: TxnRequest): void {
    if (!this.isOn) return;
    for (const { key, rangeEnd } of compare) this.#check(caller, 'read', key, rangeEnd);
    for (const op of success) this.#op(caller, op);
    for (const op of failure) this.#op(caller, op);
  }

  #op(caller: Caller, { request }: RequestOp): void {
    switch (request?.kind) {
      case 'requestRange':
        return this.read(caller, request.value);
      case 'requestPut':
        return this.put(caller, request.value);
      case 'requestDeleteRange': {
        return this.deleteRange(caller, request.value);
      }
      case 'requestTxn':
        return this.txn(caller, request.value);
      case undefined:
    }
  }

  /** To revoke or renew a lease is to write all its keys. */
  leaseWrite(caller: Caller, id: LeaseId): void {
    if (!this.isOn) return;
    const keys = this.#leases.keysOf(id);
    if (keys.length === 0 || this.#isRoot(caller)) return;
    for (const key of keys) this.#check(caller, 'write', fromLatin1(key), noRangeEnd);
  }

  /** To be told the keys of a lease is to read them. */
  leaseRead(caller: Caller, id: LeaseId): void {
    if (!this.isOn || this.#isRoot(caller)) return;
    for (const key of this.#leases.keysOf(id)) {
      this.#check(caller, 'read', fromLatin1(key), noRangeEnd);
    }
  }

  leasesRead(caller: Caller): void {
    if (!this.isOn || this.#isRoot(caller)) return;
    for (const id of this.#leases.ids()) this.leaseRead(caller, id);
  }

  /** Rights by which a read is answered are those of now. Throws AuthOldRevision. */
  current({ authRevision }: Caller): void {
    if (authRevision !== 0 && authRevision !== this.#auth.revision) {
      throw new EtcdError('AuthOldRevision');
    }
  }

  #isRoot({ username }: Caller): boolean {
    const user = this.#auth.user(username);
    return user !== undefined && isRoot(user);
  }

  #check(caller: Caller, right: 'read' | 'write', key: Uint8Array, rangeEnd: Uint8Array): void {
    if (!this.isOn) return;
    if (caller.authRevision === 0) throw new EtcdError('UserEmpty');
    if (caller.authRevision < this.#auth.revision) throw new EtcdError('AuthOldRevision');
    const user = this.#auth.user(caller.username);
    if (user === undefined) throw new EtcdError('PermissionDenied');
    if (isRoot(user)) return;
    if (!this.#auth.coverageOf(caller.username)[right].covers(key, rangeEnd)) {
      throw new EtcdError('PermissionDenied');
    }
  }
}
