import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from 'js-yaml';
import { needs } from '../support/tools.ts';
import { chartDirectory, helm } from './helm.ts';

/** `helm template` shows everything but NOTES: a copy of the chart has them as an object. */
function notesOf(chart: string, ...values: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-notes-'));
  try {
    cpSync(join(chartDirectory, chart), directory, { recursive: true });
    const notes = readFileSync(join(directory, 'templates/NOTES.txt'), 'utf8');
    writeFileSync(
      join(directory, 'templates/notes.yaml'),
      `{{- define "notes" -}}${notes}{{- end }}\nnotes: |\n{{ include "notes" . | indent 2 }}\n`,
    );
    const flags = ['--kube-version', '1.32.0', '--namespace', 'shop', ...values];
    const args = ['template', 'mainstay', directory, '--show-only', 'templates/notes.yaml'];
    const { status, stdout, stderr } = helm([...args, ...flags]);
    assert.equal(status, 0, stderr);
    return (load(stdout) as { notes: string }).notes;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('NOTES say the next three commands', needs('helm'), () => {
  const all = notesOf('mainstay');
  assert.match(all, /of all namespaces\./);
  assert.match(all, / 1\. .*\n +kubectl rollout status deployment\/mainstay --namespace shop\n/);
  assert.match(all, / 2\. .*\n +kubectl apply --namespace default -f - <<'END'\n/);
  assert.match(all, / 3\. .*\n +kubectl exec --namespace default demo-1 -- mainstayctl /);
  assert.doesNotMatch(all, /definitions were not installed/);
});

test('NOTES know one namespace, and definitions that were not installed', needs('helm'), () => {
  const one = notesOf('mainstay', '--set', 'crds.install=false,namespaced=true');
  assert.match(one, /of the namespace shop\.[^]*kubectl apply --namespace shop /);
  assert.match(one, /an administrator applies crds\//);
});

test('NOTES of a store', needs('helm'), () => {
  const store = notesOf('store');
  assert.match(store, /condition=Ready storecluster\/mainstay --timeout/);
  assert.match(store, /It has no backups yet[^]*its volumes stay/);
  const target = 'backup.schedule=@daily,backup.target.volume.claimName=b';
  assert.match(notesOf('store', '--set', target), /kubectl get storebackups --namespace shop/);
});
