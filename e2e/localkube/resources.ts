import { type Column, columnsOf } from './columns.ts';
import type { GroupResource } from './errors.ts';
import type { JsonObject, KubeObject } from './objects.ts';
import { modelSchema } from './schema/builtin.ts';
import type { Schema } from './schema/schema.ts';
import { type Strategy, strategyOf } from './strategies.ts';

/** One served resource: a row of the table below, or a version of a CustomResourceDefinition. */
export interface Resource extends GroupResource {
  readonly version: string;
  readonly singular: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly isNamespaced: boolean;
  readonly subresources: readonly string[];
  readonly schema: Schema;
  readonly columns: readonly Column[];
  readonly strategy: Strategy;
  /** Fields that a fieldSelector may name beside metadata.name and metadata.namespace. */
  readonly selectableFields: readonly string[];
  /** Where its objects are kept: `group/plural`. */
  readonly storage: string;
  /** Set for custom resources. */
  readonly custom: CustomResource | undefined;
  /** Between the form that is kept and the form that this version shows. */
  readonly toStorage: (object: KubeObject) => KubeObject;
  readonly fromStorage: (object: KubeObject) => KubeObject;
}

export interface CustomResource {
  readonly scale: ScalePaths | undefined;
}

export interface ScalePaths {
  readonly spec: readonly string[];
  readonly status: readonly string[];
  readonly selector: readonly string[] | undefined;
}

interface Row {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly model: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly clusterWide?: true;
  readonly subresources?: readonly string[];
  readonly selectableFields?: readonly string[];
  readonly storage?: string;
  readonly toStorage?: (object: KubeObject) => KubeObject;
  readonly fromStorage?: (object: KubeObject) => KubeObject;
}

const eventFields = [
  ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
    (field) => `involvedObject.${field}`,
  ),
  'reason',
  'reportingComponent',
  'source',
  'type',
];

/** The built-in kinds: everything else of Kubernetes is answered 501. */
const table: readonly Row[] = [
  {
    apiVersion: 'v1',
    kind: 'Namespace',
    plural: 'namespaces',
    model: 'V1Namespace',
    shortNames: ['ns'],
    clusterWide: true,
    subresources: ['status', 'finalize'],
    selectableFields: ['status.phase'],
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    plural: 'nodes',
    model: 'V1Node',
    shortNames: ['no'],
    clusterWide: true,
    subresources: ['status'],
    selectableFields: ['spec.unschedulable'],
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    plural: 'pods',
    model: 'V1Pod',
    shortNames: ['po'],
    categories: ['all'],
    subresources: ['status', 'log', 'eviction'],
    selectableFields: [
      'spec.nodeName',
      'spec.restartPolicy',
      'spec.schedulerName',
      'spec.serviceAccountName',
      'spec.hostNetwork',
      'status.phase',
      'status.podIP',
      'status.nominatedNodeName',
    ],
  },
  {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    model: 'V1PersistentVolumeClaim',
    shortNames: ['pvc'],
    subresources: ['status'],
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    plural: 'services',
    model: 'V1Service',
    shortNames: ['svc'],
    categories: ['all'],
    subresources: ['status'],
    selectableFields: ['spec.clusterIP', 'spec.type'],
  },
  {
    apiVersion: 'v1',
    kind: 'Endpoints',
    plural: 'endpoints',
    model: 'V1Endpoints',
    shortNames: ['ep'],
  },
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    plural: 'configmaps',
    model: 'V1ConfigMap',
    shortNames: ['cm'],
  },
  {
    apiVersion: 'v1',
    kind: 'Secret',
    plural: 'secrets',
    model: 'V1Secret',
    selectableFields: ['type'],
  },
  {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    model: 'V1ServiceAccount',
    shortNames: ['sa'],
  },
  {
    apiVersion: 'v1',
    kind: 'Event',
    plural: 'events',
    model: 'CoreV1Event',
    shortNames: ['ev'],
    selectableFields: eventFields,
  },
  {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    plural: 'events',
    model: 'EventsV1Event',
    shortNames: ['ev'],
    storage: '/events',
    selectableFields: [],
    toStorage: eventToCore,
    fromStorage: eventFromCore,
  },
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    model: 'V1PodDisruptionBudget',
    shortNames: ['pdb'],
    subresources: ['status'],
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    plural: 'networkpolicies',
    model: 'V1NetworkPolicy',
    shortNames: ['netpol'],
  },
  { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', model: 'V1Lease' },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    plural: 'endpointslices',
    model: 'V1EndpointSlice',
  },
  {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    model: 'V1CustomResourceDefinition',
    shortNames: ['crd', 'crds'],
    categories: ['api-extensions'],
    clusterWide: true,
    subresources: ['status'],
  },
];

