/** For one field of the spec: values that are taken, and values that are refused with a sentence. */
export interface FieldCase {
  readonly valid: unknown;
  /** The last values that are still taken. */
  readonly edge: readonly unknown[];
  readonly invalid: readonly (readonly [value: unknown, sentence: RegExp])[];
  /** What else the spec needs with the field. */
  readonly beside?: Readonly<Record<string, unknown>>;
}

export const x = (length: number) => 'x'.repeat(length);
const many = <T>(count: number, item: (position: number) => T) =>
  Array.from({ length: count }, (_, position) => item(position));
const labelsOf = (count: number) =>
  Object.fromEntries(many(count, (position) => [`k${position}`, 'v']));

export const tooLong = /may not be (longer|more) than|Too long|must have at most/i;
const tooMany = /must have at most|Too many/i;
export const empty = /at least 1 chars|should be at least/i;
export const wrongChoice = /supported values|Unsupported value/i;
const noBoolean = /must be of type boolean/;
export const noText = /must be of type string/;
export const noObject = /must be of type object/;
export const missing = /Required value/i;
export const pattern = /should match/;
export const bounds = /should be (greater|less) than or equal to/;

const spread: FieldCase = {
  valid: 'Required',
  edge: ['Preferred', 'None'],
  invalid: [['Sometimes', wrongChoice]],
};
const surname: FieldCase = {
  valid: 'mine',
  edge: ['a', x(253)],
  invalid: [
    ['', empty],
    [x(254), tooLong],
    ['Mine!', pattern],
  ],
};
export const anyName: FieldCase = {
  valid: 'mine',
  edge: ['m', x(253)],
  invalid: [
    ['', empty],
    [x(254), tooLong],
  ],
};
const selector: FieldCase = {
  valid: { disk: 'fast' },
  edge: [{}, labelsOf(16), { a: x(63) }],
  invalid: [
    [labelsOf(17), tooMany],
    [{ a: x(64) }, tooLong],
  ],
};
const observed = { observers: { replicas: 1 } };
const entryName: FieldCase = {
  valid: 'data.key',
  edge: ['k', '_', x(253)],
  invalid: [
    ['', empty],
    [x(254), tooLong],
    ['a,b', pattern],
    ['$(HOME)', pattern],
    ['..data', pattern],
    ['a/b', pattern],
  ],
  beside: { encryption: { secretName: 's' } },
};
export const flag: FieldCase = { valid: true, edge: [false], invalid: [['yes', noBoolean]] };
const word: FieldCase = { valid: '2026-01-01', edge: ['', x(64)], invalid: [[x(65), tooLong]] };
const limit: FieldCase = {
  valid: 100,
  edge: [1, 1_000_000],
  invalid: [
    [0, bounds],
    [-1, bounds],
    [1_000_001, bounds],
  ],
};
const storeName: FieldCase = {
  valid: 'orders',
  edge: ['a', x(40)],
  invalid: [
    ['', empty],
    [x(41), tooLong],
    ['Orders', pattern],
  ],
};
const keyText: FieldCase = {
  valid: '/orders/1',
  edge: ['k', x(1024)],
  invalid: [
    ['', empty],
    [x(1025), tooLong],
  ],
};

const root = { rootPassword: { name: 'root' } };

