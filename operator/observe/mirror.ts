// [io] What is done for a store that begins as the mirror of another one.
import type { KubeList, Pod } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { collectionPath } from '../kube/paths.ts';
import { isOurs, mirrorLabel } from '../resources/labels.ts';
import { cutOverPodName, followerPodName, mirrorFromOf } from '../resources/mirror.ts';
import { namespaceOf } from '../resources/names.ts';
import { lastWords, type ReadLog } from './backup-words.ts';
import type { CutOverWait, MirrorProgress, MirrorWork } from './observation.ts';

/** undefined where there is nothing to follow, and was not. */
export async function observeMirror(
  { kube, readLog }: { readonly kube: KubeClient; readonly readLog: ReadLog },
  cluster: StoreCluster,
): Promise<MirrorWork | undefined> {
  const { spec, status } = cluster;
  if (mirrorFromOf(spec) === undefined && status?.mirror === undefined) return undefined;
  const { items } = await kube.list<KubeList<Pod>>(collectionPath('Pod', namespaceOf(cluster)), {
    labelSelector: `${mirrorLabel}=${cluster.metadata.name}`,
  });
  const named = (name: string) =>
    items.find((pod) => pod.metadata.name === name && isOurs(cluster, pod));
  const follower = named(followerPodName(cluster));
  const cutOver = named(cutOverPodName(cluster));
  const [progress, notYet] = await Promise.all([
    lastWords(readLog, follower).then(progressIn),
    lastWords(readLog, cutOver).then(waitIn),
  ]);
  return { follower, cutOver, progress, notYet };
}

type Words = Readonly<Record<string, unknown>> | undefined;

function progressIn(words: Words): MirrorProgress | undefined {
  const { phase, revision, sourceRevision, lagSeconds, waitingFor } = words ?? {};
  if (phase !== 'copying' && phase !== 'following') return undefined;
  if (
    typeof revision !== 'number' ||
    typeof sourceRevision !== 'number' ||
    typeof lagSeconds !== 'number'
  )
    return undefined;
  return {
    isCopying: phase === 'copying',
    revision,
    sourceRevision,
    lagSeconds,
    waitingFor: typeof waitingFor === 'string' ? waitingFor : undefined,
  };
}

function waitIn(words: Words): CutOverWait | undefined {
  const { kind, why, message } = words ?? {};
  if (kind !== 'waiting' || typeof message !== 'string') return undefined;
  if (why !== 'behind' && why !== 'written' && why !== 'different') return undefined;
  return { why, message };
}
