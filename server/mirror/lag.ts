import type { Revision } from '../base/ids.ts';

/** How long the destination has been behind, from when each revision of the source was heard of. */
export class Lag {
  #heard: { revision: Revision; atMs: number }[] = [];

  /** `newest`: of the source; `reached`: everything up to there is copied; `nowMs`: monotonic. */
  seconds({
    newest,
    reached,
    nowMs,
  }: {
    newest: Revision;
    reached: Revision;
    nowMs: number;
  }): number {
    if (newest > (this.#heard.at(-1)?.revision ?? 0)) {
      this.#heard.push({ revision: newest, atMs: nowMs });
    }
    this.#heard = this.#heard.filter(({ revision }) => revision > reached);
    const [oldest] = this.#heard;
    return oldest === undefined ? 0 : (nowMs - oldest.atMs) / 1_000;
  }
}
