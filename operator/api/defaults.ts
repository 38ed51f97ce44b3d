import { deletionPolicyDefault, replicasDefault } from './schema.ts';
import type { StoreClusterSpec } from './types.ts';

/** Release that a StoreCluster runs when it names neither version nor image. */
export const versionDefault = '0.1.0';
/** Image name before the tag; a registry is put before it by `--image-repository`. */
export const imageRepositoryDefault = 'mainstay';

export const clientPort = 2379;
export const peerPort = 2380;

export type CompleteSpec = StoreClusterSpec &
  Required<Pick<StoreClusterSpec, 'replicas' | 'image' | 'deletionPolicy'>>;

/**
 * The spec with every default. The API server fills in the constant ones too; this stays right for objects that
 * were stored before a field existed.
 */
export function completeSpec(
  spec: StoreClusterSpec,
  imageRepository: string = imageRepositoryDefault,
): CompleteSpec {
  return {
    ...spec,
    replicas: spec.replicas ?? replicasDefault,
    image: spec.image ?? `${imageRepository}:${spec.version ?? versionDefault}`,
    deletionPolicy: spec.deletionPolicy ?? deletionPolicyDefault,
  };
}
