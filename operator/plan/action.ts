import type { StoreBackup } from '../api/backup-types.ts';
import type {
  NetworkPolicy,
  ObjectMeta,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreClusterStatus } from '../api/types.ts';
import type { Alarm } from '../observe/observation.ts';
import type { AuthChange } from '../observe/store-admin.ts';
import type { Applied } from '../resources/applied.ts';
import type { CertificateRequest } from '../resources/certificates.ts';
import type { PodRole } from '../resources/labels.ts';
import type { TlsSide } from '../resources/names.ts';

/** One change of the world: one API call, to Kubernetes or to the store. */
export type Action =
  | { readonly kind: 'addFinalizer' }
  | { readonly kind: 'removeFinalizer' }
  | { readonly kind: 'recordStatus'; readonly fields: StatusRecord }
  | {
      readonly kind: 'apply';
      readonly object: Service | PodDisruptionBudget | NetworkPolicy;
      /** As it was observed; undefined when it is to be made. */
      readonly seen: ObjectMeta | undefined;
    }
  | { readonly kind: 'remove'; readonly object: PodDisruptionBudget | NetworkPolicy | Service }
  | { readonly kind: 'createVolume'; readonly volume: PersistentVolumeClaim }
  | { readonly kind: 'recordMemberId'; readonly volume: PersistentVolumeClaim; readonly id: string }
  | { readonly kind: 'growVolume'; readonly volume: PersistentVolumeClaim; readonly size: string }
  | { readonly kind: 'adoptVolume'; readonly volume: PersistentVolumeClaim }
  | {
      readonly kind: 'markRecovered';
      readonly volume: PersistentVolumeClaim;
      readonly isRecovered: boolean;
    }
  | { readonly kind: 'parkVolume'; readonly volume: PersistentVolumeClaim }
  | { readonly kind: 'markRestored'; readonly volume: PersistentVolumeClaim; readonly id: string }
  | { readonly kind: 'deleteVolume'; readonly volume: PersistentVolumeClaim }
  | { readonly kind: 'createPod'; readonly pod: Pod }
  | { readonly kind: 'labelPod'; readonly pod: Pod; readonly role: PodRole }
  | { readonly kind: 'deletePod'; readonly pod: Pod }
  | { readonly kind: 'addLearner'; readonly member: string; readonly peerUrl: string }
  | { readonly kind: 'addObserver'; readonly member: string; readonly peerUrl: string }
  | { readonly kind: 'promoteLearner'; readonly member: string; readonly id: string }
  | { readonly kind: 'removeMember'; readonly member: string; readonly id: string }
  | { readonly kind: 'moveLeader'; readonly target: string; readonly targetId: string }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'defragment'; readonly member: string; readonly pod: Pod }
  | { readonly kind: 'disarm'; readonly alarm: Alarm }
  | { readonly kind: 'createBackup'; readonly backup: StoreBackup }
  | SecretAction
  | { readonly kind: 'changeAuth'; readonly change: AuthChange };

/** `seen`: the Secret as it was observed; undefined when it is to be made. What is in it is made or copied while acting. */
export type SecretAction =
  | {
      readonly kind: 'makeAuthority';
      readonly side: TlsSide;
      readonly rotation: string | undefined;
      readonly seen: ObjectMeta | undefined;
    }
  | {
      readonly kind: 'changeAuthority';
      readonly side: TlsSide;
      readonly step: 'trustNew' | 'signWithNew' | 'dropOld';
      readonly rotation: string | undefined;
      readonly seen: ObjectMeta;
    }
  | {
      readonly kind: 'issueCertificate';
      readonly request: CertificateRequest;
      readonly seen: ObjectMeta | undefined;
    }
  | {
      readonly kind: 'writeSecret';
      readonly content: SecretContent;
      readonly seen: ObjectMeta | undefined;
    }
  | { readonly kind: 'deleteSecret'; readonly seen: ObjectMeta }
  | { readonly kind: 'recordApplied'; readonly applied: Applied; readonly seen: ObjectMeta };

/** Entries of a Secret that are set; others stay as they are. */
export interface SecretContent {
  readonly name: string;
  readonly texts: Readonly<Record<string, string>>;
  readonly copies: readonly SecretCopy[];
  /** Entries that get a new random value. */
  readonly passwords: readonly string[];
  /** Entries that go. */
  readonly removes?: readonly string[];
}

export interface SecretCopy {
  /** Name of a Secret, and its entry. */
  readonly from: string;
  readonly key: string;
  readonly to: string;
}

/** What must be written down before the step that relies on it. */
export type StatusRecord = Partial<
  Pick<StoreClusterStatus, 'nextSerial' | 'restore' | 'beforeChange' | 'mirror'> & {
    /** undefined: the store that was is forgotten. */
    bootstrap: StoreClusterStatus['bootstrap'] | undefined;
    clusterID: string | undefined;
    /** undefined ends the reservation. */
    joining: string | undefined;
    /** undefined: there is no alarm any more. */
    space: undefined;
  }
>;
