import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { openRestored } from '../../../server/backup/restored-member.ts';
import { saveBackup } from '../../../server/backup/save.ts';
import { Client } from '../../../server/client/client.ts';
import { oneKey } from '../../../server/client/keys.ts';
import { planText } from '../../../server/ctl/backup-commands.ts';
import { runCommand } from '../../support/ctl.ts';
import { FakeS3, type Fault, type S3Asked } from '../../support/fake-s3.ts';
import { programPath } from '../../support/programs.ts';
import { TestCluster } from '../../support/server-process.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { isWhole } from '../../support/whole.ts';

// Commands as they are typed, against real members.

const directory = mkdtempSync(join(tmpdir(), 'mainstay-backups-'));
const keyFile = join(directory, 'key');
const otherKeyFile = join(directory, 'other-key');
const ctlMain = programPath('server/ctl/main');

let cluster: TestCluster;
let client: Client;

before(async () => {
  writeFileSync(keyFile, randomBytes(32).toString('base64'));
  writeFileSync(otherKeyFile, randomBytes(32));
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'right', AWS_SECRET_ACCESS_KEY: 'secret' });
  cluster = await TestCluster.start({ program: 'mainstay', size: 3 });
  client = new Client({ endpoints: cluster.endpoints });
  for (let at = 0; at < 200; at++) await client.put(`key ${at % 150}`, 'v'.repeat(3_000));
  await client.delete(oneKey('key 7'));
  await client.compact(100);
});

