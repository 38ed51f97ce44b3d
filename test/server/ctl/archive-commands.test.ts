import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRestored } from '../../../server/backup/restored-member.ts';
import { Client } from '../../../server/client/client.ts';
import { keysUnder, oneKey } from '../../../server/client/keys.ts';
import { deleteOp, putOp } from '../../../server/client/txn.ts';
import { runCommand } from '../../support/ctl.ts';
import { programPath } from '../../support/programs.ts';
import { TestCluster } from '../../support/server-process.ts';

// Point in time: what is restored is compared with what the cluster said of that revision.

const directory = mkdtempSync(join(tmpdir(), 'mainstay-archive-'));
const keyFile = join(directory, 'key');
const ctlMain = programPath('server/ctl/main');

let cluster: TestCluster;
let client: Client;
let target: string;
let targets = 0;

before(async () => {
  writeFileSync(keyFile, randomBytes(32));
  cluster = await TestCluster.start({ program: 'mainstay' });
  client = new Client({ endpoints: cluster.endpoints });
});

after(async () => {
  client.close();
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

function newTarget(): void {
  target = join(directory, `target-${targets++}`);
  mkdirSync(target);
}

async function ctl(...words: readonly string[]): Promise<Record<string, unknown>> {
  const env = { ETCDCTL_ENDPOINTS: cluster.endpoints.join(',') };
  const line = ['backup', ...words, '--target', target, '-w', 'json'];
  const { out } = await runCommand(line, { env });
  return JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

let restores = 0;

/** What a restore has, or why there is none. */
async function restored(...flags: readonly string[]) {
  const dataDir = join(directory, `restored-${restores++}`);
  const outcome = await ctl('restore', ...flags, '--data-dir', dataDir);
  assert.equal(outcome['ok'], true, JSON.stringify(outcome));
  assert.equal((await ctl('restore', ...flags, '--dry-run'))['revision'], outcome['revision']);
  return { ...(await openRestored(dataDir)), planned: outcome['revision'], outcome };
}

async function revisionNow(): Promise<number> {
  return (await client.range(oneKey('x'))).header.revision;
}

/** Puts, deletions, transactions, leases. */
async function change(round: number): Promise<void> {
  const lease = await client.leaseGrant(600);
  for (let at = 0; at < 10; at++) await client.put(`key ${at}`, `${round} ${at}`);
  await client.put('leased', 'x', { lease: lease.ID });
  await client.delete(oneKey(`key ${round % 10}`));
  await client
    .when()
    .do(putOp('a', `${round}`), deleteOp(keysUnder('key 3')), putOp('b', `${round}`))
    .commit();
}

async function hashAt(revision: number): Promise<number> {
  return (await client.hashKV(cluster.member(0).clientUrl, { revision })).hash;
}

suite('mainstayctl backup archive', { timeout: 540_000 }, () => {
  test('without a backup there is nothing to follow', async () => {
    newTarget();
    const { failure, message } = await ctl('archive', '--once');
    assert.equal(failure, 'NotFound');
    assert.match(String(message), /take one first/);
  });

  for (const isEncrypted of [false, true]) {
    test(`any revision is restored as it was${isEncrypted ? ', encrypted' : ''}`, async () => {
      newTarget();
      const key = isEncrypted ? ['--encryption-key-file', keyFile] : [];
      await change(0);
      await ctl('save', ...key);
      const base = await revisionNow();
      const hashes = new Map<number, number>();
      for (let round = 1; round <= 4; round++) {
        await change(round);
        hashes.set(await revisionNow(), await hashAt(await revisionNow()));
        const archived = await ctl('archive', '--once', ...key);
        assert.equal(archived['to'], await revisionNow());
      }
      const between = base + 17;
      hashes.set(between, await hashAt(between));
      hashes.set(base, await hashAt(base));
      for (const [revision, hash] of hashes) {
        const found = await restored('--revision', String(revision), ...key);
        assert.deepEqual([found.revision, found.hash, found.planned], [revision, hash, revision]);
      }
      const beyond = await ctl(
        'restore',
        '--revision',
        String((await revisionNow()) + 1),
        ...key,
        '--dry-run',
      );
      assert.equal(beyond['failure'], 'NotArchived');
      const before = await ctl('restore', '--revision', '1', ...key, '--dry-run');
      assert.match(
        String(before['message']),
        /revision 1 is not in the archive: every backup is of later/,
      );
      // The next revision is above all, and what changed is behind it.
      const above = await restored(
        '--revision',
        String(between),
        '--above-revision',
        '9000',
        ...key,
      );
      assert.deepEqual([above.revision, above.compactRevision], [9_000, 9_000]);
      if (isEncrypted) {
        const wrong = await ctl('restore', '--revision', String(between), '--dry-run');
        assert.equal(wrong['failure'], 'WrongKey');
      }
    });
  }

  test('a time means the last revision that was stamped at or before it', async () => {
    newTarget();
    await ctl('save');
    const moments: { readonly time: string; readonly revision: number }[] = [];
    const archive = started('archive', '--interval', '50ms', '--silence', '100ms');
    await archive.wrote(1);
    for (let round = 0; round < 3; round++) {
      await client.put('moment', String(round));
      const revision = await revisionNow();
      await archive.reached(revision);
      await sleep(300);
      moments.push({ time: new Date().toISOString(), revision });
      await sleep(300);
    }
    // A time without changes is in the archive as well.
    const silent = new Date().toISOString();
    await archive.until(silent);
    await archive.stop('SIGTERM');
    for (const { time, revision } of [
      ...moments,
      { time: silent, revision: moments[2]?.revision ?? 0 },
    ]) {
      assert.equal((await restored('--time', time)).revision, revision);
    }
    const later = new Date(Date.now() + 60_000).toISOString();
    const beyond = await ctl('restore', '--time', later, '--dry-run');
    assert.equal(beyond['failure'], 'NotArchived');
    assert.match(
      String(beyond['message']),
      /ends before: from \S+ \(revision \d+\) to revision \d+, until/,
    );
    const before = await ctl('restore', '--time', '2001-01-01T00:00:00Z', '--dry-run');
    assert.equal(before['failure'], 'NotArchived');
  });

  test('it goes on where it was killed, and what is held is written when it is stopped', async () => {
    newTarget();
    await ctl('save');
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const archive = started('archive', '--interval', signal === 'SIGTERM' ? '1h' : '30ms');
      await archive.follows();
      for (let at = 0; at < 50; at++) await client.put(`k${at}`, signal);
      if (signal === 'SIGKILL') await archive.wrote(1);
      await archive.stop(signal);
    }
    const end = await revisionNow();
    assert.equal((await ctl('archive', '--once'))['to'], end);
    assert.equal((await restored('--revision', String(end))).hash, await hashAt(end));
  });

  test('compaction was faster: the window ends, and only a new backup begins another', async () => {
    newTarget();
    await ctl('save', '--backup-id', 'first');
    const start = await revisionNow();
    await change(1);
    await ctl('archive', '--once');
    const end = await revisionNow();
    await change(2);
    const lost = await revisionNow();
    await client.compact(lost);
    const gap = await ctl('archive', '--once');
    assert.equal(gap['failure'], 'Gap');
    assert.match(
      String(gap['message']),
      new RegExp(`the window ends at revision ${end}; take a new backup`),
    );
    await ctl('save', '--backup-id', 'second');
    await change(3);
    await ctl('archive', '--once');
    for (const revision of [end, lost, await revisionNow()]) {
      assert.equal((await restored('--revision', String(revision))).revision, revision);
    }
    const newest = await revisionNow();
    assert.equal((await restored('--revision', String(newest))).hash, await hashAt(newest));
    const { windows } = (await ctl('list')) as { windows: Record<string, unknown>[] };
    const spans = windows.map((each) => [each['fromRevision'], each['toRevision']]);
    assert.deepEqual(spans, [
      [start, end],
      [lost, newest],
    ]);
    for (let revision = end + 1; revision < lost; revision++) {
      const missing = await ctl('restore', '--revision', String(revision), '--dry-run');
      assert.equal(missing['failure'], 'NotArchived');
    }
    const other = await ctl('restore', 'first', '--revision', String(lost), '--dry-run');
    assert.equal(other['failure'], 'NotArchived');
  });

  test('prune takes the changes that no backup needs any more', async () => {
    newTarget();
    const saved = await ctl('save');
    await change(1);
    await ctl('archive', '--once');
    await ctl('save');
    await change(2);
    await ctl('archive', '--once');
    const uid = ['--cluster-uid', String(saved['clusterUid'])];
    const pruned = await ctl('prune', ...uid, '--keep-last', '1');
    assert.equal((pruned['deleted'] as string[]).length, 1);
    assert.equal((pruned['changes'] as string[]).length, 2);
    const left = readdirSync(target, { recursive: true, encoding: 'utf8' });
    assert.equal(left.filter((name) => name.endsWith('.changes')).length, 2);
    const end = await revisionNow();
    assert.equal((await restored('--revision', String(end))).hash, await hashAt(end));
  });

  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['--time', 'yesterday'], /is no time like/],
    [['--time', '2026-11-27T10:00:00Z', '--revision', '5'], /exclude each other/],
    [['--object', 'x', '--revision', '5'], /excludes --revision and --time/],
  ];
  for (const [words, message] of wrong) {
    test(`wrong: backup restore ${words.join(' ')}`, async () => {
      const outcome = await ctl('restore', ...words, '--dry-run');
      assert.equal(outcome['failure'], 'Invalid');
      assert.match(String(outcome['message']), message);
    });
  }
});

