import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { programs } from './support/programs.ts';

// The order of the house: who may import whom, and what no file may contain. oxlint sees to what is inside a file.

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * What each folder of the store may import, beside itself; default deny. `types:x` allows only `import type` from x.
 * The flow is transport -> api -> propose -> raft -> wal -> apply -> mvcc -> backend -> watch: imports go down it.
 */
const server: Record<string, readonly string[]> = {
  base: [],
  proto: ['base'],
  config: ['base'],
  client: ['base', 'proto'],
  // Runs in a browser.
  console: [],
  raft: ['base'],
  encryption: ['base'],
  backend: ['base', 'config', 'proto'],
  mvcc: ['base', 'config', 'proto', 'backend'],
  watch: ['base', 'config', 'proto', 'mvcc', 'backend'],
  lease: ['base', 'config', 'proto', 'mvcc', 'backend'],
  auth: ['base', 'config', 'proto', 'mvcc', 'backend'],
  snapshot: ['base', 'config', 'proto', 'mvcc', 'backend', 'lease', 'auth', 'types:raft'],
  wal: ['base', 'config', 'proto', 'types:raft'],
  apply: ['base', 'config', 'proto', 'types:raft'].concat([
    'mvcc',
    'backend',
    'watch',
    'lease',
    'auth',
    'snapshot',
  ]),
  propose: ['base', 'config', 'proto', 'raft', 'wal', 'apply', 'mvcc', 'lease', 'auth'],
  api: [
    'base',
    'config',
    'proto',
    'propose',
    'types:raft',
    'apply',
    'mvcc',
    'backend',
    'watch',
  ].concat(['lease', 'auth', 'snapshot']),
  // Writes down what goes through calls.
  audit: ['base', 'config', 'proto', 'api', 'mvcc'],
  transport: ['base', 'config', 'proto', 'api', 'types:raft', 'types:member'],
  // Reads counters where they are kept, when someone asks for the metrics.
  metrics: ['base', 'config', 'proto', 'types:api', 'types:transport', 'types:member'].concat([
    'types:mvcc',
    'types:lease',
    'types:watch',
    'types:auth',
    'types:audit',
  ]),
  member: [
    'metrics',
    'base',
    'config',
    'proto',
    'transport',
    'api',
    'propose',
    'raft',
    'wal',
    'apply',
    'mvcc',
  ].concat(['backend', 'watch', 'lease', 'auth', 'snapshot', 'client', 'audit', 'encryption']),
  // Takes snapshots as a client does, reads them as they pass by, and makes and opens data directories as a member does.
  backup: ['base', 'config', 'proto', 'client', 'mvcc', 'backend', 'lease', 'auth', 'apply'].concat(
    ['snapshot', 'member'],
  ),
  // Copies from one cluster into another, as a client of both.
  mirror: ['base', 'proto', 'client'],
  // From and to files of keys.
  transfer: ['base', 'proto', 'client', 'mirror', 'snapshot', 'backup'],
  // The program for people: asks members as a client, and makes data directories as a member does.
  ctl: [
    'base',
    'config',
    'proto',
    'client',
    'snapshot',
    'member',
    'backup',
    'mirror',
    'transfer',
  ].concat(['console']),
  'main.ts': ['base', 'config', 'proto', 'member', 'transport'],
};

/** The operator's flow is kube -> observe -> plan -> act -> status; of the store it sees base, proto and client. */
const store = ['server/base', 'server/proto', 'server/client'];
const stepTypes = ['types:observe', 'types:plan', 'types:act', 'types:status'];
const operator: Record<string, readonly string[]> = {
  api: [...store],
  kube: [...store, 'api'],
  resources: [...store, 'api', 'types:observe', 'types:plan'],
  observe: [...store, 'api', 'kube', 'resources', ...stepTypes],
  plan: [...store, 'api', 'resources', 'observe', ...stepTypes],
  act: [...store, 'api', 'kube', 'resources', ...stepTypes],
  status: [...store, 'api', 'kube', 'resources', 'observe', 'plan', ...stepTypes],
  // Counts what the steps report; knows their results by type alone.
  // What a Secret is for tells its name.
  metrics: [...store, 'api', 'resources', ...stepTypes],
  // The program for people: looks as the operator does, and runs its planner on what would be.
  cli: [...store, 'api', 'kube', 'resources', 'observe', 'plan'],
};

