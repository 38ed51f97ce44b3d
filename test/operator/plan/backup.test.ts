import assert from 'node:assert/strict';
import { planBackup } from '../../../operator/plan/backup.ts';
import { planSchedule, type ScheduleAction } from '../../../operator/plan/schedule.ts';
import { backupStatus, scheduleStatus } from '../../../operator/status/backup-status.ts';
import { parseBackupObservation, parseScheduleObservation } from '../support/backup-notation.ts';
import { goldenTests } from '../support/golden.ts';

// What is done for a StoreBackup and a StoreBackupSchedule, and what their status says then.

goldenTests('test/operator/plan/testdata/backups', (input) => {
  const observation = parseBackupObservation(input);
  const { action, status, event } = planBackup(observation);
  const {
    conditions = [],
    observedGeneration: _,
    ...fields
  } = backupStatus(observation.backup, status, observation.now);
  return described({ action, event, fields, conditions });
});

goldenTests('test/operator/plan/testdata/schedules', (input) => {
  const observation = parseScheduleObservation(input);
  const { action, status, event } = planSchedule(observation);
  const { conditions = [], observedGeneration: _, ...fields } = scheduleStatus(observation, status);
  return described({ action, event, fields, conditions });
});

function described(of: {
  readonly action: ScheduleAction | undefined;
  readonly event: { readonly reason: string; readonly message?: string } | undefined;
  readonly fields: object;
  readonly conditions: readonly { type: string; status: string; reason: string; message: string }[];
}): string[] {
  const { action, event, fields, conditions } = of;
  return [
    action === undefined ? 'nothing' : `${action.kind} ${describeAction(action)}`,
    ...(event === undefined ? [] : [`  ${[event.reason, event.message ?? ''].join(' ').trim()}`]),
    JSON.stringify(fields),
    ...conditions.map(({ type, status, reason, message }) => {
      return `  ${type} ${status} ${reason}: ${message}`;
    }),
  ];
}

function describeAction(action: ScheduleAction): string {
  switch (action.kind) {
    case 'createPod': {
      const { metadata, spec } = action.pod;
      const [container] = spec.containers;
      assert.ok(container?.args !== undefined);
      return [metadata.name, ...container.args].join(' ');
    }
    case 'deletePod':
      return action.pod.metadata.name;
    case 'createBackup':
    case 'deleteBackup':
      return `${action.backup.metadata.name} verify=${action.backup.spec.verify}`;
  }
}
