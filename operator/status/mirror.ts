import type { Finding } from '../api/conditions.ts';
import { messageLengthMax } from '../api/schema.ts';
import type { MirrorRecord } from '../api/types.ts';
import type { ClusterView } from '../observe/view.ts';
import { mirrorText, mirrorTrouble } from '../plan/mirror.ts';
import { mirrorFromOf } from '../resources/mirror.ts';

/** `recorded`: by an action of this pass, or before. What the pod said last stays until it says more. */
export function mirrorRecord(
  view: ClusterView,
  recorded: MirrorRecord | undefined,
): MirrorRecord | undefined {
  const { now, spec, mirror: work } = view.observation;
  const source = mirrorFromOf(spec);
  if (recorded === undefined || recorded.phase === 'Done') return recorded;
  if (work === undefined || source === undefined) return recorded;
  const trouble = mirrorTrouble(view);
  const going = source.cutOver === true ? 'CuttingOver' : 'Following';
  const phase = trouble === undefined ? going : 'Failed';
  const { progress, follower } = work;
  const isSilent = progress === undefined && follower?.status?.phase === 'Running';
  const staysSaid = isSilent && phase === 'Following' && recorded.phase === phase;
  const told = trouble?.message ?? mirrorText(view.observation);
  const message = (staysSaid ? recorded.message : undefined) ?? told;
  const numbers =
    progress === undefined
      ? {}
      : {
          sourceRevision: progress.sourceRevision,
          revision: progress.revision,
          lagSeconds: Math.round(progress.lagSeconds),
        };
  return {
    ...recorded,
    ...numbers,
    phase,
    since: phase === recorded.phase ? recorded.since : now,
    message: message.slice(0, messageLengthMax),
  };
}

/** Only of a store that begins as a mirror. */
export function migrated(
  { observation: { spec } }: ClusterView,
  record: MirrorRecord | undefined,
): readonly Finding[] {
  if (record === undefined && mirrorFromOf(spec) === undefined) return [];
  const type = 'Migrated';
  const status = record?.phase === 'Done' ? 'True' : 'False';
  const reason = record?.phase ?? 'NotBegun';
  return [{ type, status, reason, message: told(record) }];
}

/** Without the numbers that move. */
function told(record: MirrorRecord | undefined): string {
  switch (record?.phase) {
    case undefined:
      return 'The source is followed once the store is whole.';
    case 'Following':
      return 'The store follows the source; it is not on its own yet.';
    case 'CuttingOver':
      return 'The mirror ends once nothing writes to the source and both are equal.';
    case 'Done':
    case 'Failed':
      return record.message ?? '';
  }
}
