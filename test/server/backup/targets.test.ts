import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { BackupError, type BackupFailure } from '../../../server/backup/failure.ts';
import { S3Target, type S3TargetOptions } from '../../../server/backup/s3-target.ts';
import { readObject, type Target } from '../../../server/backup/target.ts';
import { hostLookup } from '../../../server/base/hosts.ts';
import { FakeS3, type FakeS3Options } from '../../support/fake-s3.ts';
import { type S3Program, type S3Server, s3Tools, startS3 } from '../../support/s3-servers.ts';
import { needs } from '../../support/tools.ts';

// One contract for every target: directories, servers of which three are real, and one that can do what those cannot.

function s3Options(endpoint: string, more: Partial<S3TargetOptions> = {}): S3TargetOptions {
  return {
    endpoint,
    region: 'us-east-1',
    bucket: 'backups',
    prefix: 'deep/down/',
    isPathStyle: true,
    credentials: () => ({ accessKeyId: 'right', secretAccessKey: 'secret' }),
    lookup: hostLookup(undefined),
    timeoutMs: 20_000,
    retryMs: 20_000,
    ...more,
  };
}

function failing(failure: BackupFailure, message = /./) {
  return (error: unknown) => {
    assert.ok(error instanceof BackupError, String(error));
    assert.equal(error.failure, failure, error.message);
    assert.match(error.message, message);
    return true;
  };
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

async function hashAt(target: Target, name: string, fromByte = 0): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of target.get(name, fromByte)) hash.update(chunk);
  return hash.digest('hex');
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function namesOf(target: Target, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of target.list(prefix)) names.push(name);
  return names;
}

/** Three parts, the last of them a small one. */
const largeBytes = 17 * 1024 * 1024;

function contract(open: () => Target): void {
  test('small objects: created once, read, listed, deleted', async () => {
    const target = open();
    const body = randomBytes(1_000);
    await target.create('a/one.json', body, 'me');
    assert.deepEqual(await readObject(target, 'a/one.json'), body);
    assert.equal((await target.stat('a/one.json'))?.sizeBytes, 1_000);
    const { modifiedMs = 0 } = (await target.stat('a/one.json')) ?? {};
    assert.ok(Math.abs(modifiedMs - (await target.nowMs())) < 60_000);
    for (const name of ['a/two.json', 'ab/three.json', 'b/four.json']) {
      await target.create(name, Buffer.from(name), 'me');
    }
    assert.deepEqual(await namesOf(target, 'a/'), ['a/one.json', 'a/two.json']);
    assert.deepEqual(await namesOf(target, 'a/t'), ['a/two.json']);
    assert.equal((await namesOf(target, '')).length, 4);
    for (const name of await namesOf(target, '')) await target.delete(name);
    await target.delete('a/one.json');
    assert.deepEqual(await namesOf(target, ''), []);
    assert.equal(await target.stat('a/one.json'), undefined);
    await assert.rejects(readObject(target, 'a/one.json'), failing('NotFound'));
  });

  test('what is there is never overwritten, and a retry finds its own', async () => {
    const target = open();
    await target.create('manifest', Buffer.from('ours'), 'me');
    await target.create('manifest', Buffer.from('ours'), 'me');
    const again = target.create('manifest', Buffer.from('others'), 'other');
    await assert.rejects(again, failing('ForeignObject', /is there already/));
    const large = { sizeBytes: 6, owner: 'other' };
    const stream = target.createFrom('manifest', chunksOf(Buffer.from('stream')), large);
    await assert.rejects(stream, failing('ForeignObject'));
    assert.equal((await readObject(target, 'manifest')).toString(), 'ours');
    await target.delete('manifest');
  });

  test('large objects: in parts, and from any byte on', async () => {
    const target = open();
    const bytes = randomBytes(largeBytes);
    await target.createFrom('l/large.db', chunksOf(bytes), { sizeBytes: largeBytes, owner: 'me' });
    assert.equal((await target.stat('l/large.db'))?.sizeBytes, largeBytes);
    assert.equal(await hashAt(target, 'l/large.db'), hashOf(bytes));
    const from = largeBytes - 1_234_567;
    assert.equal(await hashAt(target, 'l/large.db', from), hashOf(bytes.subarray(from)));
    await target.delete('l/large.db');
  });

  test('an upload that fails leaves nothing', async () => {
    const target = open();
    const source = async function* () {
      yield randomBytes(9 * 1024 * 1024);
      throw new BackupError('ClusterUnreachable', 'the member is gone');
    };
    const made = target.createFrom('cut.db', source(), { sizeBytes: largeBytes, owner: 'me' });
    await assert.rejects(made, failing('ClusterUnreachable'));
    assert.deepEqual(await namesOf(target, ''), []);
    assert.equal(await target.abortUnfinished('', -60_000), 0);
  });
}

