import { tagOf } from '../api/versions.ts';
import { backupBeforeName, buildBackupBefore } from '../resources/backup-before.ts';
import { act, type Rule, stopUntil, waitFor } from './decision.ts';
import { minutes } from './limits.ts';

/**
 * Where the store has a schedule, members change to another image only once there is a backup of what they held before. Its
 * name is written down first, and that it was whole: it may be pruned while they change, and is made once.
 */
export const backupFirst: Rule = ({ observation }) => {
  const { backupFirst: wanted, cluster, spec, nonce, now } = observation;
  if (wanted === undefined) return undefined;
  const { schedule, backup } = wanted;
  const { beforeChange } = cluster.status ?? {};
  const change = `the members change to ${tagOf(spec.image)}`;
  if (beforeChange?.image !== spec.image) {
    const name = backupBeforeName(cluster, nonce);
    return act('BackupPlanned', `A backup, ${name}, is made before ${change}.`, {
      kind: 'recordStatus',
      fields: { beforeChange: { image: spec.image, backup: name } },
    });
  }
  const name = beforeChange.backup;
  if (backup === undefined) {
    return act('BackupCreated', `Made ${name}, a backup before ${change}.`, {
      kind: 'createBackup',
      backup: buildBackupBefore(cluster, schedule, name),
    });
  }
  const { phase = 'Pending', message = 'it does not say why.' } = backup.status ?? {};
  if (phase === 'Complete') {
    return act('BackupTaken', `${name} is whole: ${change} now.`, {
      kind: 'recordStatus',
      fields: { beforeChange: { ...beforeChange, takenAt: now } },
    });
  }
  if (phase === 'Failed') {
    return stopUntil(
      'BackupFailed',
      `Before ${change} there should be a backup, and ${name} failed: ${message} To try again, delete the StoreBackup ${name}; to change without one, suspend the StoreBackupSchedule ${schedule.metadata.name} until it is done.`,
    );
  }
  const told = `The backup ${name} is made before ${change} (${phase}; see its message).`;
  return waitFor('BackupFirst', told, minutes(60));
};
