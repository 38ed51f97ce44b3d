import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { withBareKube } from '../operator/support/bare-kube.ts';
import { needs, toolPath } from '../support/tools.ts';
import { template, testdata } from './helm.ts';

// What of the charts an API server can say: localkube checks objects by our definitions as a real one does.

const run = promisify(execFile);
const timeout = 120_000;

test(
  'the API server takes what the chart of a store renders',
  { ...needs('helm', 'kubectl'), timeout },
  () =>
    withBareKube(async ({ localKube }) => {
      const directory = mkdtempSync(join(tmpdir(), 'mainstay-helm-'));
      const apply = async (...values: readonly string[]) => {
        const args = ['--values', join(testdata, 'store.values.yaml'), ...values];
        const more = ['--set', 'podMonitor.enabled=false'];
        const { stdout } = template({
          chart: 'store',
          namespace: 'default',
          args: [...args, ...more],
        });
        const file = join(directory, 'store.yaml');
        writeFileSync(file, stdout);
        const kubeconfig = `--kubeconfig=${localKube.kubeconfigPath}`;
        return run(toolPath('kubectl'), [kubeconfig, 'apply', '-f', file]);
      };
      try {
        const { stdout } = await apply();
        assert.match(stdout, /storecluster\.mainstay\.dev\/orders created/);
        assert.match(stdout, /storebackupschedule\.mainstay\.dev\/orders created/);
        await assert.rejects(
          apply('--set', 'backup.keep.yearly=3'),
          /unknown field "spec\.keep\.yearly"/,
        );
        await assert.rejects(
          apply('--set', 'cluster.storage.size=1Gi'),
          /storage\.size cannot shrink/,
        );
      } finally {
        rmSync(directory, { recursive: true });
      }
    }),
);
