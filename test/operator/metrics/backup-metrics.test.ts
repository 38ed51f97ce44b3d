import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StoreBackup, StoreBackupSchedule } from '../../../operator/api/backup-types.ts';
import { BackupMetrics } from '../../../operator/metrics/backup-metrics.ts';
import { exposition } from '../../../server/base/exposition.ts';

const backup = (name: string, phase: string | undefined, cluster = 'demo') =>
  ({
    metadata: { namespace: 'ns', name },
    spec: { cluster },
    ...(phase === undefined ? {} : { status: { phase } }),
  }) as StoreBackup;

const schedule = (status: object | undefined) =>
  ({
    metadata: { namespace: 'ns', name: 'nightly' },
    spec: { cluster: 'demo' },
    ...(status === undefined ? {} : { status }),
  }) as StoreBackupSchedule;

function samplesOf(metrics: BackupMetrics): string[] {
  return exposition(metrics.families())
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace('mainstay_operator_backup', ''));
}

test('backups are counted by store and phase, each once, until they are gone', () => {
  const metrics = new BackupMetrics();
  assert.deepEqual(samplesOf(metrics), []);
  metrics.backupSeen(backup('a', undefined));
  metrics.backupSeen(backup('a', 'Running'));
  metrics.backupSeen(backup('b', 'Failed'));
  metrics.backupSeen(backup('c', 'Failed', 'other'));
  const counted = (cluster: string, phase: string) =>
    samplesOf(metrics).find((line) => line.includes(`cluster="${cluster}",phase="${phase}"`));
  assert.equal(counted('demo', 'Pending'), 's{namespace="ns",cluster="demo",phase="Pending"} 0');
  assert.match(counted('demo', 'Running') ?? '', / 1$/);
  assert.match(counted('demo', 'Failed') ?? '', / 1$/);
  assert.match(counted('other', 'Failed') ?? '', / 1$/);
  metrics.backupGone(backup('c', undefined));
  assert.equal(counted('other', 'Failed'), undefined);
});

test('a schedule shows its conditions as they are now, and its times', () => {
  const metrics = new BackupMetrics();
  metrics.scheduleSeen(schedule(undefined));
  assert.deepEqual(samplesOf(metrics), []);
  const condition = { type: 'Current', status: 'Unknown', reason: 'NoneYet' };
  metrics.scheduleSeen(schedule({ conditions: [condition] }));
  const labels = 'namespace="ns",schedule="nightly",cluster="demo"';
  assert.deepEqual(samplesOf(metrics), [
    `_schedule_condition{${labels},condition="Current",status="Unknown",reason="NoneYet"} 1`,
  ]);
  metrics.scheduleSeen(
    schedule({
      conditions: [{ ...condition, status: 'False', reason: 'BackupFailed' }],
      lastBackup: { name: 'a', at: '1970-01-01T00:16:40Z' },
    }),
  );
  assert.deepEqual(samplesOf(metrics), [
    `_completed_timestamp_seconds{${labels}} 1000`,
    `_schedule_condition{${labels},condition="Current",status="False",reason="BackupFailed"} 1`,
  ]);
  metrics.scheduleGone(schedule(undefined));
  assert.deepEqual(samplesOf(metrics), []);
});
