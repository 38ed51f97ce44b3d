import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreBackup } from '../../operator/api/backup-types.ts';
import type { StoreClusterSpec } from '../../operator/api/types.ts';
import { Client } from '../../server/client/client.ts';
import { CompactedError } from '../../server/client/errors.ts';
import { keysUnder, oneKey } from '../../server/client/keys.ts';
import { s3Tools } from '../../test/support/s3-servers.ts';
import { needs } from '../../test/support/tools.ts';
import { openPlace, type PlaceKind } from './backup-place.ts';
import { isReal } from './real-cluster.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { TestedBackups } from './tested-backups.ts';
import { until } from './waiting.ts';

const allKeys = keysUnder('');
const scheduleMsMax = 600_000;
const hashMsMax = 30_000;
/** Between two moments that a restore to a time tells apart. */
const momentMs = 1_500;
const made = 5;
const kept = 3;

/** A backup a minute takes its minutes: on localkube one place has them by the clock, the others when they are asked for. */
const isByTheClock = (kind: PlaceKind): boolean => isReal || kind === 's3rver';

for (const kind of ['s3rver', 'moto', 'swift', 'volume'] as const satisfies PlaceKind[]) {
  scenario(
    `five backups (${kind}), three kept, and every way back`,
    {
      isLong: true,
      skip: kind === 'volume' ? false : needs(...s3Tools[kind]).skip,
    },
    async (stage) => {
      const place = await openPlace(stage.environment, kind);
      try {
        const cluster = stage.cluster('source');
        const { target } = place;
        const backups = new TestedBackups(stage.environment, { cluster: cluster.name, target });
        await cluster.create({ replicas: 3 });
        await cluster.untilSettled(3);
        const makeAll = isByTheClock(kind) ? makeByTheClock : makeWhenAsked;
        const recorded = await fillAndBackUp(stage, cluster, backups, makeAll);
        await stage.measure('destroyed', () => cluster.delete());
        await restoreEveryWay(stage, backups, recorded);
      } finally {
        await place.close();
      }
    },
  );
}

/** What the store said of itself while it was there. */
interface Recorded {
  readonly clusterUID: string;
  readonly backup: StoreBackup;
  readonly point: Moment;
  readonly time: Moment;
  /** RFC 3339: after `time.revision`, before anything later. */
  readonly at: string;
}

interface Moment {
  readonly revision: number;
  readonly hash: number;
}

async function fillAndBackUp(
  stage: Stage,
  cluster: TestedCluster,
  backups: TestedBackups,
  makeAll: (backups: TestedBackups) => Promise<void>,
): Promise<Recorded> {
  await stage.load(cluster);
  await stage.measure(`${made} backups, verified`, () => makeAll(backups));
  const left = await backups.untilCount(kept);
  for (const { metadata, status } of left) {
    assert.ok(status?.verifiedAt, `${metadata.name} that is kept is verified: ${status?.message}`);
  }
  await stage.verify();
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  try {
    const point = await marked(client, 'one');
    const time = await marked(client, 'two');
    await sleep(momentMs);
    const at = new Date().toISOString();
    await sleep(momentMs);
    const { revision } = await marked(client, 'three');
    await backups.untilArchived('often', revision);
    await backups.suspend('often');
    const { metadata } = await cluster.get();
    const backup = await findAgain(backups, left);
    await checkBackup(client, backup);
    return { clusterUID: metadata.uid ?? '', backup, point, time, at };
  } finally {
    client.close();
  }
}

async function makeByTheClock(backups: TestedBackups): Promise<void> {
  await schedule(backups, '* * * * *');
  await untilVerified(backups, made, new Set());
}

async function makeWhenAsked(backups: TestedBackups): Promise<void> {
  await schedule(backups, '0 0 1 1 *');
  const verified = new Set<string>();
  // The first one is the schedule's.
  await untilVerified(backups, 1, verified);
  for (let number = 1; number < made; number++) await backups.make(`asked-${number}`);
  await untilVerified(backups, made, verified);
}

async function schedule(backups: TestedBackups, when: string): Promise<void> {
  await backups.schedule('often', {
    schedule: when,
    immediate: true,
    keep: { last: kept },
    archive: { intervalSeconds: 1 },
  });
}

/** `verified`: what was seen so far; not all of it is kept. */
async function untilVerified(
  backups: TestedBackups,
  count: number,
  verified: Set<string>,
): Promise<void> {
  await until(
    `${count} backups are verified`,
    scheduleMsMax,
    async () => {
      const all = await backups.list();
      for (const { metadata, status } of all) {
        assert.notEqual(status?.phase, 'Failed', `${metadata.name}: ${status?.message}`);
        if (status?.verifiedAt !== undefined) verified.add(metadata.name);
      }
      return verified.size >= count;
    },
    () => [...verified].join(', '),
  );
}

/** StoreBackups that are lost come back from what the target has: the newest of them. */
async function findAgain(
  backups: TestedBackups,
  before: readonly StoreBackup[],
): Promise<StoreBackup> {
  await backups.forget();
  await backups.untilCount(0);
  const found = await backups.untilCount(before.length);
  for (const { metadata } of found) await backups.untilOver(metadata.name);
  const facts = (all: readonly StoreBackup[]) =>
    new Set(
      all.map(({ status = {} }) => {
        const { object, revision, hash, keys, verifiedAt } = status;
        return [object, revision, hash, keys, verifiedAt !== undefined].join(' ');
      }),
    );
  const after = await backups.list();
  assert.deepEqual(facts(after), facts(before));
  return after.at(-1) ?? assert.fail();
}

/** Writes, and asks for the hash of all that there is then. */
async function marked(client: Client, value: string): Promise<Moment> {
  const { header } = await client.put('mark', value);
  return { revision: header.revision, hash: await hashAt(client, header.revision) };
}

