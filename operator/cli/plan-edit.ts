// [io] `kubectl mainstay plan`.
import { readFileSync } from 'node:fs';
import { imageRepositoryDefault } from '../api/defaults.ts';
import type { KubeList, Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { HttpKubeClient, KubeClient } from '../kube/client.ts';
import { isConflict, KubeError } from '../kube/errors.ts';
import { collectionPath, objectPath } from '../kube/paths.ts';
import type { Observation } from '../observe/observation.ts';
import { observe } from '../observe/observe.ts';
import { clusterLabel } from '../resources/labels.ts';
import { EditError, edited } from './edit.ts';
import type { CliFlags } from './flags.ts';
import { type Forecast, forecast } from './forecast.ts';
import { RecordedStore } from './recorded-store.ts';
import { type Paint, wrap } from './terminal.ts';

/** The API server does not take the edit. */
export class RefusedEdit extends Error {
  override name = 'RefusedEdit';
}

export interface EditPlan {
  readonly cluster: StoreCluster;
  readonly forecast: Forecast;
}

/** Throws {@link RefusedEdit} with the API server's words. */
export async function planEdit(
  kube: HttpKubeClient,
  flags: CliFlags,
  { namespace, nowMs }: { readonly namespace: string; readonly nowMs: number },
): Promise<EditPlan> {
  const text = flags.file === undefined ? undefined : readFile(flags.file);
  const { admitted, status } = await admit(kube, flags, { namespace, text });
  const cluster = { ...admitted, ...(status === undefined ? {} : { status }) };
  const observation = await observeEdited(kube, cluster, { namespace, nowMs });
  return { cluster, forecast: forecast(observation) };
}

function readFile(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new EditError(
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Each time that the operator writes the status, the object is another one: then it is looked at anew. */
async function admit(
  kube: HttpKubeClient,
  flags: CliFlags,
  { namespace, text }: { readonly namespace: string; readonly text: string | undefined },
): Promise<{ readonly admitted: StoreCluster; readonly status: StoreCluster['status'] }> {
  const path = objectPath('StoreCluster', { namespace, name: flags.name });
  for (let attempts = 1; ; attempts += 1) {
    const present = await kube.get<StoreCluster>(path);
    const wanted = edited(present, flags, { text, namespace });
    try {
      const admitted = await dryRun(kube, { path, present, wanted, namespace });
      return { admitted, status: present?.status };
    } catch (error) {
      if (!isConflict(error) || attempts >= attemptsMax) throw error;
    }
  }
}

const attemptsMax = 10;

interface DryRun {
  readonly path: string;
  readonly present: StoreCluster | undefined;
  readonly wanted: StoreCluster;
  readonly namespace: string;
}

/** What the API server would store, with its defaults. */
async function dryRun(
  kube: HttpKubeClient,
  { path, present, wanted, namespace }: DryRun,
): Promise<StoreCluster> {
  const isNew = present === undefined;
  try {
    const answer = await kube.request({
      method: isNew ? 'POST' : 'PUT',
      path: isNew ? collectionPath('StoreCluster', namespace) : path,
      query: { dryRun: 'All', fieldManager: 'kubectl-mainstay', fieldValidation: 'Strict' },
      body: wanted,
    });
    return JSON.parse(answer) as StoreCluster;
  } catch (error) {
    if (isRefusal(error)) throw new RefusedEdit(error.message);
    throw error;
  }
}

/** Not of the one who asks, but of what is asked. */
function isRefusal(error: unknown): error is KubeError {
  if (!(error instanceof KubeError)) return false;
  const isByWebhook = error.code === 403 && !/ cannot (create|update) /.test(error.message);
  return error.code === 422 || error.code === 400 || isByWebhook;
}

/** What the operator would see if the StoreCluster were this one; of the store, what it saw last. */
export async function observeEdited(
  kube: KubeClient,
  cluster: StoreCluster,
  { namespace, nowMs }: { readonly namespace: string; readonly nowMs: number },
): Promise<Observation> {
  const { name } = cluster.metadata;
  const query = { labelSelector: `${clusterLabel}=${name}` };
  const { items } = await kube.list<KubeList<Pod>>(collectionPath('Pod', namespace), query);
  const observation = await observe(
    {
      kube: withEdited(kube, objectPath('StoreCluster', { namespace, name }), cluster),
      store: new RecordedStore(cluster, items),
      wallMs: () => nowMs,
      newNonce: () => 'forecast',
      imageRepository: repositoryOf(cluster),
      readLog: () => Promise.reject(new Error('logs are not read')),
      readMetrics: () => Promise.reject(new Error('members are not asked')),
      clusterDomain: 'cluster.local',
      reloadMs: 0,
    },
    { namespace, name },
  );
  if (observation === undefined) throw new Error(`the StoreCluster ${name} is gone`);
  return observation;
}

/** The image of before without its tag: the operator's flag says it, and is not to be seen from here. */
function repositoryOf({ status }: StoreCluster): string {
  return status?.image?.replace(/:[^:/]*$/, '') ?? imageRepositoryDefault;
}

/** Reads, and sees the StoreCluster as it would be. */
function withEdited(kube: KubeClient, path: string, cluster: StoreCluster): KubeClient {
  const refuse = () => Promise.reject(new Error('a forecast changes nothing'));
  return {
    get: <T>(asked: string) =>
      asked === path ? Promise.resolve(cluster as T) : kube.get<T>(asked),
    list: (asked, query) => kube.list(asked, query),
    create: refuse,
    apply: refuse,
    replace: refuse,
    patch: refuse,
    remove: refuse,
  };
}

/** For people. */
export function editPlanView({ cluster, forecast: told }: EditPlan, paint: Paint): string[] {
  const { steps, end, counts } = told;
  const { namespace, name } = cluster.metadata;
  const width = String(steps.length).length;
  const lines = steps.flatMap(({ message }, at) => {
    const number = `${String(at + 1).padStart(width)}. `;
    const [first = '', ...rest] = wrap(message, ' '.repeat(number.length));
    return [paint('bold', number) + first.trimStart(), ...rest];
  });
  const endColour = end.kind === 'done' ? 'green' : 'yellow';
  const ends = end.kind === 'waits' ? `Then it waits. ${end.message}` : end.message;
  return [
    `The API server would take this edit of ${namespace}/${name}. What follows:`,
    '',
    ...(lines.length === 0 ? ['(no step)'] : lines),
    ...wrap(ends, '').map((line) => paint(endColour, line)),
    '',
    `pods started: ${counts.started}; members joining: ${counts.joined}, leaving: ${counts.left}; leader moves: ${counts.moved}`,
    ...wrap(
      'This is a forecast: the operator looks again before each step, and waits until each is done.' +
        (cluster.spec.auth === undefined ? '' : ' Users and roles are not part of it.'),
      '',
    ),
  ];
}
