import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readCommandLine } from '../../../server/config/config.ts';
import { UsageError } from '../../../server/config/flags.ts';
import type { MaintenanceConfig } from '../../../server/config/maintenance.ts';

type Env = Readonly<Record<string, string | undefined>>;

function configOf(line: string, env: Env = {}): MaintenanceConfig {
  const read = readCommandLine(line.split(' ').filter(Boolean), env);
  assert(read.kind === 'serve');
  return read.config.maintenance;
}

suite('maintenance flags', () => {
  test('the quota', () => {
    assert.equal(configOf('--quota-backend-bytes=0').quotaBytes, 2 * 2 ** 30);
    assert.equal(configOf('--quota-backend-bytes -1').quotaBytes, -1);
    assert.equal(configOf('', { ETCD_QUOTA_BACKEND_BYTES: '53248' }).quotaBytes, 53_248);
    const large = configOf(`--quota-backend-bytes=${9 * 2 ** 30}`);
    assert.equal(large.quotaBytes, 9 * 2 ** 30);
    assert.deepEqual(large.warnings, ['quota exceeds the maximum value of 8 GiB']);
  });

  test('what auto compaction keeps', () => {
    const kept = (line: string) => configOf(line).autoCompaction;
    const hourMs = 3_600_000;
    assert.equal(kept(''), undefined);
    assert.equal(kept('--auto-compaction-retention=0'), undefined);
    assert.equal(kept('--auto-compaction-retention=0s'), undefined);
    assert.deepEqual(kept('--auto-compaction-retention=1'), {
      mode: 'periodic',
      retentionMs: hourMs,
    });
    assert.deepEqual(kept('--auto-compaction-retention 5m'), {
      mode: 'periodic',
      retentionMs: 300_000,
    });
    assert.deepEqual(kept('--auto-compaction-mode=revision --auto-compaction-retention=1000'), {
      mode: 'revision',
      retentionRevisions: 1000,
    });
  });

  test('flags of 3.5 and of 3.6 mean the same', () => {
    const old = configOf(
      '--experimental-watch-progress-notify-interval=5s --experimental-corrupt-check-time=1m' +
        ' --experimental-compact-hash-check-time=30s --experimental-initial-corrupt-check' +
        ' --experimental-enable-lease-checkpoint=true --experimental-enable-lease-checkpoint-persist' +
        ' --experimental-max-learners=2 --experimental-compact-hash-check-enabled',
    );
    const current = configOf(
      '--watch-progress-notify-interval=5s --corrupt-check-time=1m --compact-hash-check-time=30s --max-learners=2' +
        ' --feature-gates=InitialCorruptCheck=true,LeaseCheckpoint=true,LeaseCheckpointPersist=1,CompactHashCheck=T',
    );
    assert.deepEqual(old, current);
    const { watchProgressNotifyMs, corruptCheckMs, compactHashCheckMs } = old;
    assert.deepEqual([watchProgressNotifyMs, corruptCheckMs, compactHashCheckMs], [5e3, 6e4, 3e4]);
    assert.equal(old.checksDataInitially, true);
    assert.equal(old.leaseCheckpointMs, 300_000);
    assert.equal(old.learnersMax, 2);
  });

  test('observers have limits of their own', () => {
    const config = configOf('--max-observers=0 --observer-max-staleness=1500ms');
    assert.deepEqual([config.observersMax, config.observerStalenessMaxMs], [0, 1_500]);
    assert.throws(() => configOf('--max-observers=-1'), /--max-observers must be at least 0/);
    assert.throws(() => configOf('--observer-max-staleness=0'), /expected at least 1s/);
  });

  test('by the environment, in both spellings', () => {
    const old = { ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME: '1h' };
    assert.equal(configOf('', old).corruptCheckMs, 3_600_000);
    const gates = { ETCD_FEATURE_GATES: 'CompactHashCheck=false' };
    assert.equal(configOf('', gates).compactHashCheckMs, 0);
    assert.equal(configOf('--strict-reconfig-check=false').isReconfigurationStrict, false);
  });

  test('a progress interval that is too short is raised, and told', () => {
    const { watchProgressNotifyMs, warnings } = configOf('--watch-progress-notify-interval=1ms');
    assert.equal(watchProgressNotifyMs, 100);
    assert.match(warnings[0] ?? '', /raised to the minimum of 100 ms$/);
  });

  test('keepalive', () => {
    const line =
      '--grpc-keepalive-min-time=1s --grpc-keepalive-interval=2s --grpc-keepalive-timeout=3s';
    assert.deepEqual(configOf(line).keepalive, { pingMsMin: 1e3, intervalMs: 2e3, timeoutMs: 3e3 });
    assert.deepEqual(
      configOf('--grpc-keepalive-min-time=0 --grpc-keepalive-interval=0s').keepalive,
      {
        pingMsMin: 300_000,
        intervalMs: 7_200_000,
        timeoutMs: 20_000,
      },
    );
  });

  const refused: readonly (readonly [line: string, message: RegExp])[] = [
    ['--quota-backend-bytes=1k', /expected a whole number$/],
    ['--quota-backend-bytes=1.5', /expected a whole number$/],
    ['--auto-compaction-mode=x', /^unknown auto-compaction-mode "x"$/],
    ['--auto-compaction-retention=-1', /expected hours, or a duration such as 5m$/],
    ['--auto-compaction-retention=99999999999999', /expected hours/],
    ['--auto-compaction-mode=revision --auto-compaction-retention=5m', /expected a number of/],
    ['--corrupt-check-time=-5s', /expected a duration/],
    ['--auto-compaction-retention=-5m', /expected hours/],
    ['--corrupt-check-time=5', /expected a duration such as 30s or 1h$/],
    ['--compact-hash-check-time=0s', /must be >0 \(set to 0s\)$/],
    ['--max-learners=-1', /at least 0$/],
    ['--strict-reconfig-check=maybe', /expected true or false$/],
    ['--feature-gates=Foo=true', /^unrecognized feature gate: Foo$/],
    ['--feature-gates=SetMemberLocalAddr=true', /^unrecognized feature gate/],
    ['--feature-gates=CompactHashCheck', /^missing bool value for feature gate CompactHashCheck$/],
    ['--feature-gates=CompactHashCheck=x', /^invalid value of CompactHashCheck: x$/],
    [
      '--experimental-initial-corrupt-check --feature-gates=InitialCorruptCheck=true',
      /^cannot specify both flags: --experimental-initial-corrupt-check=/,
    ],
    [
      '--experimental-enable-lease-checkpoint-persist',
      /requires enabling feature gate LeaseCheckp/,
    ],
    ['--enable-lease-checkpoint', /^unknown flag --enable-lease-checkpoint/],
    ['--compaction-batch-limit=5', /is not supported yet; only 1000 is$/],
  ];
  for (const [line, message] of refused) {
    test(`refused: ${line}`, () => {
      assert.throws(
        () => configOf(line),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    });
  }
});
