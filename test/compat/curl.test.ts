import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { type MemberProcess, TestCluster, withCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { testedProgram } from './store-under-test.ts';

// etcd's TestCurlV3*: what people do with curl on the JSON gateway, in clear.

const options = { ...needs('curl'), timeout: 60_000 };
const run = promisify(execFile);

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

/** POSTs as etcd's documentation does. */
async function curl(
  member: MemberProcess,
  path: string,
  body: object,
  args: readonly string[] = [],
): Promise<Answer> {
  const url = `${member.clientUrl}/v3/${path}`;
  const how = ['-sS', '-L', '--max-time', '20', '-X', 'POST', '-w', '\n%{http_code}'];
  const data = ['-d', JSON.stringify(body)];
  const { stdout } = await run(toolPath('curl'), [...how, ...args, url, ...data]);
  const at = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(at)), json: JSON.parse(stdout.slice(0, at)) };
}

/** A call that goes on: its lines as they come. */
class RunningCurl {
  readonly #child: ChildProcess;
  #text = '';
  #changed: () => void = () => {};

  constructor(member: MemberProcess, path: string, args: readonly string[]) {
    const url = `${member.clientUrl}/v3/${path}`;
    this.#child = spawn(toolPath('curl'), ['-sS', '-N', '-X', 'POST', url, ...args]);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
      this.#changed();
    });
  }

  /** Writes a part of the body: needs `-T .`. */
  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  endBody(): void {
    this.#child.stdin?.end();
  }

  async lines(count: number): Promise<Record<string, unknown>[]> {
    while (this.#text.split('\n').length <= count) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    return this.#text
      .split('\n')
      .slice(0, count)
      .map((line) => JSON.parse(line));
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

const key = base64('foo');

suite('curl on the gateway', options, () => {
  let cluster: TestCluster;
  let member: MemberProcess;

  test('a member', async () => {
    cluster = await TestCluster.start({ program: testedProgram(), flags: ['--bcrypt-cost=4'] });
    member = cluster.member(0);
  });

  test('TestCurlV3KVBasic', async () => {
    const put = await curl(member, 'kv/put', { key, value: base64('bar') });
    assert.equal(put.status, 200);
    const got = await curl(member, 'kv/range', { key });
    const [kv] = got.json['kvs'] as { value: string }[];
    assert.equal(kv?.value, base64('bar'));
    assert.equal(got.json['count'], '1');
    const deleted = await curl(member, 'kv/deleterange', { key, prev_kv: true });
    assert.equal(deleted.json['deleted'], '1');
  });

  test('TestCurlV3TxnBasic', async () => {
    await curl(member, 'kv/put', { key, value: base64('bar') });
    const { json } = await curl(member, 'kv/txn', {
      compare: [{ key, target: 'VALUE', result: 'EQUAL', value: base64('bar') }],
      success: [{ request_put: { key: base64('won'), value: base64('1') } }],
      failure: [{ request_range: { key } }],
    });
    assert.equal(json['succeeded'], true);
    assert.deepEqual(Object.keys((json['responses'] as object[])[0] ?? {}), ['response_put']);
  });

  test('TestCurlV3CompactBasic', async () => {
    const { json } = await curl(member, 'kv/put', { key, value: base64('new') });
    const { revision } = json['header'] as { revision: string };
    assert.equal((await curl(member, 'kv/compaction', { revision, physical: true })).status, 200);
    const again = await curl(member, 'kv/compaction', { revision });
    assert.equal(again.status, 400);
    assert.match(String(again.json['message']), /required revision has been compacted/);
  });

  test('TestCurlV3LeaseGrant, LeaseRevoke, LeaseLeases, LeaseTimeToLive, LeaseKeepAlive', async () => {
    const ID = '1234';
    const granted = await curl(member, 'lease/grant', { ID, TTL: '120' });
    assert.equal(granted.json['TTL'], '120');
    await curl(member, 'kv/put', { key: base64('leased'), lease: ID });
    const left = await curl(member, 'lease/timetolive', { ID, keys: true });
    assert.equal(left.json['grantedTTL'], '120');
    assert.deepEqual(left.json['keys'], [base64('leased')]);
    const kept = await curl(member, 'lease/keepalive', { ID });
    assert.equal((kept.json['result'] as { TTL: string }).TTL, '120');
    const all = await curl(member, 'kv/lease/leases', {});
    assert.deepEqual(all.json['leases'], [{ ID }]);
    assert.equal((await curl(member, 'kv/lease/revoke', { ID })).status, 200);
    const gone = await curl(member, 'kv/range', { key: base64('leased'), count_only: true });
    assert.equal(gone.json['count'], undefined);
  });

  /** With `args`: what is told to a watch of the key. */
  async function watched(args: readonly string[], body: (watch: RunningCurl) => Promise<void>) {
    const watch = new RunningCurl(member, 'watch', args);
    try {
      await body(watch);
    } finally {
      watch.kill();
    }
  }

  const create = JSON.stringify({ create_request: { key } });

  async function seesPut(watch: RunningCurl): Promise<void> {
    await watch.lines(1);
    await curl(member, 'kv/put', { key, value: base64('seen') });
    const [created, event] = (await watch.lines(2)).map(({ result }) => result) as {
      created?: boolean;
      events?: { kv: { value: string } }[];
    }[];
    assert.equal(created?.created, true);
    assert.equal(event?.events?.[0]?.kv.value, base64('seen'));
  }

  test('TestCurlV3Watch', () => watched(['-d', create], seesPut));

  // Go's HTTP/1.1 reads the whole request before it answers, so with etcd this takes HTTP/2.
  const isEtcd = testedProgram() === 'etcd';
  test('a watch that is told more as it goes', { skip: isEtcd }, () =>
    watched(['-T', '.', '-H', 'Expect:'], async (long) => {
      long.write(create);
      await seesPut(long);
      long.write('{"progress_request":{}}\n{"cancel_request":{"watch_id":"0"}}');
      const lines = (await long.lines(4)).map(({ result }) => result as Record<string, unknown>);
      assert.equal(lines[2]?.['watch_id'], '-1');
      assert.equal(lines[3]?.['canceled'], true);
      long.endBody();
    }),
  );

  test('TestCurlV3ClusterMemberList, MemberAdd, MemberUpdate, MemberRemove', async () => {
    const list = async () => {
      const { json } = await curl(member, 'cluster/member/list', { linearizable: true });
      return json['members'] as { ID: string; name?: string; isLearner?: boolean }[];
    };
    const [own] = await list();
    assert.equal(own?.name, 'm1');
    const added = await curl(member, 'cluster/member/add', {
      peerURLs: ['http://127.0.0.1:1'],
      isLearner: true,
    });
    const { ID } = added.json['member'] as { ID: string };
    assert.equal((await list()).find((each) => each.ID === ID)?.isLearner, true);
    const update = { ID, peerURLs: ['http://127.0.0.1:2'] };
    assert.equal((await curl(member, 'cluster/member/update', update)).status, 200);
    assert.equal((await curl(member, 'cluster/member/remove', { ID })).status, 200);
    assert.equal((await list()).length, 1);
  });

  test('TestCurlV3Maintenance: alarms, status, transfer of leadership', async () => {
    assert.equal((await curl(member, 'maintenance/alarm', { action: 'GET' })).status, 200);
    const { json } = await curl(member, 'maintenance/status', {});
    assert.match(String(json['version']), /^\d+\.\d+\.\d+$/);
    const { member_id: targetID } = json['header'] as { member_id: string };
    const moved = await curl(member, 'maintenance/transfer-leadership', { targetID });
    assert.equal(moved.status, 200);
  });

  test('TestCurlV3Maintenance: hashes, defragmentation, a snapshot', async () => {
    for (const path of ['hash', 'hashkv', 'defragment']) {
      assert.equal((await curl(member, `maintenance/${path}`, {})).status, 200, path);
    }
    const snapshot = new RunningCurl(member, 'maintenance/snapshot', ['-d', '{}']);
    const [first] = await snapshot.lines(1);
    const { blob } = (first as { result: { blob: string } }).result;
    // The first page of a database of etcd tells so.
    assert.equal(Buffer.from(blob, 'base64').readUInt32LE(16), 0xed0cdaed);
    snapshot.kill();
  });

  test('TestCurlV3LockOperations', async () => {
    const name = base64('lock');
    const locked = await curl(member, 'lock/lock', { name });
    assert.equal(locked.status, 200);
    const waiting = curl(member, 'lock/lock', { name });
    const unlocked = await curl(member, 'lock/unlock', { key: locked.json['key'] });
    assert.equal(unlocked.status, 200);
    const { json } = await waiting;
    assert.equal((await curl(member, 'lock/unlock', { key: json['key'] })).status, 200);
  });

  test('TestCurlV3CampaignNoTLS, ProclaimMissiongLeaderKey, ResignMissiongLeaderKey', async () => {
    const name = base64('election');
    const won = await curl(member, 'election/campaign', { name, value: base64('v1') });
    const { leader } = won.json;
    const changed = { leader, value: base64('v2') };
    assert.equal((await curl(member, 'election/proclaim', changed)).status, 200);
    const { json } = await curl(member, 'election/leader', { name });
    assert.equal((json['kv'] as { value: string }).value, base64('v2'));
    const observer = new RunningCurl(member, 'election/observe', ['-d', JSON.stringify({ name })]);
    await observer.lines(1);
    observer.kill();
    for (const path of ['proclaim', 'resign']) {
      const refused = await curl(member, `election/${path}`, {});
      assert.equal(refused.status, 500);
      assert.equal(refused.json['message'], '"leader" field must be provided');
    }
    assert.equal((await curl(member, 'election/resign', { leader })).status, 200);
  });

  test('TestCurlV3Auth: users, roles, and a token in the header', async () => {
    const done = async (path: string, body: object) =>
      assert.equal((await curl(member, `auth/${path}`, body)).status, 200, path);
    await done('user/add', { name: 'root', password: 'toor' });
    await done('role/add', { name: 'root' });
    await done('user/grant', { user: 'root', role: 'root' });
    await done('enable', {});
    const refused = await curl(member, 'kv/range', { key });
    assert.equal(refused.status, 400);
    assert.match(String(refused.json['message']), /user name is empty/);
    const wrong = await curl(member, 'auth/authenticate', { name: 'root', password: 'x' });
    assert.equal(wrong.status, 400);
    const { json } = await curl(member, 'auth/authenticate', { name: 'root', password: 'toor' });
    const header = ['-H', `Authorization: ${String(json['token'])}`];
    assert.equal((await curl(member, 'kv/range', { key }, header)).status, 200);
    const { json: status } = await curl(member, 'auth/status', {}, header);
    assert.equal(status['enabled'], true);
    assert.equal((await curl(member, 'auth/disable', {}, header)).status, 200);
  });

  test('the end', () => cluster.stop());
});

/** TestCurlV3_MaxStreams: the gateway as a whole has as many streams as one connection may have. */
for (const [isReached, expected] of [
  [false, /"revision":"/],
  [true, /Operation timed out/],
] as const) {
  test(`TestCurlV3_MaxStreams ${isReached ? 'ReachLimit' : 'BelowLimit'}`, options, () =>
    withCluster(
      { program: testedProgram(), flags: ['--max-concurrent-streams', '3'] },
      async (cluster) => {
        const member = cluster.member(0);
        const create = JSON.stringify({ create_request: { key } });
        const count = isReached ? 3 : 2;
        const watches = Array.from(
          { length: count },
          () => new RunningCurl(member, 'watch', ['-d', create]),
        );
        try {
          await Promise.all(watches.map((watch) => watch.lines(1)));
          const url = `${member.clientUrl}/v3/kv/range`;
          const args = ['-sS', '--max-time', '2', url, '-d', JSON.stringify({ key })];
          const output = await run(toolPath('curl'), args).then(
            ({ stdout }) => stdout,
            (error: { stderr: string }) => error.stderr,
          );
          assert.match(output, expected);
        } finally {
          for (const watch of watches) watch.kill();
        }
      },
    ),
  );
}
