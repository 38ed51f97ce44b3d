// [io] `kubectl mainstay report`.
import { dump } from 'js-yaml';
import { versionDefault } from '../api/defaults.ts';
import type { KubeList, KubeObject } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { HttpKubeClient } from '../kube/client.ts';
import { collectionPath, type Kind, objectPath } from '../kube/paths.ts';
import { clusterLabel, mirrorLabel } from '../resources/labels.ts';
import { namespaceOf } from '../resources/names.ts';
import { redactedObject, redactedSecret } from './redact.ts';
import { statusView } from './status-view.ts';
import { painter } from './terminal.ts';

export interface ReportFile {
  readonly name: string;
  readonly text: string;
}

const childKinds: readonly Kind[] = [
  'Pod',
  'PersistentVolumeClaim',
  'Service',
  'PodDisruptionBudget',
  'NetworkPolicy',
];
/** Names and labels, and nothing of what is inside. */
const metadataOnly =
  'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';

/** What may not be read is said in `README.txt`, and is no reason to give up the rest. */
export async function reportFiles(
  kube: HttpKubeClient,
  cluster: StoreCluster,
  { now, tailLines }: { readonly now: Date; readonly tailLines: number },
): Promise<readonly ReportFile[]> {
  const collector = new Collector(kube, cluster);
  const view = statusView(cluster, now.getTime(), painter(false));
  collector.add('status.txt', `${view.join('\n')}\n`);
  collector.add('storecluster.yaml', yaml(redactedObject(cluster)));
  const pods = await collector.children();
  await collector.secrets();
  await collector.events();
  for (const pod of pods) await collector.logs(pod, tailLines);
  await collector.nodes(pods);
  return collector.files(now);
}

class Collector {
  readonly #kube: HttpKubeClient;
  readonly #cluster: StoreCluster;
  readonly #namespace: string;
  readonly #ofCluster: { readonly labelSelector: string };
  readonly #ofMirror: { readonly labelSelector: string };
  readonly #files: ReportFile[] = [];
  readonly #missing: string[] = [];

  constructor(kube: HttpKubeClient, cluster: StoreCluster) {
    this.#kube = kube;
    this.#cluster = cluster;
    this.#namespace = namespaceOf(cluster);
    this.#ofCluster = { labelSelector: `${clusterLabel}=${cluster.metadata.name}` };
    this.#ofMirror = { labelSelector: `${mirrorLabel}=${cluster.metadata.name}` };
  }

  add(name: string, text: string): void {
    this.#files.push({ name, text });
  }

  /** Returns the pods. */
  async children(): Promise<readonly KubeObject[]> {
    let pods: readonly KubeObject[] = [];
    for (const kind of childKinds) {
      const path = collectionPath(kind, this.#namespace);
      const items = await this.#try(`${kind} objects`, async () => [
        ...(await this.#list(path, this.#ofCluster)),
        ...(kind === 'Pod' ? await this.#list(path, this.#ofMirror) : []),
      ]);
      if (items === undefined) continue;
      if (kind === 'Pod') pods = items;
      this.add(`${kind.toLowerCase()}s.yaml`, yaml(items.map(redactedObject)));
    }
    return pods;
  }

  async secrets(): Promise<void> {
    const items = await this.#try('names of Secrets', async () => {
      const text = await this.#kube.request({
        method: 'GET',
        path: collectionPath('Secret', this.#namespace),
        query: this.#ofCluster,
        headers: { Accept: metadataOnly },
      });
      return (JSON.parse(text) as KubeList<Record<string, unknown>>).items;
    });
    if (items !== undefined) this.add('secrets.yaml', yaml(items.map(redactedSecret)));
  }

  async events(): Promise<void> {
    const prefix = this.#cluster.metadata.name;
    const items = await this.#try('events', () =>
      this.#list<EventObject>(collectionPath('Event', this.#namespace), {}),
    );
    const ours = items?.filter(
      ({ involvedObject: { name = '' } = {} }) => name === prefix || name.startsWith(`${prefix}-`),
    );
    if (ours !== undefined) this.add('events.txt', `${ours.map(eventLine).sort().join('\n')}\n`);
  }

  async logs({ metadata: { name } }: KubeObject, tailLines: number): Promise<void> {
    for (const previous of [false, true]) {
      const what = previous ? `log of ${name} before its last restart` : `log of ${name}`;
      const text = await this.#try(what, () =>
        this.#kube.request({
          method: 'GET',
          path: `${objectPath('Pod', { namespace: this.#namespace, name })}/log`,
          query: { tailLines: String(tailLines), ...(previous ? { previous: 'true' } : {}) },
          headers: { Accept: '*/*' },
        }),
      );
      if (text !== undefined) this.add(`logs/${name}${previous ? '.previous' : ''}.log`, text);
    }
  }

  async nodes(pods: readonly KubeObject[]): Promise<void> {
    const named = pods.map((pod) => (pod as { spec?: { nodeName?: string } }).spec?.nodeName ?? '');
    const nodes: unknown[] = [];
    for (const name of new Set(named.filter((each) => each !== ''))) {
      const path = `${collectionPath('Node', undefined)}/${encodeURIComponent(name)}`;
      const node = await this.#try(`node ${name}`, () => this.#kube.get(path));
      if (node !== undefined) nodes.push(redactedObject(node));
    }
    this.add('nodes.yaml', yaml(nodes));
  }

  files(now: Date): readonly ReportFile[] {
    const { name, uid } = this.#cluster.metadata;
    const lines = [
      `Report about the StoreCluster ${this.#namespace}/${name} (uid ${uid}), ${now.toISOString()}.`,
      `Made by kubectl-mainstay ${versionDefault}. No data of Secrets is in it; logs are as they are.`,
      '',
      ...(this.#missing.length === 0
        ? ['Nothing is missing.']
        : ['Missing, and why:', ...this.#missing.map((line) => `- ${line}`)]),
    ];
    return [{ name: 'README.txt', text: `${lines.join('\n')}\n` }, ...this.#files];
  }

  async #list<T extends object = KubeObject>(
    path: string,
    query: Readonly<Record<string, string>>,
  ): Promise<readonly T[]> {
    const { items } = await this.#kube.list<KubeList<T>>(path, query);
    return items;
  }

  async #try<T>(what: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      this.#missing.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
}

interface EventObject {
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly count?: number;
  readonly involvedObject?: { readonly kind?: string; readonly name?: string };
}

function eventLine(event: EventObject): string {
  const { type, reason, message, count = 1, involvedObject } = event;
  const at = event.lastTimestamp ?? event.eventTime ?? '';
  const about = `${involvedObject?.kind}/${involvedObject?.name}`;
  return `${at} ${type} ${about} ${reason} (${count}): ${message}`;
}

function yaml(value: unknown): string {
  return dump(value, { lineWidth: 120, noRefs: true, skipInvalid: true });
}
