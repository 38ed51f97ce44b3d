import { bytesOf } from './quantity.ts';
import { deletionPolicyDefault, replicasDefault } from './schema.ts';
import type { StoreClusterSpec } from './types.ts';
import { refusedChange, tagOf, unknownVersion } from './versions.ts';

/** Release that a StoreCluster runs when it names neither version nor image. */
export const versionDefault = '0.2.0';
/** Image name before the tag; a registry is put before it by `--image-repository`. */
export const imageRepositoryDefault = 'mainstay';

export const clientPort = 2379;
export const peerPort = 2380;
/** Metrics and health, in clear also where clients need TLS: the kubelet's probes have no certificate. */
export const metricsPort = 2381;

/** Of the volume, what the database may fill: the log and a copy that replaces the database need room too. */
const quotaShare = 0.5;
const quotaBytesMax = 16 * 1024 ** 3;

export type CompleteSpec = StoreClusterSpec &
  Required<Pick<StoreClusterSpec, 'replicas' | 'image' | 'deletionPolicy'>> & {
    /** The image that the person wrote, where they wrote one. */
    readonly imageWanted: string | undefined;
    /** Why the version that is wanted is not taken: `image` is then the present one. */
    readonly versionRefused: string | undefined;
    readonly quotaBytes: number;
    /** What an observer is told beside the flags of all members, see `observerSpec`. */
    readonly observerFlags?: readonly string[];
  };

export interface ImageDefaults {
  /** Image name before the tag. */
  readonly repository: string;
  /** Images of this store: the one that its members get, then those that run. Empty before it was first started. */
  readonly present: readonly string[];
}

/**
 * The spec with every default. The API server fills in the constant ones too; this stays right for objects that
 * were stored before a field existed.
 */
export function completeSpec(
  spec: StoreClusterSpec,
  images: ImageDefaults = { repository: imageRepositoryDefault, present: [] },
): CompleteSpec {
  return {
    ...spec,
    ...imageOf(spec, images),
    replicas: spec.replicas ?? replicasDefault,
    imageWanted: spec.image,
    deletionPolicy: spec.deletionPolicy ?? deletionPolicyDefault,
    quotaBytes: quotaOf(spec),
  };
}

function imageOf({ image, version }: StoreClusterSpec, { repository, present }: ImageDefaults) {
  if (image !== undefined) return { image, versionRefused: undefined };
  // A newer operator has a newer default: it must not become a change of every store that it finds.
  const kept = present[0] ?? `${repository}:${versionDefault}`;
  if (version === undefined) return { image: kept, versionRefused: undefined };
  const why = present.map((each) => refusedChange(tagOf(each), version)).find(Boolean);
  const versionRefused = why ?? (present.length > 0 ? undefined : unknownVersion(version));
  return {
    image: versionRefused === undefined ? `${repository}:${version}` : kept,
    versionRefused,
  };
}

function quotaOf({ options, storage }: StoreClusterSpec): number {
  if (options?.quota !== undefined) return bytesOf(options.quota);
  return Math.min(Math.floor(bytesOf(storage.size) * quotaShare), quotaBytesMax);
}
