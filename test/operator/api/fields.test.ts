import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  missingPrograms,
  startRealApiServer,
} from '../../../e2e/localkube/contract/real-api-server.ts';
import { startLocalKube } from '../../../e2e/localkube/local-kube.ts';
import { storeBackupScheduleSpec, storeBackupSpec } from '../../../operator/api/backup-schema.ts';
import { definitions, storeClusterDefinition } from '../../../operator/api/crd.ts';
import type { JsonSchema } from '../../../operator/api/json-schema.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { storeClusterSpec } from '../../../operator/api/schema.ts';
import { HttpKubeClient } from '../../../operator/kube/client.ts';
import { loadConnection } from '../../../operator/kube/kubeconfig.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { needs, toolPath } from '../../support/tools.ts';
import {
  backupEdits,
  backupFieldCases,
  minimalBackup,
  minimalSchedule,
  requiredOf,
  scheduleFieldCases,
} from './backup-field-cases.ts';
import { allFieldCases, edits, type FieldCase } from './field-cases.ts';

// Every field of the spec, by what an API server takes and refuses: the schema and the CEL rules as they run.

const missing = missingPrograms();
const skip = missing.length > 0 && `${missing.join(', ')} not in KUBEBUILDER_ASSETS or PATH`;

/** One of our kinds, with the smallest spec that is taken. */
interface Subject {
  readonly kind: 'StoreCluster' | 'StoreBackup' | 'StoreBackupSchedule';
  readonly schema: JsonSchema;
  readonly cases: Readonly<Record<string, FieldCase>>;
  readonly minimal: object;
}

const storeCluster: Subject = {
  kind: 'StoreCluster',
  schema: storeClusterSpec,
  cases: allFieldCases,
  minimal: { storage: { size: '1Gi' } },
};
const storeBackup: Subject = {
  kind: 'StoreBackup',
  schema: storeBackupSpec,
  cases: backupFieldCases,
  minimal: minimalBackup,
};
const storeBackupSchedule: Subject = {
  kind: 'StoreBackupSchedule',
  schema: storeBackupScheduleSpec,
  cases: scheduleFieldCases,
  minimal: minimalSchedule,
};
const subjects = [storeCluster, storeBackup, storeBackupSchedule];

test('every field of the schemas has cases, and every case a field', () => {
  for (const { kind, schema, cases } of subjects) {
    const fields = [...fieldsOf('', schema)].map(([path]) => path);
    assert.deepEqual(Object.keys(cases).toSorted(), fields.toSorted(), kind);
  }
});

