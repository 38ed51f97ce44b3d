import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { KubeObject } from '../../../operator/api/objects.ts';
import { collectionPath, objectPath } from '../../../operator/kube/paths.ts';
import { scheduleLabel } from '../../../operator/resources/backup-pod.ts';
import { needs, toolPath } from '../../support/tools.ts';
import { type BareKube, createCluster, withBareKube } from '../support/bare-kube.ts';
import { OperatorProcess, until } from '../support/operator-process.ts';

// What a running operator shows under /metrics is what docs/METRICS.md says, no more and no less.

const document = fileURLToPath(new URL('../../../../docs/METRICS.md', import.meta.url));

/** A process that has acted and waits: everything has a sample. */
async function withScrape(body: (text: string) => void): Promise<void> {
  await withBareKube(async (setting: BareKube) => {
    await createCluster(setting, 'demo', { tls: { peer: {} } });
    await createBackups(setting);
    await createMirror(setting);
    const operator = await OperatorProcess.start(setting.localKube.kubeconfigPath);
    try {
      const scraped = async () => (await operator.get('/metrics')).text;
      await until('it acts', async () => (await scraped()).includes('action="createPod"'));
      await until('it waits', async () => (await scraped()).includes('blocked_seconds_total{'));
      await until('it was seen', async () => (await scraped()).includes('cluster="demo"'));
      await until('its certificates were seen', async () =>
        (await scraped()).includes('certificate_expiry_timestamp_seconds{'),
      );
      await until('the schedule was seen', async () =>
        (await scraped()).includes('backup_verified_timestamp_seconds{'),
      );
      body(await scraped());
    } finally {
      await operator.stop();
    }
  });
}

/** A schedule, and a backup by it that was made and verified. */
async function createBackups({ kube }: BareKube): Promise<void> {
  const apiVersion = 'mainstay.dev/v1alpha1';
  const namespace = 'default';
  const spec = { cluster: 'demo', target: { volume: { claimName: 'backups' } } };
  const create = (kind: 'StoreBackup' | 'StoreBackupSchedule', object: object) =>
    kube.create(collectionPath(kind, namespace), { apiVersion, kind, ...object } as KubeObject);
  const labels = { [scheduleLabel]: 'nightly' };
  const metadata = { name: 'first', namespace, labels };
  const backup = await create('StoreBackup', { metadata, spec });
  const at = '2026-01-31T12:00:00Z';
  const status = { phase: 'Complete', object: 'x', completedAt: at, verifiedAt: at };
  const path = `${objectPath('StoreBackup', { namespace, name: 'first' })}/status`;
  await kube.replace(path, { ...backup, status } as KubeObject);
  await create('StoreBackupSchedule', {
    metadata: { name: 'nightly', namespace },
    spec: { ...spec, schedule: '@monthly' },
  });
}

/** A store that followed another one when it was paused. */
async function createMirror({ kube }: BareKube): Promise<void> {
  const namespace = 'default';
  const path = collectionPath('StoreCluster', namespace);
  const mirrorFrom = { endpoints: ['http://old:2379'] };
  const made = await kube.create(path, {
    apiVersion: 'mainstay.dev/v1alpha1',
    kind: 'StoreCluster',
    metadata: { name: 'moved', namespace },
    spec: { paused: true, storage: { size: '1Gi' }, bootstrap: { mirrorFrom } },
  } as KubeObject);
  const mirror = { phase: 'Following', since: '2026-01-31T12:00:00Z', lagSeconds: 1 };
  await kube.replace(`${path}/moved/status`, { ...made, status: { mirror } } as KubeObject);
}

test('every metric is documented, and every documented one is there', async () => {
  await withScrape((text) => {
    assert.deepEqual(rowsOf(text), documentedRows());
    assert.match(text, /^process_resident_memory_bytes \d+$/m);
    assert.match(text, /^mainstay_operator_actions_total\{action="createPod",outcome="done"\} 1$/m);
  });
});

test('promtool finds nothing wrong', needs('promtool'), async () => {
  await withScrape((text) => {
    const ours = text
      .split('\n')
      .filter((line) => /^(# \w+ )?mainstay_/.test(line))
      .join('\n');
    const { status, stdout, stderr } = spawnSync(toolPath('promtool'), ['check', 'metrics'], {
      input: `${ours}\n`,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout + stderr], [0, '']);
  });
});

/** `name type labels`. */
function rowsOf(text: string): string[] {
  const lines = text.split('\n');
  return lines.flatMap((line) => {
    const [, name, type] = /^# TYPE (mainstay_\S+) (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const sample = lines.find((each) => new RegExp(`^${name}(_sum)?[{ ]`).test(each)) ?? '';
    const labels = [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label);
    return [`${name} ${type} ${labels.join(', ')}`.trim()];
  });
}

function documentedRows(): string[] {
  return readFileSync(document, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `mainstay_'))
    .map((line) => {
      const [, name, type, labels] = line.split('|').map((cell) => cell.trim());
      return `${name?.replaceAll('`', '')} ${type} ${labels}`.trim();
    });
}