/** By the path; `[]` is an item of a list. */
const fieldCases: Readonly<Record<string, FieldCase>> = {
  replicas: {
    valid: 3,
    edge: [1, 7],
    invalid: [
      [0, /replicas must be from 1 to 7/],
      [8, /replicas must be from 1 to 7/],
      ['3', /must be of type integer/],
    ],
  },
  version: {
    valid: '0.1.0',
    edge: ['0.0.0', '10.20.30'],
    invalid: [
      ['latest', pattern],
      ['v1.2.3', pattern],
      ['1.2', pattern],
    ],
  },
  image: {
    valid: 'registry.example/mainstay:0.1.0',
    edge: ['m', x(512)],
    invalid: [
      ['', empty],
      [x(513), tooLong],
    ],
  },
  imagePullPolicy: {
    valid: 'IfNotPresent',
    edge: ['Always', 'Never'],
    invalid: [['Sometimes', wrongChoice]],
  },
  imagePullSecrets: {
    valid: [{ name: 'registry' }],
    edge: [[], many(16, (position) => ({ name: `s${position}` }))],
    invalid: [
      [many(17, (position) => ({ name: `s${position}` })), tooMany],
      [[{ name: 'a' }, { name: 'a' }], /Duplicate value/],
      [[{}], missing],
    ],
  },
  'imagePullSecrets[].name': surname,
  storage: { valid: { size: '1Gi' }, edge: [], invalid: [[{}, missing]] },
  'storage.size': {
    valid: '10Gi',
    edge: ['64Mi', '1.5Gi', '100000M'],
    invalid: [
      ['63Mi', /too small for the log of a store: ask for at least 64Mi/],
      ['much', pattern],
      ['-1Gi', pattern],
      [1, noText],
    ],
  },
  'storage.storageClassName': anyName,
  options: { valid: { logLevel: 'Warn' }, edge: [{}], invalid: [['--log-level=warn', noObject]] },
  'options.quota': {
    valid: '2Gi',
    edge: ['16Mi', '8Ti'],
    invalid: [
      ['15Mi', /ask for at least 16Mi/],
      ['all', pattern],
    ],
  },
  'options.autoCompaction': {
    valid: { mode: 'Periodic', retention: '12h' },
    edge: [{ mode: 'Off' }, { mode: 'Revision', retention: '1' }],
    invalid: [
      [{ mode: 'Periodic' }, /needs a retention/],
      [{ mode: 'Off', retention: '1h' }, /needs a retention .* none for Off/],
      [{ mode: 'Revision', retention: '1h' }, /a plain number for Revision/],
      [{ mode: 'Periodic', retention: '10' }, /a time for Periodic/],
      [{ retention: '1h' }, missing],
    ],
  },
  'options.autoCompaction.mode': {
    valid: 'Periodic',
    edge: [],
    invalid: [['periodic', wrongChoice]],
    beside: { options: { autoCompaction: { retention: '1h' } } },
  },
  'options.autoCompaction.retention': {
    valid: '30m',
    edge: ['1s', '999h'],
    invalid: [
      ['0h', pattern],
      ['1d', pattern],
      [x(17), tooLong],
    ],
    beside: { options: { autoCompaction: { mode: 'Periodic' } } },
  },
  'options.snapshotCount': {
    valid: 10_000,
    edge: [100, 10_000_000],
    invalid: [
      [99, bounds],
      [10_000_001, bounds],
    ],
  },
  'options.heartbeatIntervalMs': {
    valid: 100,
    edge: [10, 200],
    invalid: [
      [9, bounds],
      [5_001, bounds],
      [201, /electionTimeoutMs .* at least five times/],
    ],
  },
  'options.electionTimeoutMs': {
    valid: 1_000,
    edge: [500, 50_000],
    invalid: [
      [49, bounds],
      [50_001, bounds],
      [499, /electionTimeoutMs .* at least five times/],
    ],
  },
  'options.maxRequestSize': {
    valid: '4Mi',
    edge: ['1Ki', '64Mi'],
    invalid: [
      ['1023', /from 1Ki to 64Mi/],
      ['65Mi', /from 1Ki to 64Mi/],
      ['big', pattern],
    ],
  },
  'options.maxTxnOps': {
    valid: 512,
    edge: [1, 100_000],
    invalid: [
      [0, bounds],
      [100_001, bounds],
    ],
  },
  'options.maxConcurrentStreams': {
    valid: 1_000,
    edge: [1, 1_000_000],
    invalid: [
      [0, bounds],
      [1_000_001, bounds],
    ],
  },
  'options.logLevel': {
    valid: 'Warn',
    edge: ['Debug', 'Info', 'Error'],
    invalid: [['warn', wrongChoice]],
  },
  resources: {
    valid: { limits: { memory: '1Gi' }, requests: { cpu: 1 } },
    edge: [{}],
    invalid: [['much', noObject]],
  },
  'resources.requests': {
    valid: { cpu: '500m' },
    edge: [{}, labelsOf(16)],
    invalid: [[labelsOf(17), tooMany]],
  },
  'resources.limits': {
    valid: { memory: '1Gi' },
    edge: [{}, labelsOf(16)],
    invalid: [[labelsOf(17), tooMany]],
  },
  placement: { valid: { nodes: 'None' }, edge: [{}], invalid: [['anywhere', noObject]] },
  'placement.nodes': spread,
  'placement.zones': spread,
  'placement.nodeSelector': selector,
  'placement.tolerations': {
    valid: [{ key: 'dedicated', operator: 'Equal', value: 'store', effect: 'NoSchedule' }],
    edge: [[], [{ operator: 'Exists' }], many(32, () => ({ operator: 'Exists' }))],
    invalid: [
      [many(33, () => ({ operator: 'Exists' })), tooMany],
      [[{ value: 'store' }], /without a key needs operator Exists/],
      [[{ key: 'a', operator: 'Exists', value: 'b' }], /operator Exists has no value/],
    ],
  },
  'placement.tolerations[].key': {
    valid: 'dedicated',
    edge: [x(316)],
    invalid: [[x(317), tooLong]],
  },
  'placement.tolerations[].operator': {
    valid: 'Exists',
    edge: ['Equal'],
    invalid: [['Like', wrongChoice]],
    beside: { placement: { tolerations: [{ key: 'a' }] } },
  },
  'placement.tolerations[].value': {
    valid: 'store',
    edge: ['', x(63)],
    invalid: [[x(64), tooLong]],
    beside: { placement: { tolerations: [{ key: 'a' }] } },
  },
  'placement.tolerations[].effect': {
    valid: 'NoExecute',
    edge: ['NoSchedule', 'PreferNoSchedule'],
    invalid: [['Never', wrongChoice]],
    beside: { placement: { tolerations: [{ key: 'a' }] } },
  },
  'placement.tolerations[].tolerationSeconds': {
    valid: 300,
    edge: [0],
    invalid: [[-1, bounds]],
    beside: { placement: { tolerations: [{ key: 'a', effect: 'NoExecute' }] } },
  },
  'placement.priorityClassName': anyName,
  'placement.affinity': {
    valid: { nodeAffinity: {} },
    edge: [{}],
    invalid: [['near', noObject]],
  },
  podTemplate: { valid: { labels: { team: 'a' } }, edge: [{}], invalid: [['mine', noObject]] },
  'podTemplate.labels': {
    valid: { team: 'a' },
    edge: [{}, labelsOf(16), { a: x(63) }],
    invalid: [
      [{ 'mainstay.dev/role': 'voter' }, /set by the operator: use a prefix of your own/],
      [{ 'app.kubernetes.io/name': 'x' }, /set by the operator: use a prefix of your own/],
      [labelsOf(17), tooMany],
      [{ a: x(64) }, tooLong],
    ],
  },
  'podTemplate.annotations': {
    valid: { team: 'a' },
    edge: [{}, labelsOf(32), { a: x(4096) }],
    invalid: [
      [{ 'mainstay.dev/template': 'x' }, /set by the operator: use a prefix of your own/],
      [labelsOf(33), tooMany],
      [{ a: x(4097) }, tooLong],
    ],
  },
  'podTemplate.spec': {
    valid: { dnsConfig: { options: [{ name: 'ndots', value: '2' }] }, schedulerName: 'mine' },
    edge: [{}],
    invalid: [
      [{ hostNetwork: true }, /podTemplate.spec.hostNetwork is decided by the operator/],
      [{ containers: [{ name: 'x' }] }, /podTemplate.spec.containers is decided by the operator/],
      [{ nodeSelector: { a: 'b' } }, /use placement.nodeSelector/],
    ],
  },
  tls: {
    valid: { client: {}, peer: {} },
    edge: [{ client: {} }, { peer: {} }],
    invalid: [
      [{}, /tls needs client, peer or both/],
      ['on', noObject],
    ],
  },
  'tls.client': {
    valid: { verifyClients: true },
    edge: [{}, { secretName: 's', operatorSecretName: 'o', verifyClients: true }],
    invalid: [
      [{ secretName: 's', verifyClients: true }, /needs operatorSecretName/],
      [{ secretName: 's', names: ['a'] }, /put the names into that certificate/],
      [{ operatorSecretName: 'o' }, /operatorSecretName goes with secretName/],
    ],
  },
  'tls.client.secretName': surname,
  'tls.client.operatorSecretName': { ...surname, beside: { tls: { client: { secretName: 's' } } } },
  'tls.client.verifyClients': flag,
  'tls.client.names': {
    valid: ['store.example.com', '*.example.com', '10.0.0.1', 'fd00::1'],
    edge: [[], many(32, (position) => `n${position}`)],
    invalid: [
      [many(33, (position) => `n${position}`), tooMany],
      [['a', 'a'], /Duplicate value/],
      [['http://a'], pattern],
      [[''], empty],
      [[x(254)], tooLong],
    ],
  },
  'tls.peer': { valid: { secretName: 's' }, edge: [{}], invalid: [['on', noObject]] },
  'tls.peer.secretName': surname,
  'tls.certificateDays': {
    valid: 90,
    edge: [1, 825],
    invalid: [
      [0, bounds],
      [826, bounds],
    ],
    beside: { tls: { peer: {} } },
  },
  'tls.rotateCA': { ...word, beside: { tls: { peer: {} } } },
  auth: {
    valid: root,
    edge: [{ ...root, users: [], roles: [] }],
    invalid: [[{}, missing]],
  },
  'auth.rootPassword': {
    valid: { name: 'root', key: 'pw' },
    edge: [{ name: 'r' }],
    invalid: [
      [{}, missing],
      ['secret', noObject],
    ],
  },
  'auth.rootPassword.name': surname,
  'auth.rootPassword.key': { ...anyName, beside: { auth: { rootPassword: { name: 'r' } } } },
  'auth.roles': {
    valid: [{ name: 'reader', permissions: [{ access: 'Read', prefix: '/' }] }],
    edge: [[], many(64, (position) => ({ name: `r${position}` }))],
    invalid: [
      [many(65, (position) => ({ name: `r${position}` })), tooMany],
      [[{ name: 'a' }, { name: 'a' }], /Duplicate value/],
      [[{ name: 'root' }], /the role root exists by itself/],
      [[{}], missing],
    ],
    beside: { auth: root },
  },
  'auth.roles[].name': { ...storeName, beside: { auth: root } },
  'auth.roles[].permissions': {
    valid: [{ access: 'ReadWrite', key: 'a', rangeEnd: 'b' }],
    edge: [[], [{ access: 'Read', prefix: '' }], many(64, () => ({ access: 'Read', key: 'k' }))],
    invalid: [
      [[{ access: 'Read' }], /give exactly one of them/],
      [[{ access: 'Read', key: 'a', prefix: 'b' }], /give exactly one of them/],
      [[{ access: 'Read', prefix: 'a', rangeEnd: 'b' }], /give key with it/],
      [[{ key: 'a' }], missing],
      [many(65, () => ({ access: 'Read', key: 'k' })), tooMany],
    ],
    beside: { auth: { ...root, roles: [{ name: 'r' }] } },
  },
  'auth.roles[].permissions[].access': {
    valid: 'Write',
    edge: ['Read', 'ReadWrite'],
    invalid: [['write', wrongChoice]],
    beside: { auth: { ...root, roles: [{ name: 'r', permissions: [{ key: 'k' }] }] } },
  },
  'auth.roles[].permissions[].key': {
    ...keyText,
    beside: { auth: { ...root, roles: [{ name: 'r', permissions: [{ access: 'Read' }] }] } },
  },
  'auth.roles[].permissions[].rangeEnd': {
    ...keyText,
    beside: {
      auth: { ...root, roles: [{ name: 'r', permissions: [{ access: 'Read', key: 'k' }] }] },
    },
  },
  'auth.roles[].permissions[].prefix': {
    valid: '/orders/',
    edge: ['', x(1024)],
    invalid: [[x(1025), tooLong]],
    beside: { auth: { ...root, roles: [{ name: 'r', permissions: [{ access: 'Read' }] }] } },
  },
  'auth.users': {
    valid: [{ name: 'orders', roles: ['reader'] }],
    edge: [[], many(64, (position) => ({ name: `u${position}` }))],
    invalid: [
      [many(65, (position) => ({ name: `u${position}` })), tooMany],
      [[{ name: 'a' }, { name: 'a' }], /Duplicate value/],
      [[{ name: 'root' }], /kept by the operator: use auth.rootPassword/],
      [[{ name: 'mainstay-operator' }], /kept by the operator/],
    ],
    beside: { auth: root },
  },
  'auth.users[].name': { ...storeName, beside: { auth: root } },
  'auth.users[].password': {
    valid: { name: 's', key: 'k' },
    edge: [{ name: 's' }],
    invalid: [[{ key: 'k' }, missing]],
    beside: { auth: { ...root, users: [{ name: 'u' }] } },
  },
  'auth.users[].password.name': {
    ...surname,
    beside: { auth: { ...root, users: [{ name: 'u' }] } },
  },
  'auth.users[].password.key': {
    ...anyName,
    beside: { auth: { ...root, users: [{ name: 'u', password: { name: 's' } }] } },
  },
  'auth.users[].roles': {
    valid: ['reader', 'root'],
    edge: [[], many(32, (position) => `r${position}`)],
    invalid: [
      [many(33, (position) => `r${position}`), tooMany],
      [['a', 'a'], /Duplicate value/],
      [['A'], pattern],
    ],
    beside: { auth: { ...root, users: [{ name: 'u' }] } },
  },
  observers: {
    valid: { replicas: 2, maxStalenessSeconds: 5, storage: { size: '2Gi' } },
    edge: [{ replicas: 0 }],
    invalid: [
      [{}, missing],
      [2, noObject],
    ],
  },
  'observers.replicas': {
    valid: 2,
    edge: [0, 8],
    invalid: [
      [-1, /observers.replicas must be from 0 to 8/],
      [9, /observers.replicas must be from 0 to 8/],
    ],
  },
  'observers.maxStalenessSeconds': {
    valid: 10,
    edge: [1, 3_600],
    invalid: [
      [0, /observers.maxStalenessSeconds must be from 1 to 3600/],
      [3_601, /observers.maxStalenessSeconds must be from 1 to 3600/],
    ],
    beside: observed,
  },
  'observers.resources': {
    valid: { limits: { memory: '1Gi' } },
    edge: [{}],
    invalid: [['much', noObject]],
    beside: observed,
  },
  'observers.resources.requests': {
    valid: { cpu: '500m' },
    edge: [{}, labelsOf(16)],
    invalid: [[labelsOf(17), tooMany]],
    beside: observed,
  },
  'observers.resources.limits': {
    valid: { memory: '1Gi' },
    edge: [{}, labelsOf(16)],
    invalid: [[labelsOf(17), tooMany]],
    beside: observed,
  },
  'observers.storage': {
    valid: { size: '1Gi' },
    edge: [],
    invalid: [[{}, missing]],
    beside: observed,
  },
  'observers.storage.size': {
    valid: '10Gi',
    edge: ['64Mi'],
    invalid: [
      ['63Mi', /too small for the log of a store: ask for at least 64Mi/],
      ['much', pattern],
    ],
    beside: observed,
  },
  'observers.service': {
    valid: { type: 'NodePort' },
    edge: [{}],
    invalid: [['outside', noObject]],
    beside: observed,
  },
  'observers.service.type': {
    valid: 'LoadBalancer',
    edge: ['ClusterIP', 'NodePort'],
    invalid: [['ExternalName', wrongChoice]],
    beside: observed,
  },
  'observers.service.annotations': {
    valid: { 'cloud.example/internal': 'true' },
    edge: [{}, labelsOf(32)],
    invalid: [[labelsOf(33), tooMany]],
    beside: observed,
  },
  'observers.service.nodePort': {
    valid: 30_379,
    edge: [30_000, 32_767],
    invalid: [
      [29_999, bounds],
      [32_768, bounds],
    ],
    beside: { observers: { replicas: 1, service: { type: 'NodePort' } } },
  },
  'observers.service.loadBalancerClass': {
    ...anyName,
    beside: { observers: { replicas: 1, service: { type: 'LoadBalancer' } } },
  },
  service: { valid: { type: 'NodePort' }, edge: [{}], invalid: [['outside', noObject]] },
  'service.type': {
    valid: 'LoadBalancer',
    edge: ['ClusterIP', 'NodePort'],
    invalid: [['ExternalName', wrongChoice]],
  },
  'service.annotations': {
    valid: { 'cloud.example/internal': 'true' },
    edge: [{}, labelsOf(32)],
    invalid: [
      [labelsOf(33), tooMany],
      [{ 'mainstay.dev/x': 'y' }, /use a prefix of your own/],
    ],
  },
  'service.nodePort': {
    valid: 30_379,
    edge: [30_000, 32_767],
    invalid: [
      [29_999, bounds],
      [32_768, bounds],
    ],
    beside: { service: { type: 'NodePort' } },
  },
  'service.loadBalancerClass': { ...anyName, beside: { service: { type: 'LoadBalancer' } } },
  console: { valid: { enabled: true }, edge: [{}], invalid: [[true, noObject]] },
  'console.enabled': flag,
  networkPolicy: { valid: { clients: [] }, edge: [{}], invalid: [[true, noObject]] },
  'networkPolicy.clients': {
    valid: [{ podLabels: { app: 'orders' }, namespaceLabels: { team: 'a' } }],
    edge: [[], [{}], many(32, () => ({}))],
    invalid: [[many(33, () => ({})), tooMany]],
  },
  'networkPolicy.clients[].podLabels': selector,
  'networkPolicy.clients[].namespaceLabels': selector,
  audit: {
    valid: { target: 'Stdout', rules: ['write:/secrets/', 'lease'] },
    edge: [{}],
    invalid: [
      [true, noObject],
      [{ maxFiles: 3 }, /need audit.target Volume/],
      [{ target: 'Stdout', maxFileSize: '10Mi' }, /need audit.target Volume/],
    ],
  },
  'audit.target': { valid: 'Volume', edge: ['Stdout'], invalid: [['File', wrongChoice]] },
  'audit.rules': {
    valid: ['read:*', 'write:/a,b/', 'inspect'],
    edge: [[], many(32, () => 'lease')],
    invalid: [
      [many(33, () => 'lease'), tooMany],
      [['reads:*'], pattern],
      [['lease:/a'], pattern],
      [[`read:${x(508)}`], tooLong],
    ],
  },
  'audit.maxFileSize': {
    valid: '10Mi',
    edge: ['1Mi'],
    invalid: [
      ['1023Ki', /at least 1Mi/],
      ['big', pattern],
    ],
    beside: { audit: { target: 'Volume' } },
  },
  'audit.maxFiles': {
    valid: 3,
    edge: [1, 1_000],
    invalid: [
      [0, bounds],
      [1_001, bounds],
    ],
    beside: { audit: { target: 'Volume' } },
  },
  encryption: {
    valid: { secretName: 'demo-key', key: 'k', formerKey: 'f' },
    edge: [{ secretName: 'k' }],
    invalid: [
      [{}, missing],
      ['key', noObject],
      [{ secretName: 's', key: 'a', formerKey: 'a' }, /name the same entry/],
      [{ secretName: 's', key: 'former' }, /name the same entry/],
    ],
  },
  'encryption.secretName': surname,
  'encryption.key': entryName,
  'encryption.formerKey': entryName,
  'audit.whenFull': { valid: 'Block', edge: ['Drop'], invalid: [['Wait', wrongChoice]] },
  limits: { valid: { user: { inFlight: 5 } }, edge: [{}], invalid: [[5, noObject]] },
  'limits.user': { valid: { requestsPerSecond: 5 }, edge: [{}], invalid: [[5, noObject]] },
  'limits.user.requestsPerSecond': limit,
  'limits.user.inFlight': limit,
  'limits.connection': { valid: { inFlight: 5 }, edge: [{}], invalid: [[5, noObject]] },
  'limits.connection.requestsPerSecond': limit,
  'limits.connection.inFlight': limit,
  'limits.expensive': { valid: { inFlight: 5 }, edge: [{}], invalid: [[5, noObject]] },
  'limits.expensive.inFlight': limit,
  'limits.prefixQuotas': {
    valid: [{ prefix: '/tenants/a,b=/', size: '100Mi' }],
    edge: [[], many(64, (position) => ({ prefix: `${position}`, size: '1Gi' }))],
    invalid: [
      [many(65, (position) => ({ prefix: `${position}`, size: '1Gi' })), tooMany],
      [[{ prefix: 'a' }], missing],
      [[{ size: '1Gi' }], missing],
      [many(2, () => ({ prefix: 'a', size: '1Gi' })), /Duplicate value/i],
    ],
  },
  'limits.prefixQuotas[].prefix': {
    valid: '/a/',
    edge: ['a', x(256)],
    invalid: [
      ['', empty],
      [x(257), tooLong],
    ],
    beside: { limits: { prefixQuotas: [{ size: '1Gi' }] } },
  },
  'limits.prefixQuotas[].size': {
    valid: '100Mi',
    edge: ['0', '8Ti'],
    invalid: [['all', pattern]],
    beside: { limits: { prefixQuotas: [{ prefix: 'a' }] } },
  },
  disruptionBudget: {
    valid: 'Disabled',
    edge: ['Enabled'],
    invalid: [['Off', wrongChoice]],
  },
  update: { valid: { surge: true }, edge: [{}], invalid: [['fast', noObject]] },
  'update.surge': flag,
  'update.restart': word,
  paused: flag,
  deletionPolicy: {
    valid: 'Delete',
    edge: ['Retain'],
    invalid: [['Keep', wrongChoice]],
  },
  adoptFrom: {
    valid: '6f1c1c1e-0000-4000-8000-000000000000',
    edge: ['u', x(64)],
    invalid: [
      ['', empty],
      [x(65), tooLong],
    ],
  },
  recovery: {
    valid: { survivor: 'demo-2', clusterUID: 'u' },
    edge: [],
    invalid: [
      [{ survivor: 'demo-2' }, missing],
      [{ clusterUID: 'u' }, missing],
    ],
  },
  'recovery.survivor': {
    valid: 'demo-2',
    edge: ['d', x(63)],
    invalid: [
      ['', empty],
      [x(64), tooLong],
    ],
    beside: { recovery: { clusterUID: 'u' } },
  },
  'recovery.clusterUID': {
    valid: 'u',
    edge: [x(64)],
    invalid: [
      ['', empty],
      [x(65), tooLong],
    ],
    beside: { recovery: { survivor: 'demo-2' } },
  },
};