/** Any member may answer, and one that is behind does not know the revision yet. */
async function hashAt(client: Client, revision: number): Promise<number> {
  const [endpoint = ''] = client.endpoints;
  let found: number | undefined;
  let why = '';
  await until(
    `HashKV at revision ${revision}`,
    hashMsMax,
    async () => {
      try {
        found = (await client.hashKV(endpoint, { revision })).hash;
      } catch (error) {
        why = String(error);
      }
      return found !== undefined;
    },
    () => why,
  );
  return found ?? 0;
}

async function checkBackup(client: Client, { metadata, status }: StoreBackup): Promise<void> {
  const { revision = 0, hash, keys } = status ?? {};
  const what = `${metadata.name} at revision ${revision}`;
  assert.equal(String(await hashAt(client, revision)), hash, `HashKV of ${what}`);
  const { count } = await client.range(allKeys, { revision, countOnly: true });
  assert.equal(count, keys, `keys of ${what}`);
}

/** New stores beside each other, each from what the bucket has; then one of them goes back once more, in place. */
async function restoreEveryWay(
  stage: Stage,
  backups: TestedBackups,
  recorded: Recorded,
): Promise<void> {
  const { target } = backups;
  const { clusterUID, backup, point, time, at } = recorded;
  const { object = '', revision = 0, hash = '' } = backup.status ?? {};
  const saved = { revision, hash: Number(hash) };
  const ways: readonly (readonly [name: string, restore: Restore, expected: Moment])[] = [
    ['by-backup', { backup: backup.metadata.name }, saved],
    ['by-revision', { target, clusterUID, revision: point.revision }, point],
    ['by-name', { target, clusterUID, name: object }, saved],
    ['by-time', { target, clusterUID, time: at }, time],
  ];
  const clusters = ways.map(([name]) => stage.cluster(name));
  await stage.measure(`restored in ${ways.length} ways`, async () => {
    await Promise.all(
      ways.map(async ([name, restore, expected], index) => {
        const cluster = clusters[index] ?? assert.fail(name);
        await cluster.create({ replicas: 1, bootstrap: { restore } });
        await cluster.untilSettled(1);
        await checkMoment(cluster, expected);
      }),
    );
  });
  await restoreInPlace(stage, clusters.at(-1) ?? assert.fail(), recorded);
}

type Restore = NonNullable<NonNullable<StoreClusterSpec['bootstrap']>['restore']>;

async function checkMoment(cluster: TestedCluster, { revision, hash }: Moment): Promise<void> {
  const client = new Client({ endpoints: [await cluster.endpoint()] });
  try {
    const { header } = await client.range(oneKey('mark'));
    assert.equal(header.revision, revision, `the revision of ${cluster.name}`);
    assert.equal(await hashAt(client, revision), hash, `HashKV of ${cluster.name}`);
  } finally {
    client.close();
  }
}

/** Name, Service and uid stay; revisions go on above all that were ever served, and who watches is told. */
async function restoreInPlace(
  stage: Stage,
  cluster: TestedCluster,
  { backup }: Recorded,
): Promise<void> {
  const { metadata } = await cluster.get();
  const endpoint = await cluster.endpoint();
  const client = new Client({ endpoints: [endpoint] });
  const volumes = (await cluster.volumes()).map((volume) => volume.metadata.uid);
  try {
    const found = await client.get('mark');
    assert.equal(found && Buffer.from(found.value).toString(), 'two');
    const { header } = await client.put('mark', 'four');
    const restore = { backup: backup.metadata.name };
    await cluster.edit({ restore: { ...restore, confirmUID: 'another' } });
    await cluster.untilSaid(new RegExp(`RestoreRefused: .*${metadata.uid}`));
    await stage.measure('restored in place', async () => {
      await cluster.edit({ restore: { ...restore, confirmUID: metadata.uid } });
      await cluster.untilSaid(/Restor/);
      await cluster.untilSettled(1);
    });
    const after = await client.range(oneKey('mark'));
    assert.equal(after.kvs.length, 0, 'the mark came after the backup');
    assert.ok(after.header.revision > header.revision, 'revisions only grow');
    const { count } = await client.range(allKeys, { countOnly: true });
    assert.equal(count, backup.status?.keys);
    await assert.rejects(firstOf(client, header.revision + 1), CompactedError);
    assert.equal(await cluster.endpoint(), endpoint);
    assert.equal((await cluster.get()).metadata.uid, metadata.uid);
    const now = (await cluster.volumes()).map((volume) => volume.metadata.uid);
    assert.ok(!volumes.some((uid) => now.includes(uid)), 'the volumes that were are put aside');
    await confirmRestored(cluster, volumes);
    await client.put('mark', 'five');
  } finally {
    client.close();
  }
}

/** What was put aside stays until it is said that it is not needed. */
async function confirmRestored(cluster: TestedCluster, former: readonly unknown[]): Promise<void> {
  const parked = async () => (await cluster.parkedVolumes()).map(({ metadata }) => metadata.uid);
  assert.deepEqual(new Set(await parked()), new Set(former));
  const { spec, status } = await cluster.get();
  assert.equal(status?.restore?.parked?.length, former.length);
  await cluster.edit({ restore: { ...spec.restore, confirmRestored: status.restore.id } });
  const areGone = async () => (await parked()).length === 0;
  await until('the volumes that were put aside are gone', hashMsMax, areGone);
}

/** What a client that has seen everything until then is told next. */
async function firstOf(client: Client, startRevision: number): Promise<void> {
  const watch = client.watch(allKeys, { startRevision, signal: AbortSignal.timeout(hashMsMax) });
  for await (const _batch of watch) return;
}
