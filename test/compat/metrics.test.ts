import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { KV, Watch, WatchCreateRequest } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { freePort, type MemberProcess, withCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { testedProgram } from './store-under-test.ts';

// /metrics: what etcd's Grafana dashboard and alert rules ask for is there, with the labels they use; what etcd shows
// under the same name has the same type and labels; promtool reads it.

/** Names and labels in the expressions of etcd's contrib/mixin (dashboards and alerts); `bucket`s by their family. */
const ofTheMixin: Readonly<Record<string, readonly string[]>> = {
  etcd_disk_backend_commit_duration_seconds: [],
  etcd_disk_wal_fsync_duration_seconds: [],
  etcd_mvcc_db_total_size_in_bytes: [],
  etcd_mvcc_db_total_size_in_use_in_bytes: [],
  etcd_network_client_grpc_received_bytes_total: [],
  etcd_network_client_grpc_sent_bytes_total: [],
  etcd_network_peer_received_bytes_total: ['From'],
  etcd_network_peer_round_trip_time_seconds: ['To'],
  etcd_network_peer_sent_bytes_total: ['To'],
  etcd_network_peer_sent_failures_total: ['To'],
  etcd_server_has_leader: [],
  etcd_server_leader_changes_seen_total: [],
  etcd_server_proposals_applied_total: [],
  etcd_server_proposals_committed_total: [],
  etcd_server_proposals_failed_total: [],
  etcd_server_proposals_pending: [],
  etcd_server_quota_backend_bytes: [],
  grpc_server_handled_total: ['grpc_code', 'grpc_method', 'grpc_service', 'grpc_type'],
  grpc_server_handling_seconds: ['grpc_method', 'grpc_service', 'grpc_type'],
  grpc_server_started_total: ['grpc_method', 'grpc_service', 'grpc_type'],
  process_resident_memory_bytes: [],
};

/** What etcd shows on the first day that means nothing here, by the beginning of the name. */
const meaningless = [
  // The v2 store, the gRPC proxy, and phases of bbolt's commit.
  'etcd_debugging_store_',
  'etcd_grpc_proxy_',
  'etcd_debugging_disk_backend_commit_',
  // Files of etcd that this store does not have.
  'etcd_debugging_snap_save_',
  'etcd_snap_db_fsync_duration_seconds',
  'etcd_snap_fsync_duration_seconds',
  'etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds',
  // Go's runtime.
  'go_',
  'etcd_server_go_version',
  'process_network_',
  'process_virtual_memory_max_bytes',
  'promhttp_metric_handler_requests_in_flight',
];

interface Scraped {
  readonly type: string;
  /** Names of labels, without `le`. */
  readonly labels: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, number>;
  /** Of the buckets. */
  readonly bounds: ReadonlySet<number>;
}

async function scrape(url: string): Promise<{ text: string; families: Map<string, Scraped> }> {
  const response = await fetch(`${url}/metrics`);
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  const families = new Map<string, Scraped>();
  let name = '';
  for (const line of text.trimEnd().split('\n')) {
    const [, typed = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (typed !== '') {
      name = typed;
      families.set(name, { type, labels: new Set(), values: new Map(), bounds: new Set() });
    }
    if (line.startsWith('#')) continue;
    const [, sample = '', labels = '', value = ''] =
      /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    const family = families.get(name);
    assert.ok(family !== undefined && sample.startsWith(name), line);
    for (const [, label = ''] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) {
      if (label !== 'le') (family.labels as Set<string>).add(label);
    }
    const [, le] = /\ble="([^"]*)"/.exec(labels) ?? [];
    if (le !== undefined)
      (family.bounds as Set<number>).add(Number(le.replace('+Inf', 'Infinity')));
    (family.values as Map<string, number>).set(`${sample}{${labels}}`, Number(value));
  }
  return { text, families };
}

