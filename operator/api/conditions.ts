import type { Condition } from './types.ts';

/**
 * The condition types of a StoreCluster the first four, Stalled and Migrated, of backups and schedules Ready and the rest:
 * what kstatus and `kubectl wait` understand. `Stalled` is there only while it is True, as kstatus wants it, and `Migrated`
 * only on a store that begins as a mirror.
 */
export const conditionTypes = [
  'Available',
  'Progressing',
  'Degraded',
  'Ready',
  'Stalled',
  'Migrated',
  'Verified',
  'Current',
  'Archived',
] as const;
export type ConditionType = (typeof conditionTypes)[number];

export interface Finding {
  readonly type: ConditionType;
  readonly status: Condition['status'];
  /** One CamelCase word. */
  readonly reason: string;
  /** Stable: no times, no counters that move, or every pass would write. */
  readonly message: string;
}

/**
 * The conditions after a pass: `lastTransitionTime` moves only when the status of a condition does.
 * Conditions of other types are kept.
 */
export function mergeConditions(
  previous: readonly Condition[],
  findings: readonly Finding[],
  at: { readonly now: string; readonly generation: number },
): readonly Condition[] {
  const ours: readonly string[] = conditionTypes;
  const foreign = previous.filter(({ type }) => !ours.includes(type));
  const merged = findings.map((finding): Condition => {
    const old = previous.find((candidate) => candidate.type === finding.type);
    return {
      ...finding,
      observedGeneration: at.generation,
      lastTransitionTime: old?.status === finding.status ? old.lastTransitionTime : at.now,
    };
  });
  return [...merged, ...foreign];
}