const s3 = {
  endpoint: 'https://s3.example.com',
  bucket: 'backups',
  credentialsSecretName: 'bucket',
};

/** The fields of a target and of a restore, below a path of the spec. */
export function sourceCases(
  path: string,
  around: (source: object) => Readonly<Record<string, unknown>>,
): Readonly<Record<string, FieldCase>> {
  const volume = { claimName: 'backups' };
  const inTarget = around({ target: { volume } });
  const inS3 = around({ target: { s3 } });
  const inVolume = around({ target: { volume } });
  const cases: Readonly<Record<string, FieldCase>> = {
    backup: { ...anyName, beside: around({}) },
    target: {
      valid: { s3 },
      edge: [{ volume }],
      invalid: [
        [{}, /give exactly one of target.s3 and target.volume/],
        [{ s3, volume }, /give exactly one of target.s3 and target.volume/],
      ],
      beside: around({}),
    },
    'target.s3': {
      valid: { ...s3, prefix: 'a/b', region: 'eu' },
      edge: [s3],
      invalid: [[{ bucket: 'b' }, missing]],
      beside: around({ target: {} }),
    },
    'target.s3.endpoint': {
      valid: 'https://s3.example.com:9000',
      edge: ['http://s', 'https://s/'],
      invalid: [
        ['s3.example.com', pattern],
        ['https://s/path', pattern],
        // What is secret has no place in a spec, nor in the arguments of a pod.
        ['https://key:secret@s', pattern],
      ],
      beside: inS3,
    },
    'target.s3.region': {
      valid: 'eu-central-1',
      edge: ['e', x(64)],
      invalid: [
        ['', empty],
        [x(65), tooLong],
      ],
      beside: inS3,
    },
    'target.s3.bucket': {
      valid: 'my-bucket',
      edge: ['b', x(255)],
      invalid: [
        ['', empty],
        ['a/b', pattern],
        [x(256), tooLong],
      ],
      beside: inS3,
    },
    'target.s3.prefix': {
      valid: 'backups/demo',
      edge: ['b', x(512)],
      invalid: [
        ['/b', pattern],
        [x(513), tooLong],
      ],
      beside: inS3,
    },
    'target.s3.credentialsSecretName': { ...surname, beside: inS3 },
    'target.s3.ca': {
      valid: { name: 'ca', key: 'tls.crt' },
      edge: [{ name: 'c' }],
      invalid: [[{}, missing]],
      beside: inS3,
    },
    'target.s3.ca.name': { ...surname, beside: inS3 },
    'target.s3.ca.key': {
      ...anyName,
      beside: around({ target: { s3: { ...s3, ca: { name: 'c' } } } }),
    },
    'target.s3.serverSideEncryption': {
      valid: 'AES256',
      edge: ['aws:kms'],
      invalid: [['DES', wrongChoice]],
      beside: inS3,
    },
    'target.s3.virtualHosted': { ...flag, beside: inS3 },
    'target.volume': {
      valid: { claimName: 'b', path: 'demo' },
      edge: [volume],
      invalid: [[{}, missing]],
      beside: around({ target: {} }),
    },
    'target.volume.claimName': { ...anyName, beside: inVolume },
    'target.volume.path': {
      valid: 'demo/nightly',
      edge: ['d', x(512)],
      invalid: [
        ['/d', pattern],
        ['a/../b', /must stay below the root of the volume/],
        [x(513), tooLong],
      ],
      beside: inVolume,
    },
    encryption: {
      valid: { name: 'key', key: 'k' },
      edge: [{ name: 'k' }],
      invalid: [[{}, missing]],
      beside: inTarget,
    },
    'encryption.name': { ...surname, beside: inTarget },
    'encryption.key': {
      ...anyName,
      beside: around({ target: { volume }, encryption: { name: 'k' } }),
    },
    clusterUID: {
      valid: 'u',
      edge: [x(64)],
      invalid: [
        ['', empty],
        [x(65), tooLong],
      ],
      beside: inTarget,
    },
    name: { ...anyName, beside: inTarget },
    object: {
      valid: 'old/etcd.db',
      edge: ['o', x(1024)],
      invalid: [
        ['', empty],
        [x(1025), tooLong],
      ],
      beside: inTarget,
    },
    revision: { valid: 1234, edge: [1], invalid: [[0, bounds]], beside: inTarget },
    time: {
      valid: '2026-01-31T12:00:00Z',
      edge: ['2026-01-31T12:00:00.123+02:00'],
      invalid: [['yesterday', /date-time/]],
      beside: inTarget,
    },
  };
  return Object.fromEntries(
    Object.entries(cases).map(([field, each]) => [`${path}.${field}`, each]),
  );
}

