import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoreBackup } from '../../operator/api/backup-types.ts';
import { objectPath } from '../../operator/kube/paths.ts';
import { decodeManifest, type Manifest } from '../../server/backup/manifest.ts';
import { parseBackupObject } from '../../server/backup/names.ts';
import { Client } from '../../server/client/client.ts';
import { FakeS3, type S3Asked } from '../../test/support/fake-s3.ts';
import type { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { OperatorProcess } from '../start/operator-process.ts';
import { openGate, putCredentials } from './backup-place.ts';
import { root } from './definition.ts';
import { isReal } from './real-cluster.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { TestedBackups } from './tested-backups.ts';
import { until } from './waiting.ts';

// A bucket and a network that fail on demand. At any time, whatever is listed as a backup is whole.

const folder = 'e2e';
const stepMsMax = 120_000;
/** More than one part of an upload. */
const values = 12;
const valueBytes = 1_000_000;

interface Setting {
  readonly stage: Stage;
  readonly cluster: TestedCluster;
  readonly backups: TestedBackups;
  readonly bucket: FakeS3;
  readonly gate: TcpProxy;
}

function faultScenario(
  name: string,
  options: { readonly skip?: string | false },
  play: (setting: Setting) => Promise<void>,
): void {
  scenario(name, { isLong: true, ...options }, async (stage) => {
    const bucket = await FakeS3.start();
    const gate = await openGate(bucket.url);
    try {
      const { environment } = stage;
      const right = { accessKeyId: 'right', secretAccessKey: 'secret' };
      const credentialsSecretName = await putCredentials(environment, right);
      const s3 = { endpoint: gate.url, bucket: 'backups', prefix: folder, credentialsSecretName };
      const cluster = stage.cluster('source');
      await cluster.create({ replicas: 1 });
      await cluster.untilSettled(1);
      await fill(cluster);
      const of = { cluster: cluster.name, target: { s3 } };
      const backups = new TestedBackups(environment, of);
      await play({ stage, cluster, backups, bucket, gate });
      checkBucket(bucket);
    } finally {
      await gate.close();
      await bucket.stop();
    }
  });
}

async function fill(cluster: TestedCluster): Promise<void> {
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  try {
    for (let at = 0; at < values; at++) await client.put(`large ${at}`, randomBytes(valueBytes));
  } finally {
    client.close();
  }
}

/** What the bucket lists, each with its content as the manifest says it. */
function checkBucket(bucket: FakeS3): readonly Manifest[] {
  const found: Manifest[] = [];
  for (const [key, { body }] of bucket.objects) {
    const object = parseBackupObject(key.slice(folder.length + 1));
    if (object?.kind !== 'manifest') continue;
    const manifest = decodeManifest(body, key);
    const data = bucket.objects.get(`${folder}/${manifest.data}`)?.body;
    assert.ok(data !== undefined, `${key} is listed, and has no content`);
    const sha256 = createHash('sha256').update(data).digest('hex');
    assert.equal(sha256, manifest.storedSha256, `${key} is listed, and is not whole`);
    found.push(manifest);
  }
  return found;
}

function manifestsOf(bucket: FakeS3, { metadata }: StoreBackup): readonly Manifest[] {
  return checkBucket(bucket).filter(({ id }) => id === metadata.uid);
}

faultScenario(
  'a bucket that is away, closed, full or cut off: nothing half made, and the message says what to do',
  {},
  async (setting) => {
    await closedAndFull(setting);
    await cutOff(setting);
    await away(setting);
  },
);

async function closedAndFull({ stage, cluster, backups, bucket }: Setting): Promise<void> {
  const { s3 } = backups.target;
  assert.ok(s3 !== undefined);
  const wrong = { accessKeyId: 'wrong', secretAccessKey: 'secret' };
  const credentialsSecretName = await putCredentials(stage.environment, wrong);
  const target = { s3: { ...s3, credentialsSecretName } };
  const denied = new TestedBackups(stage.environment, { cluster: cluster.name, target });
  await denied.make('denied');
  await denied.untilSaid('denied', /Ready .*InvalidAccessKeyId.*credentials are wrong; check/);
  assert.equal((await denied.untilOver('denied')).status?.phase, 'Failed');
  bucket.fault = ({ method }) => (method === 'PUT' ? 'full' : undefined);
  await backups.make('full');
  await backups.untilSaid('full', /Ready .*there is no room; raise the quota, or prune backups/);
  assert.equal((await backups.untilOver('full')).status?.phase, 'Failed');
  assert.deepEqual(checkBucket(bucket), []);
  bucket.fault = () => undefined;
}

/** In the middle of what is sent, and of what is read back. */
async function cutOff({ backups, bucket }: Setting): Promise<void> {
  let cuts = 0;
  bucket.fault = ({ method, query }) => {
    const isPart = method === 'PUT' && query.has('partNumber');
    if (!isPart || cuts >= 3) return undefined;
    cuts += 1;
    return cuts === 2 ? 'cutAfter' : 'cut';
  };
  bucket.cutGetAfterBytes = valueBytes;
  await backups.make('cut');
  await until('it is cut', stepMsMax, async () => cuts >= 3);
  const backup = await backups.untilVerified('cut');
  assert.equal(manifestsOf(bucket, backup).length, 1);
  bucket.fault = () => undefined;
  bucket.cutGetAfterBytes = undefined;
}

/** Tried for two minutes, and then again. */
async function away({ stage, backups, bucket, gate }: Setting): Promise<void> {
  const before = checkBucket(bucket).length;
  gate.isOpen = false;
  gate.cut();
  await backups.make('away');
  await backups.untilSaid('away', /Ready .*Try 2 of 3, .*cannot be reached.*check the endpoint/);
  stage.note(`away: ${(await backups.get('away'))?.status?.message}`);
  assert.equal(checkBucket(bucket).length, before);
  gate.isOpen = true;
  const backup = await backups.untilVerified('away');
  assert.equal(manifestsOf(bucket, backup).length, 1);
}

interface KillPoint {
  readonly name: string;
  readonly pod: 'save' | 'verify';
  readonly isThere: (asked: S3Asked) => boolean;
  /** The request is served, and only its answer lost. */
  readonly isServed?: true;
  /** Whether it is a backup already. */
  readonly isWhole?: true;
}

const endsIn = ({ method, key }: S3Asked, wanted: string, end: RegExp) =>
  method === wanted && end.test(key);

const killPoints: readonly KillPoint[] = [
  { name: 'begin', pod: 'save', isThere: (asked) => endsIn(asked, 'POST', /\.db$/) },
  { name: 'part', pod: 'save', isThere: ({ query }) => query.get('partNumber') === '2' },
  {
    name: 'stored',
    pod: 'save',
    isServed: true,
    isThere: (asked) => endsIn(asked, 'POST', /\.db$/) && asked.query.has('uploadId'),
  },
  { name: 'compare', pod: 'save', isThere: (asked) => endsIn(asked, 'GET', /\.db$/) },
  { name: 'manifest', pod: 'save', isThere: (asked) => endsIn(asked, 'PUT', /-r\d+\.json$/) },
  {
    name: 'whole',
    pod: 'save',
    isServed: true,
    isWhole: true,
    isThere: (asked) => endsIn(asked, 'PUT', /-r\d+\.json$/),
  },
  {
    name: 'restore',
    pod: 'verify',
    isWhole: true,
    isThere: (asked) => endsIn(asked, 'GET', /\.db$/),
  },
  {
    name: 'proven',
    pod: 'verify',
    isServed: true,
    isWhole: true,
    isThere: (asked) => endsIn(asked, 'PUT', /-ok\.json$/),
  },
];

faultScenario(
  'a backup whose pod is killed at any step is made once, and whole',
  {},
  async ({ stage, backups, bucket }) => {
    for (const point of killPoints) {
      const { environment } = stage;
      const stopped = stopAt(bucket, point);
      await backups.make(point.name);
      const kill = { namespace: environment.namespace, name: `${point.name}-${point.pod}` };
      await until(`it comes to ${point.name}`, stepMsMax, async () => stopped.isStopped);
      const present = await backups.get(point.name);
      assert.ok(present !== undefined);
      const known = manifestsOf(bucket, present).length;
      assert.equal(known, point.isWhole === true ? 1 : 0, `backups at ${point.name}`);
      await environment.remove(objectPath('Pod', kill), 0);
      stopped.goOn();
      const backup = await backups.untilVerified(point.name);
      assert.equal(manifestsOf(bucket, backup).length, 1, `backups after ${point.name}`);
      assert.equal(backup.status?.object, present.status?.object ?? backup.status?.object);
    }
  },
);

/** From the first request that is the point on the bucket does not answer, until `goOn`. */
function stopAt(bucket: FakeS3, { pod, isThere, isServed }: KillPoint) {
  const state = {
    isStopped: false,
    goOn: () => {
      bucket.fault = () => undefined;
    },
  };
  // The same content is read to be compared before it is read to be restored.
  let isSaved = pod === 'save';
  bucket.fault = (asked) => {
    if (state.isStopped) return 'silent';
    if (!isSaved && endsIn(asked, 'PUT', /-r\d+\.json$/)) {
      isSaved = true;
      return undefined;
    }
    if (!isSaved || !isThere(asked)) return undefined;
    state.isStopped = true;
    return isServed === true ? 'cutAfter' : 'silent';
  };
  return state;
}

faultScenario(
  'two operators at once make each backup once',
  { skip: isReal && 'two operators that do not elect run on localkube only' },
  async ({ stage, backups, bucket }) => {
    const directory = mkdtempSync(join(tmpdir(), 'mainstay-second-'));
    const { kubeconfigPath } = stage.environment;
    const logFile = join(directory, 'operator.log');
    const second = new OperatorProcess(root, { kubeconfigPath, logFile });
    await second.start();
    try {
      const names = ['one', 'two', 'three'];
      const keep = { last: 10 };
      await backups.schedule('often', { schedule: '* * * * *', immediate: true, keep });
      for (const name of names) await backups.make(name);
      for (const name of names) await backups.untilVerified(name);
      await until('the schedule has made two', 2 * stepMsMax, async () => {
        const all = await backups.list();
        return all.filter(({ status }) => status?.verifiedAt !== undefined).length >= 5;
      });
      for (const backup of await backups.list()) {
        const { metadata, status } = backup;
        if (status?.phase !== 'Complete') continue;
        assert.equal(manifestsOf(bucket, backup).length, 1, metadata.name);
        // One member gives only so many snapshots at once; nothing else may go wrong.
        assert.match(status.lastFailure ?? 'too many requests', /too many requests/);
      }
    } finally {
      await second.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
