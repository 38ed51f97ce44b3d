import { fromLatin1 } from '../base/bytes.ts';
import { hexId } from '../base/ids.ts';
import { roleOf } from '../client/ctl/status.ts';
import { table } from '../client/ctl/table.ts';
import { lineOf, milliseconds, sizeText } from '../client/ctl/text.ts';
import {
  growth,
  labelOf,
  type Metrics,
  quantileBetween,
  type Sample,
  sumOf,
} from '../console/metrics.ts';
import type { StatusResponse } from '../proto/gen/rpc.ts';
import type { HeatSample } from './hot-prefixes.ts';

/** What a member has said at one moment. */
export interface MemberLook {
  readonly endpoint: string;
  readonly status: StatusResponse | undefined;
  readonly metrics: Metrics | undefined;
  /** Why it has not said all. */
  readonly failure: string | undefined;
}

/** What all members have said at one moment. */
export interface Look {
  /** Monotonic. */
  readonly atMs: number;
  readonly members: readonly MemberLook[];
}

/** Undefined: not known, as where a member does not count it. Seconds. */
export interface Latency {
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

export interface TopView {
  /** Hex. */
  readonly clusterId: string;
  readonly revision: number;
  readonly changesPerSecond: number;
  readonly leader: string | undefined;
  readonly members: readonly MemberView[];
  /** The most frequent first. */
  readonly methods: readonly MethodView[];
  readonly prefixes: HeatSample;
}

export interface MemberView {
  readonly endpoint: string;
  readonly role: string | undefined;
  readonly version: string | undefined;
  readonly dbSizeBytes: number | undefined;
  readonly dbInUseBytes: number | undefined;
  readonly watchers: number | undefined;
  readonly requestsPerSecond: number | undefined;
  readonly sync: Latency;
  readonly commit: Latency;
  readonly failure: string | undefined;
}

export interface MethodView {
  readonly method: string;
  readonly requestsPerSecond: number;
  readonly failedPerSecond: number;
  readonly latency: Latency;
}

/** What happened between two looks, the latter being the newer. */
export function topView(before: Look, after: Look, prefixes: HeatSample): TopView {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const pairs = after.members.map((member) => ({
    before: before.members.find(({ endpoint }) => endpoint === member.endpoint)?.metrics,
    after: member.metrics,
    member,
  }));
  const revision = revisionOf(after);
  const first = after.members.find(({ status }) => status !== undefined);
  return {
    clusterId: hexId(first?.status?.header?.clusterId ?? 0n),
    revision,
    changesPerSecond: Math.max(0, revision - revisionOf(before)) / seconds,
    leader: after.members.find(({ status }) => status !== undefined && roleOf(status) === 'leader')
      ?.endpoint,
    members: pairs.map((pair) => memberView(pair.member, pair, seconds)),
    methods: methodViews(pairs, seconds),
    prefixes,
  };
}

interface Pair {
  readonly before: Metrics | undefined;
  readonly after: Metrics | undefined;
}

function revisionOf({ members }: Look): number {
  return Math.max(0, ...members.map(({ status }) => status?.header?.revision ?? 0));
}

function memberView(
  { endpoint, status, failure }: MemberLook,
  { before, after }: Pair,
  seconds: number,
): MemberView {
  const handled = growth(sumOf(before, handledTotal), sumOf(after, handledTotal));
  return {
    endpoint,
    role: status && roleOf(status),
    version: status?.version,
    dbSizeBytes: status?.dbSize,
    dbInUseBytes: status?.dbSizeInUse,
    watchers: sumOf(after, 'etcd_debugging_mvcc_watcher_total'),
    requestsPerSecond: handled === undefined ? undefined : handled / seconds,
    sync: latencyOf([{ before, after }], 'etcd_disk_wal_fsync_duration_seconds'),
    commit: latencyOf([{ before, after }], 'etcd_disk_backend_commit_duration_seconds'),
    failure,
  };
}

const handledTotal = 'grpc_server_handled_total';

function methodViews(pairs: readonly Pair[], seconds: number): MethodView[] {
  const names = new Set<string>();
  for (const { after } of pairs) {
    for (const sample of after?.get(handledTotal) ?? []) {
      if (sample.value > 0)
        names.add(`${labelOf(sample, 'grpc_service')}/${labelOf(sample, 'grpc_method')}`);
    }
  }
  return Array.from(names, (name) => methodView(name, pairs, seconds))
    .filter(({ requestsPerSecond }) => requestsPerSecond > 0)
    .sort((a, b) => b.requestsPerSecond - a.requestsPerSecond);
}

function methodView(name: string, pairs: readonly Pair[], seconds: number): MethodView {
  const [service, method] = name.split('/');
  const isOf = (sample: Sample) =>
    labelOf(sample, 'grpc_method') === method && labelOf(sample, 'grpc_service') === service;
  const isFailed = (sample: Sample) => isOf(sample) && labelOf(sample, 'grpc_code') !== 'OK';
  const rate = (isCounted: (sample: Sample) => boolean) =>
    pairs.reduce((sum, { before, after }) => {
      // A method that was not called before is not there before.
      const counts = [before, after].map((each) => sumOf(each, handledTotal, isCounted));
      return sum + (growth(...(counts as [number | undefined, number | undefined])) ?? 0);
    }, 0) / seconds;
  return {
    method: name.replace(/^.*pb\./, ''),
    requestsPerSecond: rate(isOf),
    failedPerSecond: rate(isFailed),
    latency: latencyOf(pairs, 'grpc_server_handling_seconds', isOf),
  };
}

/** Of all members together. */
function latencyOf(
  pairs: readonly Pair[],
  name: string,
  isCounted?: (sample: Sample) => boolean,
): Latency {
  const family = `${name}_bucket`;
  const merged = (side: 'before' | 'after'): Metrics =>
    new Map([[family, pairs.flatMap((pair) => pair[side]?.get(family) ?? [])]]);
  const quantile = (share: number) =>
    quantileBetween(merged('before'), merged('after'), {
      name,
      share,
      ...(isCounted && { isCounted }),
    });
  return { p50: quantile(0.5), p99: quantile(0.99) };
}

const methodsShown = 12;
const prefixesShown = 10;

/** For people. */
export function topText(view: TopView): string {
  const { clusterId, revision, changesPerSecond, leader } = view;
  const led = leader === undefined ? 'no leader' : `led by ${leader}`;
  const head = `cluster ${clusterId}, ${led}; revision ${revision}, ${rateText(changesPerSecond)} changes/s\n`;
  return [head, membersTable(view), methodsTable(view), prefixesTable(view)].join('\n');
}

function membersTable({ members }: TopView): string {
  const rows = members.map((member) => [
    member.endpoint,
    member.role ?? '-',
    member.version ?? '-',
    sizeOrDash(member.dbSizeBytes),
    sizeOrDash(member.dbInUseBytes),
    String(member.watchers ?? '-'),
    rateText(member.requestsPerSecond),
    latencyText(member.sync.p50),
    latencyText(member.sync.p99),
    latencyText(member.commit.p99),
    member.failure ?? '',
  ]);
  const head = ['MEMBER', 'ROLE', 'VERSION', 'DB SIZE', 'IN USE', 'WATCHERS', 'REQ/S'];
  return table([[...head, 'SYNC P50', 'SYNC P99', 'COMMIT P99', ''], ...rows]);
}

function methodsTable({ methods }: TopView): string {
  const rows = methods
    .slice(0, methodsShown)
    .map(({ method, requestsPerSecond, failedPerSecond, latency }) => [
      method,
      rateText(requestsPerSecond),
      rateText(failedPerSecond),
      latencyText(latency.p50),
      latencyText(latency.p99),
    ]);
  return table([['METHOD', 'REQ/S', 'FAILED/S', 'P50', 'P99'], ...rows]);
}

function prefixesTable({ prefixes }: TopView): string {
  if (typeof prefixes === 'string') return `No hottest prefixes: ${prefixes}\n`;
  const rows = prefixes
    .slice(0, prefixesShown)
    .map(({ prefix, putsPerSecond, deletesPerSecond }) => [
      prefix === '' ? '(without /)' : lineOf(fromLatin1(prefix)),
      rateText(putsPerSecond),
      rateText(deletesPerSecond),
    ]);
  return table([['PREFIX', 'PUTS/S', 'DELETES/S'], ...rows]);
}

function sizeOrDash(bytes: number | undefined): string {
  return bytes === undefined ? '-' : sizeText(bytes);
}

function rateText(perSecond: number | undefined): string {
  if (perSecond === undefined) return '-';
  return perSecond.toFixed(perSecond < 10 ? 1 : 0);
}

function latencyText(seconds: number | undefined): string {
  return seconds === undefined ? '-' : milliseconds(1_000 * seconds);
}

/** What fits on a screen: lines cut, each followed by an end, the last ones left out. */
export function fitted(
  text: string,
  size: { readonly rows: number; readonly columns: number },
): string[] {
  return text
    .trimEnd()
    .split('\n')
    .slice(0, Math.max(1, size.rows - 1))
    .map((line) => line.slice(0, size.columns));
}
