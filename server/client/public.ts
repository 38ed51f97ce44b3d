// The package's face: what `import { ... } from 'mainstay'` gives. Nothing inside of the project imports it.

export { Permission, PermissionType } from '../proto/gen/auth.ts';
export { Event, EventType, KeyValue } from '../proto/gen/kv.ts';
export {
  AlarmMember,
  AlarmType,
  Compare,
  DeleteRangeResponse,
  DowngradeAction,
  Member,
  PutResponse,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  SnapshotResponse,
  SortOrder,
  SortTarget,
  StatusResponse,
  TxnRequest,
  TxnResponse,
} from '../proto/gen/rpc.ts';
export { type Access, AuthAdmin, type UserAddOptions } from './auth-admin.ts';
export type { CallOptions } from './calls.ts';
export { Client, type ClientOptions, type SnapshotOptions } from './client.ts';
export {
  Comparison,
  createRevisionOf,
  exists,
  isMissing,
  leaseOf,
  modRevisionOf,
  valueOf,
  versionOf,
} from './compare.ts';
export { type CampaignOptions, Election, Leadership, NotLeaderError } from './election.ts';
export type { TlsOptions, TlsSource } from './endpoint.ts';
export { ClientError, CompactedError, LeaseLostError } from './errors.ts';
export { etcdTexts } from './etcd-texts.ts';
export {
  type DeleteOptions,
  type Headed,
  KeySpace,
  type LeaseTimeToLiveOptions,
  type PutOptions,
  type RangeOptions,
} from './key-space.ts';
export {
  type Bytes,
  bytesOf,
  type Keys,
  keysBetween,
  keysFrom,
  keysUnder,
  oneKey,
  textOf,
} from './keys.ts';
export { Lock, type LockOptions } from './lock.ts';
export type { PageOptions } from './pages.ts';
export { Session, type SessionOptions } from './session.ts';
export { type Isolation, StmAttempt, type StmOptions } from './stm.ts';
export type { CredentialSource, Credentials } from './tokens.ts';
export {
  type DeleteFields,
  deleteOp,
  kvsAt,
  nested,
  type Operation,
  type PutFields,
  putOp,
  type RangeFields,
  rangeOp,
  Txn,
  type TxnOptions,
} from './txn.ts';
export { Watch, type WatchBatch, type WatchEvent, type WatchOptions } from './watch.ts';