const confirmed = (source: object) => ({ restore: { confirmUID: 'u', ...source } });

const restoreCases: Readonly<Record<string, FieldCase>> = {
  bootstrap: { valid: { restore: { backup: 'b' } }, edge: [{}], invalid: [[true, noObject]] },
  'bootstrap.restore': {
    valid: { backup: 'b', time: '2026-01-31T12:00:00Z' },
    edge: [{ target: { s3 } }],
    invalid: [
      [{}, /give exactly one of backup and target/],
      [{ backup: 'b', target: { s3 } }, /give exactly one of backup and target/],
      [{ backup: 'b', name: 'n' }, /give target with them/],
      [{ target: { s3 }, name: 'n', revision: 1 }, /exclude each other/],
    ],
  },
  ...sourceCases('bootstrap.restore', (restore) => ({ bootstrap: { restore } })),
  restore: {
    valid: { backup: 'b', confirmUID: 'u' },
    edge: [{ target: { s3 }, confirmUID: 'u' }],
    invalid: [
      [{ backup: 'b' }, missing],
      [{ confirmUID: 'u' }, /give exactly one of backup and target/],
    ],
  },
  ...sourceCases('restore', confirmed),
  'restore.confirmUID': {
    valid: 'u',
    edge: [x(64)],
    invalid: [
      ['', empty],
      [x(65), tooLong],
    ],
    beside: { restore: { backup: 'b' } },
  },
  'restore.confirmRestored': {
    valid: 'a1',
    edge: [x(64)],
    invalid: [
      ['', empty],
      [x(65), tooLong],
    ],
    beside: confirmed({ backup: 'b' }),
  },
};

