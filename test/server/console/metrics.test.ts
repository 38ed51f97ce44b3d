import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  growth,
  labelOf,
  parseMetrics,
  quantileBetween,
  sumOf,
} from '../../../server/console/metrics.ts';

const counters = (puts: number, ranges: number): string => `
# HELP grpc_server_handled_total calls
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV"} ${puts}
grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV"} ${ranges}
go_goroutines 12
`;
const buckets = (counts: readonly number[]): string =>
  ['0.001', '0.01', '0.1', '+Inf']
    .map((le, at) => `etcd_disk_wal_fsync_duration_seconds_bucket{le="${le}"} ${counts[at]}`)
    .join('\n');
const name = 'etcd_disk_wal_fsync_duration_seconds';

test('counters are summed by their labels', () => {
  const metrics = parseMetrics(counters(5, 7));
  const family = 'grpc_server_handled_total';
  assert.equal(sumOf(metrics, family), 12);
  assert.equal(
    sumOf(metrics, family, (each) => labelOf(each, 'grpc_method') === 'Put'),
    5,
  );
  assert.equal(sumOf(metrics, 'go_goroutines'), undefined);
});

test('a counter that began anew has not grown', () => {
  assert.equal(growth(5, 7), 2);
  assert.equal(growth(7, 5), undefined);
  assert.equal(growth(undefined, 5), undefined);
});

test('a quantile is of what came between two looks', () => {
  const [before, after] = [
    parseMetrics(buckets([100, 100, 100, 100])),
    parseMetrics(buckets([100, 190, 200, 200])),
  ];
  const median = quantileBetween(before, after, { name, share: 0.5 }) ?? 0;
  assert.ok(median > 0.001 && median < 0.01, `${median}`);
  const highest = quantileBetween(before, after, { name, share: 0.99 }) ?? 0;
  assert.ok(highest > 0.08 && highest <= 0.1, `${highest}`);
  assert.equal(quantileBetween(after, after, { name, share: 0.5 }), undefined);
  const slow = parseMetrics(buckets([100, 100, 100, 200]));
  assert.equal(quantileBetween(before, slow, { name, share: 0.5 }), 0.1);
});
