import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { latin1 } from '../../../server/base/bytes.ts';
import { Client } from '../../../server/client/client.ts';
import { ClientError } from '../../../server/client/errors.ts';
import { keysUnder } from '../../../server/client/keys.ts';
import { deleteOp, putOp } from '../../../server/client/txn.ts';
import { runCommand } from '../../support/ctl.ts';
import { TestCluster } from '../../support/server-process.ts';

const reserved = '__mainstay/';

suite('mainstayctl mirror', { timeout: 240_000 }, () => {
  let clusters: TestCluster[] = [];
  let source: Client;
  let destination: Client;
  let there = '';

  before(async () => {
    clusters = await Promise.all([
      TestCluster.start({ program: 'mainstay' }),
      TestCluster.start({ program: 'mainstay' }),
    ]);
    const [from, to] = clusters.map((cluster) => cluster.member(0).clientUrl);
    source = new Client({ endpoints: [from ?? ''] });
    destination = new Client({ endpoints: [to ?? ''] });
    there = to ?? '';
  });
  after(async () => {
    source.close();
    destination.close();
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  });

  function ctl(words: string, signal?: AbortSignal, onOutput?: (out: string) => void) {
    const env = { MAINSTAYCTL_ENDPOINTS: source.endpoints.join() };
    const line = ['mirror', there, ...words.split(' ').filter(Boolean)];
    return runCommand(line, { env, ...(signal && { signal }), ...(onOutput && { onOutput }) });
  }

  async function mirrored(words: string): Promise<Record<string, number>> {
    const { code, out, err } = await ctl(`${words} --once -w json`);
    assert.equal(code, 0, err);
    return JSON.parse(out.trim().split('\n').at(-1) ?? '');
  }

  async function assertEqual(words: string): Promise<void> {
    const { code, out, err } = await ctl(`${words} --check`);
    assert.equal(code, 0, out + err);
    assert.match(out, /^Equal: /);
  }

  async function revisionsAt(prefix: string, startRevision: number): Promise<string[][]> {
    const revisions: string[][] = [];
    const stop = new AbortController();
    const watch = destination.watch(keysUnder(prefix), { startRevision, signal: stop.signal });
    const { header } = await destination.range(keysUnder(prefix), { limit: 1 });
    await watch.requestProgress();
    for await (const { events, revision } of watch) {
      const byRevision = new Map<number, string[]>();
      for (const { kv } of events) {
        byRevision.set(kv.modRevision, [...(byRevision.get(kv.modRevision) ?? []), latin1(kv.key)]);
      }
      revisions.push(...byRevision.values());
      if (revision >= header.revision) stop.abort();
    }
    return revisions;
  }

  test('a transaction stays one, a larger one than fits is cut, and only what changed is written', async () => {
    await source.put('t/a', '1');
    await mirrored('--prefix t/');
    const { header } = await destination.range(keysUnder('t/'));
    await source.txn({ success: ['t/a', 't/b', 't/c'].map((key) => putOp(key, '2')) });
    await source.delete(keysUnder('t/b'));
    await source.txn({ success: Array.from({ length: 9 }, (_, at) => putOp(`t/${at}`, 'x')) });
    await mirrored('--prefix t/ --max-txn-ops 5');
    const revisions = await revisionsAt('t/', header.revision + 1);
    assert.deepEqual(revisions, [
      ['t/a', 't/b', 't/c'],
      ['t/b'],
      ['t/0', 't/1', 't/2', 't/3'],
      ['t/4', 't/5', 't/6', 't/7'],
      ['t/8'],
    ]);
    await assertEqual('--prefix t/');
    const { puts, deletes } = await mirrored('--prefix t/');
    assert.deepEqual({ puts, deletes }, { puts: 0, deletes: 0 });
  });

  test('stands in the middle of a revision: the next one does the rest of it, and no more', async () => {
    await source.put('m/0', 'first');
    await mirrored('--prefix m/');
    const { header } = await source.txn({
      success: Array.from({ length: 6 }, (_, at) => putOp(`m/${at}`, 'second')),
    });
    // As a mirror leaves it that is killed behind the second of three requests.
    const [kv] = (await destination.range(keysUnder(reserved))).kvs.filter(({ value }) =>
      latin1(value).includes(Buffer.from('m/').toString('base64')),
    );
    assert(kv !== undefined);
    const state = { ...JSON.parse(latin1(kv.value)), revision: header.revision, done: 4 };
    await destination.put(kv.key, JSON.stringify(state));
    const check = await ctl('--prefix m/ --check --command-timeout 300ms');
    assert.equal(check.code, 1);
    assert.match(check.err, /stands in the middle of a revision/);
    assert.equal((await mirrored('--prefix m/'))['puts'], 2);
    const { kvs } = await destination.range(keysUnder('m/'));
    assert.deepEqual(
      kvs.map(({ key, value }) => `${latin1(key)} ${latin1(value)}`),
      ['m/0 first', 'm/4 second', 'm/5 second'],
    );
  });

  test('compacted past the checkpoint: everything anew, also what is gone, and it says so', async () => {
    await source.put('c/kept', '1');
    await source.put('c/gone', '1');
    await mirrored('--prefix c/ --dest-prefix copy/');
    await destination.put('beside', 'not mirrored');
    await source.delete(keysUnder('c/gone'));
    await source.put('c/new', '2');
    const { header } = await source.put('elsewhere', '1');
    await source.compact(header.revision);
    const { code, err } = await ctl('--prefix c/ --dest-prefix copy/ --once');
    assert.equal(code, 0, err);
    assert.match(err, /everything is copied anew: the source: the history .* has been compacted/);
    const { kvs } = await destination.range(keysUnder('copy/'));
    assert.deepEqual(
      kvs.map(({ key }) => latin1(key)),
      ['copy/kept', 'copy/new'],
    );
    assert.ok((await destination.get('beside')) !== undefined);
    await assertEqual('--prefix c/ --dest-prefix copy/');
  });

  test('a source that was restored to an earlier state has another future: everything anew', async () => {
    for (const [prefix, later, message] of [
      [
        'v',
        { revision: 1_000_000_000 },
        /restored to an earlier state \(revision \d+ after 1000000000\)/,
      ],
      ['w', { term: 1_000_000 }, /everything is copied anew: /],
    ] as const) {
      await source.put(`${prefix}/a`, '1');
      await mirrored(`--prefix ${prefix}/`);
      const [kv] = (await destination.range(keysUnder(reserved))).kvs.filter(({ value }) =>
        latin1(value).includes(`"prefix":"${Buffer.from(`${prefix}/`).toString('base64')}"`),
      );
      assert(kv !== undefined);
      // As from before the restore, with a key that the backup did not have.
      await destination.put(kv.key, JSON.stringify({ ...JSON.parse(latin1(kv.value)), ...later }));
      await destination.put(`${prefix}/lost`, '1');
      const { code, err } = await ctl(`--prefix ${prefix}/ --once`);
      assert.equal(code, 0, err);
      assert.match(err, message);
      assert.equal(await destination.get(`${prefix}/lost`), undefined);
      await assertEqual(`--prefix ${prefix}/`);
    }
  });

  test('leases: under their id or another, with their time; kept alive, and ended when the source ends them', async () => {
    await source.leaseGrant(2, 101n);
    await source.leaseGrant(600, 102n);
    await destination.leaseGrant(900, 102n);
    await source.put('l/short', 'x', { lease: 101n });
    await source.put('l/mapped', 'x', { lease: 102n });
    const enough = new AbortController();
    const running = ctl('--prefix l/', enough.signal);
    // Longer than the lease lasts unless it is kept alive, at both sides.
    const renewing = setInterval(() => void source.leaseKeepAlive(101n), 400);
    await sleep(6_000);
    const short = await destination.get('l/short');
    const mapped = await destination.get('l/mapped');
    assert.equal(short?.lease, 101n);
    assert.ok(mapped !== undefined && mapped.lease !== 102n && mapped.lease !== 0n);
    assert.equal((await destination.leaseTimeToLive(mapped.lease)).grantedTTL, 600);
    await assertEqual('--prefix l/');
    clearInterval(renewing);
    await source.leaseRevoke(102n);
    await eventually(async () => {
      assert.equal((await destination.leaseTimeToLive(mapped.lease)).TTL, -1);
      assert.equal((await destination.leaseTimeToLive(101n)).TTL, -1);
      assert.equal((await destination.range(keysUnder('l/'))).count, 0);
    });
    assert.ok((await destination.leaseTimeToLive(102n)).TTL > 0, 'another one has it');
    enough.abort();
    const { code, out } = await running;
    assert.equal(code, 0);
    assert.match(out, /revision \d+: 0 revisions, 0\.0 s behind; 2 puts, 2 deletes, 0 leases\n$/);
  });

  test('a lease that expired while no mirror ran: its keys come back', async () => {
    await source.leaseGrant(3, 201n);
    const renewing = setInterval(() => void source.leaseKeepAlive(201n), 500);
    await source.put('e/x', 'x', { lease: 201n });
    await mirrored('--prefix e/');
    await eventually(async () => assert.equal(await destination.get('e/x'), undefined));
    const { code, err } = await ctl('--prefix e/ --once');
    assert.equal(code, 0, err);
    assert.match(err, /leases of the destination have expired while they were not renewed/);
    await assertEqual('--prefix e/');
    clearInterval(renewing);
  });

  test('the largest value that the source takes comes over, whatever the checkpoint adds', async () => {
    const size = await largestValue(source, 'big/v');
    await source.put('big/w', Buffer.alloc(size, 'w'));
    await source.txn({ success: [putOp('big/a', Buffer.alloc(size - 400)), putOp('big/b', 'b')] });
    await mirrored('--prefix big/');
    await source.put('big/v', Buffer.alloc(size, 'x'));
    const { puts } = await mirrored('--prefix big/');
    assert.equal(puts, 1);
    await assertEqual('--prefix big/');
    assert.equal((await destination.get('big/v'))?.value.length, size);
    // A longer name is too much even alone.
    const refused = await ctl(`--prefix big/ --dest-prefix ${'long/'.repeat(30)} --once`);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /takes no request of the size of .*larger --max-request-bytes/);
  });

  test('takes no destination that has other keys, or is the mirror of something else', async () => {
    await source.put('o/a', '1');
    await destination.put('o/b', '1');
    const refused = await ctl('--prefix o/ --once');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /has 1 keys there already: with --overwrite/);
    await mirrored('--prefix o/ --overwrite');
    assert.equal(await destination.get('o/b'), undefined);
    const other = await ctl('--prefix t/ --dest-prefix o/ --once');
    assert.equal(other.code, 1);
    assert.match(other.err, /is the mirror of another prefix, "o\/"; --overwrite/);
    for (const [words, message] of [
      ['--max-txn-ops 1', /2 at least/],
      ['--dest-prefix a --no-dest-prefix', /exclude each other/],
      ['--prefix __mainstay/x', /is inside of --reserved-prefix/],
      ['--reserved-prefix=', /no key would be copied/],
    ] as const) {
      const { code, err } = await ctl(words);
      assert.equal(code, 2);
      assert.match(err, message);
    }
    const own = await runCommand(['mirror', there], { env: { MAINSTAYCTL_ENDPOINTS: there } });
    assert.match(own.err, /are one cluster/);
  });

  test('--rev copies what changes from there on; a second mirror at once is noticed', async () => {
    await source.put('r/before', '1');
    const { header } = await source.put('r/after', '1');
    const enough = new AbortController();
    const running = ctl(`--prefix r/ --rev ${header.revision} --interval 50ms`, enough.signal);
    await eventually(async () => assert.ok(await destination.get('r/after')));
    assert.equal(await destination.get('r/before'), undefined);
    const old = await ctl('--prefix r/ --dest-prefix old/ --rev 2');
    assert.equal(old.code, 1);
    assert.match(old.err, /has been compacted .*\nThat history is gone: leave out --rev/);
    await mirrored('--prefix r/');
    await source.put('r/after', '2');
    const { code, err } = await Promise.race([running, sleep(15_000).then(() => assert.fail())]);
    assert.equal(code, 1);
    assert.match(err, /somebody else has written .*only one may write there at a time/);
    enough.abort();
    const check = await ctl('--prefix r/ --check');
    assert.equal(check.code, 1);
    assert.match(check.out, /^r\/before: only the source has it\n/);
  });

  test('what is missing, different or too much is listed', async () => {
    for (const key of ['d/1', 'd/2', 'd/3']) await source.put(key, 'x');
    await source.leaseGrant(500, 301n);
    await source.put('d/4', 'x', { lease: 301n });
    await mirrored('--prefix d/');
    await destination.txn({
      success: [putOp('d/0', '0'), putOp('d/1', 'other'), deleteOp('d/2'), putOp('d/4', 'x')],
    });
    const { code, out } = await ctl('--prefix d/ --check');
    assert.equal(code, 1);
    assert.deepEqual(out.split('\n').slice(0, 4), [
      'd/0: only the destination has it',
      'd/1: the values differ: 1 bytes at the source, 5 at the destination',
      'd/2: only the source has it',
      'd/4: the leases differ: 12d at the source, 0 at the destination',
    ]);
    assert.match(out, /\nDifferent: 4; revision/);
  });
});

async function largestValue(client: Client, key: string): Promise<number> {
  let [taken, refused] = [1024 * 1024, 2 * 1024 * 1024];
  while (refused - taken > 1) {
    const size = Math.floor((taken + refused) / 2);
    try {
      await client.put(key, Buffer.alloc(size));
      taken = size;
    } catch (error) {
      assert(error instanceof ClientError && /too large/.test(error.text), String(error));
      refused = size;
    }
  }
  return taken;
}

async function eventually(attempt: () => Promise<unknown>): Promise<void> {
  for (let left = 60; ; left--) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(250);
    }
  }
}