const source = { endpoints: ['http://old:2379'] };
const following = (more: object = {}) => ({ bootstrap: { mirrorFrom: { ...source, ...more } } });

/** What keys begin with. */
const keyPrefix: FieldCase = {
  valid: 'app/',
  edge: ['', x(1024), '__mainstay'],
  invalid: [
    [x(1025), tooLong],
    ['__mainstay/x', /never copied: use another prefix/],
    [1, noText],
  ],
  beside: following(),
};

const mirrorCases: Readonly<Record<string, FieldCase>> = {
  'bootstrap.mirrorFrom': {
    valid: source,
    edge: [{ endpoints: ['https://a:2379', 'https://b:2379'], cutOver: true }],
    invalid: [
      [{}, missing],
      [true, noObject],
      [{ ...source, tls: { secretName: 's' } }, /is for https:\/\/ endpoints/],
    ],
  },
  'bootstrap.mirrorFrom.endpoints': {
    valid: ['https://etcd-0.etcd:2379', 'http://10.0.0.1:2379'],
    edge: [['http://[::1]:2379'], many(16, (position) => `http://old-${position}:2379`)],
    invalid: [
      [[], /give the URL of a member/],
      [many(17, (position) => `http://old-${position}:2379`), tooMany],
      [['old:2379'], pattern],
      [['http://a:2379,http://b:2379'], pattern],
      [['http://user@old:2379'], pattern],
      [['http://old:2379/'], pattern],
      [[`http://${x(1024)}`], tooLong],
      [['http://a:2379', 'http://a:2379'], /[Dd]uplicate/],
    ],
  },
  'bootstrap.mirrorFrom.prefix': keyPrefix,
  'bootstrap.mirrorFrom.destPrefix': keyPrefix,
  'bootstrap.mirrorFrom.tls': {
    valid: { secretName: 'old-tls' },
    edge: [],
    invalid: [[{}, missing]],
    beside: { bootstrap: { mirrorFrom: { endpoints: ['https://old:2379'] } } },
  },
  'bootstrap.mirrorFrom.tls.secretName': {
    ...surname,
    beside: { bootstrap: { mirrorFrom: { endpoints: ['https://old:2379'] } } },
  },
  'bootstrap.mirrorFrom.user': {
    valid: { secretName: 'old-user' },
    edge: [],
    invalid: [[{}, missing]],
    beside: following(),
  },
  'bootstrap.mirrorFrom.user.secretName': { ...surname, beside: following() },
  'bootstrap.mirrorFrom.cutOver': { ...flag, beside: following() },
};

