import { randomWrites } from './random-writes.ts';

/** One request of the contract. */
export interface Step {
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly mediaType?: string;
  readonly accept?: string;
  /** managedFields are compared only where ownership is what the step is about. */
  readonly keepsManagedFields?: true;
  /** Repeat until this code comes: for what controllers do in their own time. */
  readonly until?: number;
  /**
   * Parts of the answer (paths, `*` for any) that are known to differ, each with a reason: they are left out of the
   * transcript. `*` alone leaves only the status code.
   */
  readonly differs?: Readonly<Record<string, string>>;
}

const json = 'application/json';
const merge = 'application/merge-patch+json';
const jsonPatch = 'application/json-patch+json';
const strategic = 'application/strategic-merge-patch+json';
const apply = 'application/apply-patch+yaml';
const table = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

const ns = '/api/v1/namespaces/contract';
const widgets = '/apis/contract.test/v1/namespaces/contract/widgets';
const networkPolicies = '/apis/networking.k8s.io/v1/namespaces/contract/networkpolicies';
const clusters = '/apis/mainstay.dev/v1alpha1/namespaces/contract/storeclusters';

function widget(name: string, spec: unknown, metadata: object = {}): object {
  return { apiVersion: 'contract.test/v1', kind: 'Widget', metadata: { name, ...metadata }, spec };
}

function storeCluster(name: string, spec: unknown): object {
  return { apiVersion: 'mainstay.dev/v1alpha1', kind: 'StoreCluster', metadata: { name }, spec };
}

function core(kind: string, name: string, rest: object = {}, metadata: object = {}): object {
  return { apiVersion: 'v1', kind, metadata: { name, ...metadata }, ...rest };
}

/** Each spec is created as `b` and deleted again: what is refused, and with which words. */
const specs: Readonly<Record<string, unknown>> = {
  'above maximum': { replicas: 9 },
  'below minimum and against a rule': { replicas: 0 },
  'against a rule with fieldPath, reason and messageExpression': { replicas: 2 },
  'string for integer': { replicas: 'x' },
  'all defaulted': {},
  'float for integer': { replicas: 3.5 },
  'enum and minLength': { replicas: 3, mode: 'Bad', name: 'A' },
  maxLength: { replicas: 3, name: 'abcdefgh' },
  minLength: { replicas: 3, name: 'a' },
  pattern: { replicas: 3, name: 'A1' },
  maxItems: { replicas: 3, tags: ['a', 'b', 'c', 'd'] },
  'duplicate in a set': { replicas: 3, tags: ['a', 'a'] },
  'duplicate in a map list': { replicas: 3, ports: [{ name: 'a' }, { name: 'a' }] },
  'required in a list': { replicas: 3, ports: [{}] },
  'rule over two fields': { replicas: 3, min: 5 },
  'int-or-string pattern': { replicas: 3, size: 'abc' },
  'int-or-string type': { replicas: 3, size: true },
  'int-or-string integer': { replicas: 3, size: 5 },
  'null gives way to a default': { replicas: null },
  'null where nullable and where not': { replicas: 3, nul: null, name: null },
  'wrong type in a map': { replicas: 3, labels: { a: 1 } },
  'string for object': { replicas: 3, labels: 'x' },
  'integer for object': 5,
  'wrong type hides rules': { replicas: 2, min: 5, nested: { b: 'x' } },
  'unknown fields are pruned': {
    replicas: 3,
    unknown: 1,
    nested: { c: 1 },
    free: { any: [1, { b: 2 }] },
  },
  'defaults inside': { replicas: 3, ports: [{ name: 'a' }], nested: {} },
};

/** Real servers iterate over a map here: the order of causes is not theirs to keep. */
const mapOrder = { message: 'the order of causes', 'details.causes': 'the order of causes' };

const validation: Step[] = Object.entries(specs).flatMap(([name, spec]): Step[] => [
  {
    name: `create: ${name}`,
    method: 'POST',
    path: widgets,
    body: widget('b', spec),
    ...(name === 'enum and minLength' ? { differs: mapOrder } : {}),
  },
  { name: `delete after: ${name}`, method: 'DELETE', path: `${widgets}/b` },
]);

/** The message shows the patched object with what changes from run to run in it. */
const patchedText = {
  message: 'the patched object',
  'details.causes.*.message': 'the patched object',
};

