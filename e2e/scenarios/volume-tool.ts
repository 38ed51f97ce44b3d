import { randomBytes } from 'node:crypto';
import type { KubeObject, Pod } from '../../operator/api/objects.ts';
import { collectionPath, objectPath } from '../../operator/kube/paths.ts';
import type { Environment } from './environment.ts';
import { until } from './waiting.ts';

const mountPath = '/volume';
const runMsMax = 90_000;

/**
 * Runs a program on the files of a member, whether or not that member runs: a pod that mounts its volume, on its node. In
 * the program `/volume/data` is the member's data directory. Returns what it printed.
 */
export async function runOnVolume(
  environment: Environment,
  member: string,
  program: string,
): Promise<string> {
  const { kube, namespace } = environment;
  const name = `tool-${randomBytes(3).toString('hex')}`;
  const path = objectPath('Pod', { namespace, name });
  const beside = await kube.get<Pod>(objectPath('Pod', { namespace, name: member }));
  const nodeName = beside?.spec['nodeName'];
  await kube.create(
    collectionPath('Pod', namespace),
    toolPod(environment, { name, member, nodeName, program }),
  );
  let phase: string | undefined;
  await until(
    `a program ran on the volume ${member}`,
    runMsMax,
    async () => {
      phase = (await kube.get<Pod>(path))?.status?.phase;
      return phase === 'Succeeded' || phase === 'Failed';
    },
    () => `its pod is ${phase}`,
  );
  const output = await environment.podLog(name);
  await environment.remove(path, 0);
  if (phase !== 'Succeeded')
    throw new Error(`the program on the volume ${member} failed: ${output}`);
  return output;
}

function toolPod(
  { namespace, images }: Environment,
  tool: {
    readonly name: string;
    readonly member: string;
    readonly nodeName: unknown;
    readonly program: string;
  },
): KubeObject {
  const { name, member, nodeName, program } = tool;
  const spec = {
    restartPolicy: 'Never',
    ...(nodeName === undefined ? {} : { nodeName }),
    automountServiceAccountToken: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 10001,
      runAsGroup: 10001,
      fsGroup: 10001,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'tool',
        image: images.now,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', '-e', program],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        volumeMounts: [{ name: 'volume', mountPath }],
      },
    ],
    volumes: [{ name: 'volume', persistentVolumeClaim: { claimName: member } }],
  };
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec };
  return pod as KubeObject;
}

/** Everything on the volume goes. */
export const emptyIt = `
const fs = require('node:fs');
const root = '/volume';
for (const name of fs.readdirSync(root)) fs.rmSync(root + '/' + name, { recursive: true });
console.log('empty: ' + fs.readdirSync(root).length);
`;

/**
 * Flips bits around the middle of every file of a kind, by the end of its name: one in each of a few blocks, since what
 * fills a block up behind a batch of the log is nobody's data, nor is the room that a log has ahead.
 */
export function flipBits(nameEnd: string): string {
  return `
const fs = require('node:fs');
const root = '/volume/data';
let flipped = 0;
for (const name of fs.readdirSync(root, { recursive: true })) {
  if (!name.endsWith('${nameEnd}')) continue;
  const path = root + '/' + name;
  const bytes = fs.readFileSync(path);
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used -= 1;
  const middle = Math.floor(used / 2 / 512);
  const file = fs.openSync(path, 'r+');
  let isHurt = false;
  for (let block = Math.max(0, middle - 4); block < middle + 4; block += 1) {
    const place = block * 512 + 24;
    if (place >= used) continue;
    fs.writeSync(file, Buffer.from([bytes[place] ^ 16]), 0, 1, place);
    isHurt = true;
  }
  fs.closeSync(file);
  if (isHurt) flipped += 1;
}
console.log('flipped: ' + flipped);
`;
}
