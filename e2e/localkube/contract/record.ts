import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { play, prepare, versionOf } from './player.ts';
import { missingPrograms, startRealApiServer } from './real-api-server.ts';
import { script } from './script.ts';

/** Records the contract from a real API server of its own: `node dist/e2e/localkube/contract/record.js [FILE]`, in the root. */
const [file = 'e2e/localkube/contract/transcript.json'] = process.argv.slice(2);
const missing = missingPrograms();
if (missing.length > 0)
  throw new Error(`not found: ${missing.join(', ')} (see KUBEBUILDER_ASSETS)`);
const directory = mkdtempSync(join(tmpdir(), 'contract-'));
const server = await startRealApiServer(directory);
try {
  const { api } = server;
  const recordedFrom = await versionOf(api);
  await prepare(api, [
    'e2e/localkube/contract/widgets.yaml',
    'crds/storeclusters.mainstay.dev.yaml',
  ]);
  const answers = await play(api, script);
  writeFileSync(file, `${JSON.stringify({ recordedFrom, answers }, undefined, 1)}\n`);
  console.log(`${answers.length} answers of ${recordedFrom} in ${file}`);
} finally {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
}