const ofWidgets: Step[] = [
  {
    name: 'create',
    method: 'POST',
    path: widgets,
    body: widget('a', { replicas: 3, class: 'c', size: '10Gi', ports: [{ name: 'a' }] }),
    keepsManagedFields: true,
  },
  { name: 'get', method: 'GET', path: `${widgets}/a` },
  {
    name: 'update: immutable',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: { class: 'd' } },
    mediaType: merge,
  },
  {
    name: 'update: removed',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: { class: null } },
    mediaType: merge,
  },
  {
    name: 'update: quantity shrinks',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: { size: '5Gi' } },
    mediaType: merge,
  },
  {
    name: 'update: quantity grows',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: { size: '12Gi', replicas: 5 } },
    mediaType: merge,
  },
  {
    name: 'update: nothing changes',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: { zzz: 1 } },
    mediaType: merge,
  },
  {
    name: 'create: strict',
    method: 'POST',
    path: `${widgets}?fieldValidation=Strict`,
    body: widget('q', { replicas: 3, zzz: 1, ports: [{ name: 'a', x: 1 }] }, { foo: 1 }),
  },
  {
    name: 'create: warn',
    method: 'POST',
    path: `${widgets}?fieldValidation=Warn`,
    body: widget('q', { replicas: 3, zzz: 1 }, { foo: 1 }),
  },
  { name: 'create: exists', method: 'POST', path: widgets, body: widget('a', {}) },
  {
    name: 'create: other kind',
    method: 'POST',
    path: widgets,
    body: { ...widget('a', { replicas: 3 }), kind: 'Widgt' },
  },
  {
    name: 'create: other version',
    method: 'POST',
    path: widgets,
    body: { ...widget('a', {}), apiVersion: 'contract.test/v2' },
    differs: { warnings: 'a warning about fields of the unknown version' },
  },
  {
    name: 'create: no version',
    method: 'POST',
    path: widgets,
    body: { kind: 'Widget', metadata: { name: 'a' } },
  },
  { name: 'create: no kind', method: 'POST', path: widgets, body: {} },
  {
    name: 'create: no name',
    method: 'POST',
    path: widgets,
    body: { apiVersion: 'contract.test/v1', kind: 'Widget', metadata: {}, spec: {} },
  },
  { name: 'create: bad name', method: 'POST', path: widgets, body: widget('A_b', {}) },
  {
    name: 'create: bad labels',
    method: 'POST',
    path: widgets,
    body: widget('l', {}, { labels: { 'a/b/c': 'x y' } }),
  },
  {
    name: 'create: labels of the wrong type',
    method: 'POST',
    path: widgets,
    body: widget('l', {}, { labels: { a: 1 } }),
  },
  {
    name: 'create: other namespace',
    method: 'POST',
    path: widgets,
    body: widget('l', {}, { namespace: 'other' }),
  },
  {
    name: 'create: namespace is not there',
    method: 'POST',
    path: widgets.replace('namespaces/contract', 'namespaces/nope'),
    body: widget('l', {}),
  },
  {
    name: 'create: with resourceVersion',
    method: 'POST',
    path: widgets,
    body: widget('l', {}, { resourceVersion: '3' }),
  },
  {
    name: 'create: dry run',
    method: 'POST',
    path: `${widgets}?dryRun=All`,
    body: widget('dry', {}),
  },
  { name: 'get: dry run left nothing', method: 'GET', path: `${widgets}/dry` },
  { name: 'put: not there', method: 'PUT', path: `${widgets}/none`, body: widget('none', {}) },
  {
    name: 'put: without resourceVersion',
    method: 'PUT',
    path: `${widgets}/a`,
    body: widget('a', { class: 'c', size: '12Gi' }),
  },
  {
    name: 'put: old resourceVersion',
    method: 'PUT',
    path: `${widgets}/a`,
    body: widget('a', { class: 'c', size: '12Gi' }, { resourceVersion: '1' }),
  },
  {
    name: 'put: other name',
    method: 'PUT',
    path: `${widgets}/a`,
    body: widget('b', {}, { resourceVersion: '1' }),
  },
  {
    name: 'put: other uid',
    method: 'PUT',
    path: `${widgets}/a`,
    body: widget('a', { class: 'c', size: '12Gi' }, { resourceVersion: '1', uid: 'x' }),
  },
  {
    name: 'patch: old resourceVersion',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { metadata: { resourceVersion: '1' } },
    mediaType: merge,
  },
  {
    name: 'patch: json',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: [
      { op: 'test', path: '/spec/replicas', value: 5 },
      { op: 'add', path: '/spec/ports/-', value: { name: 'b' } },
    ],
    mediaType: jsonPatch,
  },
  {
    name: 'patch: json test fails',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: [{ op: 'test', path: '/spec/replicas', value: 9 }],
    mediaType: jsonPatch,
  },
  {
    name: 'patch: json removes nothing',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: [{ op: 'remove', path: '/spec/nope' }],
    mediaType: jsonPatch,
  },
  {
    name: 'patch: strategic',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: {} },
    mediaType: strategic,
  },
  {
    name: 'patch: plain json',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: {} },
    mediaType: json,
  },
  {
    name: 'patch: strict',
    method: 'PATCH',
    path: `${widgets}/a?fieldValidation=Strict`,
    body: { spec: { zzz: 1 } },
    mediaType: merge,
    differs: patchedText,
  },
  {
    name: 'patch: labels of the wrong type',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { metadata: { labels: { a: 1 } } },
    mediaType: merge,
    differs: patchedText,
  },
  {
    name: 'patch: a list for an object',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: [1],
    mediaType: merge,
  },
  {
    name: 'patch: other kind',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { kind: 'Other' },
    mediaType: merge,
  },
  {
    name: 'patch: other version',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { apiVersion: 'contract.test/v9' },
    mediaType: merge,
    differs: { warnings: 'a warning about fields of the unknown version' },
  },
  {
    name: 'patch: other name',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { metadata: { name: 'b' } },
    mediaType: merge,
  },
  {
    name: 'patch: removes what is required',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { spec: null },
    mediaType: merge,
  },
  { name: 'method: put to a collection', method: 'PUT', path: widgets, body: {} },
  { name: 'method: post to no namespace', method: 'POST', path: '/api/v1/pods', body: {} },
  { name: 'list: bad resourceVersion', method: 'GET', path: `${ns}/pods?resourceVersion=abc` },
  {
    name: 'patch: not there',
    method: 'PATCH',
    path: `${widgets}/none`,
    body: {},
    mediaType: merge,
  },
  {
    name: 'status: patch',
    method: 'PATCH',
    path: `${widgets}/a/status`,
    body: {
      status: {
        ready: '1/3',
        replicas: 1,
        selector: 'a=b',
        conditions: [{ type: 'Ready', status: 'True' }],
      },
      spec: { replicas: 7 },
      metadata: { labels: { x: 'y' } },
    },
    mediaType: merge,
    keepsManagedFields: true,
  },
  {
    name: 'status: invalid',
    method: 'PATCH',
    path: `${widgets}/a/status`,
    body: { status: { replicas: 'x' } },
    mediaType: merge,
  },
  {
    name: 'status: by the main resource',
    method: 'PATCH',
    path: `${widgets}/a`,
    body: { status: { ready: '9/9' } },
    mediaType: merge,
  },
  { name: 'scale: get', method: 'GET', path: `${widgets}/a/scale` },
  {
    name: 'scale: patch',
    method: 'PATCH',
    path: `${widgets}/a/scale`,
    body: { spec: { replicas: 3 } },
    mediaType: merge,
  },
  {
    name: 'scale: put',
    method: 'PUT',
    path: `${widgets}/a/scale`,
    body: {
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: { name: 'a', namespace: 'contract' },
      spec: { replicas: 5 },
    },
  },
  {
    name: 'scale: against a rule',
    method: 'PATCH',
    path: `${widgets}/a/scale`,
    body: { spec: { replicas: 2 } },
    mediaType: merge,
  },
  {
    name: 'scale: negative',
    method: 'PATCH',
    path: `${widgets}/a/scale`,
    body: { spec: { replicas: -1 } },
    mediaType: merge,
  },
  { name: 'get after scaling', method: 'GET', path: `${widgets}/a`, keepsManagedFields: true },
  { name: 'list', method: 'GET', path: widgets },
  { name: 'list: first page', method: 'GET', path: `${widgets}?limit=1` },
  { name: 'list: table', method: 'GET', path: widgets, accept: table },
  { name: 'get: table', method: 'GET', path: `${widgets}/a`, accept: table },
  {
    name: 'list: all namespaces',
    method: 'GET',
    path: '/apis/contract.test/v1/widgets?labelSelector=none',
  },
  { name: 'list: by name', method: 'GET', path: `${widgets}?fieldSelector=metadata.name%3Da` },
  {
    name: 'list: too large a resourceVersion',
    method: 'GET',
    path: `${widgets}?resourceVersion=99999999`,
    differs: { message: 'names the present revision' },
  },
  {
    name: 'list: bad label selector',
    method: 'GET',
    path: `${widgets}?labelSelector=a%20frob%20b`,
  },
  {
    name: 'list: bad field selector',
    method: 'GET',
    path: `${widgets}?fieldSelector=spec.replicas%3D3`,
  },
  { name: 'list: sendInitialEvents', method: 'GET', path: `${widgets}?sendInitialEvents=true` },
  {
    name: 'watch: sendInitialEvents without match',
    method: 'GET',
    path: `${widgets}?watch=1&sendInitialEvents=true`,
  },
  {
    name: 'delete: other uid',
    method: 'DELETE',
    path: `${widgets}/a`,
    body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'x' } },
    differs: { message: 'names the uid' },
  },
  {
    name: 'delete: other resourceVersion',
    method: 'DELETE',
    path: `${widgets}/a`,
    body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { resourceVersion: '1' } },
    differs: { message: 'names the resourceVersion' },
  },
  { name: 'delete: not there', method: 'DELETE', path: `${widgets}/none` },
  { name: 'delete: collection', method: 'DELETE', path: `${widgets}?labelSelector=zz%3D1` },
  {
    name: 'finalizer: add',
    method: 'PATCH',
    path: `${widgets}/q`,
    body: { metadata: { finalizers: ['contract.test/hold'] } },
    mediaType: merge,
  },
  { name: 'finalizer: delete waits', method: 'DELETE', path: `${widgets}/q` },
  { name: 'finalizer: delete again', method: 'DELETE', path: `${widgets}/q` },
  {
    name: 'finalizer: no new ones now',
    method: 'PATCH',
    path: `${widgets}/q`,
    body: { metadata: { finalizers: ['contract.test/hold', 'contract.test/more'] } },
    mediaType: merge,
  },
  {
    name: 'finalizer: removed',
    method: 'PATCH',
    path: `${widgets}/q`,
    body: { metadata: { finalizers: null } },
    mediaType: merge,
  },
  { name: 'finalizer: gone', method: 'GET', path: `${widgets}/q` },
];