suite('a directory', () => {
  const root = mkdtempSync(join(tmpdir(), 'mainstay-target-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  contract(() => new DirectoryTarget(root));

  test('one that is not there is not made: nothing may be written beside a volume', async () => {
    const target = new DirectoryTarget(join(root, 'unmounted'));
    const made = target.create('a', Buffer.from('a'), 'me');
    await assert.rejects(made, failing('StorageMissing', /is the volume mounted there/));
    await assert.rejects(namesOf(target, ''), failing('StorageMissing'));
  });

  test('a file that is not whole is none, and is cleared away after a day', async () => {
    const target = new DirectoryTarget(root);
    const source = async function* () {
      yield Buffer.from('half');
      assert.deepEqual(await namesOf(target, ''), []);
      assert.equal(readdirSync(join(root, 'd')).length, 1);
      assert.equal(await target.abortUnfinished('d/', 60_000), 0);
      assert.equal(await target.abortUnfinished('d/', -60_000), 1);
    };
    const made = target.createFrom('d/half', source(), { sizeBytes: 4, owner: 'me' });
    await assert.rejects(made, failing('StorageRefused', /ENOENT/));
  });

  test('names cannot lead out of it', async () => {
    const target = new DirectoryTarget(root);
    await assert.rejects(target.create('../x', Buffer.of(), 'me'), failing('Invalid'));
  });
});

for (const program of ['swift', 'moto', 's3rver'] as const satisfies readonly S3Program[]) {
  suite(`a bucket of ${program}`, { ...needs(...s3Tools[program]), timeout: 180_000 }, () => {
    let server: S3Server | undefined;
    let target: Target | undefined;
    const options = (more: Partial<S3TargetOptions> = {}): S3TargetOptions => {
      assert.ok(server !== undefined);
      const { credentials, endpoint, bucket } = server;
      return s3Options(endpoint, { bucket, credentials: () => credentials, ...more });
    };
    before(async () => {
      server = await startS3(program);
      target = new S3Target(options());
    });
    after(async () => {
      target?.close();
      await server?.stop();
    });
    contract(() => target as Target);

    // s3rver checks no signatures.
    const checksSecrets = program !== 's3rver';
    test(`a wrong secret is ${checksSecrets ? 'refused' : 'not noticed'}`, async () => {
      const accessKeyId = server?.credentials.accessKeyId ?? '';
      const wrong = { accessKeyId, secretAccessKey: 'wrong' };
      const denied = new S3Target(options({ credentials: () => wrong }));
      const made = namesOf(denied, '');
      if (checksSecrets) {
        await assert.rejects(made, failing('StorageDenied', /credentials are wrong/));
      } else {
        assert.deepEqual(await made, []);
      }
      denied.close();
    });

    test('no such bucket', async () => {
      const other = new S3Target(options({ bucket: 'nowhere' }));
      await assert.rejects(namesOf(other, ''), failing('StorageMissing', /create the bucket/));
      other.close();
    });
  });
}

async function withFake(
  options: FakeS3Options & { target?: Partial<S3TargetOptions> },
  body: (fake: FakeS3, target: S3Target) => Promise<void>,
): Promise<void> {
  const fake = await FakeS3.start(options);
  const target = new S3Target(s3Options(fake.url, options.target));
  try {
    await body(fake, target);
  } finally {
    target.close();
    await fake.stop();
  }
}

for (const conditions of ['known', 'refused', 'ignored'] as const) {
  suite(`a server where If-None-Match is ${conditions}`, () => {
    let fake: FakeS3 | undefined;
    before(async () => {
      fake = await FakeS3.start({ conditions, pageKeys: 2, hasRanges: conditions !== 'ignored' });
    });
    after(() => fake?.stop());
    contract(() => new S3Target(s3Options(fake?.url ?? '')));
  });
}

suite('a server that fails', () => {
  test('busy, cut before and cut after: each request is tried again, and done once', async () => {
    await withFake({}, async (fake, target) => {
      let turn = 0;
      fake.fault = () =>
        (['busy', undefined, 'cut', undefined, 'cutAfter', undefined] as const)[turn++ % 6];
      const bytes = randomBytes(largeBytes);
      await target.createFrom('x.db', chunksOf(bytes), { sizeBytes: largeBytes, owner: 'me' });
      await target.create('x.json', Buffer.from('{}'), 'me');
      assert.equal(await hashAt(target, 'x.db'), hashOf(bytes));
      assert.deepEqual(await namesOf(target, ''), ['x.db', 'x.json']);
      assert.equal(fake.uploads.size, 0);
    });
  });

  for (const hasRanges of [true, false]) {
    test(`a download is cut again and again, ${hasRanges ? 'with' : 'without'} ranges`, async () => {
      await withFake({ hasRanges }, async (fake, target) => {
        const bytes = randomBytes(3_000_000);
        fake.put('deep/down/x', bytes);
        fake.cutGetAfterBytes = 1_000_001;
        let cuts = 0;
        fake.fault = () => {
          if (!hasRanges && ++cuts === 3) fake.cutGetAfterBytes = undefined;
          return undefined;
        };
        assert.equal(await hashAt(target, 'x'), hashOf(bytes));
        assert.ok(fake.asked.length >= 3);
      });
    });
  }

  test('nobody answers: a failure that says where, in the time that was given', async () => {
    const fake = await FakeS3.start();
    await fake.stop();
    const target = new S3Target(s3Options('http://127.0.0.1:1', { retryMs: 300 }));
    await assert.rejects(
      namesOf(target, ''),
      failing('StorageUnreachable', /127\.0\.0\.1:1 cannot be reached .*ECONNREFUSED/),
    );
    target.close();
  });

  test('it takes the connection and says nothing', async () => {
    await withFake({ target: { timeoutMs: 100, retryMs: 300 } }, async (fake, target) => {
      fake.fault = () => 'silent';
      await assert.rejects(namesOf(target, ''), failing('StorageUnreachable', /no answer in/));
    });
  });

  test('a full bucket, in the middle of a large object', async () => {
    await withFake({}, async (fake, target) => {
      fake.fault = ({ query }) => (query.get('partNumber') === '2' ? 'full' : undefined);
      const large = { sizeBytes: largeBytes, owner: 'me' };
      const made = target.createFrom('x.db', chunksOf(randomBytes(largeBytes)), large);
      await assert.rejects(made, failing('StorageFull', /507 XMinioStorageFull.*no room/));
      assert.deepEqual([fake.keys, fake.uploads.size], [[], 0]);
    });
  });

  test('wrong credentials', async () => {
    const credentials = () => ({ accessKeyId: 'wrong', secretAccessKey: 'secret' });
    await withFake({ target: { credentials } }, async (_, target) => {
      const message = /403 InvalidAccessKeyId.*the credentials are wrong/;
      await assert.rejects(namesOf(target, ''), failing('StorageDenied', message));
      await assert.rejects(target.stat('x'), failing('StorageDenied'));
    });
  });

  test('our clock is wrong by a day: the signature is made by the clock of the server', async () => {
    await withFake({ aheadMs: -86_400_000 }, async (fake, target) => {
      await target.create('x', Buffer.from('x'), 'me');
      assert.deepEqual(fake.keys, ['deep/down/x']);
      assert.ok(Math.abs((await target.nowMs()) + 86_400_000 - Date.now()) < 5_000);
    });
  });

  test('encryption by the server is asked for with each object, not with parts', async () => {
    const target = { encryption: 'aws:kms', kmsKeyId: 'key-1' };
    await withFake({ target }, async (fake, s3) => {
      const bytes = randomBytes(largeBytes);
      await s3.createFrom('x.db', chunksOf(bytes), { sizeBytes: largeBytes, owner: 'me' });
      await s3.create('y', Buffer.from('y'), 'me');
      const asking = fake.asked.filter(({ headers }) => headers['x-amz-server-side-encryption']);
      const asked = asking.map(({ method, key }) => `${method} ${key}`);
      assert.deepEqual(asked, ['POST deep/down/x.db', 'PUT deep/down/y']);
      const name = 'x-amz-server-side-encryption-aws-kms-key-id';
      assert.ok(asking.every(({ headers }) => headers[name] === 'key-1'));
    });
  });

  test('a foreign object that comes between the look and the writing is not overwritten', async () => {
    await withFake({}, async (fake, target) => {
      fake.fault = ({ method, key }) => {
        if (method === 'PUT' && !fake.objects.has(key)) fake.put(key, Buffer.from('foreign'));
        return undefined;
      };
      const made = target.create('x', Buffer.from('ours'), 'me');
      await assert.rejects(made, failing('ForeignObject'));
      assert.equal((await readObject(target, 'x')).toString(), 'foreign');
    });
  });
});