interface Line {
  readonly kind: string;
  readonly to: number;
  readonly archivedAt: string;
}

/** A process of its own, whose lines are read as they come. */
class RunningArchive {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #text = '';

  constructor(words: readonly string[]) {
    const line = ['--endpoints', cluster.endpoints.join(','), 'backup', ...words];
    const all = [...line, '--target', target, '-w', 'json'];
    this.#child = spawn(process.execPath, [ctlMain, ...all], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
  }

  #linesOf(kind: string): Line[] {
    const lines = this.#text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Line).filter((line) => line.kind === kind);
  }

  get #lines(): Line[] {
    return this.#linesOf('archived');
  }

  follows(): Promise<void> {
    return this.#when(() => this.#linesOf('following').length > 0);
  }

  wrote(objects: number): Promise<void> {
    return this.#when(() => this.#lines.length >= objects);
  }

  reached(revision: number): Promise<void> {
    return this.#when(() => this.#lines.some(({ to }) => to >= revision));
  }

  until(time: string): Promise<void> {
    return this.#when(() => this.#lines.some(({ archivedAt }) => archivedAt >= time));
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    await this.#exited;
    if (signal === 'SIGTERM') assert.equal(this.#child.exitCode, 0);
  }

  async #when(isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (!isSo()) {
      assert.ok(performance.now() < deadline && this.#child.exitCode === null, this.#text);
      await sleep(20);
    }
  }
}

function started(...words: readonly string[]): RunningArchive {
  return new RunningArchive(words);
}