function applyStep(
  name: string,
  manager: string,
  spec: unknown,
  more: Partial<Step> = {},
  query = '',
): Step {
  return {
    name: `apply: ${name}`,
    method: 'PATCH',
    path: `${widgets}/s?fieldManager=${manager}${query}`,
    body: widget('s', spec),
    mediaType: apply,
    keepsManagedFields: true,
    ...more,
  };
}

const serverSideApply: Step[] = [
  { ...applyStep('no manager', '', {}), path: `${widgets}/s` },
  applyStep('undeclared field', 'm1', { zzz: 5 }),
  applyStep('creates', 'm1', {
    replicas: 3,
    labels: { x: '1', y: '1' },
    ports: [{ name: 'a', port: 1 }, { name: 'b' }],
    tags: ['a'],
  }),
  applyStep('again', 'm1', {
    replicas: 3,
    labels: { x: '1', y: '1' },
    ports: [{ name: 'a', port: 1 }, { name: 'b' }],
    tags: ['a'],
  }),
  applyStep('second manager, other fields', 'm2', {
    class: 'c',
    ports: [{ name: 'c', port: 3 }],
    tags: ['b'],
  }),
  applyStep('conflicts', 'm2', { replicas: 5, labels: { x: '2' } }),
  applyStep('one conflict', 'm2', { replicas: 5 }),
  applyStep('same values are shared', 'm2', {
    class: 'c',
    replicas: 3,
    ports: [{ name: 'c', port: 3 }],
    tags: ['b'],
  }),
  applyStep(
    'forced',
    'm2',
    { class: 'c', replicas: 5, ports: [{ name: 'c', port: 3 }], tags: ['b'] },
    {},
    '&force=true',
  ),
  applyStep('drops fields', 'm1', { ports: [{ name: 'a', port: 1 }] }),
  applyStep('drops fields of the second', 'm2', { class: 'c', replicas: 5 }),
  {
    name: 'apply: update takes over',
    method: 'PATCH',
    path: `${widgets}/s?fieldManager=m3`,
    body: { spec: { replicas: 7, labels: { z: '1' } } },
    mediaType: merge,
    keepsManagedFields: true,
  },
  applyStep('conflict with an update', 'm2', { class: 'c', replicas: 5 }),
  {
    name: 'apply: status',
    method: 'PATCH',
    path: `${widgets}/s/status?fieldManager=st`,
    body: {
      apiVersion: 'contract.test/v1',
      kind: 'Widget',
      metadata: { name: 's' },
      status: { ready: '1/1', conditions: [{ type: 'Ready', status: 'True' }] },
    },
    mediaType: apply,
    keepsManagedFields: true,
  },
  {
    name: 'apply: force without apply',
    method: 'PATCH',
    path: `${widgets}/s?force=true`,
    body: {},
    mediaType: merge,
  },
  {
    name: 'apply: with managedFields',
    method: 'PATCH',
    path: `${widgets}/s?fieldManager=m1`,
    body: widget('s', {}, { managedFields: [] }),
    mediaType: apply,
  },
];