/** API groups that a real API server serves and localkube does not: 501 rather than 404. */
export const unservedGroups: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'apiregistration.k8s.io',
  'apps',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'metrics.k8s.io',
  'node.k8s.io',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
]);

function splitApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  if (slash < 0) return { group: '', version: apiVersion };
  return { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

export function apiVersionOf({ group, version }: Pick<Resource, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`;
}

const unchanged = (object: KubeObject): KubeObject => object;

function fromRow(row: Row): Resource {
  const { group, version } = splitApiVersion(row.apiVersion);
  return {
    group,
    version,
    kind: row.kind,
    plural: row.plural,
    singular: row.kind.toLowerCase(),
    listKind: `${row.kind}List`,
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    isNamespaced: row.clusterWide !== true,
    subresources: row.subresources ?? [],
    schema: modelSchema(row.model),
    columns: columnsOf(row.kind),
    strategy: strategyOf(row.kind),
    selectableFields: row.selectableFields ?? [],
    storage: row.storage ?? `${group}/${row.plural}`,
    custom: undefined,
    toStorage: row.toStorage ?? unchanged,
    fromStorage: row.fromStorage ?? unchanged,
  };
}

/** Every resource that is served now: the built-in ones, and those of established CRDs. */
export class Resources {
  readonly #builtin = table.map(fromRow);
  #custom: readonly Resource[] = [];

  all(): readonly Resource[] {
    return [...this.#builtin, ...this.#custom];
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.all().find(
      (resource) =>
        resource.group === group && resource.version === version && resource.plural === plural,
    );
  }

  /** The resource of a built-in kind, which is always there. */
  builtin(plural: string, group = ''): Resource {
    const found = this.#builtin.find((one) => one.plural === plural && one.group === group);
    if (found === undefined) throw new Error(`no built-in resource ${group}/${plural}`);
    return found;
  }

  /** The resource that an ownerReference points to. */
  findKind(apiVersion: string, kind: string): Resource | undefined {
    const { group } = splitApiVersion(apiVersion);
    return this.all().find((resource) => resource.group === group && resource.kind === kind);
  }

  byStorage(storage: string): Resource | undefined {
    return this.all().find((resource) => resource.storage === storage);
  }

  replaceCustom(resources: readonly Resource[]): void {
    this.#custom = resources;
  }
}

/** Pairs of (core/v1, events.k8s.io/v1) field names of one and the same event. */
const eventNames: readonly (readonly [string, string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];

function renameEvent(object: KubeObject, apiVersion: string, from: 0 | 1): KubeObject {
  const renamed: JsonObject = { ...object, apiVersion };
  for (const pair of eventNames) {
    const [name, other] = from === 0 ? pair : [pair[1], pair[0]];
    if (object[name] === undefined) continue;
    delete renamed[name];
    if (object[name] !== '') renamed[other] = object[name];
  }
  return renamed as KubeObject;
}

function eventToCore(object: KubeObject): KubeObject {
  return renameEvent(object, 'v1', 1);
}

function eventFromCore(object: KubeObject): KubeObject {
  const { reportingInstance, ...event } = renameEvent(object, 'events.k8s.io/v1', 0);
  return (reportingInstance === '' ? event : { ...event, reportingInstance }) as KubeObject;
}
