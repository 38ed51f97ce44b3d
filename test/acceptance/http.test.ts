import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { AlarmAction, AlarmType, KV, Maintenance } from '../../server/proto/gen/rpc.ts';
import { Authority, Files, tlsFlags } from '../support/certificates.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { freePort, type MemberProcess } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { withDividedStore } from './divided-store.ts';
import {
  eventually,
  isOracle,
  putRequest,
  type Store,
  sharedStore,
  times,
  withStore,
} from './support.ts';

// Acceptance cases 89 to 92 and 94: what is asked over HTTP, beside gRPC and instead of it.

const run = promisify(execFile);
const single = sharedStore();
const curlTool = needs('curl');
const pageBytes = 4_096;

interface Page {
  readonly status: number;
  readonly body: string;
}

async function get(member: MemberProcess, path: string, timeoutMs = 8_000): Promise<Page> {
  const signal = AbortSignal.timeout(timeoutMs);
  const response = await fetch(`${member.clientUrl}${path}`, { signal });
  return { status: response.status, body: await response.text() };
}

async function checkPages(
  member: MemberProcess,
  pages: Readonly<Record<string, readonly [status: number, text: RegExp]>>,
): Promise<void> {
  for (const [path, [status, text]] of Object.entries(pages)) {
    const page = await get(member, path);
    assert.equal(page.status, status, `${path}: ${page.body}`);
    assert.match(page.body, text, path);
  }
}

const fine = {
  '/livez': [200, /^ok\n$/],
  '/readyz': [200, /^ok\n$/],
  '/livez?verbose=true': [200, /\[\+\]serializable_read ok/],
  '/readyz?verbose=true': [200, /^(?=[^]*\[\+\]data_corruption ok)[^]*\[\+\]serializable_read ok/],
} as const;

/** As full as its quota allows. */
async function fill(store: Store): Promise<void> {
  const put = putRequest('fill', 'b'.repeat(pageBytes));
  for (let n = 0; n < 1_000; n++) {
    if ((await store.at().channel.call(KV.methods.put, put)).kind === 'error') return;
  }
  assert.fail('there is no end of space');
}

const tiny = { flags: [`--quota-backend-bytes=${13 * pageBytes}`] };

test('89 TestHTTPHealthHandler', async () => {
  await checkPages(single().cluster.member(0), {
    '/health': [200, /^\{"health":"true","reason":""\}/],
  });
  await withStore(tiny, async (store) => {
    await fill(store);
    await checkPages(store.cluster.member(0), {
      '/health': [503, /"health":"false","reason":"ALARM NOSPACE"/],
      '/health?exclude=NOSPACE': [200, /"health":"true"/],
    });
  });
});

test('89 TestHTTPLivezReadyzHandler', async () => {
  await checkPages(single().cluster.member(0), fine);
  await withStore(tiny, async (store) => {
    await fill(store);
    // Its clients can do something about it: nobody else has to.
    await checkPages(store.cluster.member(0), fine);
    const corrupt = { action: AlarmAction.ACTIVATE, memberID: 1n, alarm: AlarmType.CORRUPT };
    await store.at().call(Maintenance.methods.alarm, corrupt);
    await checkPages(store.cluster.member(0), {
      '/livez': [200, /^ok\n$/],
      '/readyz': [503, /\[-\]data_corruption failed/],
      '/readyz?exclude=data_corruption': [200, /^ok\n$/],
    });
  });
});