after(async () => {
  client.close();
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function ctl(...words: readonly string[]): Promise<Ran> {
  const env = { ETCDCTL_ENDPOINTS: cluster.endpoints.join(',') };
  return runCommand(words, { env });
}

/** The outcome that the command tells programs. */
async function outcomeOf(...words: readonly string[]): Promise<Record<string, unknown>> {
  const { out, err } = await ctl('backup', ...words, '-w', 'json');
  assert.match(out, /^\{.*\}\n$/, err);
  return JSON.parse(out) as Record<string, unknown>;
}

let targets = 0;

function newTarget(): string {
  const path = join(directory, `target-${targets++}`);
  mkdirSync(path);
  return path;
}

function filesBelow(path: string): string[] {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

async function fakeFlags(fake: FakeS3): Promise<string[]> {
  return ['--target', 's3://backups/some/where', '--s3-endpoint', fake.url, '--s3-retry-for', '2s'];
}

suite('mainstayctl backup', { timeout: 540_000 }, () => {
  test('a list in brief fits into a result file, and goes on where it ended', async () => {
    const target = newTarget();
    const file = join(directory, 'brief.json');
    const names: unknown[] = [];
    for (let number = 1; number <= 6; number++) {
      const cluster = number === 3 ? 'other' : 'demo';
      const of = ['--backup-id', `b${number}`, '--cluster', cluster, '--cluster-uid', `u${number}`];
      const { name } = await outcomeOf('save', '--target', target, ...of);
      if (cluster === 'demo') names.unshift(name);
    }
    await outcomeOf('verify', '--target', target, 'b6');
    const brief = async (...more: string[]) => {
      const of = ['--brief', '--cluster', 'demo', '--result-file', file];
      await outcomeOf('list', '--target', target, ...of, ...more);
      const { backups } = JSON.parse(readFileSync(file, 'utf8')) as {
        backups: Record<string, unknown>[];
      };
      return backups;
    };
    const all = await brief();
    assert.deepEqual(
      all.map(({ name }) => name),
      names,
    );
    assert.ok(Date.parse(String(all[0]?.['verifiedAt'])) > 0);
    assert.equal(all[1]?.['verifiedAt'], undefined);
    const rest = await brief('--before', String(names[3]));
    assert.deepEqual(
      rest.map(({ name }) => name),
      names.slice(4),
    );
    assert.deepEqual(await brief('--before', String(names[4])), []);
  });

  test('stores of one name in several namespaces are told apart, where their backups say which', async () => {
    const target = newTarget();
    const save = async (uid: string, ...namespace: string[]) => {
      const of = ['--backup-id', uid, '--cluster', 'demo', '--cluster-uid', uid, ...namespace];
      const { name } = await outcomeOf('save', '--target', target, ...of);
      return String(name);
    };
    const [former, here, elsewhere] = [
      await save('u1'),
      await save('u2', '--namespace', 'here'),
      await save('u3', '--namespace', 'elsewhere'),
    ];
    const listed = async (...more: string[]) => {
      const of = ['--target', target, '--brief', '--cluster', 'demo', ...more];
      const { backups } = (await outcomeOf('list', ...of)) as { backups: { name: string }[] };
      return backups.map(({ name }) => name);
    };
    assert.deepEqual(await listed('--namespace', 'here'), [here, former]);
    assert.deepEqual(await listed('--namespace', 'elsewhere'), [elsewhere, former]);
    assert.deepEqual(await listed(), [elsewhere, here, former]);
    const { out } = await ctl('backup', 'list', '--target', target);
    const clusters = [...out.matchAll(/^\S+\s+(\S*demo)\s/gm)].map(([, cluster]) => cluster);
    assert.deepEqual(clusters, ['demo', 'here/demo', 'elsewhere/demo']);
  });

  test('a list in brief counts what it cannot read', async () => {
    const target = newTarget();
    const of = ['--cluster', 'demo', '--cluster-uid', 'u'];
    const { name } = await outcomeOf('save', '--target', target, ...of);
    await outcomeOf('save', '--target', target, ...of);
    const folder = join(target, 'u', 'backups');
    const manifest = readdirSync(folder).find(
      (file) => file.startsWith(String(name)) && file.endsWith('.json'),
    );
    assert.ok(manifest !== undefined);
    const path = join(folder, manifest);
    writeFileSync(path, readFileSync(path, 'utf8').replace('"format": 1', '"format": 99'));
    const { backups, unreadable } = await outcomeOf('list', '--target', target, '--brief');
    assert.deepEqual([(backups as unknown[]).length, unreadable], [1, 1]);
  });

  test('save, list, verify: of a follower, and what is told is what is there', async () => {
    const target = newTarget();
    const file = join(directory, 'result.json');
    const { revision } = (await client.range({ key: Buffer.of(0), rangeEnd: Buffer.of(0) })).header;
    const saved = await outcomeOf(
      'save',
      '--target',
      target,
      '--backup-id',
      'first',
      '--result-file',
      file,
    );
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), saved);
    const { name, hash } = saved;
    const wanted = {
      ok: true,
      kind: 'save',
      id: 'first',
      keys: 149,
      revision,
      compactRevision: 100,
    };
    assert.deepEqual({ ...saved, ...wanted }, saved);
    assert.equal((saved['member'] as { role: string }).role, 'follower');
    const told = await client.hashKV(cluster.member(0).clientUrl, { revision });
    assert.deepEqual([hash, saved['memberHash']], [told.hash, 'equal']);

    const verified = await outcomeOf('verify', '--target', target);
    assert.deepEqual({ ...verified, ok: true, name, hash, revision, keys: 149 }, verified);
    const { backups } = (await outcomeOf('list', '--target', target)) as {
      backups: Record<string, unknown>[];
    };
    assert.deepEqual(
      backups.map((each) => [each['name'], each['verified']]),
      [[name, 'yes']],
    );
    const { out } = await ctl('backup', 'list', '--target', target);
    assert.match(out, /^NAME +CLUSTER .*VERIFIED\n\S+-first-\S+ .* yes\n$/);
  });

  test('the same id again makes no second backup', async () => {
    const target = newTarget();
    const flags = ['save', '--target', target, '--backup-id', 'same', '--cluster-uid', 'prod'];
    const first = await outcomeOf(...flags);
    const files = filesBelow(target);
    const second = await outcomeOf(...flags);
    assert.deepEqual([first['wasThere'], second['wasThere']], [false, true]);
    assert.equal(second['name'], first['name']);
    assert.deepEqual(filesBelow(target), files);
  });

  for (const isEncrypted of [false, true]) {
    test(`restore: a member that serves what was there${isEncrypted ? ', encrypted' : ''}`, async () => {
      const target = newTarget();
      const key = isEncrypted ? ['--encryption-key-file', keyFile] : [];
      const saved = await outcomeOf('save', '--target', target, ...key);
      const restored = await TestCluster.prepare({ program: 'mainstay', size: 1 });
      const member = restored.member(0);
      const flags = [
        '--name',
        member.name,
        '--initial-cluster',
        `${member.name}=${member.peerUrl}`,
      ];
      const { code, out, err } = await ctl(
        'backup',
        'restore',
        '--target',
        target,
        ...key,
        '--data-dir',
        member.dataDirectory,
        ...flags,
        '--initial-advertise-peer-urls',
        member.peerUrl,
        ...(isEncrypted ? ['--above-revision', '5000'] : []),
      );
      assert.equal(code, 0, err);
      assert.match(out, /^Restored \S+ into \S+: cluster [0-9a-f]+, member [0-9a-f]+\n$/);
      const others = readdirSync(join(member.dataDirectory, '..')).filter(
        (each) => each !== member.name,
      );
      assert.deepEqual(others, []);
      try {
        await member.start(restored.flagsFor('new'));
        const reader = new Client({ endpoints: restored.endpoints });
        const told = await reader.hashKV(member.clientUrl, { timeoutMs: 20_000 });
        const value = await reader.get('key 8');
        assert.equal(value?.value.length, 3_000);
        if (isEncrypted) {
          // Above all that was ever served, and compacted up to there.
          const { header } = await reader.put('new', 'value');
          assert.equal(header.revision, 5_001);
          await assert.rejects(reader.get('key 8', { revision: 4_999 }), /compacted/);
        } else {
          assert.deepEqual([told.hash, told.hashRevision], [saved['hash'], saved['revision']]);
        }
        reader.close();
      } finally {
        await restored.stop();
      }
    });
  }

  test('a snapshot of anybody is restored by its path; three members from one backup are one cluster', async () => {
    const target = newTarget();
    const saved = await outcomeOf('save', '--target', target);
    copyFileSync(join(target, saved['data'] as string), join(target, 'foreign.db'));
    const object = await outcomeOf(
      'restore',
      '--target',
      target,
      '--object',
      'foreign.db',
      '--data-dir',
      join(target, 'x'),
    );
    const initial = 'a=http://a:1,b=http://b:1';
    const ids = [];
    for (const name of ['a', 'b']) {
      const flags = [
        '--name',
        name,
        '--initial-cluster',
        initial,
        '--data-dir',
        join(target, name),
      ];
      const url = ['--initial-advertise-peer-urls', `http://${name}:1`];
      ids.push(await outcomeOf('restore', '--target', target, ...flags, ...url));
    }
    assert.equal(ids[0]?.['clusterId'], ids[1]?.['clusterId']);
    assert.notEqual(ids[0]?.['clusterId'], object['clusterId']);
    const again = await outcomeOf('restore', '--target', target, '--data-dir', join(target, 'a'));
    assert.deepEqual([again['failure'], again['ok']], ['DirectoryRefused', false]);
  });

  test('one with an id, asked for again, is let be; with another id or for another member it is refused', async () => {
    const target = newTarget();
    await outcomeOf('save', '--target', target);
    const dataDir = join(target, 'data');
    const restore = (id: string, ...flags: string[]) =>
      outcomeOf('restore', '--target', target, '--data-dir', dataDir, '--restore-id', id, ...flags);
    const first = await restore('one');
    assert.deepEqual([first['ok'], first['wasThere']], [true, false]);
    const log = readdirSync(join(dataDir, 'member/wal'));
    // It was killed right at its end.
    const left = join(target, `.${String(first['name'])}.download`);
    for (const path of [left, `${left}.changes`]) writeFileSync(path, 'all of the store');
    assert.deepEqual(await restore('one'), { ...first, wasThere: true });
    for (const path of [left, `${left}.changes`]) assert.equal(existsSync(path), false);
    assert.deepEqual(readdirSync(join(dataDir, 'member/wal')), log);
    const refused = [await restore('two'), await restore('one', '--initial-cluster-token', 'x')];
    for (const { failure } of refused) assert.equal(failure, 'DirectoryRefused');
  });

  test('a snapshot of anybody is put above a revision too', async () => {
    const target = newTarget();
    const saved = await outcomeOf('save', '--target', target);
    copyFileSync(join(target, saved['data'] as string), join(target, 'foreign.db'));
    const dataDir = join(target, 'data');
    const where = ['--target', target, '--object', 'foreign.db', '--data-dir', dataDir];
    await outcomeOf('restore', ...where, '--above-revision', '5000');
    assert.equal((await openRestored(dataDir)).revision, 5000);
  });

  test('a wrong key, a damaged object, a newer format: refused with a sentence, and nothing is restored', async () => {
    const target = newTarget();
    const key = ['--encryption-key-file', keyFile];
    const saved = await outcomeOf('save', '--target', target, ...key);
    const dataDir = ['--data-dir', join(target, 'data')];
    const refused = async (failure: string, message: RegExp, ...flags: string[]) => {
      for (const how of [dataDir, ['--dry-run']]) {
        const outcome = await outcomeOf('restore', '--target', target, ...flags, ...how);
        assert.equal(outcome['failure'], failure);
        assert.match(String(outcome['message']), message);
      }
      assert.ok(!existsSync(join(target, 'data/member')));
    };
    await refused('WrongKey', /encrypted with the key [0-9a-f]{16} \(no key was given\)/);
    await refused('WrongKey', /given: [0-9a-f]{16}/, '--encryption-key-file', otherKeyFile);
    assert.equal((await outcomeOf('restore', '--target', target, '--dry-run', ...key))['ok'], true);

    const data = join(target, saved['data'] as string);
    const bytes = readFileSync(data);
    writeFileSync(data, bytes.subarray(1));
    await refused('Damaged', /has \d+ bytes, and should have \d+/, ...key);
    bytes[100_000] = (bytes[100_000] ?? 0) ^ 1;
    writeFileSync(data, bytes);
    await refused('Damaged', /does not open/, ...key);
    const verified = await outcomeOf('verify', '--target', target, ...key);
    assert.equal(verified['failure'], 'Damaged');
    const { backups } = (await outcomeOf('list', '--target', target)) as {
      backups: Record<string, unknown>[];
    };
    assert.equal(backups[0]?.['verified'], 'no');

    const manifest = filesBelow(target).find((file) => /-r\d+\.json$/.test(file)) ?? '';
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"format": 1', '"format": 2'));
    await refused('NewerFormat', /has format 2, and this version knows 1 at most/, ...key);
    await refused('NotFound', /has no backup "other": the newest are/, 'other');
  });

  test('prune: as many as are to be kept, the damaged one not counted, and leftovers of yesterday', async () => {
    const fake = await FakeS3.start();
    const flags = [...(await fakeFlags(fake)), '--cluster-uid', 'prod'];
    for (const id of ['one', 'two', 'three']) await outcomeOf('save', ...flags, '--backup-id', id);
    await outcomeOf('verify', ...flags, 'one');
    const keys = fake.keys;
    fake.put('some/where/prod/backups/20261127T000000000Z-dead-0123456789abcdef.db', Buffer.of(1));
    fake.put('some/where/prod/foreign', Buffer.of(1));
    const dry = await outcomeOf('prune', ...flags, '--keep-last', '1', '--dry-run');
    assert.deepEqual((dry['deleted'] as string[]).length, 1);
    assert.equal(fake.keys.length, keys.length + 2);
    const pruned = await outcomeOf('prune', ...flags, '--keep-last', '1');
    assert.match((pruned['deleted'] as string[]).join(), /^\S+-two-[0-9a-f]{16}$/);
    // A backup may be in the making: what has no manifest stays for a day.
    assert.deepEqual(pruned['leftovers'], []);
    const ids = fake.keys.map((key) => /Z-([a-z]+)-/.exec(key)?.[1] ?? key);
    assert.deepEqual([...new Set(ids)].toSorted(), [
      'dead',
      'one',
      'some/where/prod/foreign',
      'three',
    ]);
    await fake.stop();
  });

  test('a connection to the member that is cut: it is taken anew, and nothing of the first is left', async () => {
    const target = newTarget();
    const proxy = await TcpProxy.open(cluster.member(0).clientUrl);
    const line = ['--endpoints', `${proxy.url},${proxy.url}`, '-w', 'json'];
    const fake = await FakeS3.start();
    let cuts = 0;
    fake.fault = ({ method, key }) => {
      if (method === 'HEAD' && key.endsWith('.db') && cuts++ === 0) proxy.cut();
      return undefined;
    };
    const { out, err } = await ctl('backup', 'save', ...(await fakeFlags(fake)), ...line);
    assert.equal(JSON.parse(out).ok, true, err);
    assert.equal(fake.keys.length, 2);
    proxy.isOpen = false;
    proxy.cut();
    const failed = await ctl('backup', 'save', '--target', target, ...line);
    assert.equal(failed.code, 1);
    const { failure, message } = JSON.parse(failed.out) as Record<string, string>;
    assert.equal(failure, 'ClusterUnreachable');
    assert.match(message ?? '', /check the endpoints/);
    assert.deepEqual(filesBelow(target), []);
    await proxy.close();
    await fake.stop();
  });

  test('the bucket fails for good at any request: no backup, or a whole one', async () => {
    const fake = await FakeS3.start();
    const flags = [...(await fakeFlags(fake)), '--s3-retry-for', '1ms'];
    for (let last = 1; ; last++) {
      const before = fake.asked.length;
      fake.objects.clear();
      fake.fault = ({ number }) => (number - before >= last ? 'full' : undefined);
      const saved = await outcomeOf('save', ...flags);
      fake.fault = () => undefined;
      const { backups } = (await outcomeOf('list', ...flags)) as { backups: unknown[] };
      if (saved['ok'] === true) break;
      assert.equal(saved['failure'], 'StorageFull');
      // The manifest may have been written although its being read back failed.
      for (const _ of backups) assert.equal((await outcomeOf('verify', ...flags))['ok'], true);
      assert.ok(last < 30);
    }
    await fake.stop();
  });

  test('what is removed behind its back, as by a prune whose clock is ahead, is not called a backup', async () => {
    const fake = await FakeS3.start();
    const flags = await fakeFlags(fake);
    fake.fault = ({ method, key }) => {
      if (method !== 'PUT' || !key.endsWith('.json')) return undefined;
      for (const name of fake.objects.keys()) if (name.endsWith('.db')) fake.objects.delete(name);
      return undefined;
    };
    const saved = await outcomeOf('save', ...flags);
    assert.equal(saved['failure'], 'Damaged');
    assert.match(String(saved['message']), /is gone again.*clock/);
    fake.fault = () => undefined;
    assert.deepEqual((await outcomeOf('list', ...flags))['backups'], []);
    await fake.stop();
  });

  test('the process is killed at any request: no backup, or a whole one; a retry makes one', async () => {
    const fake = await FakeS3.start();
    const flags = [...(await fakeFlags(fake)), '--backup-id', 'killed', '--cluster-uid', 'prod'];
    let whole = 0;
    // Each costs a process or two.
    for (let last = 1; whole === 0; last += isWhole ? 1 : 2) {
      fake.objects.clear();
      const isDone = await killedAt(fake, last, flags);
      const { backups } = (await outcomeOf('list', ...flags.slice(0, -4))) as {
        backups: unknown[];
      };
      assert.ok(backups.length <= 1);
      if (isDone || backups.length === 1) {
        whole++;
        assert.equal((await outcomeOf('verify', ...flags.slice(0, -4)))['ok'], true);
      }
      assert.equal((await outcomeOf('save', ...flags))['wasThere'], whole === 1);
    }
    await fake.stop();
  });

  test('SIGTERM in the middle: it says so, and leaves nothing', async () => {
    const fake = await FakeS3.start();
    const flags = [...(await fakeFlags(fake)), '--cluster-uid', 'prod'];
    for (const [method, ending] of [
      ['PUT', '.db'],
      ['GET', '.db'],
      ['HEAD', '.json'],
    ] as const) {
      const resultFile = join(directory, 'interrupted.json');
      const { child, exited } = started([...flags, '--result-file', resultFile]);
      let isSent = false;
      fake.fault = (asked) => {
        if (isSent || asked.method !== method || !asked.key.endsWith(ending)) return undefined;
        isSent = child.kill('SIGTERM');
        return 'silent';
      };
      assert.equal(await exited, 1);
      const { failure } = JSON.parse(readFileSync(resultFile, 'utf8')) as { failure: string };
      assert.deepEqual([failure, fake.keys], ['Interrupted', []]);
    }
    await fake.stop();
  });

  test('two at once with the same id: each backup that is there is a whole one', async () => {
    const target = newTarget();
    const flags = ['--target', target, '--backup-id', 'same'];
    const both = await Promise.all([outcomeOf('save', ...flags), outcomeOf('save', ...flags)]);
    assert.deepEqual(
      both.map((each) => each['ok']),
      [true, true],
    );
    const { backups } = (await outcomeOf('list', '--target', target)) as {
      backups: { name: string }[];
    };
    assert.ok(backups.length >= 1);
    for (const { name } of backups) {
      assert.equal((await outcomeOf('verify', name, '--target', target))['ok'], true);
    }
    assert.equal((await outcomeOf('save', ...flags))['wasThere'], true);
  });

  test('the clock jumps ahead and back: the latest backup is the one that came last', async () => {
    const root = newTarget();
    const target = new DirectoryTarget(root);
    const options = { clusterUid: 'prod', onProgress: () => {} };
    for (const [id, wallMs] of [
      ['before', Date.parse('2026-11-27T10:00:00Z')],
      ['ahead', Date.parse('2031-01-01T00:00:00Z')],
      ['after', Date.parse('2026-11-27T10:05:00Z')],
    ] as const) {
      await client.put('clock', id);
      await saveBackup({ client, target, wallMs: () => wallMs }, { id, ...options });
    }
    const { backups } = (await outcomeOf('list', '--target', root)) as {
      backups: { id: string; startedAt: string }[];
    };
    assert.deepEqual(
      backups.map(({ id, startedAt }) => [id, startedAt.slice(0, 4)]),
      [
        ['before', '2026'],
        ['ahead', '2031'],
        ['after', '2026'],
      ],
    );
    const { out } = await ctl('backup', 'restore', '--target', root, '--dry-run');
    assert.match(out, /-after-/);
  });

  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['save'], /--target is missing/],
    [['save', '--target', 'gs://x'], /neither s3:\/\/ nor a directory/],
    [['save', '--target', 's3://'], /names no bucket/],
    [['save', '--target', 's3://b', '--s3-endpoint', 'minio:9000'], /no URL of http or https/],
    [
      ['save', '--target', 's3://b', '--s3-endpoint', 'https://key:secret@minio'],
      /^(?!.*secret).*--s3-endpoint: credentials do not belong into the URL/s,
    ],
    [['save', '--target', 's3://b', '--s3-sse', 'yes'], /is not AES256 or aws:kms/],
    [['save', '--target', 's3://b', '--s3-addressing', 'x'], /is not path or virtual/],
    [['save', '--target', 's3://b', '--s3-timeout', 'x'], /no time like 30s/],
    [['save', '--target', '/tmp', 'x'], /usage: mainstayctl backup save/],
    [['prune', '--target', '/tmp'], /--cluster-uid is missing/],
    [['prune', '--target', '/tmp', '--cluster-uid', 'x'], /what is to be kept/],
    [['restore', '--target', '/tmp', 'a', 'b'], /usage: mainstayctl backup restore/],
  ];
  for (const [words, message] of wrong) {
    test(`wrong: backup ${words.join(' ')}`, async () => {
      const { code, err } = await ctl('backup', ...words);
      assert.deepEqual([code, message.test(err)], [2, true], err);
    });
  }

  test('a person is told when what comes next may have been there at the time', () => {
    const exact = { name: 'b', revision: 9, manifest: undefined, isLate: false };
    assert.equal(planText(exact), 'b and the changes up to revision 9');
    const late = ' (what comes next was stamped late, and may have been there at that time)';
    assert.equal(planText({ ...exact, isLate: true }), `b and the changes up to revision 9${late}`);
    const base = { ...exact, manifest: { revision: 9 }, isLate: true };
    assert.equal(planText(base), `b${late}`);
  });

  test('what cannot be a name, or a key, is said before anything is done', async () => {
    for (const [flags, message] of [
      [['--backup-id', 'A b'], /is no name: it consists of/],
      [['--cluster-uid', '../x'], /is no name/],
      [['--encryption-key-file', '/nowhere'], /--encryption-key-file: ENOENT/],
      [['--encryption-key-file', ctlMain], /holds no key/],
    ] as const) {
      const target = newTarget();
      const { code, err } = await ctl('backup', 'save', '--target', target, ...flags);
      assert.deepEqual([code, message.test(err)], [1, true], err);
      assert.deepEqual(filesBelow(target), []);
    }
  });
});

/** Runs `backup save` as a process that is killed when the bucket is asked for the n-th time. Whether it ended before. */
async function killedAt(fake: FakeS3, last: number, flags: readonly string[]): Promise<boolean> {
  const { child, exited } = started(flags);
  const before = fake.asked.length;
  fake.fault = ({ number }: S3Asked): Fault => {
    if (number - before < last) return undefined;
    child.kill('SIGKILL');
    // What it had asked for may have been done all the same.
    return number % 2 === 0 ? 'cutAfter' : 'cut';
  };
  const code = await exited;
  fake.fault = () => undefined;
  return code === 0;
}

function started(flags: readonly string[]) {
  const words = [ctlMain, '--endpoints', cluster.endpoints.join(','), 'backup', 'save', ...flags];
  const child = spawn(process.execPath, words, { stdio: 'ignore' });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, exited };
}
