import type { StoreBackup, StoreBackupSchedule } from '../api/backup-types.ts';
import type { CompleteSpec } from '../api/defaults.ts';
import type {
  NetworkPolicy,
  Node,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { RestoreSource } from '../resources/restore.ts';
import type { SecretFacts } from '../resources/secret-facts.ts';
import type { Loaded } from './loaded-certificates.ts';
import type { StoreAccess, StoreAuth } from './store-admin.ts';

/** Everything that one pass knows: read live, then frozen. Decisions and status are functions of it alone. */
export interface Observation {
  /** RFC 3339. */
  readonly now: string;
  /** A fresh random string, for the plan that must record one. */
  readonly nonce: string;
  readonly cluster: StoreCluster;
  readonly spec: CompleteSpec;
  /** Labelled with the cluster's name, whoever made them. */
  readonly pods: readonly Pod[];
  readonly volumes: readonly PersistentVolumeClaim[];
  /** By the names that ours have, whoever made them. */
  readonly peersService: Service | undefined;
  readonly clientService: Service | undefined;
  readonly observersService: Service | undefined;
  readonly budget: PodDisruptionBudget | undefined;
  readonly networkPolicy: NetworkPolicy | undefined;
  /** The store's own Secrets and those that its spec names; one that is not there is absent. */
  readonly secrets: ReadonlyMap<string, SecretFacts>;
  /** DNS domain of the Kubernetes cluster. */
  readonly clusterDomain: string;
  /** How long applications get to read new contents of a Secret that they mount. */
  readonly reloadMs: number;
  readonly store: StoreAnswer;
  /** How the store was reached, the credentials included: not for logs. */
  readonly access: StoreAccess;
  /** What members said to an operator whom they do not know. */
  readonly accessRefused: string | undefined;
  /** Who may do what in the store; undefined when it was not asked or could not say. */
  readonly storeAuth: StoreAuth | undefined;
  /** Certificates in use by pod name; asked for only while the CA is replaced. */
  readonly loaded: ReadonlyMap<string, Loaded>;
  /** By pod name; a member that did not answer is absent. */
  readonly memberStatuses: ReadonlyMap<string, MemberStatus>;
  /** What a restore that is wanted is from; undefined where none is, or what it names is not there. */
  readonly restore: RestoreSource | undefined;
  /** What is done for `bootstrap.mirrorFrom`; undefined where the spec has none, and had none. */
  readonly mirror: MirrorWork | undefined;
  /** Volumes that a restore has put aside; asked for only while the spec names one. */
  readonly parked: readonly PersistentVolumeClaim[];
  /** What members wait for before they change to another image; undefined where they need not. */
  readonly backupFirst: BackupFirst | undefined;
  /** By name; undefined where the operator may not see nodes (it then knows nothing of drains and dead nodes). */
  readonly nodes: ReadonlyMap<string, Node> | undefined;
}

/** The pods that follow a source, and what they said last. */
export interface MirrorWork {
  readonly follower: Pod | undefined;
  readonly cutOver: Pod | undefined;
  /** undefined while the follower does not run, or has not said anything yet. */
  readonly progress: MirrorProgress | undefined;
  /** Why it is not cut over yet. */
  readonly notYet: CutOverWait | undefined;
}

/** As `mainstayctl mirror -w json` says it. */
export interface MirrorProgress {
  readonly isCopying: boolean;
  readonly revision: number;
  readonly sourceRevision: number;
  readonly lagSeconds: number;
  /** Which side does not answer, and how. */
  readonly waitingFor: string | undefined;
}

/** As `mainstayctl mirror --cut-over -w json` says it. */
export interface CutOverWait {
  readonly why: 'behind' | 'written' | 'different';
  readonly message: string;
}

/** A backup is wanted before the members change. */
export interface BackupFirst {
  /** To whose target it goes. */
  readonly schedule: StoreBackupSchedule;
  /** The one that `status.beforeChange` names, where it is there. */
  readonly backup: StoreBackup | undefined;
}

/** What the store says of its membership. `silent` means that nobody could say it, never that nobody is there. */
export type StoreAnswer =
  | {
      readonly kind: 'answered';
      readonly clusterId: string;
      readonly members: readonly RaftMember[];
      readonly alarms: readonly Alarm[];
    }
  | { readonly kind: 'silent'; readonly reason: string };

/** One entry of a linearizable MemberList. Ids are lower-case hexadecimal, as etcd prints them. */
export interface RaftMember {
  readonly id: string;
  /** Empty until the member has started once. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly learner: boolean;
  /** A learner that stays one. */
  readonly observer?: boolean;
}

export interface Alarm {
  readonly memberId: string;
  readonly kind: 'NOSPACE' | 'CORRUPT';
}

/** A member's own word, from Maintenance.Status. */
export interface MemberStatus {
  readonly memberId: string;
  /** '0' when it knows none. */
  readonly leaderId: string;
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly raftAppliedIndex: number;
  readonly revision: number;
  readonly databaseBytes: number;
  readonly databaseBytesInUse: number;
  /** Hash of all keys at `revision`; asked for only while the store is silent, to tell survivors apart. */
  readonly hash?: string;
}