test('89 TestHTTPHealthHandler, TestHTTPLivezReadyzHandler, partitioned', () =>
  withDividedStore({ size: 3 }, async (store) => {
    const [alone] = await store.followers();
    assert(alone !== undefined);
    store.divide([alone]);
    await eventually(async () => {
      const page = await get(alone, '/health', 10_000);
      assert.equal(page.status, 503, page.body);
    });
    await checkPages(alone, {
      '/health?serializable=true': [200, /"health":"true"/],
      '/livez': [200, /^ok\n$/],
    });
    const ready = await get(alone, '/readyz', 20_000);
    assert.equal(ready.status, 503);
    assert.match(ready.body, /\[-\]linearizable_read failed/);
    store.heal();
    await eventually(async () => assert.equal((await get(alone, '/readyz')).status, 200));
  }));

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** POSTs as etcd's documentation does. */
async function post(
  member: MemberProcess,
  path: string,
  body: object = {},
  args: readonly string[] = [],
): Promise<Answer> {
  const how = ['-sS', '-L', '--max-time', '20', '-X', 'POST', '-w', '\n%{http_code}'];
  const data = [`${member.clientUrl}/v3/${path}`, '-d', JSON.stringify(body)];
  const { stdout } = await run(toolPath('curl'), [...how, ...args, ...data]);
  const at = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(at)), json: JSON.parse(stdout.slice(0, at)) };
}

async function answered(path: string, body: object = {}): Promise<Record<string, unknown>> {
  const { status, json } = await post(single().cluster.member(0), path, body);
  assert.equal(status, 200, JSON.stringify(json));
  return json;
}

