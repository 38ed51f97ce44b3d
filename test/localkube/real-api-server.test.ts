import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Answer, play, prepare, versionOf } from '../../e2e/localkube/contract/player.ts';
import {
  missingPrograms,
  startRealApiServer,
} from '../../e2e/localkube/contract/real-api-server.ts';
import { script } from '../../e2e/localkube/contract/script.ts';
import { atEnd, temporaryDirectory } from './support.ts';

// That the transcript is what a real API server says, and that it takes our CRD (its CEL cost budget is not localkube's to judge).

const root = fileURLToPath(new URL('../../../', import.meta.url));
const contract = join(root, 'e2e/localkube/contract');
const missing = missingPrograms();
const skip = missing.length > 0 && `${missing.join(', ')} not in KUBEBUILDER_ASSETS or PATH`;

test('a real API server still answers as the transcript says', { skip }, async (context) => {
  const server = await startRealApiServer(temporaryDirectory(context));
  atEnd(context, () => server.stop());
  await prepare(server.api, [
    join(contract, 'widgets.yaml'),
    join(root, 'crds/storeclusters.mainstay.dev.yaml'),
  ]);
  const { answers: recorded, recordedFrom } = JSON.parse(
    readFileSync(join(contract, 'transcript.json'), 'utf8'),
  ) as { answers: Answer[]; recordedFrom: string };
  const version = await versionOf(server.api);
  if (minorOf(version) !== minorOf(recordedFrom)) {
    return context.skip(`the API server is ${version}, the transcript of ${recordedFrom}`);
  }
  const answers = await play(server.api, script);
  for (const [position, answer] of recorded.entries()) {
    await context.test(answer.name, () => assert.deepEqual(answers[position], answer));
  }
});

/** `v1.36.2`: `v1.36`. */
function minorOf(version: string): string {
  return version.split('.', 2).join('.');
}
