import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { isObject, type JsonObject, stringAt } from '../objects.ts';
import type { Step } from './script.ts';

/** One answer, normalized: what may differ between two runs is replaced by its kind. */
export interface Answer {
  readonly name: string;
  readonly code: number;
  readonly warnings: readonly string[];
  readonly body: unknown;
}

export interface Api {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes the namespace and the CRDs that the script needs. */
export async function prepare(api: Api, definitions: readonly string[]): Promise<void> {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'contract' } };
  await made(api, '/api/v1/namespaces', namespace);
  for (const file of definitions) {
    const body = load(readFileSync(file, 'utf8'));
    await made(api, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', body);
  }
  for (const path of [
    '/apis/contract.test/v1/widgets',
    '/apis/mainstay.dev/v1alpha1/storeclusters',
  ]) {
    await waitUntilServed(api, path);
  }
}

/** As `v1.36.2`. */
export async function versionOf({ url, headers }: Api): Promise<string> {
  const response = await fetch(`${url}/version`, { headers });
  return ((await response.json()) as { gitVersion: string }).gitVersion;
}

async function made(api: Api, path: string, body: unknown): Promise<void> {
  const answer = await send(api, { name: '', method: 'POST', path, body });
  if (answer.code !== 201) throw new Error(`not created: ${JSON.stringify(answer.body)}`);
}

async function waitUntilServed(api: Api, path: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { code } = await send(api, { name: '', method: 'GET', path });
    if (code === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${path} is not served`);
}

/** Plays the script and returns the normalized answers. */
export async function play(api: Api, script: readonly Step[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const step of script) answers.push(normalize(await sendUntil(api, step), step));
  return answers;
}

/** Sends a request; one that waits for something is repeated until it gets the code that it waits for. */
async function sendUntil(api: Api, step: Step): Promise<Answer> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await send(api, step);
    if (step.until === undefined || step.until === answer.code || attempt > 200) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** `$uid:PATH` in a body stands for the uid of the object there. */
async function withUids(api: Api, body: string): Promise<string> {
  const path = /\$uid:([^"]+)/.exec(body)?.[1];
  if (path === undefined) return body;
  const found = await send(api, { name: '', method: 'GET', path });
  return withUids(api, body.replace(`$uid:${path}`, stringAt(found.body, 'metadata', 'uid')));
}

async function send(api: Api, step: Step): Promise<Answer> {
  const { url, headers } = api;
  const {
    name,
    method,
    path,
    body,
    mediaType = 'application/json',
    accept = 'application/json',
  } = step;
  const text = body === undefined ? undefined : await withUids(api, JSON.stringify(body));
  const response = await fetch(url + path, {
    method,
    headers: { ...headers, 'Content-Type': mediaType, Accept: accept, 'User-Agent': 'contract/1' },
    ...(text === undefined ? {} : { body: text }),
  });
  const answer = await response.text();
  const warnings = response.headers.get('Warning')?.split(/, (?=299 )/) ?? [];
  return {
    name,
    code: response.status,
    warnings,
    body: isJson(response) ? parse(answer) : answer,
  };
}

/** A JSON body, or the events of a watch as a list. */
function parse(text: string): unknown {
  const lines = text.trim().split('\n');
  const isWatch = lines.every((line) => line.startsWith('{"type":'));
  return isWatch ? lines.map((line) => JSON.parse(line) as unknown) : (JSON.parse(text) as unknown);
}

function isJson(response: Response): boolean {
  return (response.headers.get('Content-Type') ?? '').includes('json');
}

function normalize(answer: Answer, { differs = {}, keepsManagedFields }: Step): Answer {
  if (differs['*'] !== undefined) return { ...answer, body: '(not compared)' };
  const body = normalizeValue(answer.body, '', keepsManagedFields === true);
  for (const path of Object.keys(differs)) removePath(body, path.split('.'));
  return { ...answer, ...(differs['warnings'] === undefined ? {} : { warnings: [] }), body };
}

/** Values that differ from run to run, by field name. */
const volatile = new Set([
  'uid',
  'resourceVersion',
  'continue',
  'creationTimestamp',
  'deletionTimestamp',
  'lastTransitionTime',
  'time',
  'hash',
]);

function normalizeValue(value: unknown, name: string, keepsManagedFields: boolean): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) =>
      normalizeValue(item, name === 'cells' ? 'cell' : '', keepsManagedFields),
    );
    // Ownership is sorted by time in whole seconds, conflicts come in the order of a Go map.
    if (name !== 'managedFields' && name !== 'causes') return items;
    return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  if (isObject(value)) return normalizeObject(value, keepsManagedFields);
  if (volatile.has(name) && typeof value === 'string' && value !== '') return `<${name}>`;
  if (typeof value !== 'string') return value;
  if (name === 'cell' && /^(\d+[smhdy])+$/.test(value)) return '<age>';
  return value.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uid>');
}

function normalizeObject(value: JsonObject, keepsManagedFields: boolean): JsonObject {
  const isColumn = 'priority' in value && 'format' in value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'managedFields' || keepsManagedFields)
      .filter(([name]) => name !== 'storageVersionHash' && !(isColumn && name === 'description'))
      .filter(([name, inner]) => !(name === 'continue' && inner === ''))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, normalizeValue(inner, name, keepsManagedFields)]),
  );
}

function removePath(value: unknown, [name, ...rest]: readonly string[]): void {
  if (name === undefined) return;
  if (Array.isArray(value)) {
    for (const item of value) removePath(item, name === '*' ? rest : [name, ...rest]);
  } else if (isObject(value)) {
    if (rest.length === 0) delete value[name];
    else removePath(value[name], rest);
  }
}