/** The first lines of an answer that goes on. */
async function firstLines(
  member: MemberProcess,
  path: string,
  body: object,
  count: number,
  between: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Array<{ result: Record<string, unknown> }>> {
  const response = await fetch(`${member.clientUrl}/v3/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  let text = '';
  let isBetween = true;
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    const lines = text.split('\n').slice(0, -1);
    if (isBetween && lines.length > 0) {
      isBetween = false;
      await between();
    }
    if (lines.length >= count) {
      return lines.slice(0, count).map((line) => JSON.parse(line));
    }
  }
  throw new Error(`the answer has ended: ${text}`);
}

const kv = { key: base64('foo'), value: base64('bar') };

test('91 TestCurlV3KVBasicOperation, TestCurlV3Txn, TestCurlV3KVCompact', curlTool, async () => {
  await single().clear();
  await answered('kv/put', kv);
  const range = await answered('kv/range', { key: kv.key });
  assert.equal(range['count'], '1');
  assert.equal((range['kvs'] as Array<{ value: string }>)[0]?.value, kv.value);
  const txn = await answered('kv/txn', {
    compare: [{ key: kv.key, target: 'VALUE', result: 'EQUAL', value: kv.value }],
    success: [{ request_put: { key: base64('new'), value: base64('x') } }],
  });
  assert.equal(txn['succeeded'], true);
  const lower = { compare: [{ key: kv.key, createRevision: '0', target: 'CREATE' }], failure: [] };
  assert.equal((await answered('kv/txn', lower))['succeeded'], undefined);
  const { header } = range as { header: { revision: string } };
  await answered('kv/compaction', { revision: header.revision });
  const old = { key: kv.key, revision: Number(header.revision) - 1 };
  const { status, json } = await post(single().cluster.member(0), 'kv/range', old);
  assert.deepEqual(
    [status, json['code'], json['message']],
    [400, 11, 'etcdserver: mvcc: required revision has been compacted'],
  );
  assert.equal((await answered('kv/deleterange', { key: kv.key }))['deleted'], '1');
});

test('91 TestCurlV3Watch', async () => {
  await single().clear();
  const request = { create_request: { key: kv.key, start_revision: '0' } };
  const member = single().cluster.member(0);
  const [created, event] = await firstLines(member, 'watch', request, 2, () =>
    single().at().put('foo', 'bar'),
  );
  assert.equal(created?.result['created'], true);
  assert(event !== undefined);
  const [first] = event.result['events'] as Array<{ kv: { value: string } }>;
  assert.equal(first?.kv.value, kv.value);
});

test(
  '91 TestCurlV3LeaseGrant, TestCurlV3LeaseRevoke, TestCurlV3LeaseLeases, TestCurlV3LeaseKeepAlive',
  curlTool,
  async () => {
    await single().clear();
    const ID = '77';
    assert.deepEqual(
      [
        (await answered('lease/grant', { ID, TTL: 60 }))['TTL'],
        (await answered('lease/leases'))['leases'],
      ],
      ['60', [{ ID }]],
    );
    await answered('kv/put', { ...kv, lease: ID });
    const ttl = await answered('lease/timetolive', { ID, keys: true });
    assert.deepEqual([ttl['grantedTTL'], ttl['keys']], ['60', [kv.key]]);
    const kept = await answered('lease/keepalive', { ID });
    assert.equal((kept['result'] as { TTL: string }).TTL, '60');
    await answered('lease/revoke', { ID });
    assert.equal((await answered('kv/range', { key: kv.key }))['count'], undefined);
    const again = await post(single().cluster.member(0), 'lease/revoke', { ID });
    assert.deepEqual([again.status, again.json['code']], [404, 5]);
  },
);

test('91 TestCurlV3LockOperations', curlTool, async () => {
  await single().clear();
  const { key } = await answered('lock/lock', { name: base64('my-lock') });
  assert.match(Buffer.from(String(key), 'base64').toString(), /^my-lock\/[0-9a-f]+$/);
  await answered('lock/unlock', { key });
});

test(
  '91 TestCurlV3CampaignNoTLS, TestCurlV3ProclaimMissiongLeaderKeyNoTLS, TestCurlV3ResignMissiongLeaderKeyNoTLS',
  curlTool,
  async () => {
    await single().clear();
    const { ID } = await answered('lease/grant', { TTL: 60 });
    const name = base64('/election-prefix');
    const { leader } = await answered('election/campaign', { name, lease: ID, value: kv.value });
    await answered('election/proclaim', { leader, value: base64('v2') });
    const now = await answered('election/leader', { name });
    assert.equal((now['kv'] as { value: string }).value, base64('v2'));
    await answered('election/resign', { leader });
    for (const path of ['election/proclaim', 'election/resign']) {
      const { json } = await post(single().cluster.member(0), path, { value: kv.value });
      assert.match(String(json['message']), /"leader" field must be provided/);
    }
  },
);

test(
  '91 TestCurlV3Auth, TestCurlV3AuthUserBasicOperations, TestCurlV3AuthRoleBasicOperations',
  curlTool,
  () =>
    withStore({ flags: ['--bcrypt-cost=4'] }, async (store) => {
      const member = store.cluster.member(0);
      const ok = async (path: string, body: object, args: readonly string[] = []) => {
        const { status, json } = await post(member, path, body, args);
        assert.equal(status, 200, `${path}: ${JSON.stringify(json)}`);
        return json;
      };
      for (const name of ['root', 'user']) await ok('auth/user/add', { name, password: 'toor' });
      await ok('auth/role/add', { name: 'role' });
      const perm = { key: kv.key, permType: 'READWRITE' };
      await ok('auth/role/grant', { name: 'role', perm });
      await ok('auth/user/grant', { user: 'root', role: 'root' });
      await ok('auth/user/grant', { user: 'user', role: 'role' });
      assert.deepEqual((await ok('auth/user/list', {}))['users'], ['root', 'user']);
      assert.deepEqual((await ok('auth/role/list', {}))['roles'], ['role']);
      await ok('auth/enable', {});
      const login = async (name: string): Promise<string[]> => {
        const { token } = await ok('auth/authenticate', { name, password: 'toor' });
        return ['-H', `Authorization: ${token}`];
      };
      const [root, user] = [await login('root'), await login('user')];
      await ok('kv/put', kv, user);
      const denied = await post(member, 'kv/put', { key: base64('z') }, user);
      assert.deepEqual([denied.status, denied.json['code']], [403, 7]);
      const anonymous = await post(member, 'kv/put', kv);
      assert.deepEqual(
        [anonymous.status, anonymous.json['message']],
        [400, 'etcdserver: user name is empty'],
      );
      assert.equal((await ok('auth/status', {}, root))['enabled'], true);
      await ok('auth/user/changepw', { name: 'user', password: 'new' }, root);
      await ok('auth/user/revoke', { name: 'user', role: 'role' }, root);
      await ok('auth/role/revoke', { role: 'role', key: kv.key }, root);
      await ok('auth/role/delete', { role: 'role' }, root);
      await ok('auth/user/delete', { name: 'user' }, root);
      await ok('auth/disable', {}, root);
    }),
);

test(
  '91 TestCurlV3ClusterOperations, TestCurlV3MaintenanceAlarmMissiongKey, TestCurlV3MaintenanceStatus, TestCurlV3MaintenanceDefragment, TestCurlV3MaintenanceHash, TestCurlV3MaintenanceHashKV, TestCurlV3MaintenanceSnapshot',
  curlTool,
  async () => {
    const list = await answered('cluster/member/list');
    const members = list['members'] as Array<{ ID: string; peerURLs: string[] }>;
    assert.equal(members.length, 1);
    const added = await answered('cluster/member/add', {
      peerURLs: ['http://127.0.0.1:11'],
      isLearner: true,
    });
    const { ID } = added['member'] as { ID: string };
    await answered('cluster/member/update', { ID, peerURLs: ['http://127.0.0.1:12'] });
    const early = await post(single().cluster.member(0), 'cluster/member/promote', { ID });
    assert.deepEqual([early.status, early.json['code']], [400, 9]);
    await answered('cluster/member/remove', { ID });
    await answered('maintenance/alarm', { action: 'GET' });
    const status = await answered('maintenance/status');
    assert.match(String(status['version']), /^3\.\d+\.\d+$/);
    await answered('maintenance/defragment');
    assert((await answered('maintenance/hash'))['hash'] !== undefined);
    assert((await answered('maintenance/hashkv', { revision: 0 }))['hash'] !== undefined);
    const { status: missing } = await post(single().cluster.member(0), 'maintenance/none');
    assert.equal(missing, 404);
    const [blob] = await firstLines(single().cluster.member(0), 'maintenance/snapshot', {}, 1);
    assert(String(blob?.result['blob']).length > 100);
    const targetID = members[0]?.ID;
    await answered('maintenance/transfer-leadership', { targetID });
    const downgrade = await post(single().cluster.member(0), 'maintenance/downgrade', {
      action: 'VALIDATE',
      version: 'x',
    });
    assert.equal(downgrade.status, 400);
  },
);

for (const [name, reaches] of [
  ['92 TestCurlV3_MaxStreams_BelowLimit', false],
  ['92 TestCurlV3_MaxStreams_ReachLimit', true],
] as const) {
  test(name, curlTool, () =>
    withStore({ flags: ['--max-concurrent-streams=4'] }, async (store) => {
      const member = store.cluster.member(0);
      const request = JSON.stringify({ create_request: { key: kv.key } });
      const watches: ChildProcess[] = [];
      try {
        for (let n = 0; n < (reaches ? 4 : 3); n++) {
          const url = `${member.clientUrl}/v3/watch`;
          const watch = spawn(toolPath('curl'), ['-sS', '-N', '-X', 'POST', url, '-d', request]);
          watches.push(watch);
          await new Promise<void>((resolve) => watch.stdout.once('data', () => resolve()));
        }
        // All that come over the gateway share its one connection.
        const range = post(member, 'kv/range', { key: kv.key }, ['--max-time', '3']);
        if (reaches) await assert.rejects(range, /timed out/);
        else assert.equal((await range).status, 200);
        for (const watch of watches) watch.kill('SIGKILL');
        watches.length = 0;
        await eventually(async () => {
          assert.equal((await post(member, 'kv/range', { key: kv.key })).status, 200);
        });
      } finally {
        for (const watch of watches) watch.kill('SIGKILL');
      }
    }),
  );
}

/** Of both kinds of listening: what etcdctl gets, and curl with each version of HTTP. */
async function checkMultiplexing(
  { grpcUrl, httpUrl }: { grpcUrl: string; httpUrl: string },
  flags: readonly string[],
  store: Store,
): Promise<void> {
  const ctl = new Etcdctl(store.cluster, flags);
  assert.equal((await ctl.run(['put', 'foo', 'bar'], { endpoints: [grpcUrl] })).stdout, 'OK\n');
  const versions = httpUrl.startsWith('https:') ? ['--http2', '--http1.1'] : ['--http1.1'];
  for (const version of versions) {
    const curl = async (...args: string[]): Promise<string> =>
      (await run(toolPath('curl'), ['-sS', '--max-time', '10', version, ...flags, ...args])).stdout;
    assert.match(await curl(`${httpUrl}/version`), /"etcdserver":"3\./);
    assert.match(await curl(`${httpUrl}/health`), /"health":"true"/);
    assert.match(await curl(`${httpUrl}/metrics`), /^etcd_server_has_leader 1$/m);
    assert.match(await curl(`${httpUrl}/debug/vars`), /"cmdline"/);
    const body = JSON.stringify({ key: kv.key });
    assert.match(await curl('-X', 'POST', `${httpUrl}/v3/kv/range`, '-d', body), /"count":"1"/);
  }
}

const multiplexTools = needs('curl', 'etcdctl');

for (const isSecure of [false, true]) {
  for (const isSeparate of [false, true]) {
    const name = `${isSeparate ? 'SeparateHTTP/' : ''}Server${isSecure ? 'TLS' : 'NonTLS'}`;
    test(`90 TestConnectionMultiplexing, ${name}`, multiplexTools, async () => {
      const files = new Files();
      const authority = await Authority.create('ca');
      const ca = files.write('ca.pem', authority.cert);
      // The gateway takes no names of certificates: this one has none.
      const client = files.writePair('client', await authority.issue());
      const own = files.writePair('member', await authority.issue());
      const httpUrl = `${isSecure ? 'https' : 'http'}://127.0.0.1:${await freePort()}`;
      const flags = [
        ...(isSecure ? tlsFlags(own, ca).filter((flag) => !flag.startsWith('--peer-')) : []),
        ...(isSeparate ? [`--listen-client-http-urls=${httpUrl}`] : []),
      ];
      const shown = isSecure
        ? ['--cacert', ca, '--cert', client.certFile, '--key', client.keyFile]
        : [];
      try {
        const schemes = { client: isSecure ? 'https' : 'http' } as const;
        await withStore({ flags, schemes }, async (store) => {
          const { clientUrl } = store.cluster.member(0);
          await checkMultiplexing(
            { grpcUrl: clientUrl, httpUrl: isSeparate ? httpUrl : clientUrl },
            shown,
            store,
          );
        });
      } finally {
        files.remove();
      }
    });
  }
}

