import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openRestored } from '../../server/backup/restored-member.ts';
import { S3Target, type S3TargetOptions } from '../../server/backup/s3-target.ts';
import type { Target } from '../../server/backup/target.ts';
import { Client } from '../../server/client/client.ts';
import { contract, failing, namesOf, s3Options } from '../server/backup/target-contract.ts';
import { runCommand } from '../support/ctl.ts';
import { type S3Program, type S3Server, s3Tools, startS3 } from '../support/s3-servers.ts';
import { TestCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { isWhole, onlyWhole } from '../support/whole.ts';

// Backups in buckets of three real servers, which differ usefully.

const directory = mkdtempSync(join(tmpdir(), 'mainstay-s3-'));
const keyFile = join(directory, 'key');
let cluster: TestCluster;
let client: Client;

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

/** One with six processes of its own is not in the sample. */
function wanted(program: S3Program) {
  return program === 'swift' && !isWhole ? onlyWhole : needs(...s3Tools[program]);
}

for (const program of ['swift', 'moto', 's3rver'] as const satisfies readonly S3Program[]) {
  suite(`a bucket of ${program}`, { ...wanted(program), timeout: 540_000 }, () => {
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

    test('save, verify, archive, restore, prune', async () => {
      assert.ok(server !== undefined);
      const { credentials, endpoint, bucket } = server;
      process.env['AWS_ACCESS_KEY_ID'] = credentials.accessKeyId;
      process.env['AWS_SECRET_ACCESS_KEY'] = credentials.secretAccessKey;
      const place = ['--target', `s3://${bucket}/round/trip`, '--s3-endpoint', endpoint];
      const line = [...place, '--cluster-uid', 'prod', '--encryption-key-file', keyFile];
      // More than one part.
      for (let at = 0; at < 9; at++) await client.put(`large ${at}`, randomBytes(1_000_000));
      const saved = await ctl('save', ...line);
      assert.equal(saved['memberHash'], 'equal');
      assert.equal(
        (await ctl('save', ...line, '--backup-id', String(saved['id'])))['wasThere'],
        true,
      );
      assert.equal((await ctl('verify', ...line))['hash'], saved['hash']);
      const { header } = await client.put('later', program);
      const told = await client.hashKV(cluster.member(0).clientUrl, { revision: header.revision });
      assert.equal((await ctl('archive', ...line, '--once'))['to'], header.revision);
      const dataDir = join(directory, program);
      const point = ['--revision', String(header.revision), '--data-dir', dataDir];
      await ctl('restore', ...line, ...point);
      const { revision, hash } = await openRestored(dataDir);
      assert.deepEqual([revision, hash], [header.revision, told.hash]);
      await ctl('save', ...line);
      const pruned = await ctl('prune', ...line, '--keep-last', '1');
      assert.deepEqual(pruned['deleted'], []);
      await ctl('verify', ...line);
      const { deleted } = await ctl('prune', ...line, '--keep-last', '1');
      assert.deepEqual(deleted, [saved['name']]);
      const { backups } = await ctl('list', ...place);
      assert.equal((backups as unknown[]).length, 1);
    });

    test('no such bucket', async () => {
      const other = new S3Target(options({ bucket: 'nowhere' }));
      await assert.rejects(namesOf(other, ''), failing('StorageMissing', /create the bucket/));
      other.close();
    });
  });
}

async function ctl(...words: readonly string[]): Promise<Record<string, unknown>> {
  const env = { ETCDCTL_ENDPOINTS: cluster.endpoints.join(',') };
  const { out } = await runCommand(['backup', ...words, '-w', 'json'], { env });
  const outcome = JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  assert.equal(outcome['ok'], true, out);
  return outcome;
}
