import { writeFileSync } from 'node:fs';
import { play, prepare } from './player.ts';
import { script } from './script.ts';

/**
 * Records the contract from a real API server, which should be empty:
 * `KUBE_URL=https://127.0.0.1:6443 KUBE_TOKEN=... NODE_TLS_REJECT_UNAUTHORIZED=0 node dist/e2e/localkube/contract/record.js FILE`
 */
const [file = 'e2e/localkube/contract/transcript.json'] = process.argv.slice(2);
const url = process.env['KUBE_URL'];
if (url === undefined) throw new Error('KUBE_URL is not set');
const token = process.env['KUBE_TOKEN'];
const api = { url, headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } };
const version = (await (await fetch(`${url}/version`, { headers: api.headers })).json()) as {
  gitVersion: string;
};
await prepare(api, ['e2e/localkube/contract/widgets.yaml', 'crds/storeclusters.mainstay.dev.yaml']);
const answers = await play(api, script);
writeFileSync(
  file,
  `${JSON.stringify({ recordedFrom: version.gitVersion, answers }, undefined, 1)}\n`,
);
console.log(`${answers.length} answers of ${version.gitVersion} in ${file}`);