async function post(member: MemberProcess, path: string, body: object): Promise<void> {
  const response = await fetch(`${member.clientUrl}/v3/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.text());
}

/** The same work for both. */
async function work(member: MemberProcess): Promise<void> {
  const channel = new GrpcChannel(member.clientUrl);
  const key = Buffer.from('k');
  for (let i = 0; i < 5; i++) await channel.call(KV.methods.put, { key, value: Buffer.from('vv') });
  await channel.call(KV.methods.range, { key });
  await channel.call(KV.methods.range, { key, revision: 1_000_000 });
  await channel.call(KV.methods.deleteRange, { key: Buffer.from('none') });
  channel.close();
  await post(member, 'kv/txn', {
    success: [{ request_put: { key: 'YQ==' } }, { request_delete_range: { key: 'Yg==' } }],
  });
  await post(member, 'lease/grant', { TTL: 100, ID: 7 });
  await post(member, 'lease/keepalive', { ID: 7 });
  await post(member, 'lease/revoke', { ID: 7 });
}

/** Numbers that must be the same after the same work. */
const counted = [
  'etcd_mvcc_put_total{}',
  'etcd_mvcc_delete_total{}',
  'etcd_mvcc_txn_total{}',
  'etcd_debugging_mvcc_keys_total{}',
  'etcd_debugging_mvcc_current_revision{}',
  'etcd_debugging_mvcc_total_put_size_in_bytes{}',
  'etcd_debugging_lease_granted_total{}',
  'etcd_debugging_lease_renewed_total{}',
  'etcd_debugging_lease_revoked_total{}',
  'etcd_server_has_leader{}',
  'etcd_server_is_leader{}',
  'etcd_server_is_learner{}',
  ...['Put', 'Range', 'DeleteRange', 'Txn'].flatMap((method) => {
    const labels = `grpc_method="${method}",grpc_service="etcdserverpb.KV",grpc_type="unary"`;
    return [
      `grpc_server_started_total{${labels}}`,
      `grpc_server_handled_total{grpc_code="OK",${labels}}`,
      `grpc_server_handled_total{grpc_code="OutOfRange",${labels}}`,
      `grpc_server_msg_received_total{${labels}}`,
      `grpc_server_msg_sent_total{${labels}}`,
      `grpc_server_handling_seconds_count{${labels}}`,
    ];
  }),
];

test('what etcd shows too has the same type, labels and counts', needs('etcd'), () => {
  const flags = ['--metrics', 'extensive'];
  return withCluster({ program: 'etcd', flags: [...flags, '--unsafe-no-fsync'] }, (etcd) =>
    withCluster({ program: testedProgram(), flags }, async (tested) => {
      for (const cluster of [etcd, tested]) await work(cluster.member(0));
      const theirs = (await scrape(etcd.member(0).clientUrl)).families;
      const ours = (await scrape(tested.member(0).clientUrl)).families;
      const missing = [...theirs.keys()].filter((name) => !ours.has(name));
      assert.deepEqual(
        missing.filter((name) => !meaningless.some((prefix) => name.startsWith(prefix))),
        [],
      );
      for (const [name, { type, labels, bounds }] of theirs) {
        const own = ours.get(name);
        if (own === undefined) continue;
        assert.equal(own.type, type, name);
        assert.deepEqual([...own.labels].toSorted(), [...labels].toSorted(), name);
        assert.deepEqual(own.bounds, bounds, name);
      }
      for (const sample of counted) {
        const name = sample.slice(0, sample.indexOf('{')).replace(/_count$/, '');
        assert.equal(
          ours.get(name)?.values.get(sample),
          theirs.get(name)?.values.get(sample),
          sample,
        );
      }
      for (const { type, values } of ours.values()) {
        if (type === 'counter') for (const value of values.values()) assert.ok(value >= 0);
      }
    }),
  );
});

test(
  'promtool reads it, and complains of nothing but etcd’s own names',
  needs('promtool', 'etcd'),
  () =>
    withCluster({ program: 'etcd' }, (etcd) =>
      withCluster({ program: testedProgram() }, async (tested) => {
        const [theirs, ours] = [
          await scrape(etcd.member(0).clientUrl),
          await scrape(tested.member(0).clientUrl),
        ];
        const known = new Set(lint(theirs.text).map(nameIn));
        const own = lint(ours.text).filter((complaint) => !known.has(nameIn(complaint)));
        // In 3.6 and later.
        assert.deepEqual(
          own.filter((complaint) => !laterNames.has(nameIn(complaint))),
          [],
        );
      }),
    ),
);

const laterNames = new Set(['etcd_network_snapshot_send_success']);

function nameIn(complaint: string): string {
  return complaint.split(' ')[0] ?? '';
}

/** Exit status 1 says that it is no metrics at all, 3 that there are complaints. */
function lint(text: string): string[] {
  const run = spawnSync(toolPath('promtool'), ['check', 'metrics'], { input: text });
  assert.ok(run.status === 0 || run.status === 3, `${run.status}: ${run.stderr}`);
  return String(run.stderr).split('\n').filter(Boolean);
}

test('etcd’s dashboard and alerts find everything that they name', { timeout: 60_000 }, () =>
  withCluster(
    { program: testedProgram(), size: 3, flags: ['--metrics=extensive'] },
    async (cluster) => {
      await work(cluster.member(0));
      const channel = new GrpcChannel(cluster.member(0).clientUrl);
      const watch = channel.stream(Watch.methods.watch);
      const value = WatchCreateRequest.create({ key: Buffer.from('k') });
      watch.send({ requestUnion: { kind: 'createRequest', value } });
      await watch.find(0, ({ created }) => created);
      for (const member of cluster.members) {
        let { families } = await scrape(member.clientUrl);
        // The first round trip is measured a second after the start.
        while (!hasRoundTrip(families)) ({ families } = await scrape(member.clientUrl));
        for (const [name, labels] of Object.entries(ofTheMixin)) {
          const family = families.get(name);
          assert.ok(family !== undefined && family.values.size > 0, name);
          assert.deepEqual([...family.labels].toSorted(), labels, name);
        }
        assert.equal(sum(families, 'etcd_server_has_leader'), 1);
        assert.equal(sum(families, 'etcd_network_active_peers'), 2);
        assert.equal(sum(families, 'etcd_network_known_peers'), 2);
        assert.ok(sum(families, 'etcd_network_peer_sent_bytes_total') > 0);
        assert.ok(sum(families, 'etcd_network_peer_received_bytes_total') > 0);
        assert.ok(sum(families, 'etcd_server_leader_changes_seen_total') > 0);
        assert.ok(sum(families, 'etcd_disk_wal_fsync_duration_seconds') > 0);
        assert.ok(sum(families, 'etcd_disk_backend_commit_duration_seconds') > 0);
      }
      const { families } = await scrape(cluster.member(0).clientUrl);
      assert.ok(sum(families, 'etcd_network_client_grpc_received_bytes_total') > 0);
      assert.ok(sum(families, 'etcd_network_client_grpc_sent_bytes_total') > 0);
      const open = (name: string): number =>
        [...(families.get(name)?.values ?? [])]
          .filter(([sample]) => sample.includes('grpc_service="etcdserverpb.Watch"'))
          .reduce((total, [, value]) => total + value, 0);
      assert.equal(open('grpc_server_started_total') - open('grpc_server_handled_total'), 1);
      channel.close();
    },
  ),
);

function sum(families: ReadonlyMap<string, Scraped>, name: string): number {
  let total = 0;
  for (const value of families.get(name)?.values.values() ?? []) total += value;
  return total;
}

function hasRoundTrip(families: ReadonlyMap<string, Scraped>): boolean {
  const { values = new Map<string, number>() } =
    families.get('etcd_network_peer_round_trip_time_seconds') ?? {};
  const counts = [...values].filter(([sample]) => sample.includes('_count{'));
  return counts.length === 2 && counts.every(([, count]) => count > 0);
}

test('each listener serves what it is for, as in etcd', {
  ...needs('etcd'),
  timeout: 60_000,
}, async (context) => {
  for (const program of ['etcd', testedProgram()] as const) {
    const [http, metrics] = [await freePort(), await freePort()].map(
      (port) => `http://127.0.0.1:${port}`,
    );
    const flags = [`--listen-client-http-urls=${http}`, `--listen-metrics-urls=${metrics}`];
    await context.test(program, () =>
      withCluster({ program, flags }, async (cluster) => {
        const { clientUrl } = cluster.member(0);
        const status = (url: string): Promise<number> =>
          fetch(url).then(
            (response) => response.status,
            () => 0,
          );
        assert.equal(await status(`${http}/health`), 200);
        assert.equal(await status(`${http}/metrics`), 200);
        assert.equal(await status(`${http}/version`), 200);
        assert.equal(await status(`${http}/debug/vars`), 200);
        assert.equal(await status(`${metrics}/health`), 200);
        assert.equal(await status(`${metrics}/livez`), 200);
        assert.equal(await status(`${metrics}/readyz`), 200);
        assert.equal(await status(`${metrics}/metrics`), 200);
        assert.equal(await status(`${metrics}/version`), 404);
        assert.equal(await status(`${metrics}/debug/vars`), 404);
        assert.equal(await status(`${metrics}/v3/kv/range`), 404);
        assert.equal(await status(`${clientUrl}/health`), 0);
        const key = Buffer.from('k');
        for (const [url, kind] of [
          [clientUrl, 'ok'],
          [http, 'error'],
          [metrics, 'error'],
        ] as const) {
          const channel = new GrpcChannel(url ?? '');
          assert.equal((await channel.call(KV.methods.range, { key })).kind, kind, url);
          channel.close();
        }
      }),
    );
  }
});
