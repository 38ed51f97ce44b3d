import { group } from '../api/schema.ts';

/** On a StoreBackup that was found in a target: what is known of it, as JSON. */
export const foundAnnotation = `${group}/found`;

/** What `mainstayctl backup list --brief` says of a backup. */
export interface FoundBackup {
  readonly name: string;
  /** The uid of the StoreBackup that it was made for. */
  readonly id: string;
  readonly clusterUid?: string;
  readonly revision?: number;
  readonly keys?: number;
  readonly sizeBytes?: number;
  readonly hash?: number;
  readonly storageVersion?: string;
  readonly finishedAt?: string;
  readonly verifiedAt?: string;
}

/** undefined where there is no such annotation, or it is not one of ours. */
export function foundIn(annotation: string | undefined): FoundBackup | undefined {
  try {
    const found: unknown = JSON.parse(annotation ?? 'null');
    const isOurs = typeof found === 'object' && found !== null && 'name' in found && 'id' in found;
    return isOurs ? (found as FoundBackup) : undefined;
  } catch {
    return undefined;
  }
}