const container = {
  name: 'c',
  image: 'x:1',
  ports: [{ containerPort: 80 }],
  readinessProbe: { httpGet: { port: 80 } },
};
const notAdmitted = {
  'spec.tolerations': 'no such admission plugin',
  'spec.priority': 'no such admission plugin',
  'spec.preemptionPolicy': 'no such admission plugin',
};

const builtin: Step[] = [
  { name: 'namespace: get', method: 'GET', path: ns },
  {
    name: 'namespace: exists',
    method: 'POST',
    path: '/api/v1/namespaces',
    body: core('Namespace', 'contract'),
  },
  {
    name: 'pod: create',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Pod', 'p1', { spec: { containers: [container] } }, { labels: { a: 'b' } }),
    differs: notAdmitted,
  },
  {
    name: 'pod: no containers',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Pod', 'p2', { spec: { containers: [] } }),
  },
  {
    name: 'pod: strict',
    method: 'POST',
    path: `${ns}/pods?fieldValidation=Strict`,
    body: core('Pod', 'p2', { spec: { containers: [{ name: 'c', image: 'x', foo: 1 }], bar: 2 } }),
    differs: { message: 'the order of fields' },
  },
  {
    name: 'pod: wrong type',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Pod', 'p2', { spec: { containers: 'x' } }),
  },
  {
    name: 'pod: wrong type deeper',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Pod', 'p2', {
      spec: { containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 'y' }] }] },
    }),
  },
  {
    name: 'pod: unknown volume',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Pod', 'p2', {
      spec: {
        containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
      },
    }),
  },
  {
    name: 'pod: immutable',
    method: 'PATCH',
    path: `${ns}/pods/p1`,
    body: { spec: { hostname: 'x' } },
    mediaType: merge,
    differs: {
      message: 'a diff of Go structs',
      'details.causes.*.message': 'a diff of Go structs',
    },
  },
  {
    name: 'pod: strategic merge',
    method: 'PATCH',
    path: `${ns}/pods/p1`,
    body: { metadata: { labels: { c: 'd' } }, spec: { containers: [{ name: 'c', image: 'y:2' }] } },
    mediaType: strategic,
    differs: notAdmitted,
  },
  { name: 'pod: list as table', method: 'GET', path: `${ns}/pods`, accept: table },
  { name: 'pod: by phase', method: 'GET', path: `${ns}/pods?fieldSelector=status.phase%3DRunning` },
  {
    name: 'pod: other kind',
    method: 'POST',
    path: `${ns}/pods`,
    body: core('Service', 'p2'),
    differs: { message: 'Go type names' },
  },
  {
    name: 'pod: eviction',
    method: 'POST',
    path: `${ns}/pods/p1/eviction`,
    body: {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: 'p1', namespace: 'contract' },
    },
  },
  { name: 'pod: gone', method: 'GET', path: `${ns}/pods/p1` },
  {
    name: 'service: create',
    method: 'POST',
    path: `${ns}/services`,
    body: core('Service', 's1', { spec: { selector: { a: 'b' }, ports: [{ port: 80 }] } }),
    differs: { 'spec.clusterIP': 'loopback', 'spec.clusterIPs': 'loopback' },
  },
  {
    name: 'service: headless',
    method: 'POST',
    path: `${ns}/services`,
    body: core('Service', 's2', {
      spec: {
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: { a: 'b' },
        ports: [{ port: 80, name: 'x' }],
      },
    }),
  },
  {
    name: 'service: strategic merge of ports',
    method: 'PATCH',
    path: `${ns}/services/s2`,
    body: { spec: { ports: [{ port: 81, name: 'y' }] } },
    mediaType: strategic,
  },
  {
    name: 'service: name starts with a digit',
    method: 'POST',
    path: `${ns}/services`,
    differs: { 'spec.clusterIP': 'loopback', 'spec.clusterIPs': 'loopback' },
    body: core('Service', '1s', { spec: { ports: [{ port: 80 }] } }),
  },
  { name: 'service: table', method: 'GET', path: `${ns}/services/s2`, accept: table },
  {
    name: 'claim: create',
    method: 'POST',
    path: `${ns}/persistentvolumeclaims`,
    body: core('PersistentVolumeClaim', 'c1', {
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }),
    differs: { 'spec.storageClassName': 'localkube sets its own' },
  },
  {
    name: 'claim: no size',
    method: 'POST',
    path: `${ns}/persistentvolumeclaims`,
    body: core('PersistentVolumeClaim', 'c2', { spec: { accessModes: ['ReadWriteOnce'] } }),
  },
  {
    name: 'claim: shrink before it is bound',
    method: 'PATCH',
    path: `${ns}/persistentvolumeclaims/c1`,
    body: { spec: { resources: { requests: { storage: '512Mi' } } } },
    mediaType: merge,
    differs: {
      message: 'a diff of Go structs',
      'details.causes.*.message': 'a diff of Go structs',
      '*': 'localkube binds at once',
    },
  },
  {
    name: 'configmap: create',
    method: 'POST',
    path: `${ns}/configmaps`,
    body: core('ConfigMap', 'm1', { data: { a: 'b' } }),
  },
  {
    name: 'configmap: put without resourceVersion',
    method: 'PUT',
    path: `${ns}/configmaps/m1`,
    body: core('ConfigMap', 'm1', { data: { a: 'c' } }),
  },
  {
    name: 'configmap: strict merge patch',
    method: 'PATCH',
    path: `${ns}/configmaps/m1?fieldValidation=Strict`,
    body: { foo: 1 },
    mediaType: merge,
    differs: patchedText,
  },
  {
    name: 'configmap: strict strategic patch',
    method: 'PATCH',
    path: `${ns}/configmaps/m1?fieldValidation=Strict`,
    body: { foo: 1 },
    mediaType: strategic,
    differs: patchedText,
  },
  {
    name: 'configmap: patch with the wrong type',
    method: 'PATCH',
    path: `${ns}/configmaps/m1`,
    body: { data: { a: 1 } },
    mediaType: merge,
    differs: patchedText,
  },
  { name: 'configmap: table', method: 'GET', path: `${ns}/configmaps/m1`, accept: table },
  { name: 'configmap: delete', method: 'DELETE', path: `${ns}/configmaps/m1` },
  {
    name: 'secret: stringData',
    method: 'POST',
    path: `${ns}/secrets`,
    body: core('Secret', 'x1', { stringData: { a: 'b' } }),
  },
  { name: 'secret: table', method: 'GET', path: `${ns}/secrets/x1`, accept: table },
  {
    name: 'serviceaccount: create',
    method: 'POST',
    path: `${ns}/serviceaccounts`,
    body: core('ServiceAccount', 'sa1'),
  },
  {
    name: 'budget: create',
    method: 'POST',
    path: '/apis/policy/v1/namespaces/contract/poddisruptionbudgets',
    body: {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'b1' },
      spec: { minAvailable: 2, selector: { matchLabels: { a: 'b' } } },
    },
  },
  {
    name: 'budget: table',
    method: 'GET',
    path: '/apis/policy/v1/namespaces/contract/poddisruptionbudgets/b1',
    accept: table,
  },
  {
    name: 'network policy: create',
    method: 'POST',
    path: networkPolicies,
    body: {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'np1' },
      spec: {
        podSelector: { matchLabels: { a: 'b' } },
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ podSelector: {} }], ports: [{ protocol: 'TCP', port: 2379 }] }],
      },
    },
  },
  {
    name: 'network policy: apply',
    method: 'PATCH',
    path: `${networkPolicies}/np1?fieldManager=tester&force=true`,
    mediaType: apply,
    body: {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'np1' },
      spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] },
    },
  },
  { name: 'network policy: table', method: 'GET', path: `${networkPolicies}/np1`, accept: table },
  {
    name: 'network policy: wrong type',
    method: 'POST',
    path: networkPolicies,
    body: {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'np2' },
      spec: { podSelector: 'all' },
    },
  },
  { name: 'network policy: delete', method: 'DELETE', path: `${networkPolicies}/np1` },
  {
    name: 'lease: create',
    method: 'POST',
    path: '/apis/coordination.k8s.io/v1/namespaces/contract/leases',
    body: {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'l1' },
      spec: {
        holderIdentity: 'a',
        leaseDurationSeconds: 15,
        renewTime: '2026-01-01T00:00:00.000000Z',
      },
    },
  },
  {
    name: 'lease: table',
    method: 'GET',
    path: '/apis/coordination.k8s.io/v1/namespaces/contract/leases/l1',
    accept: table,
  },
  {
    name: 'event: create',
    method: 'POST',
    path: `${ns}/events`,
    body: core('Event', 'e1', {
      involvedObject: { kind: 'Widget', namespace: 'contract', name: 'a' },
      reason: 'Tested',
      message: 'text',
      type: 'Normal',
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      source: { component: 'contract' },
    }),
  },
  {
    name: 'event: in the other group',
    method: 'GET',
    path: '/apis/events.k8s.io/v1/namespaces/contract/events/e1',
  },
  {
    name: 'event: create in the other group',
    method: 'POST',
    path: '/apis/events.k8s.io/v1/namespaces/contract/events',
    body: {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'e2' },
      regarding: { kind: 'Widget', namespace: 'contract', name: 'a' },
      reason: 'Tested',
      action: 'Test',
      note: 'text',
      type: 'Normal',
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'contract',
      reportingInstance: 'c-1',
    },
  },
  { name: 'event: back in core', method: 'GET', path: `${ns}/events/e2` },
  {
    name: 'event: by object',
    method: 'GET',
    path: `${ns}/events?fieldSelector=involvedObject.name%3Da,involvedObject.kind%3DWidget`,
  },
  {
    name: 'crd: get',
    method: 'GET',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.contract.test',
    differs: {
      'metadata.finalizers': 'set a moment later',
      'status.conditions': 'a real server takes a moment',
    },
  },
  {
    name: 'crd: rule does not compile',
    method: 'POST',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    body: crdWithRule('self.nope(1)'),
    differs: {
      message: 'the words of the CEL library',
      'details.causes': 'the words of the CEL library',
    },
  },
  {
    name: 'crd: name does not fit',
    method: 'POST',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    body: { ...crdWithRule('true'), metadata: { name: 'other.contract.test' } },
    differs: { '*': 'more causes' },
  },
  { name: 'discovery: version', method: 'GET', path: '/apis/contract.test/v1' },
  { name: 'discovery: group', method: 'GET', path: '/apis/contract.test' },
  {
    name: 'not found: group',
    method: 'GET',
    path: '/apis/nope.test/v1',
    differs: { '*': 'plain text' },
  },
  {
    name: 'not found: plural',
    method: 'GET',
    path: '/apis/contract.test/v1/nothings',
    differs: { '*': 'plain text' },
  },
  { name: 'not found: path', method: 'GET', path: '/nope', differs: { '*': 'a list of paths' } },
];