/** Every field of the spec by its path; a test compares the paths with the schema. */
export const allFieldCases: Readonly<Record<string, FieldCase>> = {
  ...fieldCases,
  ...restoreCases,
  ...mirrorCases,
};

/** Edits of an object that is there: taken when there is no sentence. */
export const edits: readonly (readonly [
  title: string,
  before: object,
  after: object,
  sentence?: RegExp,
])[] = [
  ['storage grows', { storage: { size: '1Gi' } }, { storage: { size: '2Gi' } }],
  [
    'storage shrinks',
    { storage: { size: '2Gi' } },
    { storage: { size: '1Gi' } },
    /storage.size cannot shrink.*keep the present size or ask for a larger one/,
  ],
  [
    'the class changes',
    { storage: { size: '1Gi', storageClassName: 'a' } },
    { storage: { size: '1Gi', storageClassName: 'b' } },
    /storage.storageClassName cannot change/,
  ],
  [
    'the class appears',
    {},
    { storage: { size: '1Gi', storageClassName: 'b' } },
    /storage.storageClassName cannot change/,
  ],
  ['TLS appears', {}, { tls: { peer: {} } }, /tls cannot be switched on or off/],
  ['TLS goes', { tls: { peer: {} } }, { tls: undefined }, /tls cannot be switched on or off/],
  [
    'client TLS appears',
    { tls: { peer: {} } },
    { tls: { peer: {}, client: {} } },
    /tls.client and tls.peer cannot be switched/,
  ],
  [
    'another Secret',
    { tls: { peer: { secretName: 'a' } } },
    { tls: { peer: { secretName: 'b' } } },
    /replace the contents of the Secret/,
  ],
  [
    'names and days change',
    { tls: { client: { names: ['a'] } } },
    { tls: { client: { names: ['b'] }, certificateDays: 30, rotateCA: 'now' } },
  ],
  ['image instead of version', { version: '0.1.0' }, { version: undefined, image: 'm:1' }],
  [
    'image beside version',
    { version: '0.1.0' },
    { image: 'm:1' },
    /image and version exclude each other/,
  ],
  [
    'another beginning',
    { bootstrap: { restore: { backup: 'a' } } },
    { bootstrap: { restore: { backup: 'b' } } },
    /bootstrap cannot change.*use spec.restore/,
  ],
  [
    'a beginning afterwards',
    {},
    { bootstrap: { restore: { backup: 'b' } } },
    /cannot be given to a store that has begun.*use spec.restore/,
  ],
  ['a mirror is cut over', following(), following({ cutOver: true })],
  [
    'a cut-over is taken back',
    following({ cutOver: true }),
    following({ cutOver: false }),
    /cutOver cannot be taken back.*create a new StoreCluster/,
  ],
  [
    'a cut-over is left out',
    following({ cutOver: true }),
    following({ cutOver: undefined }),
    /cutOver cannot be taken back/,
  ],
  [
    'another source',
    following(),
    following({ endpoints: ['http://other:2379'] }),
    /mirrorFrom.endpoints cannot change.*create a new StoreCluster/,
  ],
  [
    'another part of the source',
    following(),
    following({ prefix: 'a/' }),
    /mirrorFrom.prefix cannot change/,
  ],
  [
    'a source afterwards',
    {},
    following(),
    /cannot be given to a store that has begun.*use spec.restore/,
  ],
  [
    'a source beside what the store began with',
    { bootstrap: {} },
    following(),
    /cannot be given to a store that has begun, nor be taken from it/,
  ],
  [
    'a source is given up',
    following(),
    { bootstrap: undefined },
    /cannot be taken from a store: delete this StoreCluster to give up/,
  ],
  [
    'a backup beside a source',
    following(),
    { bootstrap: { mirrorFrom: source, restore: { backup: 'b' } } },
    /give one of bootstrap.restore and bootstrap.mirrorFrom/,
  ],
  [
    'a restore into a store that follows',
    following(),
    { ...following(), restore: { backup: 'b', confirmUID: 'u' } },
    /a store that follows another one cannot be restored into: cut it over first/,
  ],
  [
    'a restore after the cut-over',
    following({ cutOver: true }),
    { ...following({ cutOver: true }), restore: { backup: 'b', confirmUID: 'u' } },
  ],
  [
    'a mirror of a release without one',
    { ...following(), version: '0.2.0' },
    { ...following(), version: '0.1.0' },
    /bootstrap.mirrorFrom needs version 0.2.0 or later/,
  ],
  ['a restore in place', {}, { restore: { backup: 'b', confirmUID: 'u' } }],
  ['encryption comes', {}, { encryption: { secretName: 'a' } }],
  [
    'encryption with another Secret',
    { encryption: { secretName: 'a' } },
    { encryption: { secretName: 'b', key: 'k' } },
  ],
  [
    'encryption goes',
    { encryption: { secretName: 'a' } },
    { encryption: undefined },
    /encryption cannot be removed.*restore a backup into a new StoreCluster/,
  ],
  [
    'encryption of members that cannot',
    { version: '0.1.0' },
    { version: '0.1.0', encryption: { secretName: 'a' } },
    /encryption needs version 0.2.0 or later/,
  ],
  [
    'back to members that cannot decrypt',
    { version: '0.2.0', encryption: { secretName: 'a' } },
    { version: '0.1.0', encryption: { secretName: 'a' } },
    /encryption needs version 0.2.0 or later/,
  ],
  ['observers come', {}, { observers: { replicas: 2 } }],
  ['observers go', { observers: { replicas: 2 } }, { observers: undefined }],
  [
    'smaller volumes of observers',
    { observers: { replicas: 1, storage: { size: '2Gi' } } },
    { observers: { replicas: 1, storage: { size: '1Gi' } } },
    /observers.storage.size cannot shrink/,
  ],
  [
    'observers of members that know none',
    { version: '0.1.0' },
    { version: '0.1.0', observers: { replicas: 1 } },
    /observers need version 0.2.0 or later/,
  ],
  ['auth comes', {}, { auth: { rootPassword: { name: 'r' } } }],
  ['auth goes', { auth: { rootPassword: { name: 'r' } } }, { auth: undefined }],
];
