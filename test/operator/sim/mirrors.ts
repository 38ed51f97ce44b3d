import type { Pod } from '../../../operator/api/objects.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { mirrorLabel } from '../../../operator/resources/labels.ts';
import { key } from './children.ts';
import type { World } from './world.ts';

export function isMirror({ metadata }: Pick<Pod, 'metadata'>): boolean {
  return metadata.labels?.[mirrorLabel] !== undefined;
}

const followerName = `${key.name}-mirror`;
const cutOverName = `${key.name}-cut-over`;

/** The source that a store follows, and what `mainstayctl mirror` does between the two. */
export class Mirrors {
  readonly #world: World;
  /** Somebody writes to the source, once in a turn. */
  isWritten: boolean;
  sourceRevision: number;
  /** Up to where the store has it; undefined before a mirror has begun. */
  copied: number | undefined;
  /** The store refuses mirrors. */
  isEnded: boolean;
  /** An operator that was held up has made a pod: it may come at any moment, and finds the store refusing it. */
  #isLate: boolean;

  constructor(world: World, from?: Mirrors) {
    this.#world = world;
    this.isWritten = from?.isWritten ?? true;
    this.sourceRevision = from?.sourceRevision ?? 1;
    this.copied = from?.copied;
    this.isEnded = from?.isEnded ?? false;
    this.#isLate = from === undefined ? false : from.#isLate;
  }

  turn(): void {
    if (this.isWritten) this.sourceRevision += 1;
  }

  /** What the container of a pod does in a turn. */
  turnPod(pod: Pod): void {
    const store = this.#world.store();
    if (store === undefined || !store.hasQuorum() || store.leaderId === '0') {
      return this.#setStatus(pod, { phase: 'Running', containerStatuses: [{ state: {} }] });
    }
    if (pod.metadata.name === followerName) this.#follow(pod);
    else this.#cutOver(pod);
  }

  #follow(pod: Pod): void {
    if (this.isEnded) {
      const message = JSON.stringify({ ok: false, failure: 'Refused', message: 'it was ended' });
      const lastState = { terminated: { exitCode: 1, message } };
      const down = { state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState };
      return this.#setStatus(pod, { phase: 'Running', containerStatuses: [down] });
    }
    if (this.#world.status?.mirror?.phase === 'Done') {
      this.#world.violate('O13: the source is copied into a store that is on its own');
    }
    this.copied = this.sourceRevision;
    this.#setStatus(pod, { phase: 'Running', containerStatuses: [{ state: {} }] });
  }

  #cutOver(pod: Pod): void {
    const isEqual = !this.isWritten && this.copied === this.sourceRevision;
    if (!isEqual && !this.isEnded) {
      return this.#setStatus(pod, { phase: 'Running', containerStatuses: [{ state: {} }] });
    }
    this.isEnded = true;
    const result = { ok: true, kind: 'cutOver', revision: this.copied, keys: 1, leases: 0 };
    const state = { terminated: { exitCode: 0, message: JSON.stringify(result) } };
    this.#setStatus(pod, { phase: 'Succeeded', containerStatuses: [{ state }] });
  }

  /** The last line of a pod's log. */
  logOf(path: string): string {
    const pod = this.#world.pods().find(({ metadata }) => path === `${podPath(metadata.name)}/log`);
    if (pod === undefined) throw new Error(`${path} is not there`);
    if (pod.metadata.name === cutOverName) {
      return JSON.stringify({
        kind: 'waiting',
        why: 'written',
        message: 'the source was written to',
      });
    }
    if (this.copied === undefined) throw new Error(`${path} is empty`);
    const { copied: revision, sourceRevision } = this;
    return JSON.stringify({ phase: 'following', revision, sourceRevision, lagSeconds: 0 });
  }

  /** O13: after an operator has written the status, or made a pod. */
  check(written: 'status' | 'pod', isStale: boolean): void {
    if (written === 'pod' && isStale) {
      this.#isLate = true;
      return;
    }
    const { status } = this.#world;
    const isFollowed = this.#world.pods().some(({ metadata }) => metadata.name === followerName);
    const { phase } = status?.mirror ?? {};
    if (written === 'status' && phase === 'Done') {
      if (!this.isEnded) this.#world.violate('O13: done, though the store still takes a mirror');
      if (isFollowed && !this.#isLate)
        this.#world.violate('O13: done, while a pod follows the source');
    }
    if (written === 'pod' && phase === undefined) {
      this.#world.violate('O13: the source is followed, and nothing says so');
    }
    if (written === 'pod' && phase === 'Done') {
      this.#world.violate('O13: a store that is on its own gets a mirror');
    }
  }

  /** What is wrong where nothing is left to do. */
  wrong(): string[] {
    const source = this.#world.cluster?.spec.bootstrap?.mirrorFrom;
    const pods = this.#world
      .pods()
      .filter(isMirror)
      .map(({ metadata }) => metadata.name);
    const isOver = source === undefined || this.#world.status?.mirror?.phase === 'Done';
    const wanted = isOver ? [] : [followerName];
    if (pods.join() === wanted.join()) return [];
    return [`O13: ${pods.join() || 'nothing'} follows, wanted is ${wanted.join() || 'nothing'}`];
  }

  describe(): unknown {
    const behind = this.copied === undefined ? undefined : this.sourceRevision - this.copied;
    return [this.isWritten, behind, this.isEnded, this.#isLate];
  }

  #setStatus(pod: Pod, fields: object): void {
    const path = podPath(pod.metadata.name);
    const present = this.#world.kube.read(path)?.['status'] ?? {};
    const next = { ...present, ...fields };
    if (JSON.stringify(next) === JSON.stringify(present)) return;
    this.#world.kube.set(path, () => ({ status: next }));
  }
}

function podPath(name: string): string {
  return objectPath('Pod', { ...key, name });
}
