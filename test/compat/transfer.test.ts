import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../server/base/bytes.ts';
import { Client } from '../../server/client/client.ts';
import { keysUnder } from '../../server/client/keys.ts';
import { runCommand } from '../support/ctl.ts';
import { CtlProcess } from '../support/ctl-process.ts';
import { type Program, TestCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { onlyWhole } from '../support/whole.ts';

// export and import between this store and etcd, over files of lines and over snapshots.

const directory = mkdtempSync(join(tmpdir(), 'mainstay-transfer-'));
const file = (name: string) => join(directory, name);
const mebibyte = 1024 * 1024;

async function ctl(at: Client, words: string, signal?: AbortSignal) {
  const env = { MAINSTAYCTL_ENDPOINTS: at.endpoints.join() };
  return runCommand(words.split(' '), { env, ...(signal && { signal }) });
}

async function done(at: Client, words: string): Promise<string> {
  const { code, out, err } = await ctl(at, words);
  assert.equal(code, 0, err);
  return out;
}

async function refused(at: Client, words: string, message: RegExp): Promise<void> {
  const { code, err } = await ctl(at, words);
  assert.equal(code, 1, err);
  assert.match(err, message);
}

async function contentOf(client: Client, prefix = ''): Promise<string[]> {
  const { kvs } = await client.range(keysUnder(prefix));
  return kvs.map(({ key, value, lease }) =>
    [latin1(key.subarray(prefix.length)), latin1(value), lease].join(' '),
  );
}

for (const [from, to] of [
  ['etcd', 'mainstay'],
  ['mainstay', 'etcd'],
] as const satisfies readonly (readonly [Program, Program])[]) {
  suite(`export from ${from}, import into ${to}`, needs('etcd'), () => {
    let clusters: TestCluster[] = [];
    let source: Client;
    let destination: Client;

    before(async () => {
      clusters = await Promise.all([
        TestCluster.start({ program: from }),
        TestCluster.start({ program: to }),
      ]);
      const [a, b] = clusters.map(({ endpoints }) => new Client({ endpoints }));
      assert(a !== undefined && b !== undefined);
      [source, destination] = [a, b];
      await source.leaseGrant(500, 7n);
      await source.leaseGrant(500, 8n);
      for (let at = 0; at < 300; at++) {
        const lease = at % 10 === 0 ? 7n : 0n;
        await source.put(`k/${at}`, randomBytes(at), { lease });
      }
      await source.put(Buffer.from([0, 255, 10]), Buffer.from([10, 0, 200]));
      await source.put('k/1', 'again');
      await source.put('k/2', '', { lease: 8n });
      await source.delete(keysUnder('k/29'));
    });
    after(async () => {
      source.close();
      destination.close();
      await Promise.all(clusters.map((cluster) => cluster.stop()));
    });

    test('over a file of lines: keys of any bytes, leases, a part, an older revision', async () => {
      const path = file(`${from}.jsonl`);
      const told = JSON.parse(await done(source, `export ${path} -w json`));
      assert.deepEqual({ keys: told.keys, leases: told.leases }, { keys: 290, leases: 2 });
      const lines = readFileSync(path, 'utf8').split('\n');
      const { clusterId, ...head } = JSON.parse(lines[0] ?? '');
      assert.deepEqual(head, { mainstay: 'export', version: 1, revision: told.revision });
      assert.match(clusterId, /^[0-9a-f]+$/);
      assert.match(await done(destination, `import ${path}`), /: 290 keys written, 0 left/);
      assert.deepEqual(await contentOf(destination), await contentOf(source));
      assert.equal((await destination.leaseTimeToLive(7n)).grantedTTL, 500);

      const older = file(`${from}-older.jsonl`);
      await done(source, `export ${older} --prefix k/1 --rev ${told.revision - 3}`);
      await done(destination, `import ${older} --dest-prefix older/ --prefix k/1`);
      assert.ok((await destination.get('older/'))?.value.length === 1, 'as k/1 was before');
      await refused(source, `export ${older} --rev 1000000`, /is a future revision/);
    });

    test('over a snapshot, whole and in part', async () => {
      const path = file(`${from}.db`);
      await done(source, `snapshot save ${path}`);
      await refused(destination, `import ${path}`, /has \d+ keys there already; the file has 290/);
      const out = await done(destination, `import ${path} --prefix k/ --dest-prefix s/`);
      assert.match(out, /: 289 keys written, 0 left as they were, 2 leases/);
      const kvs = (await source.range(keysUnder('k/'))).kvs;
      const copied = (await destination.range(keysUnder('s/'))).kvs;
      assert.deepEqual(
        copied.map(({ key, value }) => [latin1(key).slice(2), latin1(value)]),
        kvs.map(({ key, value }) => [latin1(key).slice(2), latin1(value)]),
      );
      // The ids are taken by then.
      for (const { lease } of copied) assert.ok(![7n, 8n].includes(lease));
      const lines = file(`${from}-snapshot.jsonl`);
      await done(source, `export ${lines} --from-snapshot ${path}`);
      await done(destination, `import ${lines} --prefix k/ --dest-prefix t/`);
      assert.deepEqual(
        (await contentOf(destination, 't/')).length,
        (await contentOf(source, 'k/')).length,
      );
    });

    test('a file that is cut, changed or of another kind is refused before anything is written', async () => {
      const path = file(`${from}-whole.jsonl`);
      await done(source, `export ${path} --prefix k/`);
      const whole = readFileSync(path);
      const bad = file('bad');
      const before = (await destination.range(keysUnder('x'))).header.revision;
      const cuts = Array.from({ length: 25 }, () => Math.floor(Math.random() * whole.length));
      for (const cut of [0, 1, whole.length - 1, whole.indexOf('\n') + 1, ...cuts]) {
        writeFileSync(bad, whole.subarray(0, cut));
        await refused(destination, `import ${bad} --dest-prefix x/`, /line \d+: /);
      }
      for (let n = 0; n < 25; n++) {
        const changed = Buffer.from(whole);
        const at = Math.floor(Math.random() * whole.length);
        changed[at] = (changed[at] ?? 0) ^ (1 << Math.floor(Math.random() * 7));
        writeFileSync(bad, changed);
        await refused(destination, `import ${bad} --dest-prefix x/`, /mainstayctl: .*bad/);
      }
      writeFileSync(bad, `{"mainstay":"export","version":2,"revision":1}\n`);
      await refused(destination, `import ${bad}`, /the format's version is 2; .* reads 1/);
      const snapshot = readFileSync(file(`${from}.db`));
      writeFileSync(bad, snapshot.subarray(0, snapshot.length - 100));
      await refused(destination, `import ${bad} --dest-prefix x/`, /missing hash/);
      await refused(destination, `import ${bad} --dest-prefix x/ --skip-hash-check`, /damaged/);
      assert.equal((await destination.range(keysUnder('x'))).header.revision, before);
    });

    test('says what it would write over; what is equal stays as it is', async () => {
      const path = file(`${from}-over.jsonl`);
      await done(source, `export ${path} --prefix k/2`);
      await destination.put('o/0', 'other');
      await destination.put('o/beside', 'mine');
      const to = `import ${path} --prefix k/2 --dest-prefix o/`;
      await refused(
        destination,
        to,
        /has 2 keys there already; the file has 1 of them: o\/0\. With/,
      );
      assert.match(await done(destination, `${to} --overwrite`), /: 100 keys written, 0 left/);
      // Those of leases whose ids others have get new leases; the others are left as they are.
      assert.match(await done(destination, `${to} --overwrite`), /: 11 keys written, 89 left/);
      assert.equal(latin1((await destination.get('o/beside'))?.value ?? Buffer.alloc(0)), 'mine');
      const { count } = await destination.range(keysUnder('__mainstay/'));
      assert.equal(count, 0, 'nothing of the import is left');
    });

    test('killed in the middle: the same command goes on, and writes nothing twice', async () => {
      const path = file(`${from}-long.jsonl`);
      await source.leaseGrant(600, 9n);
      await source.put('l/0', 'x', { lease: 9n });
      for (let at = 0; at < 12; at++) {
        const success = Array.from({ length: 100 }, (_, n) => ({
          request: {
            kind: 'requestPut' as const,
            value: {
              key: Buffer.from(`l/${at}-${n}`),
              value: randomBytes(100),
              lease: 0n,
              prevKv: false,
              ignoreValue: false,
              ignoreLease: false,
            },
          },
        }));
        await source.txn({ success });
      }
      await done(source, `export ${path} --prefix l/`);
      const words = ['import', path, '--prefix', 'l/', '--max-txn-ops', '2'];
      words.push('--endpoints', destination.endpoints.join());
      const first = new CtlProcess(words);
      while (first.isRunning) {
        await sleep(20);
        if ((await destination.range(keysUnder('l/'), { countOnly: true })).count > 300) break;
      }
      await first.kill('SIGKILL');
      const { count } = await destination.range(keysUnder('l/'), { countOnly: true });
      assert.ok(count > 300 && count < 1_201, `${count} keys`);
      const other = file(`${from}-over.jsonl`);
      await refused(
        destination,
        `import ${other} --prefix k/2 --dest-prefix l/`,
        /another file broke off/,
      );
      const second = new CtlProcess(words);
      assert.equal(await second.exited, 0, second.err);
      assert.match(second.out, new RegExp(`: ${1_201 - count} keys written, ${count} left`));
      const versions = (await destination.range(keysUnder('l/'))).kvs.map(({ version }) => version);
      assert.deepEqual(new Set(versions), new Set([1]));
      assert.equal((await contentOf(destination, 'l/')).length, 1_201);
    });

    test('Ctrl-C leaves no half file behind', async () => {
      const enough = new AbortController();
      enough.abort();
      const path = file('half.jsonl');
      const { code } = await ctl(
        source,
        `export ${path} --from-snapshot ${file(`${from}.db`)}`,
        enough.signal,
      );
      assert.equal(code, 1);
      assert.deepEqual(
        readdirSync(directory).filter((name) => name.startsWith('half')),
        [],
      );
    });

    if (from !== 'etcd') return;
    test('memory does not grow with the file', onlyWhole, async () => {
      const value = 64 * 1024;
      const count = (240 * mebibyte) / value;
      for (let at = 0; at < count; at += 16) {
        const keys = Array.from({ length: 16 }, (_, n) => `z/${at + n}`);
        await Promise.all(keys.map((key) => source.put(key, randomBytes(value))));
      }
      const path = file('large.db');
      await done(source, `snapshot save ${path} --command-timeout 60s`);
      for (const words of [
        ['import', path, '--prefix', 'z/', '--endpoints', destination.endpoints.join()],
        ['export', file('large.jsonl'), '--endpoints', destination.endpoints.join()],
      ]) {
        const process = new CtlProcess([...words, '--command-timeout', '30s']);
        let peak = 0;
        while (process.isRunning) {
          peak = Math.max(peak, process.peakRssBytes);
          await sleep(20);
        }
        assert.equal(await process.exited, 0, process.err);
        assert.ok(peak > 20 * mebibyte && peak < 210 * mebibyte, `${peak / mebibyte} MiB`);
      }
      assert.equal((await destination.range(keysUnder('z/'), { countOnly: true })).count, count);
    });
  });
}

after(() => rmSync(directory, { recursive: true, force: true }));