test('94 TestV3MetricsInsecure', async () => {
  await single().at().put('k', 'v');
  const { status, body } = await get(single().cluster.member(0), '/metrics');
  assert.equal(status, 200);
  assert.match(body, /^etcd_mvcc_put_total [1-9]/m);
  assert.match(body, /^etcd_debugging_mvcc_keys_total [1-9]/m);
  assert.match(body, /^etcd_server_version\{server_version="3\.\d+\.\d+"\} 1$/m);
});

test('94 TestV3MetricsSecure', curlTool, async () => {
  const files = new Files();
  const authority = await Authority.create('ca');
  const ca = files.write('ca.pem', authority.cert);
  const own = files.writePair('member', await authority.issue());
  const metricsUrl = `https://127.0.0.1:${await freePort()}`;
  const clear = `http://127.0.0.1:${await freePort()}`;
  const flags = [
    ...tlsFlags(own, ca).filter((flag) => !flag.startsWith('--peer-')),
    `--listen-metrics-urls=${metricsUrl},${clear}`,
  ];
  try {
    await withStore({ flags, schemes: { client: 'https' } }, async () => {
      const shown = ['--cacert', ca, '--cert', own.certFile, '--key', own.keyFile];
      for (const [url, args] of [
        [metricsUrl, shown],
        [clear, []],
      ] as const) {
        const how = ['-sS', '--max-time', '10', ...args];
        const { stdout } = await run(toolPath('curl'), [...how, `${url}/metrics`]);
        assert.match(stdout, /^etcd_server_has_leader 1$/m);
        assert.match((await run(toolPath('curl'), [...how, `${url}/health`])).stdout, /"true"/);
      }
      const bare = ['-sS', '--max-time', '10', '--cacert', ca, `${metricsUrl}/metrics`];
      await assert.rejects(run(toolPath('curl'), bare));
    });
  } finally {
    files.remove();
  }
});

