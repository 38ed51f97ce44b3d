import { type FieldError, fieldError } from './errors.ts';
import {
  at,
  equal,
  isObject,
  type JsonObject,
  type KubeObject,
  objectAt,
  objectsAt,
  stringAt,
} from './objects.ts';
import { quantityValue } from './schema/quantity.ts';

/** What an API server does to a built-in kind beyond storing it. */
export interface Strategy {
  /** Whether metadata.generation counts changes of the spec. */
  readonly hasGeneration: boolean;
  /** Whether DELETE answers with the object rather than with a Status. */
  readonly returnsDeleted: boolean;
  /** Defaults on every write, in place. */
  readonly setDefaults?: (object: KubeObject) => void;
  /** On creation only, in place: initial status, finalizers, allocated values. */
  readonly prepareCreate?: (object: KubeObject) => void;
  readonly validate?: (object: KubeObject) => FieldError[];
  readonly validateUpdate?: (object: KubeObject, old: KubeObject) => FieldError[];
}

const plainStrategy: Strategy = { hasGeneration: false, returnsDeleted: false };
export const customStrategy: Strategy = { hasGeneration: true, returnsDeleted: false };

const strategies: Readonly<Record<string, Strategy>> = {
  Namespace: {
    hasGeneration: false,
    returnsDeleted: true,
    setDefaults: (object) => {
      const { metadata } = object;
      metadata.labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
    },
    prepareCreate: (object) => {
      object['spec'] = { finalizers: ['kubernetes'] };
      object['status'] = { phase: 'Active' };
    },
  },
  Node: { hasGeneration: false, returnsDeleted: false },
  Pod: {
    hasGeneration: true,
    returnsDeleted: true,
    setDefaults: setPodDefaults,
    prepareCreate: (object) => {
      object['status'] = { phase: 'Pending', qosClass: qosClass(object) };
    },
    validate: validatePod,
    validateUpdate: validatePodUpdate,
  },
  PersistentVolumeClaim: {
    hasGeneration: false,
    returnsDeleted: true,
    setDefaults: (object) => fill(specOf(object), { volumeMode: 'Filesystem' }),
    prepareCreate: (object) => {
      object.metadata.finalizers = [
        ...(object.metadata.finalizers ?? []),
        'kubernetes.io/pvc-protection',
      ];
      object['status'] = { phase: 'Pending' };
      fill(specOf(object), { storageClassName: 'localkube' });
    },
    validate: validateClaim,
    validateUpdate: validateClaimUpdate,
  },
  Service: {
    hasGeneration: false,
    returnsDeleted: true,
    setDefaults: setServiceDefaults,
    prepareCreate: (object) => {
      object['status'] = { loadBalancer: {} };
    },
    validate: validateService,
  },
  Secret: { hasGeneration: false, returnsDeleted: false, setDefaults: setSecretDefaults },
  ServiceAccount: { hasGeneration: false, returnsDeleted: true },
  PodDisruptionBudget: {
    hasGeneration: true,
    returnsDeleted: false,
    prepareCreate: (object) => {
      object['status'] = {
        disruptionsAllowed: 0,
        currentHealthy: 0,
        desiredHealthy: 0,
        expectedPods: 0,
      };
    },
  },
  NetworkPolicy: { hasGeneration: true, returnsDeleted: false },
  Event: { hasGeneration: false, returnsDeleted: false, setDefaults: setEventDefaults },
  CustomResourceDefinition: { hasGeneration: true, returnsDeleted: true },
};

export function strategyOf(kind: string): Strategy {
  return strategies[kind] ?? plainStrategy;
}

function specOf(object: KubeObject): JsonObject {
  const spec = object['spec'];
  if (isObject(spec)) return spec;
  const made: JsonObject = {};
  object['spec'] = made;
  return made;
}

/** Sets what is not set yet. */
function fill(target: JsonObject, defaults: JsonObject): void {
  for (const [name, value] of Object.entries(defaults))
    if (target[name] === undefined) target[name] = value;
}

