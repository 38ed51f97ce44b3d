import type { TlsOptions } from '../../server/client/endpoint.ts';
import type { Credentials } from '../../server/client/tokens.ts';
import type { Alarm, MemberStatus, RaftMember } from './observation.ts';

/** How a store is reached, and as whom. */
export interface StoreAccess {
  /** Whom the calls are made as; `operator` without credentials shows its certificate alone. */
  readonly user: 'anyone' | 'operator' | 'root';
  /** Of all members, learners too: a token that one has given is good for all. */
  readonly members: readonly string[];
  readonly tls?: TlsOptions;
  readonly credentials?: Credentials;
}

/** The store answers, but not to this user. */
export class AccessRefused extends Error {
  override name = 'AccessRefused';
}

/** What the operator asks of a running store. Endpoints are client URLs, tried in their order. */
export interface StoreAdmin {
  /** The same, reached so. Calls fail with {@link AccessRefused} when the store does not know the user. */
  as(access: StoreAccess): StoreAdmin;
  /** Linearizable: fails without a quorum. */
  memberList(endpoints: readonly string[]): Promise<MemberListing>;
  memberAddLearner(endpoints: readonly string[], peerUrl: string): Promise<void>;
  memberAddObserver(endpoints: readonly string[], peerUrl: string): Promise<void>;
  /** Fails while the server does not find the learner in sync. */
  memberPromote(endpoints: readonly string[], memberId: string): Promise<void>;
  memberRemove(endpoints: readonly string[], memberId: string): Promise<void>;
  /** `leader` must be the leader's endpoint. */
  moveLeader(leader: string, targetMemberId: string): Promise<void>;
  status(endpoint: string): Promise<MemberStatus>;
  /** Hash of the member's keys at its present revision, in decimal. */
  hash(endpoint: string): Promise<string>;
  alarms(endpoints: readonly string[]): Promise<readonly Alarm[]>;
  disarm(endpoints: readonly string[], alarm: Alarm): Promise<void>;
  /** Forgets the history before the revision. */
  compact(endpoints: readonly string[], revision: number): Promise<void>;
  /** Frees the space on one member; it serves meanwhile, slower. */
  defragment(endpoint: string): Promise<void>;
  /** Of these users and roles. */
  auth(endpoints: readonly string[], about: AuthQuestion): Promise<StoreAuth>;
  /** `password` is for the changes that set one. */
  changeAuth(endpoints: readonly string[], change: AuthChange, password?: string): Promise<void>;
}

export interface AuthQuestion {
  readonly users: readonly string[];
  readonly roles: readonly string[];
}

/** Who may do what, as the store has it. Users and roles that it does not have are absent. */
export interface StoreAuth {
  readonly enabled: boolean;
  /** The roles of each user. */
  readonly users: ReadonlyMap<string, readonly string[]>;
  readonly roles: ReadonlyMap<string, readonly Permission[]>;
}

/** Keys as latin-1 strings of their bytes. */
export interface Permission {
  readonly access: 'Read' | 'Write' | 'ReadWrite';
  readonly key: string;
  /** Empty: one key. */
  readonly rangeEnd: string;
}

/** One change of who may do what: one call to the store. */
export type AuthChange =
  | { readonly kind: 'addUser' | 'setPassword' | 'deleteUser'; readonly user: string }
  | { readonly kind: 'grantRole' | 'revokeRole'; readonly user: string; readonly role: string }
  | { readonly kind: 'addRole' | 'deleteRole'; readonly role: string }
  | {
      readonly kind: 'grantPermission' | 'revokePermission';
      readonly role: string;
      readonly permission: Permission;
    }
  | { readonly kind: 'enable' | 'disable' };

export interface MemberListing {
  readonly clusterId: string;
  readonly members: readonly RaftMember[];
}