function crdWithRule(rule: string): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.contract.test' },
    spec: {
      group: 'contract.test',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', 'x-kubernetes-validations': [{ rule }] } },
            },
          },
        },
      ],
    },
  };
}

const size = { storage: { size: '1Gi' } };

/** Our own CRD (crds/storeclusters.mainstay.dev.yaml). */
const ofStoreClusters: Step[] = [
  {
    name: 'storecluster: create',
    method: 'POST',
    path: clusters,
    body: storeCluster('demo', size),
  },
  { name: 'storecluster: table', method: 'GET', path: clusters, accept: table },
  { name: 'storecluster: no storage', method: 'POST', path: clusters, body: storeCluster('x', {}) },
  {
    name: 'storecluster: no spec',
    method: 'POST',
    path: clusters,
    body: { apiVersion: 'mainstay.dev/v1alpha1', kind: 'StoreCluster', metadata: { name: 'x' } },
  },
  {
    name: 'storecluster: replicas',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { ...size, replicas: 9 }),
  },
  {
    name: 'storecluster: replicas as a word',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { ...size, replicas: 'three' }),
  },
  {
    name: 'storecluster: version',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { ...size, version: 'v1' }),
  },
  {
    name: 'storecluster: version and image',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { ...size, version: '1.0.0', image: 'a:1' }),
  },
  {
    name: 'storecluster: small',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { storage: { size: '1Mi' } }),
  },
  {
    name: 'storecluster: size is no quantity',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { storage: { size: 'big' } }),
  },
  {
    name: 'storecluster: policy',
    method: 'POST',
    path: clusters,
    body: storeCluster('x', { ...size, deletionPolicy: 'Keep' }),
  },
  {
    name: 'storecluster: shrink',
    method: 'PATCH',
    path: `${clusters}/demo`,
    body: { spec: { storage: { size: '512Mi' } } },
    mediaType: merge,
  },
  {
    name: 'storecluster: grow',
    method: 'PATCH',
    path: `${clusters}/demo`,
    body: { spec: { storage: { size: '2Gi' } } },
    mediaType: merge,
  },
  {
    name: 'storecluster: class',
    method: 'PATCH',
    path: `${clusters}/demo`,
    body: { spec: { storage: { storageClassName: 'fast' } } },
    mediaType: merge,
  },
  {
    name: 'storecluster: scale',
    method: 'PATCH',
    path: `${clusters}/demo/scale`,
    body: { spec: { replicas: 5 } },
    mediaType: merge,
  },
  {
    name: 'storecluster: scale too far',
    method: 'PATCH',
    path: `${clusters}/demo/scale`,
    body: { spec: { replicas: 11 } },
    mediaType: merge,
  },
  {
    name: 'storecluster: delete',
    method: 'DELETE',
    path: `${clusters}/demo`,
    body: { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' },
  },
];