function setPodDefaults(object: KubeObject): void {
  const spec = specOf(object);
  fill(spec, {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
  });
  for (const container of [
    ...objectsAt(spec, 'containers'),
    ...objectsAt(spec, 'initContainers'),
  ]) {
    setContainerDefaults(container);
  }
  for (const volume of objectsAt(spec, 'volumes')) {
    for (const source of ['secret', 'configMap', 'projected']) {
      if (isObject(volume[source])) fill(volume[source], { defaultMode: 420 });
    }
  }
}

function setContainerDefaults(container: JsonObject): void {
  const image = stringAt(container, 'image');
  const isFloating = !/:[^/]+$/.test(image) || image.endsWith(':latest');
  fill(container, {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: isFloating ? 'Always' : 'IfNotPresent',
  });
  const resources = objectAt(container, 'resources');
  if (isObject(resources['limits'])) {
    resources['requests'] = { ...resources['limits'], ...objectAt(resources, 'requests') };
  }
  for (const port of objectsAt(container, 'ports')) fill(port, { protocol: 'TCP' });
  for (const variable of objectsAt(container, 'env')) {
    const reference = at(variable, 'valueFrom', 'fieldRef');
    if (isObject(reference)) fill(reference, { apiVersion: 'v1' });
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[name];
    if (isObject(probe)) setProbeDefaults(probe);
  }
}

function setProbeDefaults(probe: JsonObject): void {
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  if (isObject(probe['httpGet'])) fill(probe['httpGet'], { path: '/', scheme: 'HTTP' });
}

function qosClass(object: KubeObject): string {
  const resources = objectsAt(object, 'spec', 'containers').map((container) =>
    objectAt(container, 'resources'),
  );
  const isEmpty = (one: JsonObject) => one['limits'] === undefined && one['requests'] === undefined;
  if (resources.every(isEmpty)) return 'BestEffort';
  const isEqual = (one: JsonObject) =>
    at(one, 'limits', 'cpu') !== undefined &&
    at(one, 'limits', 'memory') !== undefined &&
    equal(one['limits'], one['requests']);
  return resources.every(isEqual) ? 'Guaranteed' : 'Burstable';
}

function validatePod(object: KubeObject): FieldError[] {
  const containers = objectsAt(object, 'spec', 'containers');
  if (containers.length === 0) return [fieldError.required('spec.containers')];
  const volumes = new Set(
    objectsAt(object, 'spec', 'volumes').map((volume) => stringAt(volume, 'name')),
  );
  return containers.flatMap((container, position) => {
    const path = `spec.containers[${position}]`;
    const errors: FieldError[] = [];
    if (stringAt(container, 'name') === '') errors.push(fieldError.required(`${path}.name`));
    if (stringAt(container, 'image') === '') errors.push(fieldError.required(`${path}.image`));
    objectsAt(container, 'volumeMounts').forEach((mount, index) => {
      const name = stringAt(mount, 'name');
      if (volumes.has(name)) return;
      errors.push({
        reason: 'FieldValueNotFound',
        field: `${path}.volumeMounts[${index}].name`,
        message: `Not found: ${JSON.stringify(name)}`,
      });
    });
    return errors;
  });
}

/** What a pod's spec may change. The real message goes on with a diff of Go structs, which is left out. */
const podMutable =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

function validatePodUpdate(object: KubeObject, old: KubeObject): FieldError[] {
  if (equal(fixedPodSpec(object), fixedPodSpec(old))) return [];
  return [fieldError.forbidden('spec', podMutable)];
}

function fixedPodSpec(object: KubeObject): JsonObject {
  const { tolerations: _t, activeDeadlineSeconds: _a, ...spec } = objectAt(object, 'spec');
  const withoutImage = (containers: readonly JsonObject[]) =>
    containers.map(({ image: _image, ...container }) => container);
  return {
    ...spec,
    containers: withoutImage(objectsAt(spec, 'containers')),
    initContainers: withoutImage(objectsAt(spec, 'initContainers')),
  };
}

