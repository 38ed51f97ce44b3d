import {
  at,
  isObject,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
} from './objects.ts';

/** One column of `kubectl get`. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  /** Above 0 only in `-o wide`. */
  readonly priority: number;
  readonly cell: (object: KubeObject, now: Date) => unknown;
}

type Cell = Column['cell'];

const none = '<none>';

function column(name: string, cell: Cell, priority = 0, type = 'string'): Column {
  return { name, type, format: name === 'Name' ? 'name' : '', description: '', priority, cell };
}

const nameColumn = column('Name', ({ metadata }) => metadata.name);
const ageColumn = column('Age', ({ metadata }, now) => age(metadata.creationTimestamp, now));

/** A field as text, `<none>` where it is not set. */
function field(...path: readonly string[]): Cell {
  return (object) => {
    const value = at(object, ...path);
    return value === undefined || value === null || value === '' ? none : String(value);
  };
}

function countOf(...path: readonly string[]): Cell {
  return (object) => Object.keys(objectAt(object, ...path)).length;
}

function listed(items: readonly unknown[]): string {
  return items.length === 0 ? none : items.join(',');
}

const builtin: Readonly<Record<string, readonly Column[]>> = {
  Namespace: [nameColumn, column('Status', field('status', 'phase')), ageColumn],
  Node: [
    nameColumn,
    column('Status', nodeStatus),
    column('Roles', () => none),
    ageColumn,
    column('Version', field('status', 'nodeInfo', 'kubeletVersion')),
  ],
  Pod: [
    nameColumn,
    column('Ready', podReady),
    column('Status', podStatus),
    column('Restarts', podRestarts),
    ageColumn,
    column('IP', field('status', 'podIP'), 1),
    column('Node', field('spec', 'nodeName'), 1),
    column('Nominated Node', () => none, 1),
    column('Readiness Gates', () => none, 1),
  ],
  PersistentVolumeClaim: [
    nameColumn,
    column('Status', (object) =>
      object.metadata.deletionTimestamp === undefined
        ? stringAt(object, 'status', 'phase')
        : 'Terminating',
    ),
    column('Volume', (object) => stringAt(object, 'spec', 'volumeName')),
    column('Capacity', (object) => stringAt(object, 'status', 'capacity', 'storage')),
    column('Access Modes', (object) => accessModes(object)),
    column('StorageClass', (object) => stringAt(object, 'spec', 'storageClassName')),
    column('VolumeAttributesClass', () => '<unset>'),
    ageColumn,
    column('VolumeMode', field('spec', 'volumeMode'), 1),
  ],
  Service: [
    nameColumn,
    column('Type', field('spec', 'type')),
    column('Cluster-IP', field('spec', 'clusterIP')),
    column('External-IP', () => none),
    column('Port(s)', servicePorts),
    ageColumn,
    column(
      'Selector',
      (object) =>
        listed(
          Object.entries(objectAt(object, 'spec', 'selector')).map(
            ([key, value]) => `${key}=${String(value)}`,
          ),
        ),
      1,
    ),
  ],
  Endpoints: [nameColumn, column('Endpoints', endpointList), ageColumn],
  EndpointSlice: [
    nameColumn,
    column('AddressType', field('addressType')),
    column('Ports', (object) => listed(objectsAt(object, 'ports').map((port) => port['port']))),
    column('Endpoints', (object) =>
      listed(objectsAt(object, 'endpoints').flatMap((endpoint) => endpoint['addresses'])),
    ),
    ageColumn,
  ],
  ConfigMap: [nameColumn, column('Data', countOf('data'), 0, 'string'), ageColumn],
  Secret: [
    nameColumn,
    column('Type', field('type')),
    column('Data', countOf('data'), 0, 'string'),
    ageColumn,
  ],
  ServiceAccount: [nameColumn, ageColumn],
  Event: [
    column('Last Seen', (object, now) => age(eventTime(object), now)),
    column('Type', (object) => stringAt(object, 'type')),
    column('Reason', (object) => stringAt(object, 'reason')),
    column('Object', (object) => eventObject(object)),
    column('Message', (object) => (stringAt(object, 'message') || stringAt(object, 'note')).trim()),
    nameColumn,
  ],
  PodDisruptionBudget: [
    nameColumn,
    column('Min Available', (object) => String(at(object, 'spec', 'minAvailable') ?? 'N/A')),
    column('Max Unavailable', (object) => String(at(object, 'spec', 'maxUnavailable') ?? 'N/A')),
    column(
      'Allowed Disruptions',
      (object) => numberAt(object, 'status', 'disruptionsAllowed') ?? 0,
      0,
      'integer',
    ),
    ageColumn,
  ],
  NetworkPolicy: [nameColumn, column('Pod-Selector', (object) => selectorText(object)), ageColumn],
  Lease: [
    nameColumn,
    column('Holder', (object) => stringAt(object, 'spec', 'holderIdentity')),
    ageColumn,
  ],
  CustomResourceDefinition: [
    nameColumn,
    column('Created At', ({ metadata }) => metadata.creationTimestamp, 0, 'date'),
  ],
};

export function columnsOf(kind: string): readonly Column[] {
  return builtin[kind] ?? [nameColumn, ageColumn];
}

function nodeStatus(object: KubeObject): string {
  const ready = objectsAt(object, 'status', 'conditions').find(({ type }) => type === 'Ready');
  const status = ready?.['status'] === 'True' ? 'Ready' : 'NotReady';
  return at(object, 'spec', 'unschedulable') === true ? `${status},SchedulingDisabled` : status;
}

function containerStatuses(object: KubeObject): JsonObject[] {
  return objectsAt(object, 'status', 'containerStatuses');
}

