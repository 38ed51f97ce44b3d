import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { CompleteSpec } from '../api/defaults.ts';
import type { Pod } from '../api/objects.ts';
import { tagOf } from '../api/versions.ts';
import { encryptionOf } from './encryption.ts';
import { templateAnnotation } from './labels.ts';

/** Goes on with the data of one member alone; a pod that has it is replaced as soon as all is well. */
export const forceFlag = '--force-new-cluster';

/**
 * What of the spec a pod is made of: a pod whose fingerprint is another one is outdated. It covers what a person wrote
 * and not what the operator makes of it, so that a new operator with other defaults restarts no pod.
 */
export function templateFingerprint(spec: CompleteSpec): string {
  const text = JSON.stringify(sorted(templateInputs(spec)));
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function templateInputs(spec: CompleteSpec): Readonly<Record<string, unknown>> {
  return {
    // By its tag alone where the person named none: another registry for new pods is no reason to restart old ones.
    image: spec.imageWanted ?? tagOf(spec.image),
    quotaBytes: spec.quotaBytes,
    resources: spec.resources,
    ...otherInputs(spec),
  };
}

function otherInputs(spec: CompleteSpec): Readonly<Record<string, unknown>> {
  const { client, peer } = spec.tls ?? {};
  const { quota: _quota, ...options } = spec.options ?? {};
  return {
    imagePullPolicy: spec.imagePullPolicy,
    imagePullSecrets: filled(spec.imagePullSecrets),
    options: filled(options),
    placement: filled(withoutDefaults(spec.placement)),
    podTemplate: filled(spec.podTemplate),
    // Without any field it is switched on as well.
    audit: spec.audit,
    encryption: encryptionOf(spec),
    limits: filled(spec.limits),
    client: client && [client.secretName, client.verifyClients ?? false],
    peer: peer && [peer.secretName],
    restart: spec.update?.restart,
    console: spec.console?.enabled === true ? true : undefined,
  };
}

/** Whether the spec wants another pod than this one. */
export function isOutdated(pod: Pod, spec: CompleteSpec): boolean {
  if (pod.spec.containers[0]?.args?.includes(forceFlag)) return true;
  const fingerprint = pod.metadata.annotations?.[templateAnnotation];
  if (fingerprint !== undefined) return fingerprint !== templateFingerprint(spec);
  // Release 0.1 wrote none; its specs had an image and resources only.
  const [container] = pod.spec.containers;
  const image = container?.image ?? '';
  const hasImage =
    spec.imageWanted === undefined
      ? tagOf(image) === tagOf(spec.image)
      : image === spec.imageWanted;
  const hasResources = isDeepStrictEqual(filled(container?.['resources']), filled(spec.resources));
  const hasOthers = Object.values(otherInputs(spec)).every((input) => input === undefined);
  return !(hasImage && hasResources && hasOthers);
}

/** The API server writes defaults into what people leave out: both mean the same. */
function withoutDefaults(placement: CompleteSpec['placement']) {
  if (placement === undefined) return undefined;
  const { nodes, zones, ...rest } = placement;
  return {
    ...rest,
    ...(nodes === undefined || nodes === 'Preferred' ? {} : { nodes }),
    ...(zones === undefined || zones === 'Preferred' ? {} : { zones }),
  };
}

/** undefined for what says nothing. */
function filled(value: unknown): unknown {
  const isEmpty =
    value === undefined ||
    value === null ||
    JSON.stringify(value) === '{}' ||
    JSON.stringify(value) === '[]';
  return isEmpty ? undefined : value;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}