/** Files directly in operator/ (main, the reconcile spine, wiring) may import every folder of it. */
const operatorFolders = Object.keys(operator);

/** Packages with one home: only files below these paths import them. Tests, e2e and bench may use anything. */
const packageHomes: Record<string, readonly string[]> = {
  'classic-level': ['server/backend/leveldb.ts'],
  '@grpc/grpc-js': ['server/client/'],
  pino: [
    'server/main.ts',
    'server/member/logging.ts',
    'server/base/logging.ts',
    'operator/main.ts',
  ],
  '@kubernetes/client-node': ['operator/kube/'],
  protobufjs: ['server/proto/schema.ts'],
  'js-yaml': ['server/client/', 'server/config/config-file.ts', 'operator/'],
  bcryptjs: ['server/auth/password-worker.ts'],
  croner: ['operator/plan/'],
  '@peculiar/x509': ['operator/act/issue.ts'],
  'reflect-metadata': ['operator/act/issue.ts'],
};

/** Folders without clock, I/O and randomness of their own; `node:buffer`, `node:crypto` and the like are fine. */
const pureFolders = ['server/raft/', 'server/mvcc/', 'server/apply/', 'server/lease/'].concat([
  'server/watch/',
  'server/auth/access',
  'server/auth/auth-store',
  'server/auth/key-coverage',
  'server/auth/simple-tokens',
  'operator/plan/',
  'operator/resources/',
]);
const impureModules =
  /^node:(fs|net|tls|dgram|dns|https?|http2|child_process|worker_threads|timers)/;

/** Dev-time programs that stand beside the code they write. */
const generators = [
  'server/proto/schema.ts',
  'server/proto/generate.ts',
  'operator/api/generate.ts',
];

interface Import {
  readonly file: string;
  /** The path from the root for our own files, else the specifier. */
  readonly target: string;
  readonly isOwn: boolean;
  readonly isType: boolean;
}

function filesBelow(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('node_modules/'))
    .toSorted();
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

const importPattern =
  /^(?:import|export)\s+(type\s+)?([^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

function importsOf(file: string): Import[] {
  return [...read(file).matchAll(importPattern)].map(([, type, names, specifier, dynamic]) => {
    const target = specifier ?? dynamic ?? '';
    const isOwn = target.startsWith('.');
    return {
      file,
      target: isOwn ? relative(root, join(root, dirname(file), target)) : target,
      isOwn,
      isType: type !== undefined || onlyTypes(names ?? ''),
    };
  });
}

/** `{ type A, type B } from`. */
function onlyTypes(names: string): boolean {
  const listed = /^\{([^}]*)\}/.exec(names.trim())?.[1]?.split(',') ?? [];
  const named = listed.map((name) => name.trim()).filter((name) => name !== '');
  return named.length > 0 && named.every((name) => name.startsWith('type '));
}

const sources = [...filesBelow('server'), ...filesBelow('operator')].filter((file) =>
  file.endsWith('.ts'),
);
const otherSources = ['test', 'e2e', 'bench']
  .flatMap(filesBelow)
  .filter((file) => file.endsWith('.ts'));
const sourceImports = sources.flatMap(importsOf);

function show({ file, target, isType }: Import): string {
  return `${file} imports ${target}${isType ? ' (types)' : ''}`;
}

function part(path: string, at: number): string {
  return path.split('/')[at] ?? '';
}

function isAllowed({ file, target, isType }: Import): boolean {
  const [ours, theirs] = [part(file, 1), part(target, 1)];
  if (part(file, 0) === part(target, 0) && ours === theirs) return true;
  const permits = (allowed: readonly string[], name: string) =>
    allowed.includes(name) || (isType && allowed.includes(`types:${name}`));
  if (part(file, 0) === 'server')
    return part(target, 0) === 'server' && permits(server[ours] ?? [], theirs);
  const isTopFile = ours.endsWith('.ts');
  if (part(target, 0) === 'server') {
    return permits(isTopFile ? store : (operator[ours] ?? []), `server/${theirs}`);
  }
  if (part(target, 0) !== 'operator') return false;
  if (isTopFile) return theirs.endsWith('.ts') || operatorFolders.includes(theirs);
  return permits(operator[ours] ?? [], theirs);
}

test('imports go down the flow', () => {
  const wrong = sourceImports.filter((each) => each.isOwn && !isAllowed(each));
  assert.deepEqual(wrong.map(show), []);
});

test('every folder has a line in the table', () => {
  const unknown = sources.filter((file) => {
    const table = part(file, 0) === 'server' ? server : operator;
    const isTopFile = part(file, 0) === 'operator' && part(file, 1).endsWith('.ts');
    return !isTopFile && table[part(file, 1)] === undefined;
  });
  assert.deepEqual(unknown, []);
});

test('a package is imported where it belongs, and the product imports no development package', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: object };
  const wrong = sourceImports.filter(({ file, target, isOwn, isType }) => {
    if (isOwn || isBuiltin(target)) return false;
    const name = target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
    const homes = packageHomes[name];
    if (homes !== undefined && !homes.some((home) => file.startsWith(home))) return true;
    return !isType && !(name in dependencies) && !generators.includes(file);
  });
  assert.deepEqual(wrong.map(show), []);
});