test('every field of the definitions is described', () => {
  for (const definition of definitions) {
    const [version] = definition.spec.versions;
    const { spec, status } = version.schema.openAPIV3Schema.properties ?? {};
    const described = [...describedOf('spec', spec), ...describedOf('status', status)];
    const least = definition === storeClusterDefinition ? 130 : 30;
    assert.ok(described.length > least, `${definition.metadata.name}: ${described.length}`);
    for (const [path, { description = '' }] of described) {
      assert.match(description, /^[A-Z`].{3,}\.$/, `${path}: ${description}`);
    }
  }
});

test('values of every field, on localkube', async (context) => {
  await withLocalKube((kube) => tryAll(context, kube));
});

test('values of every field, on a real API server', { skip }, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-fields-'));
  const server = await startRealApiServer(directory);
  const kube = new HttpKubeClient(loadConnection(join(directory, 'kubeconfig')));
  try {
    await installDefinitions(kube);
    await tryAll(context, kube);
  } finally {
    kube.close();
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('kubectl explain describes the fields', needs('kubectl'), async () => {
  await withLocalKube(async (_kube, kubeconfigPath) => {
    const explain = async (path: string) => {
      const args = ['--kubeconfig', kubeconfigPath, 'explain', path];
      const { stdout } = await promisify(execFile)(toolPath('kubectl'), args);
      return stdout;
    };
    for (const path of ['msc.spec', 'storecluster.spec.tls.client', 'storeclusters.status.plan']) {
      const told = await explain(path);
      assert.match(told, /DESCRIPTION:\n/, path);
      assert.doesNotMatch(told, /<empty>|<no description>/, told);
    }
    assert.match(await explain('msc.spec.options.quota'), /half of storage\.size/);
  });
});

async function tryAll(context: TestContext, kube: HttpKubeClient): Promise<void> {
  for (const subject of subjects) {
    for (const [path, cases] of Object.entries(subject.cases)) {
      const title = subject === storeCluster ? path : `${subject.kind} ${path}`;
      await context.test(title, () => tryField(kube, subject, { path, cases }));
    }
  }
  for (const [title, before, after, sentence] of edits) {
    await context.test(title, () => tryEdit(kube, storeCluster, { before, after, sentence }));
  }
  for (const [kind, title, after, sentence] of backupEdits) {
    const subject = kind === 'StoreBackup' ? storeBackup : storeBackupSchedule;
    await context.test(title, () => tryEdit(kube, subject, { before: {}, after, sentence }));
  }
  await context.test('a name of a StoreBackup fits into a label', async () => {
    const path = collectionPath('StoreBackup', 'default');
    const create = (length: number) =>
      kube.create(path, objectOf('StoreBackup', 'x'.repeat(length), minimalBackup));
    await assert.rejects(create(64), /use at most 63 characters/);
    const { metadata } = await create(63);
    const { name, uid = '', resourceVersion = '' } = metadata;
    await kube.remove(`${path}/${name}`, { uid, resourceVersion });
  });
  for (const subject of [storeBackup, storeBackupSchedule]) {
    await context.test(`what a ${subject.kind} must have`, () => tryWithout(kube, subject));
  }
}

async function tryField(
  kube: HttpKubeClient,
  subject: Subject,
  { path, cases }: { readonly path: string; readonly cases: FieldCase },
): Promise<void> {
  const { valid, edge, invalid, beside = {} } = cases;
  const refusal = (value: unknown) => {
    return refusalOf(kube, subject, specWith({ ...subject.minimal, ...beside }, path, value));
  };
  for (const value of [valid, ...edge]) {
    const told = await refusal(value);
    assert.equal(told, undefined, `${JSON.stringify(value)}: ${told}`);
  }
  assert.ok(invalid.length > 0);
  for (const [value, sentence] of invalid) {
    const told = (await refusal(value)) ?? 'it was taken';
    assert.match(told, sentence, JSON.stringify(value).slice(0, 200));
  }
}

async function tryWithout(kube: HttpKubeClient, subject: Subject): Promise<void> {
  const { kind, minimal } = subject;
  assert.ok(kind !== 'StoreCluster');
  for (const field of requiredOf[kind]) {
    const told = await refusalOf(
      kube,
      subject,
      withoutUndefined({ ...minimal, [field]: undefined }),
    );
    assert.match(told ?? 'it was taken', new RegExp(`spec\\.${field}: Required value`));
  }
}

interface Edit {
  readonly before: object;
  readonly after: object;
  readonly sentence: RegExp | undefined;
}

async function tryEdit(
  kube: HttpKubeClient,
  { kind, minimal }: Subject,
  { before, after, sentence }: Edit,
): Promise<void> {
  const at = { namespace: 'default', name: 'edited' };
  const path = objectPath(kind, at);
  const made = await kube.create(
    collectionPath(kind, 'default'),
    objectOf(kind, 'edited', { ...minimal, ...before }),
  );
  try {
    const refusal = await kube
      .replace(path, { ...made, spec: withoutUndefined({ ...made.spec, ...after }) } as KubeObject)
      .then(() => undefined, messageOf);
    if (sentence === undefined) assert.equal(refusal, undefined);
    else assert.match(refusal ?? 'it was taken', sentence);
  } finally {
    const now = await kube.get<KubeObject>(path);
    const { uid = '', resourceVersion = '' } = now?.metadata ?? {};
    await kube.remove(path, { uid, resourceVersion });
  }
}

/** undefined when the object is taken; it is gone again then. */
async function refusalOf(
  kube: HttpKubeClient,
  { kind }: Subject,
  spec: object,
): Promise<string | undefined> {
  const path = collectionPath(kind, 'default');
  try {
    const { metadata } = await kube.create(path, objectOf(kind, 'tried', spec));
    const { uid = '', resourceVersion = '' } = metadata;
    await kube.remove(`${path}/tried`, { uid, resourceVersion });
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function objectOf(
  kind: Subject['kind'],
  name: string,
  spec: object,
): KubeObject & { spec: object } {
  const metadata = { name, namespace: 'default' };
  return { apiVersion: 'mainstay.dev/v1alpha1', kind, metadata, spec };
}

/** A spec with `value` at a path such as `auth.users[].name`. */
function specWith(base: object, path: string, value: unknown): object {
  const steps = path.split(/\.|(?=\[\])/);
  const spec = structuredClone(base);
  let at: object = spec;
  for (const [position, step] of steps.entries()) {
    const key = step === '[]' ? 0 : step;
    const holder = at as Record<string | number, unknown>;
    if (position === steps.length - 1) holder[key] = value;
    else holder[key] ??= steps[position + 1] === '[]' ? [] : {};
    at = holder[key] as Record<string, unknown>;
  }
  return spec;
}

function withoutUndefined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Named fields only: keys of maps have no cases of their own, and reserved ones are cases of podTemplate.spec. */
function* fieldsOf(path: string, schema: JsonSchema): Generator<[string, JsonSchema]> {
  if (path === 'podTemplate.spec') return;
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const below = path === '' ? name : `${path}.${name}`;
    yield [below, child];
    yield* fieldsOf(below, child);
  }
  if (schema.items !== undefined) yield* fieldsOf(`${path}[]`, schema.items);
}

function* describedOf(path: string, schema: JsonSchema = {}): Generator<[string, JsonSchema]> {
  yield [path, schema];
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    yield* describedOf(`${path}.${name}`, child);
  }
  for (const child of Object.values(schema.items?.properties ?? {}))
    yield* describedOf(path, child);
}

async function withLocalKube(
  body: (kube: HttpKubeClient, kubeconfigPath: string) => Promise<void>,
): Promise<void> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'mainstay-fields-'));
  const localKube = await startLocalKube({
    dataDirectory,
    logger: silentLogger,
    hasKubelet: false,
  });
  const kube = new HttpKubeClient(loadConnection(localKube.kubeconfigPath));
  try {
    await installDefinitions(kube);
    await body(kube, localKube.kubeconfigPath);
  } finally {
    kube.close();
    await localKube.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

async function installDefinitions(kube: HttpKubeClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  for (const definition of definitions) {
    await kube.create(path, definition as unknown as KubeObject);
  }
  for (const deadlineMs = performance.now() + 30_000; performance.now() < deadlineMs; ) {
    const lists = subjects.map(({ kind }) => kube.get(collectionPath(kind, 'default')));
    const found = await Promise.all(lists).catch(() => []);
    if (found.length > 0 && found.every((list) => list !== undefined)) return;
    await sleep(50);
  }
  throw new Error('the definitions are not served');
}
