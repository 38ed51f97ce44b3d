import { BackupError } from './failure.ts';
import { type ChangesName, parseChangesName } from './names.ts';
import type { Target } from './target.ts';

/** An object of archived changes, by its name alone. */
export interface ChangeObject extends ChangesName {
  readonly name: string;
}

/** Those of one cluster, of all the stores that it has been. */
export async function changeObjects(target: Target, folder: string): Promise<ChangeObject[]> {
  const found: ChangeObject[] = [];
  for await (const { name } of target.list(folder)) {
    const parsed = parseChangesName(name);
    if (parsed !== undefined) found.push({ ...parsed, name });
  }
  return found;
}

export interface ChangeChain {
  /** Each begins right behind the one before, or overlaps it. */
  readonly objects: readonly ChangeObject[];
  /** The last revision. */
  readonly to: number;
  /** Nothing later happened until then, as far as the archive knows; milliseconds since the epoch. */
  readonly untilMs: number;
}

/**
 * The changes that follow a revision without a gap. Several archives may have written the same ones. `objects`: of one
 * store, in any order.
 */
export function chainFrom(
  objects: readonly ChangeObject[],
  start: { readonly revision: number; readonly pinnedMs: number },
): ChangeChain {
  const sorted = objects.toSorted((a, b) => a.from - b.from);
  const chain: ChangeObject[] = [];
  let at = start.revision;
  let best: ChangeObject | undefined;
  for (let next = 0; ; ) {
    for (; (sorted[next]?.from ?? Number.POSITIVE_INFINITY) <= at + 1; next++) {
      const object = sorted[next];
      if (object !== undefined && object.to > (best?.to ?? at)) best = object;
    }
    if (best === undefined) break;
    chain.push(best);
    at = best.to;
    best = undefined;
  }
  // Those without changes only say that nothing had happened behind a revision.
  const silent = objects.filter(({ from, to }) => to < from && to === at);
  const untilMs = Math.max(
    chain.at(-1)?.maxStampMs ?? start.pinnedMs,
    ...silent.map(({ maxStampMs }) => maxStampMs),
  );
  return { objects: chain, to: at, untilMs };
}

export function notArchived(message: string): BackupError {
  return new BackupError('NotArchived', message);
}
