import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  missingPrograms,
  startRealApiServer,
} from '../../../e2e/localkube/contract/real-api-server.ts';
import { startLocalKube } from '../../../e2e/localkube/local-kube.ts';
import { storeClusterDefinition } from '../../../operator/api/crd.ts';
import type { JsonSchema } from '../../../operator/api/json-schema.ts';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { storeClusterSpec } from '../../../operator/api/schema.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { HttpKubeClient } from '../../../operator/kube/client.ts';
import { loadConnection } from '../../../operator/kube/kubeconfig.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { needs, toolPath } from '../../support/tools.ts';
import { allFieldCases, edits } from './field-cases.ts';

// Every field of the spec, by what an API server takes and refuses: the schema and the CEL rules as they run.

const missing = missingPrograms();
const skip = missing.length > 0 && `${missing.join(', ')} not in KUBEBUILDER_ASSETS or PATH`;

test('every field of the schema has cases, and every case a field', () => {
  const fields = [...fieldsOf('', storeClusterSpec)].map(([path]) => path);
  assert.deepEqual(Object.keys(allFieldCases).toSorted(), fields.toSorted());
});

test('every field of the definition is described', () => {
  const [version] = storeClusterDefinition.spec.versions;
  const { spec, status } = version.schema.openAPIV3Schema.properties ?? {};
  const described = [...describedOf('spec', spec), ...describedOf('status', status)];
  assert.ok(described.length > 130, String(described.length));
  for (const [path, { description = '' }] of described) {
    assert.match(description, /^[A-Z`].{10,}\.$/, `${path}: ${description}`);
  }
});

test('values of every field, on localkube', async (context) => {
  await withLocalKube(async (kube) => {
    for (const path of Object.keys(allFieldCases))
      await context.test(path, () => tryField(kube, path));
    for (const [title, before, after, sentence] of edits) {
      await context.test(title, () => tryEdit(kube, { before, after, sentence }));
    }
  });
});

test('values of every field, on a real API server', { skip }, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-fields-'));
  const server = await startRealApiServer(directory);
  const kube = new HttpKubeClient(loadConnection(join(directory, 'kubeconfig')));
  try {
    await installDefinition(kube);
    for (const path of Object.keys(allFieldCases))
      await context.test(path, () => tryField(kube, path));
    for (const [title, before, after, sentence] of edits) {
      await context.test(title, () => tryEdit(kube, { before, after, sentence }));
    }
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

async function tryField(kube: HttpKubeClient, path: string): Promise<void> {
  const cases = allFieldCases[path];
  assert.ok(cases);
  const { valid, edge, invalid, beside = {} } = cases;
  for (const value of [valid, ...edge]) {
    const refusal = await refusalOf(kube, specWith(path, value, beside));
    assert.equal(refusal, undefined, `${JSON.stringify(value)}: ${refusal}`);
  }
  assert.ok(invalid.length > 0);
  for (const [value, sentence] of invalid) {
    const refusal = await refusalOf(kube, specWith(path, value, beside));
    assert.match(refusal ?? 'it was taken', sentence, JSON.stringify(value).slice(0, 200));
  }
}

interface Edit {
  readonly before: object;
  readonly after: object;
  readonly sentence: RegExp | undefined;
}

async function tryEdit(kube: HttpKubeClient, { before, after, sentence }: Edit): Promise<void> {
  const at = { namespace: 'default', name: 'edited' };
  const path = objectPath('StoreCluster', at);
  const made = await kube.create(
    collectionPath('StoreCluster', 'default'),
    storeCluster('edited', { ...minimal, ...before }),
  );
  try {
    const refusal = await kube
      .replace(path, { ...made, spec: withoutUndefined({ ...made.spec, ...after }) } as KubeObject)
      .then(() => undefined, messageOf);
    if (sentence === undefined) assert.equal(refusal, undefined);
    else assert.match(refusal ?? 'it was taken', sentence);
  } finally {
    const now = await kube.get<StoreCluster>(path);
    const { uid = '', resourceVersion = '' } = now?.metadata ?? {};
    await kube.remove(path, { uid, resourceVersion });
  }
}

const minimal = { storage: { size: '1Gi' } };

/** undefined when the object is taken; it is gone again then. */
async function refusalOf(kube: HttpKubeClient, spec: object): Promise<string | undefined> {
  const path = collectionPath('StoreCluster', 'default');
  try {
    const { metadata } = await kube.create(path, storeCluster('tried', spec));
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

function storeCluster(name: string, spec: object): StoreCluster {
  return {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name, namespace: 'default' },
    spec: spec as StoreCluster['spec'],
  };
}

/** The smallest spec with `value` at a path such as `auth.users[].name`, beside what else it needs. */
function specWith(path: string, value: unknown, beside: object): object {
  const steps = path.split(/\.|(?=\[\])/);
  const spec = structuredClone({ ...minimal, ...beside });
  let at: Record<string, unknown> | unknown[] = spec;
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
    await installDefinition(kube);
    await body(kube, localKube.kubeconfigPath);
  } finally {
    kube.close();
    await localKube.stop();
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

async function installDefinition(kube: HttpKubeClient): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  await kube.create(path, storeClusterDefinition as unknown as KubeObject);
  for (const deadlineMs = performance.now() + 30_000; performance.now() < deadlineMs; ) {
    const list = await kube.get(collectionPath('StoreCluster', 'default')).catch(() => undefined);
    if (list !== undefined) return;
    await sleep(50);
  }
  throw new Error('the definition is not served');
}
