import type { CompleteSpec } from '../api/defaults.ts';
import { maxStalenessSecondsDefault } from '../api/spec/observers.ts';

/** The spec as the pod and the volume of an observer are made of it. */
export function observerSpec(spec: CompleteSpec): CompleteSpec {
  const { resources = spec.resources, storage, maxStalenessSeconds } = spec.observers ?? {};
  const seconds = maxStalenessSeconds ?? maxStalenessSecondsDefault;
  return {
    ...spec,
    ...(resources === undefined ? {} : { resources }),
    storage: { ...spec.storage, ...storage },
    observerFlags: [`--observer-max-staleness=${seconds}s`],
  };
}

/** How many are wanted. */
export function observersWanted({ observers }: CompleteSpec): number {
  return observers?.replicas ?? 0;
}
