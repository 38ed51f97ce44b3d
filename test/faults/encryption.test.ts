import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { Client } from '../../server/client/client.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { PutRequest } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, type TestCluster, withCluster } from '../support/server-process.ts';
import { checkRecord, Traffic } from './support/traffic.ts';
import { readView, type View } from './support/view.ts';

// Members whose disks are encrypted: what stands on them, who may open them, and a change of the key while they serve.

const canary = 'the-canary-in-the-store';

function withKeyFile(body: (keyFile: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-keys-'));
  const keyFile = join(directory, 'key');
  writeNewKey(keyFile);
  return body(keyFile).finally(() => rmSync(directory, { recursive: true }));
}

function writeNewKey(file: string): void {
  writeFileSync(file, randomBytes(32).toString('base64'));
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

/** Those with the canary in them, of all that the members have on disk: data, logs and what else there is. */
function filesWithCanary(cluster: TestCluster): string[] {
  const directory = dirname(cluster.member(0).dataDirectory);
  return filesBelow(directory).filter((path) => readFileSync(path).includes(canary));
}

function fingerprintOf(member: MemberProcess): string {
  const hash = createHash('sha256');
  for (const path of filesBelow(member.dataDirectory)) hash.update(path).update(readFileSync(path));
  return hash.digest('hex');
}

/** In every way that a value, and a key, goes in. */
async function putCanaries(client: Client): Promise<void> {
  await client.put('value', canary);
  await client.put(`key-${canary}`, 'value');
  await client.put('large', canary.repeat(20_000));
  const { ID: lease } = await client.leaseGrant(600);
  await client.put('leased', canary, { lease });
  const value = PutRequest.create({ key: bytesOf('in-txn'), value: bytesOf(canary) });
  await client.txn({ success: [{ request: { kind: 'requestPut', value } }] });
}

async function fill(client: Client, count: number): Promise<void> {
  const puts = Array.from({ length: count }, (_, n) =>
    client.put(`fill-${n % 50}`, `${canary}-${n}`),
  );
  await Promise.all(puts);
}

async function viewOf(member: MemberProcess): Promise<View> {
  const channel = new GrpcChannel(member.clientUrl);
  const view = await readView(channel);
  channel.close();
  return view;
}

async function refusal(member: MemberProcess, flags: readonly string[]): Promise<string> {
  const before = fingerprintOf(member);
  member.spawn(flags);
  const { code } = await member.exited;
  assert.equal(fingerprintOf(member), before, 'something was changed on disk');
  const { error } = JSON.parse(member.log.trim().split('\n').at(-1) ?? '') as {
    error: string;
  };
  return `${code}: ${error}`;
}

const snapshotCount = 100;

suite('encryption at rest', () => {
  test('a value, or a key, is in no byte of log, state, snapshot or temporary file', () =>
    withKeyFile(async (keyFile) => {
      const flags = [`--snapshot-count=${snapshotCount}`];
      const temporary = dirname(keyFile);
      const options = { program: 'mainstay', size: 3, environment: { TMPDIR: temporary } } as const;
      await withCluster({ ...options, flags }, async (cluster) => {
        const client = new Client({ endpoints: cluster.endpoints });
        await putCanaries(client);
        await sleep(500);
        assert.ok(filesWithCanary(cluster).length >= 3, 'what is looked for is found, unencrypted');
        const view = await viewOf(cluster.member(0));
        for (const member of cluster.members) await member.stop('SIGTERM');
        const encrypted = [...cluster.flagsFor('new'), `--data-encryption-key-file=${keyFile}`];
        await Promise.all(cluster.members.map((member) => member.start(encrypted)));
        assert.deepEqual(filesWithCanary(cluster), [], 'data of before is encrypted');
        for (const member of cluster.members) assert.deepEqual(await viewOf(member), view);
        await putCanaries(client);
        const behind = cluster.member(2);
        await behind.stop();
        await fill(client, 4 * snapshotCount);
        await behind.start();
        await behind.logged('installed a snapshot of the leader');
        await sleep(500);
        const [there, here] = [await viewOf(cluster.member(0)), await viewOf(behind)];
        assert.deepEqual(here, there);
        assert.deepEqual(filesWithCanary(cluster), []);
        for (const member of cluster.members) await member.stop();
        assert.deepEqual(filesWithCanary(cluster), []);
        const left = filesBelow(temporary).filter((path) => readFileSync(path).includes(canary));
        assert.deepEqual(left, []);
        client.close();
      });
    }));

  test('the key changes while clients read and write; then the former one is not needed', () =>
    withKeyFile(async (keyFile) => {
      const flags = [`--data-encryption-key-file=${keyFile}`];
      await withCluster({ program: 'mainstay', size: 3, flags }, async (cluster) => {
        const traffic = new Traffic(cluster.endpoints);
        await traffic.writesMore(200);
        const from = performance.now();
        writeNewKey(keyFile);
        for (const member of cluster.members) {
          await member.logged('what older keys encrypted is encrypted anew');
        }
        const gapMs = Math.round(traffic.record.gapMs(from));
        await traffic.writesMore(200);
        await cluster.member(0).stop();
        await cluster.member(0).start();
        await traffic.writesMore(200);
        await traffic.stop();
        assert.deepEqual(traffic.record.refused.size, 0);
        const { events } = await viewOf(cluster.member(0));
        checkRecord(traffic.record, events);
        console.log(
          `${traffic.record.writes.length} writes; ${gapMs} ms without one while the key changed`,
        );
      });
    }));

  test('another key, none, or lost data keys: refused with a sentence, and nothing is touched', () =>
    withKeyFile(async (keyFile) => {
      await withCluster({ program: 'mainstay' }, async (cluster) => {
        const [member, flags] = [cluster.member(0), cluster.flagsFor('new')];
        await member.stop();
        const encrypted = [...flags, `--data-encryption-key-file=${keyFile}`];
        await member.start(encrypted);
        const client = new Client({ endpoints: cluster.endpoints });
        await client.put('key', 'value');
        await member.stop();
        assert.match(
          await refusal(member, flags),
          /^2: .*is encrypted: name the file of its key with/,
        );
        const other = join(dirname(keyFile), 'other');
        assert.match(
          await refusal(member, [...flags, `--data-encryption-key-file=${other}`]),
          /^2: --data-encryption-key-file: ENOENT/,
        );
        writeFileSync(other, 'short');
        assert.match(
          await refusal(member, [...flags, `--data-encryption-key-file=${other}`]),
          /^2: .*other holds no key: it has to be 32 bytes/,
        );
        writeNewKey(other);
        assert.match(
          await refusal(member, [...flags, `--data-encryption-key-file=${other}`]),
          /^2: the data is encrypted with the key [0-9a-f]{16} \(given: [0-9a-f]{16}\): name the file/,
        );
        // One behind the first may be missing, as long as nothing needs it.
        const gone = join(dirname(keyFile), 'gone');
        assert.match(
          await refusal(member, [...flags, `--data-encryption-key-file=${other},${gone}`]),
          /^2: the data is encrypted with the key [0-9a-f]{16} .*; .*gone is not there/,
        );
        // The new one first, the former one behind it: it takes over.
        await member.start([...flags, `--data-encryption-key-file=${other},${gone},${keyFile}`]);
        await member.logged('a new key encrypts log and state');
        await member.stop();
        const [first, copy] = ['', '.copy'].map((end) =>
          join(member.dataDirectory, `member/DATA-KEYS${end}`),
        );
        assert(first !== undefined && copy !== undefined);
        writeFileSync(first, 'damaged');
        await member.start([...flags, `--data-encryption-key-file=${other}`]);
        assert.equal(latin1((await client.get('key'))?.value ?? bytesOf('')), 'value');
        await member.stop();
        rmSync(first);
        rmSync(copy);
        assert.match(
          await refusal(member, [...flags, `--data-encryption-key-file=${other}`]),
          /^78: .*DATA-KEYS is not there, and without it encrypted-\d+ cannot be read/,
        );
        client.close();
      });
    }));
});