function podReady(object: KubeObject): string {
  const ready = containerStatuses(object).filter((status) => status['ready'] === true).length;
  return `${ready}/${objectsAt(object, 'spec', 'containers').length}`;
}

function podStatus(object: KubeObject): string {
  if (object.metadata.deletionTimestamp !== undefined) return 'Terminating';
  for (const status of containerStatuses(object)) {
    const reason =
      stringAt(status, 'state', 'waiting', 'reason') ||
      stringAt(status, 'state', 'terminated', 'reason');
    if (reason !== '') return reason;
  }
  return stringAt(object, 'status', 'reason') || stringAt(object, 'status', 'phase');
}

function podRestarts(object: KubeObject, now: Date): string {
  const statuses = containerStatuses(object);
  const count = statuses.reduce((sum, status) => sum + (numberAt(status, 'restartCount') ?? 0), 0);
  const last = statuses
    .map((status) => stringAt(status, 'lastState', 'terminated', 'finishedAt'))
    .sort()
    .at(-1);
  if (count === 0 || last === undefined || last === '') return String(count);
  return `${count} (${age(last, now)} ago)`;
}

const modes: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function accessModes(object: KubeObject): string {
  const list = at(object, 'status', 'accessModes');
  return Array.isArray(list)
    ? list.map((mode) => modes[String(mode)] ?? String(mode)).join(',')
    : '';
}

function servicePorts(object: KubeObject): string {
  return listed(
    objectsAt(object, 'spec', 'ports').map(
      ({ port, protocol }) => `${String(port)}/${String(protocol ?? 'TCP')}`,
    ),
  );
}

function endpointList(object: KubeObject): string {
  return listed(
    objectsAt(object, 'subsets').flatMap((subset) =>
      objectsAt(subset, 'addresses').flatMap(({ ip }) =>
        objectsAt(subset, 'ports').map(({ port }) => `${String(ip)}:${String(port)}`),
      ),
    ),
  );
}

function selectorText(object: KubeObject): string {
  const labels = at(object, 'spec', 'podSelector', 'matchLabels');
  if (!isObject(labels) || Object.keys(labels).length === 0) return '<none>';
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${String(value)}`)
    .sort()
    .join(',');
}

function eventTime(object: KubeObject): string {
  return (
    stringAt(object, 'series', 'lastObservedTime') ||
    stringAt(object, 'lastTimestamp') ||
    stringAt(object, 'deprecatedLastTimestamp') ||
    stringAt(object, 'firstTimestamp') ||
    stringAt(object, 'eventTime')
  );
}

function eventObject(object: KubeObject): string {
  const about =
    Object.keys(objectAt(object, 'involvedObject')).length > 0 ? 'involvedObject' : 'regarding';
  return `${stringAt(object, about, 'kind').toLowerCase()}/${stringAt(object, about, 'name')}`;
}

/** Time since then, as duration.HumanDuration of apimachinery writes it. */
export function age(since: string, now: Date): string {
  const start = Date.parse(since);
  if (Number.isNaN(start)) return '<unknown>';
  const seconds = Math.floor((now.getTime() - start) / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  const [minutes, hours, days] = [
    Math.floor(seconds / 60),
    Math.floor(seconds / 3600),
    Math.floor(seconds / 86_400),
  ];
  const pair = (whole: number, unit: string, rest: number, small: string) =>
    rest === 0 ? `${whole}${unit}` : `${whole}${unit}${rest}${small}`;
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return pair(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return days < 2920 ? pair(years, 'y', days % 365, 'd') : `${years}y`;
}

/** The columns of a CRD version: its additionalPrinterColumns, or the age alone. */
export function customColumns(declared: readonly JsonObject[]): readonly Column[] {
  if (declared.length === 0) {
    return [nameColumn, { ...ageColumn, type: 'date', cell: ageColumn.cell }];
  }
  return [
    nameColumn,
    ...declared.map((one) => {
      const path = stringAt(one, 'jsonPath');
      const type = stringAt(one, 'type');
      return {
        name: stringAt(one, 'name'),
        type,
        format: stringAt(one, 'format'),
        description:
          stringAt(one, 'description') ||
          `Custom resource definition column (in JSONPath format): ${path}`,
        priority: numberAt(one, 'priority') ?? 0,
        cell: (object: KubeObject, now: Date) => customCell(evaluatePath(object, path), type, now),
      };
    }),
  ];
}

function customCell(values: readonly unknown[], type: string, now: Date): unknown {
  const [first] = values;
  if (first === undefined || first === null) return null;
  if (type === 'date') return age(String(first), now);
  if (type === 'string')
    return values
      .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
      .join(' ');
  return first;
}

/** The subset of JSONPath that print columns use: names, indexes, `[*]` and `[?(@.name=="value")]`. */
export function evaluatePath(root: unknown, path: string): unknown[] {
  const steps = path.matchAll(
    /\.([\w-]+)|\['([^']+)'\]|\[(\d+|\*)\]|\[\?\(@\.([\w.-]+)\s*==\s*["']([^"']*)["']\)\]/g,
  );
  let values: unknown[] = [root];
  for (const [, name, quoted, index, filter, wanted] of steps) {
    values = values.flatMap((value) => {
      if (name !== undefined || quoted !== undefined) return [at(value, name ?? quoted ?? '')];
      if (!Array.isArray(value)) return [];
      if (filter !== undefined) {
        return value.filter((item) => String(at(item, ...filter.split('.'))) === wanted);
      }
      return index === '*' ? (value as unknown[]) : [value[Number(index)] as unknown];
    });
  }
  return values.filter((value) => value !== undefined);
}
