import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ArchiveOptions, archiveChanges } from '../../../server/backup/archive.ts';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { planRestore } from '../../../server/backup/restore.ts';
import { saveBackup } from '../../../server/backup/save.ts';
import { Client } from '../../../server/client/client.ts';
import { oneKey } from '../../../server/client/keys.ts';
import { stampSpanMs } from '../../../server/config/limits.ts';
import { TestCluster } from '../../support/server-process.ts';
import { needs } from '../../support/tools.ts';

// Restoring to a time: what the leader had then, whatever the archive's clock says. The members' clock is this process's.

const hoursMs = 5 * 3_600_000;

interface Moment {
  readonly timeMs: number;
  readonly revision: number;
}

/** A store, and a target whose backups and archives are made with a clock that is so much ahead. */
class Place {
  readonly target: DirectoryTarget;
  readonly client: Client;
  readonly #wallMs: () => number;

  constructor(cluster: TestCluster, directory: string, aheadMs: number) {
    this.target = new DirectoryTarget(mkdtempSync(join(directory, 'target-')));
    this.client = new Client({ endpoints: cluster.endpoints });
    this.#wallMs = () => Date.now() + aheadMs;
  }

  async save(): Promise<void> {
    const options = { id: `b${Date.now()}`, onProgress() {} };
    await saveBackup({ client: this.client, target: this.target, wallMs: this.#wallMs }, options);
  }

  /** The newest backup was made with a clock that was so much ahead, by a release that asked no leader. */
  predate(aheadMs: number): void {
    const names = readdirSync(this.target.place, { recursive: true, encoding: 'utf8' });
    const newest =
      names
        .filter((name) => /-r\d+\.json$/.test(name))
        .toSorted()
        .at(-1) ?? '';
    const file = join(this.target.place, newest);
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as { pinnedAt: string };
    const pinnedAt = new Date(Date.parse(manifest.pinnedAt) + aheadMs).toISOString();
    writeFileSync(file, JSON.stringify({ ...manifest, pinnedAt }));
  }

  archive(of: Pick<ArchiveOptions, 'isOnce'> & Partial<ArchiveOptions>) {
    return archiveChanges(
      { client: this.client, target: this.target, wallMs: this.#wallMs },
      {
        intervalMs: 50,
        silenceMs: 100,
        onFollowing() {},
        onWritten() {},
        signal: new AbortController().signal,
        ...of,
      },
    );
  }

  /** Archives until that has been written. */
  async archiveWhile(
    run: () => Promise<number>,
    options: Partial<ArchiveOptions> = {},
  ): Promise<void> {
    const stop = new AbortController();
    let written = 0;
    const archiving = this.archive({
      isOnce: false,
      ...options,
      signal: stop.signal,
      onWritten: ({ to }) => {
        written = to;
      },
    });
    const revision = await run();
    for (let tries = 0; written < revision && tries < 500; tries++) await sleep(20);
    // A silence says that nothing had happened until now.
    await sleep(400);
    stop.abort();
    assert.equal((await archiving).to, revision);
  }

  /** So many changes, with a moment behind each that nothing else shares. */
  async change(count: number): Promise<Moment[]> {
    const moments: Moment[] = [];
    for (let at = 0; at < count; at++) {
      await this.client.put(`key ${at}`, 'a');
      const { revision } = await this.client.put(`key ${at}`, 'b').then(({ header }) => header);
      await sleep(stampSpanMs + 20);
      moments.push({ timeMs: Date.now(), revision });
      await sleep(20);
    }
    return moments;
  }

  async revisionNow(): Promise<number> {
    return (await this.client.range(oneKey('x'))).header.revision;
  }

  plan(timeMs: number) {
    const point = { kind: 'time', timeMs } as const;
    const source = { kind: 'point', point, wanted: undefined } as const;
    return planRestore(this.target, source, { uid: undefined, keys: [] });
  }

  async check(moments: readonly Moment[], isLate = false): Promise<void> {
    for (const { timeMs, revision } of moments) {
      const plan = await this.plan(timeMs);
      assert.deepEqual([plan.revision, plan.isLate], [revision, isLate]);
    }
  }
}

suite('archives by the clock of the leader', { timeout: 240_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-stamps-'));
  let cluster: TestCluster;
  const places: Place[] = [];

  before(async () => {
    cluster = await TestCluster.start({ program: 'mainstay', size: 3 });
  });
  after(async () => {
    for (const { client } of places) client.close();
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  function placeWith(aheadMs: number, of = cluster): Place {
    const place = new Place(of, directory, aheadMs);
    places.push(place);
    return place;
  }

  for (const aheadMs of [hoursMs, -hoursMs]) {
    test(`a clock that is ${aheadMs} ms ahead does not matter`, async () => {
      const place = placeWith(aheadMs);
      const early = Date.now();
      await place.save();
      const [base, atBase] = [await place.revisionNow(), Date.now()];
      await sleep(20);
      const moments: Moment[] = [{ timeMs: atBase, revision: base }];
      await place.archiveWhile(async () => {
        moments.push(...(await place.change(3)));
        return place.revisionNow();
      });
      await place.check(moments);
      // What is asked for is later than what the archive knows of, or before all.
      for (const timeMs of [Date.now() + 60_000, early]) {
        await assert.rejects(place.plan(timeMs), { failure: 'NotArchived' });
      }
    });
  }

  test('what happened while no archive was running is exact, and not late', async () => {
    const place = placeWith(-hoursMs);
    await place.save();
    const first = await place.change(2);
    await place.archive({ isOnce: true });
    const second = await place.change(2);
    await place.archive({ isOnce: true });
    await place.check([...first, ...second]);
  });

  test('a backup that says it is of earlier than it is gives way to the stamp of its revision', async () => {
    const place = placeWith(0);
    await place.save();
    const moments: Moment[] = [];
    await place.archiveWhile(
      async () => {
        moments.push(...(await place.change(2)));
        await place.save();
        place.predate(-hoursMs);
        moments.push(...(await place.change(2)));
        return place.revisionNow();
      },
      { intervalMs: 2_000 },
    );
    await place.archive({ isOnce: true });
    await place.check(moments);
  });

  test('another leader in between', async () => {
    const place = placeWith(hoursMs);
    await place.save();
    const moments: Moment[] = [];
    await place.archiveWhile(async () => {
      moments.push(...(await place.change(2)));
      for (let round = 0; round < 2; round++) {
        const { members } = await place.client.memberList();
        const [status] = await Promise.all(
          cluster.endpoints.slice(0, 1).map((endpoint) => place.client.status(endpoint)),
        );
        const next = members.find(({ ID }) => ID !== status?.leader);
        await place.client.moveLeader(next?.ID ?? 0n);
        moments.push(...(await place.change(2)));
      }
      return place.revisionNow();
    });
    await place.check(moments);
  });

  test('what a leader only followed, and was archived afterwards, is said to be late', async () => {
    const place = placeWith(0);
    await place.save();
    const followed = await place.change(3);
    const { leader } = await place.client.status(cluster.endpoints[0] ?? '');
    const { members } = await place.client.memberList();
    await place.client.moveLeader(members.find(({ ID }) => ID !== leader)?.ID ?? 0n);
    const own = await place.change(2);
    await place.archive({ isOnce: true });
    await place.check(followed.slice(0, 2), true);
    await place.check([...followed.slice(2), ...own]);
  });

  test('what a member applied before it was started again is late, and what came since is exact', async () => {
    const single = await TestCluster.start({ program: 'mainstay' });
    try {
      const place = placeWith(hoursMs, single);
      await place.save();
      const former = await place.change(2);
      await single.member(0).stop('SIGTERM');
      await single.member(0).start();
      const newer = await place.change(2);
      await place.archive({ isOnce: true });
      const base = 1;
      await place.check(
        former.map(({ timeMs }) => ({ timeMs, revision: base })),
        true,
      );
      await place.check(newer);
    } finally {
      await single.stop();
    }
  });

  test('etcd tells no stamps: the own clock', needs('etcd'), async () => {
    const etcd = await TestCluster.start({ program: 'etcd' });
    try {
      const place = placeWith(hoursMs, etcd);
      await place.save();
      const moments: Moment[] = [];
      await place.archiveWhile(async () => {
        moments.push(...(await place.change(2)));
        return place.revisionNow();
      });
      await place.check(
        moments.map(({ timeMs, revision }) => ({ timeMs: timeMs + hoursMs, revision })),
      );
    } finally {
      await etcd.stop();
    }
  });
});
