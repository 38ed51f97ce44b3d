import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { BackupError, type BackupFailure } from '../../../server/backup/failure.ts';
import type { S3TargetOptions } from '../../../server/backup/s3-target.ts';
import { readObject, type Target } from '../../../server/backup/target.ts';
import { hostLookup } from '../../../server/base/hosts.ts';

// What every target does: a directory, a bucket of any server.

export function s3Options(endpoint: string, more: Partial<S3TargetOptions> = {}): S3TargetOptions {
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

export function failing(failure: BackupFailure, message = /./) {
  return (error: unknown) => {
    assert.ok(error instanceof BackupError, String(error));
    assert.equal(error.failure, failure, error.message);
    assert.match(error.message, message);
    return true;
  };
}

export async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

export async function hashAt(target: Target, name: string, fromByte = 0): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of target.get(name, fromByte)) hash.update(chunk);
  return hash.digest('hex');
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function namesOf(target: Target, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of target.list(prefix)) names.push(name);
  return names;
}

/** Three parts, the last of them a small one. */
export const largeBytes = 17 * 1024 * 1024;

export function contract(open: () => Target): void {
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
