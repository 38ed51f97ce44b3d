import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { DirectoryTarget } from '../../../server/backup/directory-target.ts';
import { S3Target, type S3TargetOptions } from '../../../server/backup/s3-target.ts';
import { readObject } from '../../../server/backup/target.ts';
import { Authority } from '../../support/certificates.ts';
import { FakeS3, type FakeS3Options } from '../../support/fake-s3.ts';

// Directories, and a server that can do what no real one does: test/compat/s3-servers.test.ts has those.
import {
  chunksOf,
  contract,
  failing,
  hashAt,
  hashOf,
  largeBytes,
  namesOf,
  s3Options,
} from './target-contract.ts';

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

  test('or is made, where it is said that what is above it is the volume', async () => {
    const target = new DirectoryTarget(join(root, 'made/deep'), { isCreated: true });
    assert.deepEqual(await namesOf(target, ''), []);
    await target.create('a', Buffer.from('a'), 'me');
    assert.deepEqual(await namesOf(new DirectoryTarget(join(root, 'made/deep')), ''), ['a']);
    rmSync(join(root, 'made'), { recursive: true });
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

  test('a certificate of an authority of our own', async () => {
    const authority = await Authority.create('ours');
    const tls = await authority.issue();
    await withFake({ tls, target: { ca: authority.cert } }, async (fake, target) => {
      assert.match(fake.url, /^https:/);
      await target.create('x', Buffer.from('x'), 'me');
      const stranger = new S3Target(s3Options(fake.url));
      const message = /unable to verify.*who signs its certificate \(--s3-ca-file\)/;
      await assert.rejects(namesOf(stranger, ''), failing('StorageUnreachable', message));
      stranger.close();
    });
  });

  test("the bucket's name in the host's", async () => {
    const asked: string[] = [];
    await withFake({}, async (fake) => {
      const endpoint = fake.url.replace('127.0.0.1', 's3.test');
      const target = new S3Target(
        s3Options(endpoint, {
          isPathStyle: false,
          lookup: (name, options, callback) => {
            asked.push(name);
            if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
            else callback(null, '127.0.0.1', 4);
          },
        }),
      );
      await target.create('x', Buffer.from('x'), 'me');
      assert.deepEqual(await namesOf(target, ''), ['x']);
      assert.deepEqual(fake.keys, ['deep/down/x']);
      assert.equal(asked[0], 'backups.s3.test');
      target.close();
    });
  });
});
