import * as models from '@kubernetes/client-node/dist/gen/models/all.js';
import type { Schema } from './schema.ts';

/**
 * Schemas of built-in kinds, derived from the models of @kubernetes/client-node: field names and types are exact, so unknown
 * fields and wrong types are found. Values are not validated beyond that, except where a strategy does (strategies.ts).
 */
interface Attribute {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
  readonly format: string;
}

interface ListType {
  readonly keys: readonly string[];
  /** Key of a strategic merge patch, where it is not the first of keys. */
  readonly patchKey?: string;
}

/** Lists that merge by key (`Model.field`): what server-side apply and strategic merge patches need to know. */
const mapLists: Readonly<Record<string, ListType>> = {
  'V1ObjectMeta.ownerReferences': { keys: ['uid'] },
  'V1PodSpec.containers': { keys: ['name'] },
  'V1PodSpec.initContainers': { keys: ['name'] },
  'V1PodSpec.ephemeralContainers': { keys: ['name'] },
  'V1PodSpec.volumes': { keys: ['name'] },
  'V1PodSpec.imagePullSecrets': { keys: ['name'] },
  'V1PodSpec.hostAliases': { keys: ['ip'] },
  'V1PodSpec.topologySpreadConstraints': {
    keys: ['topologyKey', 'whenUnsatisfiable'],
    patchKey: 'topologyKey',
  },
  'V1Container.env': { keys: ['name'] },
  'V1Container.ports': { keys: ['containerPort', 'protocol'], patchKey: 'containerPort' },
  'V1Container.volumeMounts': { keys: ['mountPath'] },
  'V1Container.volumeDevices': { keys: ['devicePath'] },
  'V1PodStatus.conditions': { keys: ['type'] },
  'V1PodStatus.podIPs': { keys: ['ip'] },
  'V1ServiceSpec.ports': { keys: ['port', 'protocol'], patchKey: 'port' },
  'V1ServiceStatus.conditions': { keys: ['type'] },
  'V1PersistentVolumeClaimStatus.conditions': { keys: ['type'] },
  'V1NodeStatus.conditions': { keys: ['type'] },
  'V1NodeStatus.addresses': { keys: ['type'] },
  'V1NamespaceStatus.conditions': { keys: ['type'] },
  'V1PodDisruptionBudgetStatus.conditions': { keys: ['type'] },
  'V1ServiceAccount.secrets': { keys: ['name'] },
  'V1ServiceAccount.imagePullSecrets': { keys: ['name'] },
  'V1CustomResourceDefinitionStatus.conditions': { keys: ['type'] },
};

const setLists = new Set(['V1ObjectMeta.finalizers', 'V1NodeSpec.podCIDRs']);

/** Structs and maps that server-side apply owns as a whole. */
const atomicModels = new Set([
  'V1LabelSelector',
  'V1ObjectReference',
  'V1LocalObjectReference',
  'V1SecretKeySelector',
  'V1ConfigMapKeySelector',
  'V1ObjectFieldSelector',
  'V1ResourceFieldSelector',
  'V1NodeSelector',
  'V1NodeSelectorTerm',
  'V1TypedLocalObjectReference',
  'V1TypedObjectReference',
]);
const atomicMaps = new Set(['V1ServiceSpec.selector', 'V1PodSpec.nodeSelector']);

/** Maps of quantities: clients may write numbers, the API keeps strings. */
const quantityMaps = new Set([
  'requests',
  'limits',
  'capacity',
  'allocatable',
  'allocatedResources',
]);

const memo = new Map<string, Schema>();

/** The schema of a model of the client library, such as `V1Pod`. */
export function modelSchema(model: string): Schema {
  const known = memo.get(model);
  if (known !== undefined) return known;
  if (model === 'V1JSONSchemaProps') {
    return {
      type: 'object',
      'x-kubernetes-preserve-unknown-fields': true,
      goType: 'v1.JSONSchemaProps',
    };
  }
  const properties: Record<string, Schema> = {};
  const schema: Schema = {
    type: 'object',
    properties,
    model,
    goType: `v1.${goModel(model)}`,
    ...(atomicModels.has(model) ? { 'x-kubernetes-map-type': 'atomic' } : {}),
  };
  memo.set(model, schema);
  for (const attribute of attributesOf(model)) {
    properties[attribute.baseName] = fieldSchema(model, attribute);
  }
  return schema;
}

/** `V1Pod` -> `Pod`, as Go calls it. */
export function goModel(model: string): string {
  return model.replace(/^(V\d+|Core|Events)+/, '');
}

function attributesOf(model: string): readonly Attribute[] {
  const found = (models as unknown as Record<string, unknown>)[model] as
    | { getAttributeTypeMap?: () => Attribute[] }
    | undefined;
  return found?.getAttributeTypeMap?.() ?? [];
}

function fieldSchema(model: string, { baseName, type, format }: Attribute): Schema {
  const field = `${model}.${baseName}`;
  const schema = typeSchema(type, format, baseName);
  if (field.endsWith('.fieldsV1')) {
    return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  }
  if (atomicMaps.has(field)) return { ...schema, 'x-kubernetes-map-type': 'atomic' };
  if (schema.type !== 'array') return schema;
  if (setLists.has(field)) {
    return { ...schema, 'x-kubernetes-list-type': 'set', 'x-kubernetes-patch-strategy': 'merge' };
  }
  const list = mapLists[field];
  if (list === undefined) return { ...schema, 'x-kubernetes-list-type': 'atomic' };
  return {
    ...schema,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': list.keys,
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-patch-merge-key': list.patchKey ?? list.keys[0] ?? '',
  };
}

function typeSchema(type: string, format: string, name: string): Schema {
  const array = /^Array<(.*)>$/.exec(type)?.[1];
  if (array !== undefined) {
    const items = typeSchema(array, format, name);
    return { type: 'array', items, goType: `[]${items.goType ?? ''}` };
  }
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (map !== undefined) {
    const inner = quantityMaps.has(name)
      ? { 'x-kubernetes-int-or-string': true, goType: 'resource.Quantity' }
      : typeSchema(map, format, name);
    return {
      type: 'object',
      additionalProperties: inner,
      goType: `map[string]${inner.goType ?? ''}`,
    };
  }
  switch (type) {
    case 'string':
      return { type: 'string', goType: 'string', ...(format === '' ? {} : { format }) };
    case 'boolean':
      return { type: 'boolean', goType: 'bool' };
    case 'number':
      return numberSchema(format);
    case 'Date':
    case 'V1MicroTime':
      return { type: 'string', format: 'date-time', goType: 'string' };
    case 'IntOrString':
      return { 'x-kubernetes-int-or-string': true, goType: 'intstr.IntOrString' };
    case 'any':
    case 'object':
      return { 'x-kubernetes-preserve-unknown-fields': true };
    default:
      return modelSchema(type);
  }
}

function numberSchema(format: string): Schema {
  if (format === 'double' || format === 'float')
    return { type: 'number', format, goType: 'float64' };
  return { type: 'integer', format: format === '' ? 'int64' : format, goType: format };
}