const maps = `${ns}/configmaps`;

function owned(name: string, by: string, more: object = {}): Step {
  const reference = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: by,
    uid: `$uid:${maps}/${by}`,
    ...more,
  };
  return {
    name: `garbage: ${name} of ${by}`,
    method: 'POST',
    path: maps,
    body: core('ConfigMap', name, {}, { ownerReferences: [reference] }),
  };
}

const lone = (name: string): Step => ({
  name: `garbage: ${name}`,
  method: 'POST',
  path: maps,
  body: core('ConfigMap', name),
});

function deleted(name: string, propagationPolicy: string): Step {
  const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy };
  return {
    name: `garbage: delete ${name}, ${propagationPolicy}`,
    method: 'DELETE',
    path: `${maps}/${name}`,
    body,
  };
}

const gone = (name: string): Step => ({
  name: `garbage: ${name} is gone`,
  method: 'GET',
  path: `${maps}/${name}`,
  until: 404,
});

/** What the controller manager does: garbage collection, namespaces. */
const controllers: Step[] = [
  lone('g1'),
  owned('g1-child', 'g1'),
  owned('g1-grandchild', 'g1-child'),
  deleted('g1', 'Background'),
  gone('g1-child'),
  gone('g1-grandchild'),
  lone('g2'),
  owned('g2-child', 'g2', { blockOwnerDeletion: true }),
  {
    name: 'garbage: g2-child is held',
    method: 'PATCH',
    path: `${maps}/g2-child`,
    body: { metadata: { finalizers: ['contract.test/hold'] } },
    mediaType: merge,
  },
  deleted('g2', 'Foreground'),
  { name: 'garbage: g2 waits', method: 'GET', path: `${maps}/g2` },
  {
    name: 'garbage: g2-child is let go',
    method: 'PATCH',
    path: `${maps}/g2-child`,
    body: { metadata: { finalizers: null } },
    mediaType: merge,
    differs: { '*': 'it may be deleted by then, or not yet' },
  },
  gone('g2'),
  gone('g2-child'),
  lone('g3'),
  owned('g3-child', 'g3'),
  deleted('g3', 'Orphan'),
  gone('g3'),
  { name: 'garbage: g3-child has no owner now', method: 'GET', path: `${maps}/g3-child` },
  {
    name: 'garbage: owner that never was',
    method: 'POST',
    path: maps,
    body: core(
      'ConfigMap',
      'g4',
      {},
      {
        ownerReferences: [
          {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            name: 'x',
            uid: '00000000-0000-0000-0000-000000000000',
          },
        ],
      },
    ),
  },
  gone('g4'),
  {
    name: 'namespace: another',
    method: 'POST',
    path: '/api/v1/namespaces',
    body: core('Namespace', 'contract-2'),
  },
  {
    name: 'namespace: something in it',
    method: 'POST',
    path: '/api/v1/namespaces/contract-2/configmaps',
    body: core('ConfigMap', 'a', {}, { finalizers: ['contract.test/hold'] }),
  },
  { name: 'namespace: delete', method: 'DELETE', path: '/api/v1/namespaces/contract-2' },
  {
    name: 'namespace: takes nothing new',
    method: 'POST',
    path: '/api/v1/namespaces/contract-2/configmaps',
    body: core('ConfigMap', 'b'),
  },
  {
    name: 'namespace: is let go',
    method: 'PATCH',
    path: '/api/v1/namespaces/contract-2/configmaps/a',
    body: { metadata: { finalizers: null } },
    mediaType: merge,
    differs: { '*': 'it may be deleted by then, or not yet' },
  },
  { name: 'namespace: is gone', method: 'GET', path: '/api/v1/namespaces/contract-2', until: 404 },
  {
    name: 'budget: status',
    method: 'GET',
    path: '/apis/policy/v1/namespaces/contract/poddisruptionbudgets/b1',
    differs: {
      'status.conditions': 'localkube keeps counts only',
      'status.observedGeneration': 'set by the controller in its own time',
    },
  },
];

