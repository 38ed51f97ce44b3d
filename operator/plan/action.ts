import type {
  NetworkPolicy,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { StoreClusterStatus } from '../api/types.ts';
import type { Alarm } from '../observe/observation.ts';
import type { PodRole } from '../resources/labels.ts';

/** One change of the world: one API call, to Kubernetes or to the store. */
export type Action =
  | { readonly kind: 'addFinalizer' }
  | { readonly kind: 'removeFinalizer' }
  | { readonly kind: 'recordStatus'; readonly fields: StatusRecord }
  | {
      readonly kind: 'apply';
      readonly object: Service | PodDisruptionBudget | NetworkPolicy;
    }
  | { readonly kind: 'remove'; readonly object: PodDisruptionBudget | NetworkPolicy }
  | { readonly kind: 'createVolume'; readonly volume: PersistentVolumeClaim }
  | { readonly kind: 'recordMemberId'; readonly volume: PersistentVolumeClaim; readonly id: string }
  | { readonly kind: 'growVolume'; readonly volume: PersistentVolumeClaim; readonly size: string }
  | { readonly kind: 'adoptVolume'; readonly volume: PersistentVolumeClaim }
  | {
      readonly kind: 'markRecovered';
      readonly volume: PersistentVolumeClaim;
      readonly isRecovered: boolean;
    }
  | { readonly kind: 'deleteVolume'; readonly volume: PersistentVolumeClaim }
  | { readonly kind: 'createPod'; readonly pod: Pod }
  | { readonly kind: 'labelPod'; readonly pod: Pod; readonly role: PodRole }
  | { readonly kind: 'deletePod'; readonly pod: Pod }
  | { readonly kind: 'addLearner'; readonly member: string; readonly peerUrl: string }
  | { readonly kind: 'promoteLearner'; readonly member: string; readonly id: string }
  | { readonly kind: 'removeMember'; readonly member: string; readonly id: string }
  | { readonly kind: 'moveLeader'; readonly target: string; readonly targetId: string }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'defragment'; readonly member: string; readonly pod: Pod }
  | { readonly kind: 'disarm'; readonly alarm: Alarm };

/** What must be written down before the step that relies on it. */
export type StatusRecord = Partial<
  Pick<StoreClusterStatus, 'nextSerial' | 'bootstrap' | 'clusterID'> & {
    /** undefined ends the reservation. */
    joining: string | undefined;
    /** undefined: there is no alarm any more. */
    space: undefined;
  }
>;
