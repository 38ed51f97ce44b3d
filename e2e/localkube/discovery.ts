import type { JsonObject } from './objects.ts';
import { apiVersionOf, type Resource, type Resources } from './resources.ts';

/** What `GET /version` says: the Kubernetes whose behaviour was recorded (contract/). */
export const kubernetesVersion: JsonObject = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.2+localkube',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: process.version,
  compiler: 'node',
  platform: `${process.platform}/${process.arch}`,
};

const builtinVerbs = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

const customVerbs = [
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'create',
  'update',
  'watch',
];

function verbsOf({ custom }: Resource): readonly string[] {
  return custom === undefined ? builtinVerbs : customVerbs;
}

/** Verbs and kinds of subresources. */
const subresourceKinds: Readonly<
  Record<
    string,
    {
      readonly verbs: readonly string[];
      readonly group?: string;
      readonly version?: string;
      readonly kind?: string;
    }
  >
> = {
  status: { verbs: ['get', 'patch', 'update'] },
  scale: { verbs: ['get', 'patch', 'update'], group: 'autoscaling', version: 'v1', kind: 'Scale' },
  log: { verbs: ['get'] },
  eviction: { verbs: ['create'], group: 'policy', version: 'v1', kind: 'Eviction' },
};

interface GroupVersions {
  readonly name: string;
  readonly versions: readonly string[];
}

function groupsOf(resources: Resources): GroupVersions[] {
  const groups = new Map<string, Set<string>>();
  for (const { group, version } of resources.all()) {
    if (group === '') continue;
    const versions = groups.get(group) ?? new Set();
    groups.set(group, versions.add(version));
  }
  return [...groups].map(([name, versions]) => ({ name, versions: [...versions] }));
}

/** `GET /api` */
export function coreVersions(): JsonObject {
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
}

/** `GET /apis` */
export function groupList(resources: Resources): JsonObject {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groupsOf(resources).map(groupObject) };
}

/** `GET /apis/GROUP`, or undefined where nothing is served under that name. */
export function groupOf(resources: Resources, name: string): JsonObject | undefined {
  const found = groupsOf(resources).find((group) => group.name === name);
  return found === undefined
    ? undefined
    : { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(found) };
}

function groupObject({ name, versions }: GroupVersions): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: entries, preferredVersion: entries[0] };
}

/** `GET /api/v1` and `GET /apis/GROUP/VERSION` */
export function resourceList(
  resources: Resources,
  group: string,
  version: string,
): JsonObject | undefined {
  const served = resources.all().filter((one) => one.group === group && one.version === version);
  const [first] = served;
  if (first === undefined) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(first),
    resources: served.flatMap((resource) => [
      entry(resource),
      ...resource.subresources.map((name) => subresource(resource, name)),
    ]),
  };
}

function entry(resource: Resource): JsonObject {
  const { plural, singular, isNamespaced, kind, shortNames, categories } = resource;
  return {
    name: plural,
    singularName: singular,
    namespaced: isNamespaced,
    kind,
    verbs: verbsOf(resource),
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
}

function subresource({ plural, isNamespaced, kind }: Resource, name: string): JsonObject {
  const { verbs, ...other } = subresourceKinds[name] ?? { verbs: ['get'] };
  return {
    name: `${plural}/${name}`,
    singularName: '',
    namespaced: isNamespaced,
    kind,
    ...other,
    verbs,
  };
}

/** The aggregated form of `/api` and `/apis` (apidiscovery.k8s.io/v2). */
export function aggregated(resources: Resources, isCore: boolean): JsonObject {
  const groups = isCore ? [{ name: '', versions: ['v1'] }] : groupsOf(resources);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map(({ name, versions }) => ({
      metadata: { name, creationTimestamp: null },
      versions: versions.map((version) => ({
        version,
        freshness: 'Current',
        resources: resources
          .all()
          .filter((one) => one.group === name && one.version === version)
          .map(aggregatedResource),
      })),
    })),
  };
}

function aggregatedResource(resource: Resource): JsonObject {
  const { plural, singular, isNamespaced, shortNames, categories } = resource;
  const { group, version, kind } = resource;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: isNamespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: verbsOf(resource),
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    subresources: resource.subresources.map((name) => {
      const { verbs, ...other } = subresourceKinds[name] ?? { verbs: ['get'] };
      return { subresource: name, responseKind: { group, version, kind, ...other }, verbs };
    }),
  };
}