function isBuiltin(specifier: string): boolean {
  return builtinModules.includes(specifier.replace(/^node:/, '')) || specifier.startsWith('node:');
}

test('the pure folders do no I/O', () => {
  const wrong = sourceImports.filter(
    ({ file, target }) =>
      pureFolders.some((folder) => file.startsWith(folder)) && impureModules.test(target),
  );
  assert.deepEqual(wrong.map(show), []);
});

test('no file is a barrel', () => {
  const barrels = [...sources, ...otherSources].filter(
    (file) => /(^|\/)index\.ts$/.test(file) || /^export \*/m.test(read(file)),
  );
  assert.deepEqual(barrels, []);
});

test('every import of ours ends in .ts and stands for a file', () => {
  const wrong = [...sourceImports, ...otherSources.flatMap(importsOf)].filter(
    ({ target, isOwn }) => isOwn && !(target.endsWith('.ts') && existsSync(join(root, target))),
  );
  assert.deepEqual(wrong.map(show), []);
});

const documents = ['README.md', 'CHANGELOG.md', ...filesBelow('docs')].filter(
  (file) => file.endsWith('.md') && existsSync(join(root, file)),
);

test('every relative link in the documents leads to a file', () => {
  const broken = documents.flatMap((file) =>
    [...read(file).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => (link ?? '').replace(/#.*$/, ''))
      .filter((link) => link !== '' && !/^[a-z]+:/.test(link))
      .filter((link) => !existsSync(join(root, dirname(file), link)))
      .map((link) => `${file} -> ${link}`),
  );
  assert.deepEqual(broken, []);
});

test('what a manifest runs is a program that tests have', () => {
  const run = filesBelow('examples').flatMap((file) =>
    [...read(file).matchAll(/command: .*\bdist\/(\S+)\.js\b/g)].map(([, program]) => program),
  );
  assert.ok(run.length > 0);
  const missing = run.filter((program) => !programs.some((known) => known === program));
  assert.deepEqual(missing, []);
});

test('nothing is left for later', () => {
  const mark = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`);
  const files = [...sources, ...otherSources, ...documents]
    .concat(filesBelow('helm'), filesBelow('crds'), filesBelow('examples'))
    .filter((file) => /\.(ts|md|yaml|yml|json|proto|tpl|sh)$/.test(file));
  const marked = files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (mark.test(line) ? [`${file}:${index + 1}`] : [])),
  );
  assert.deepEqual(marked, []);
});
