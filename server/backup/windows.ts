import { type ChangeObject, chainFrom, changeObjects } from './change-chain.ts';
import type { Manifest } from './manifest.ts';
import { changesFolder } from './names.ts';
import type { Target } from './target.ts';

/** Every revision from one to the other can be restored, and every moment. */
export interface Window {
  readonly clusterUid: string;
  /** Of the store, hex. */
  readonly clusterId: string;
  readonly fromRevision: number;
  readonly toRevision: number;
  /** RFC 3339. */
  readonly fromTime: string;
  readonly toTime: string;
}

/** Where backups and the changes behind them leave no gap. `manifests`: oldest first. */
export async function windowsOf(
  target: Target,
  manifests: readonly Manifest[],
): Promise<readonly Window[]> {
  const known = new Map<string, readonly ChangeObject[]>();
  const windows: Window[] = [];
  for (const manifest of manifests) {
    const { clusterUid, clusterId, revision, pinnedAt } = manifest;
    const folder = changesFolder(clusterUid, clusterId);
    const objects = known.get(folder) ?? (await changeObjects(target, folder));
    known.set(folder, objects);
    const chain = chainFrom(objects, { revision, pinnedMs: Date.parse(pinnedAt) });
    const window = {
      clusterUid,
      clusterId,
      fromRevision: revision,
      toRevision: chain.to,
      fromTime: pinnedAt,
      toTime: new Date(chain.untilMs).toISOString(),
    };
    const last = windows.at(-1);
    const continues =
      last?.clusterId === clusterId &&
      last.clusterUid === clusterUid &&
      last.toRevision >= revision;
    if (last === undefined || !continues) windows.push(window);
    else windows[windows.length - 1] = longer(last, window);
  }
  return windows;
}

function longer(first: Window, second: Window): Window {
  const toTime = first.toTime > second.toTime ? first.toTime : second.toTime;
  return { ...first, toRevision: Math.max(first.toRevision, second.toRevision), toTime };
}
