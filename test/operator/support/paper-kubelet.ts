import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeList, Pod } from '../../../operator/api/objects.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import type { HttpKubeClient } from '../../../operator/kube/client.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { podEndpoint } from '../../../operator/resources/endpoints.ts';
import { FakeStore, FakeStoreAdmin } from './fake-store.ts';

const turnMs = 50;

/** Where members are reached depends on whether the store has TLS; the stores of these tests have none. */
const plain = { spec: {} } as StoreCluster;

/**
 * What a kubelet and the stores would do, on paper: pods get an address and become ready, their members join a store in
 * memory. For API servers that have no node, a real one among them.
 */
export class PaperKubelet {
  readonly admin = new FakeStoreAdmin((endpoint) => this.#route(endpoint));
  store: FakeStore | undefined;
  readonly #kube: HttpKubeClient;
  #pods: readonly Pod[] = [];
  #addresses = 0;
  /** Names of what was saved and not pruned. */
  readonly backups: string[] = [];

  constructor(kube: HttpKubeClient) {
    this.#kube = kube;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Pods come and go meanwhile: the next turn sees it.
      await this.#turn().catch(() => undefined);
      await sleep(turnMs);
    }
  }

  async #turn(): Promise<void> {
    const { items } = await this.#kube.list<KubeList<Pod>>(collectionPath('Pod', 'default'));
    this.#pods = items;
    this.store?.running.clear();
    for (const pod of items) this.#start(pod);
    this.store?.turn();
    for (const pod of items) await this.#report(pod);
  }

  #start(pod: Pod): void {
    const url = flagOf(pod, 'initial-advertise-peer-urls');
    if (this.store === undefined && flagOf(pod, 'initial-cluster-state') === 'new') {
      this.store = new FakeStore('c10');
      this.store.add(url, false);
    }
    const member = this.store?.members.find(({ peerUrl }) => peerUrl === url);
    if (member === undefined || pod.status?.podIP === undefined) return;
    member.name = pod.metadata.name;
    this.store?.running.add(member.id);
  }

  async #report(pod: Pod): Promise<void> {
    if (pod.metadata.labels?.['app.kubernetes.io/component'] === 'backup') {
      return this.#finish(pod);
    }
    const isReady = this.#memberOf(pod) !== undefined && this.store?.leaderId !== '0';
    const ready = isReady ? 'True' : 'False';
    const podIP = pod.status?.podIP ?? `127.9.9.${(this.#addresses += 1)}`;
    const known = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (pod.status?.podIP !== undefined && known === ready) return;
    const conditions = [{ type: 'Ready', status: ready }];
    const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
    const at = { namespace: 'default', name: pod.metadata.name };
    await this.#kube.patch(objectPath('Pod', at, 'status'), { status });
  }

  /** What a pod that works on a backup would say at its end. */
  async #finish(pod: Pod): Promise<void> {
    if (pod.status?.phase === 'Succeeded' || pod.spec['restartPolicy'] === 'Always') return;
    const at = { namespace: 'default', name: pod.metadata.name };
    if (pod.status?.phase !== 'Running') {
      await this.#kube.patch(objectPath('Pod', at, 'status'), { status: { phase: 'Running' } });
      return;
    }
    const [kind = ''] = pod.spec.containers[0]?.args ?? [];
    const id = flagOf(pod, 'backup-id');
    this.backups.push(...(kind === 'save' ? [`backup-${id}`] : []));
    const saved = { name: `backup-${id}`, revision: 7, keys: 3, sizeBytes: 20_480, hash: 99 };
    const deleted = kind === 'prune' ? this.backups.splice(0, this.backups.length - 1) : undefined;
    const message = JSON.stringify({ ok: true, kind, ...saved, clusterUid: 'u1', deleted });
    const terminated = { exitCode: 0, reason: 'Completed', message };
    const containerStatuses = [
      {
        name: 'backup',
        image: 'i',
        imageID: '',
        ready: false,
        restartCount: 0,
        state: { terminated },
      },
    ];
    const status = { phase: 'Succeeded', containerStatuses };
    await this.#kube.patch(objectPath('Pod', at, 'status'), { status });
  }

  #memberOf(pod: Pod) {
    const url = flagOf(pod, 'initial-advertise-peer-urls');
    const member = this.store?.members.find(({ peerUrl }) => peerUrl === url);
    const isRunning = member !== undefined && this.store?.running.has(member.id) === true;
    return isRunning ? member : undefined;
  }

  #route(endpoint: string) {
    const pod = this.#pods.find((candidate) => podEndpoint(plain, candidate) === endpoint);
    const member = pod === undefined ? undefined : this.#memberOf(pod);
    if (member === undefined || this.store === undefined) return undefined;
    return { store: this.store, id: member.id };
  }
}

function flagOf(pod: Pod, name: string): string {
  const prefix = `--${name}=`;
  const flag = pod.spec.containers[0]?.args?.find((arg) => arg.startsWith(prefix));
  return flag?.slice(prefix.length) ?? '';
}