/** Watches that end by themselves after a second. From "0": without it a real server first waits for its cache. */
const watches: Step[] = [
  {
    name: 'watch: from the beginning',
    method: 'GET',
    path: `${widgets}?watch=1&resourceVersion=0&timeoutSeconds=1`,
  },
  {
    name: 'watch: by name, as table',
    method: 'GET',
    path: `${widgets}?watch=1&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Da`,
    accept: table,
  },
  {
    name: 'watch: present first',
    method: 'GET',
    path: `${widgets}?watch=1&resourceVersion=0&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1&fieldSelector=metadata.name%3Da`,
  },
  {
    name: 'watch: too old',
    method: 'GET',
    path: `${widgets}?watch=1&resourceVersion=1&timeoutSeconds=1`,
    differs: { '*': 'localkube remembers longer; see the test of 410' },
  },
  {
    name: 'watch: built-in kind',
    method: 'GET',
    path: `${ns}/secrets?watch=1&resourceVersion=0&timeoutSeconds=1&fieldSelector=metadata.name%3Dx1`,
  },
];

/** The whole contract, in order: later steps build on earlier ones. */
export const script: readonly Step[] = [
  ...ofWidgets,
  ...validation,
  ...serverSideApply,
  ...builtin,
  ...ofStoreClusters,
  ...watches,
  ...controllers,
  ...randomWrites(1, 60),
];