function validateClaim(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const modes = at(object, 'spec', 'accessModes');
  if (!Array.isArray(modes) || modes.length === 0) {
    errors.push(fieldError.required('spec.accessModes', 'at least 1 access mode is required'));
  }
  if (at(object, 'spec', 'resources', 'requests', 'storage') === undefined) {
    errors.push(fieldError.required('spec.resources[storage]'));
  }
  return errors;
}

const claimMutable =
  'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';

function validateClaimUpdate(object: KubeObject, old: KubeObject): FieldError[] {
  const fixed = (claim: KubeObject): JsonObject => {
    const { resources: _resources, volumeName, ...spec } = objectAt(claim, 'spec');
    return stringAt(old, 'spec', 'volumeName') === '' ? spec : { ...spec, volumeName };
  };
  const [size, before] = [claimSize(object), claimSize(old)];
  const isBound = stringAt(old, 'status', 'phase') === 'Bound';
  if (!equal(fixed(object), fixed(old)) || (size !== before && !isBound)) {
    return [fieldError.forbidden('spec', claimMutable)];
  }
  if (size < claimCapacity(old, before)) {
    return [
      fieldError.forbidden(
        'spec.resources.requests.storage',
        'field can not be less than status.capacity',
      ),
    ];
  }
  return [];
}

function claimSize(claim: KubeObject): number {
  return quantityValue(String(at(claim, 'spec', 'resources', 'requests', 'storage') ?? '0')) ?? 0;
}

function claimCapacity(claim: KubeObject, otherwise: number): number {
  return quantityValue(stringAt(claim, 'status', 'capacity', 'storage')) ?? otherwise;
}

function setServiceDefaults(object: KubeObject): void {
  const spec = specOf(object);
  fill(spec, {
    type: 'ClusterIP',
    sessionAffinity: 'None',
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    internalTrafficPolicy: 'Cluster',
  });
  for (const port of objectsAt(spec, 'ports')) {
    fill(port, { protocol: 'TCP', targetPort: port['port'] });
  }
  if (typeof spec['clusterIP'] === 'string') spec['clusterIPs'] = [spec['clusterIP']];
}

function validateService(object: KubeObject): FieldError[] {
  const type = stringAt(object, 'spec', 'type');
  if (!['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'].includes(type)) {
    return [
      fieldError.notSupported('spec.type', type, [
        'ClusterIP',
        'ExternalName',
        'LoadBalancer',
        'NodePort',
      ]),
    ];
  }
  const ports = objectsAt(object, 'spec', 'ports');
  if (ports.length === 0 && stringAt(object, 'spec', 'clusterIP') !== 'None') {
    return [fieldError.required('spec.ports')];
  }
  if (ports.length < 2) return [];
  return ports.flatMap((port, position) =>
    stringAt(port, 'name') === '' ? [fieldError.required(`spec.ports[${position}].name`)] : [],
  );
}

function setSecretDefaults(object: KubeObject): void {
  object['type'] ??= 'Opaque';
  const plain = objectAt(object, 'stringData');
  if (object['stringData'] === undefined) return;
  delete object['stringData'];
  const encoded = Object.entries(plain).map(([name, value]) => [
    name,
    Buffer.from(String(value)).toString('base64'),
  ]);
  object['data'] = { ...objectAt(object, 'data'), ...Object.fromEntries(encoded) };
}

/** Fields that both forms of an event write out even when they are empty. */
function setEventDefaults(object: KubeObject): void {
  const isCore = object.apiVersion === 'v1';
  fill(object, { eventTime: null });
  if (isCore) {
    fill(object, {
      firstTimestamp: null,
      lastTimestamp: null,
      source: {},
      reportingComponent: '',
      reportingInstance: '',
    });
  } else {
    fill(object, {
      deprecatedFirstTimestamp: null,
      deprecatedLastTimestamp: null,
      deprecatedSource: {},
    });
  }
}
