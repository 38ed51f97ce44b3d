import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Answer, play, prepare } from '../../e2e/localkube/contract/player.ts';
import { script } from '../../e2e/localkube/contract/script.ts';
import { startKube } from './support.ts';

// The transcript was recorded from a real API server by e2e/localkube/contract/record.ts.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const contract = join(root, 'e2e/localkube/contract');
const transcript = JSON.parse(readFileSync(join(contract, 'transcript.json'), 'utf8')) as {
  recordedFrom: string;
  answers: Answer[];
};

test(`localkube answers as ${transcript.recordedFrom} did`, async (context) => {
  const kube = await startKube(context);
  const api = { url: kube.url, headers: {} };
  const definitions = [
    join(contract, 'widgets.yaml'),
    join(root, 'crds/storeclusters.mainstay.dev.yaml'),
  ];
  await prepare(api, definitions);
  const answers = await play(api, script);
  assert.equal(answers.length, transcript.answers.length);
  for (const [position, recorded] of transcript.answers.entries()) {
    await context.test(recorded.name, () => assert.deepEqual(answers[position], recorded));
  }
});