/** Those of upstream's list that say something of any store; the others are of bbolt, Go, the v2 store and the proxy. */
const metrics =
  `etcd_cluster_version etcd_debugging_auth_revision etcd_debugging_lease_granted_total
  etcd_debugging_lease_renewed_total etcd_debugging_lease_revoked_total etcd_debugging_mvcc_compact_revision
  etcd_debugging_mvcc_current_revision etcd_debugging_mvcc_db_compaction_keys_total
  etcd_debugging_mvcc_events_total etcd_debugging_mvcc_keys_total etcd_debugging_mvcc_pending_events_total
  etcd_debugging_mvcc_slow_watcher_total etcd_debugging_mvcc_total_put_size_in_bytes
  etcd_debugging_mvcc_watch_stream_total etcd_debugging_mvcc_watcher_total
  etcd_debugging_server_lease_expired_total etcd_disk_backend_commit_duration_seconds
  etcd_disk_wal_fsync_duration_seconds etcd_disk_wal_write_bytes_total etcd_mvcc_db_total_size_in_bytes
  etcd_mvcc_db_total_size_in_use_in_bytes etcd_mvcc_delete_total etcd_mvcc_put_total etcd_mvcc_range_total
  etcd_mvcc_txn_total etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total
  etcd_network_known_peers etcd_server_has_leader etcd_server_health_failures etcd_server_health_success
  etcd_server_heartbeat_send_failures_total etcd_server_id etcd_server_is_leader etcd_server_is_learner
  etcd_server_leader_changes_seen_total etcd_server_proposals_applied_total
  etcd_server_proposals_committed_total etcd_server_proposals_failed_total etcd_server_proposals_pending
  etcd_server_quota_backend_bytes etcd_server_read_indexes_failed_total etcd_server_slow_apply_total
  etcd_server_slow_read_indexes_total etcd_server_version grpc_server_handled_total
  grpc_server_msg_received_total grpc_server_msg_sent_total grpc_server_started_total
  process_cpu_seconds_total process_max_fds process_open_fds process_resident_memory_bytes
  process_start_time_seconds process_virtual_memory_bytes`.split(/\s+/);

test('94 TestNoMetricsMissing', async () => {
  const { body } = await get(single().cluster.member(0), '/metrics');
  const shown = new Set([...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  // Labelled ones of peers have to have a peer first.
  const missing = metrics.filter(
    (name) => !shown.has(name) && !name.startsWith('etcd_network_known'),
  );
  assert.deepEqual(missing, []);
});

test('94 TestServerJsonLogging', () =>
  withStore({ flags: ['--log-level=debug'] }, async (store) => {
    await Promise.all(times(20, (n) => store.at().put('k', String(n))));
    const lines = store.cluster.member(0).log.trimEnd().split('\n');
    assert(lines.length > 3);
    for (const line of lines) {
      const entry = JSON.parse(line);
      assert.match(entry.level, /^(debug|info|warn|error|fatal)$/, line);
      assert.match(entry.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d{4})$/, line);
      assert.equal(typeof entry.msg, 'string', line);
      // Where in Go's source it was written: there is no such place here.
      if (isOracle) assert.notEqual(entry.caller, '', line);
    }
  }));
