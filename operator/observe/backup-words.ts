// [io] What a pod that runs mainstayctl says while it works: the last line of its log, which is JSON.
import type { Pod } from '../api/objects.ts';
import { objectPath } from '../kube/paths.ts';
import { isTerminating } from './view.ts';

/** The last line of the log at a path such as `/api/v1/namespaces/NAMESPACE/pods/NAME/log`. */
export type ReadLog = (path: string) => Promise<string>;

/** How far one step of `mainstayctl backup save`, `verify` or `restore` is. */
export interface Progress {
  readonly step: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** How far `mainstayctl backup archive` is. */
export interface ArchiveEnd {
  readonly revision: number;
  /** RFC 3339: nothing later had happened then; undefined before anything was written. */
  readonly at: string | undefined;
}

/** undefined for a pod that does not run, or has not said anything yet. */
export async function observeProgress(
  readLog: ReadLog,
  pods: readonly (Pod | undefined)[],
): Promise<Progress | undefined> {
  for (const pod of pods) {
    const { kind, step, doneBytes, totalBytes } = (await lastWords(readLog, pod)) ?? {};
    if (kind !== 'progress' || typeof step !== 'string') continue;
    if (typeof doneBytes !== 'number' || typeof totalBytes !== 'number') continue;
    return { step, doneBytes, totalBytes };
  }
  return undefined;
}

/** undefined for a pod that does not run, or has not said anything yet. */
export async function observeArchive(
  readLog: ReadLog,
  pod: Pod | undefined,
): Promise<ArchiveEnd | undefined> {
  const { kind, revision, to, archivedAt } = (await lastWords(readLog, pod)) ?? {};
  if (kind === 'following' && typeof revision === 'number') return { revision, at: undefined };
  if (kind !== 'archived' || typeof to !== 'number' || typeof archivedAt !== 'string')
    return undefined;
  return { revision: to, at: archivedAt };
}

/** undefined for a pod that does not run, or has not said anything yet. */
export async function lastWords(
  readLog: ReadLog,
  pod: Pod | undefined,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (pod === undefined || isTerminating(pod) || pod.status?.phase !== 'Running') return undefined;
  const { name, namespace = 'default' } = pod.metadata;
  try {
    const words: unknown = JSON.parse(
      await readLog(`${objectPath('Pod', { namespace, name })}/log`),
    );
    return typeof words === 'object' && words !== null ? { ...words } : undefined;
  } catch {
    // It has just ended, or says something for people: what is not known is not said.
    return undefined;
  }
}
