import { type Gateway, GatewayError, type Header, textOf } from './gateway.ts';
import {
  growth,
  labelOf,
  type Metrics,
  parseMetrics,
  quantileBetween,
  type Sample,
  sumOf,
} from './metrics.ts';

export interface Member {
  readonly ID?: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[];
  readonly clientURLs?: readonly string[];
  readonly isLearner?: boolean;
  readonly isObserver?: boolean;
}

export function roleOf(
  { isLearner, isObserver }: Pick<Member, 'isLearner' | 'isObserver'>,
  isLeader: boolean,
): string {
  if (isObserver === true) return 'observer';
  if (isLearner === true) return 'learner';
  return isLeader ? 'leader' : 'follower';
}

export interface Status {
  readonly header?: Header;
  readonly version?: string;
  readonly dbSize?: string;
  readonly dbSizeInUse?: string;
  readonly dbSizeQuota?: string;
  readonly leader?: string;
  readonly raftIndex?: string;
  readonly raftAppliedIndex?: string;
  readonly raftTerm?: string;
  readonly errors?: readonly string[];
  readonly isLearner?: boolean;
  readonly isObserver?: boolean;
}

export interface Alarm {
  readonly memberID?: string;
  readonly alarm?: string;
}

/** A change of leader that this page has seen; ids, `0` for none. */
export interface LeaderChange {
  readonly at: Date;
  readonly from: string;
  readonly to: string;
  readonly term: string;
}

/** One point of every chart; undefined where nothing is known. */
export interface Point {
  readonly atMs: number;
  readonly reads?: number | undefined;
  readonly writes?: number | undefined;
  readonly watched?: number | undefined;
  readonly failed?: number | undefined;
  readonly callP50?: number | undefined;
  readonly callP99?: number | undefined;
  readonly syncP99?: number | undefined;
  readonly applyP99?: number | undefined;
  readonly roundTrip?: number | undefined;
  readonly size?: number | undefined;
  readonly inUse?: number | undefined;
}

export const pollMs = 2_000;
export const pointsMax = 150;
/** Quantiles are taken over so many looks. */
const quantileLooks = 5;
const leaderChangesMax = 50;

interface Look {
  readonly atMs: number;
  /** Whom the metrics are of. */
  readonly server: string | undefined;
  readonly metrics: Metrics | undefined;
  readonly member: string | undefined;
  readonly revision: number | undefined;
}

/** Looks at the store every two seconds, and remembers the last five minutes. */
export class Observer {
  readonly #gateway: Gateway;
  readonly #looks: Look[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #leader: string | undefined;
  readonly points: Point[] = [];
  readonly leaderChanges: LeaderChange[] = [];
  members: readonly Member[] = [];
  alarms: readonly Alarm[] = [];
  /** The last status of each member that has answered, by its id, and when. */
  readonly statuses = new Map<string, { readonly status: Status; readonly atMs: number }>();
  /** The member that answered last. */
  answering: string | undefined;
  /** Why a part of it is not known now. */
  readonly failures = new Map<'status' | 'members' | 'alarms' | 'metrics', string>();
  onLook: () => void = () => undefined;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  get status(): Status | undefined {
    return this.statuses.get(this.answering ?? '')?.status;
  }

  get metrics(): Metrics | undefined {
    return this.#looks.at(-1)?.metrics;
  }

  /** Whether the member tells how long each call took: `--metrics=extensive`. */
  get hasCallTimes(): boolean {
    return (this.metrics?.get('grpc_server_handling_seconds_bucket')?.length ?? 0) > 0;
  }

  start(): void {
    if (this.isRunning) return;
    this.#timer = setTimeout(() => undefined);
    void this.#run();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  nameOf(id: string | undefined): string {
    if (id === undefined || id === '0') return 'nobody';
    const name = this.members.find((member) => member.ID === id)?.name;
    return name ?? BigInt(id).toString(16);
  }

  async #run(): Promise<void> {
    const mine = this.#timer;
    await this.look();
    if (this.#timer !== mine) return;
    this.#timer = setTimeout(() => {
      void this.#run();
    }, pollMs);
  }

  async look(): Promise<void> {
    // A page that nobody sees asks for nothing.
    if (document.hidden) return;
    const beganMs = performance.now();
    const [status, , , metrics] = await Promise.all([
      this.#ask('status', () => this.#gateway.call<Status>('maintenance/status')).then(
        (answer) => ({
          answer,
          seconds: (performance.now() - beganMs) / 1000,
        }),
      ),
      this.#members(),
      this.#alarms(),
      this.#ask('metrics', async () => parseMetrics(await this.#gateway.metrics())),
    ]);
    this.#seen(status.answer);
    this.#point(status, metrics);
    this.onLook();
  }

  async #members(): Promise<void> {
    // Also without a quorum: this is where one looks then.
    const request = { linearizable: false };
    const answer = await this.#ask('members', () =>
      this.#gateway.call<{ members?: Member[] }>('cluster/member/list', request),
    );
    const byName = (a: Member, b: Member): number => ((a.name ?? '') < (b.name ?? '') ? -1 : 1);
    if (answer !== undefined) this.members = (answer.members ?? []).toSorted(byName);
  }

  async #alarms(): Promise<void> {
    const answer = await this.#ask('alarms', () =>
      this.#gateway.call<{ alarms?: Alarm[] }>('maintenance/alarm', { action: 'GET' }),
    );
    if (answer !== undefined) this.alarms = answer.alarms ?? [];
  }

  async #ask<T>(
    what: 'status' | 'members' | 'alarms' | 'metrics',
    ask: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.failures.delete(what);
      return answer;
    } catch (error) {
      this.failures.set(what, textOf(error));
      if (!(error instanceof GatewayError)) console.error(error);
      return undefined;
    }
  }

  #seen(status: Status | undefined): void {
    const id = status?.header?.member_id;
    this.answering = id;
    if (status === undefined || id === undefined) return;
    this.statuses.set(id, { status, atMs: performance.now() });
    const to = status.leader ?? '0';
    if (this.#leader !== undefined && this.#leader !== to) {
      const term = status.raftTerm ?? '0';
      this.leaderChanges.unshift({ at: new Date(), from: this.#leader, to, term });
      this.leaderChanges.length = Math.min(this.leaderChanges.length, leaderChangesMax);
    }
    this.#leader = to;
  }

  #point(
    { answer: status, seconds }: { answer: Status | undefined; seconds: number },
    metrics: Metrics | undefined,
  ): void {
    const [server] = metrics?.get('etcd_server_id') ?? [];
    const revision = status?.header?.revision;
    const look: Look = {
      atMs: performance.now(),
      server: server && labelOf(server, 'server_id'),
      metrics,
      member: status?.header?.member_id,
      revision: revision === undefined ? undefined : Number(revision),
    };
    const before = this.#looks.at(-1);
    this.#looks.push(look);
    if (this.#looks.length > quantileLooks + 1) this.#looks.shift();
    this.points.push({
      atMs: Date.now(),
      ...ratesBetween(before, look),
      ...this.#quantiles(look),
      roundTrip: status === undefined ? undefined : seconds,
      size: numberOf(status?.dbSize),
      inUse: numberOf(status?.dbSizeInUse),
    });
    if (this.points.length > pointsMax) this.points.shift();
  }

  #quantiles(look: Look): Partial<Point> {
    const first = this.#looks.find(({ server }) => server !== undefined && server === look.server);
    if (first === undefined || first === look) return {};
    const of = (name: string, share: number, isCounted?: (sample: Sample) => boolean) =>
      quantileBetween(first.metrics, look.metrics, {
        name,
        share,
        ...(isCounted && { isCounted }),
      });
    const isUnary = (sample: Sample): boolean => labelOf(sample, 'grpc_type') === 'unary';
    return {
      callP50: of('grpc_server_handling_seconds', 0.5, isUnary),
      callP99: of('grpc_server_handling_seconds', 0.99, isUnary),
      syncP99: of('etcd_disk_wal_fsync_duration_seconds', 0.99),
      applyP99: of('etcd_server_apply_duration_seconds', 0.99),
    };
  }
}

const reads = /^(Range|RangeStream)$/;
const writes = /^(Put|DeleteRange|Txn)$/;

function ratesBetween(before: Look | undefined, after: Look): Partial<Point> {
  if (before === undefined) return {};
  const seconds = (after.atMs - before.atMs) / 1000;
  const rate = (name: string, isCounted: (sample: Sample) => boolean): number | undefined => {
    if (before.server === undefined || before.server !== after.server) return undefined;
    const [a, b] = [before, after].map(({ metrics }) => sumOf(metrics, name, isCounted));
    const grown = growth(a, b);
    return grown === undefined ? undefined : grown / seconds;
  };
  const isKv =
    (methods: RegExp) =>
    (sample: Sample): boolean =>
      labelOf(sample, 'grpc_service') === 'etcdserverpb.KV' &&
      methods.test(labelOf(sample, 'grpc_method') ?? '');
  return {
    reads: rate('grpc_server_handled_total', isKv(reads)),
    writes: rate('grpc_server_handled_total', isKv(writes)) ?? revisionsPerSecond(before, after),
    watched: rate('grpc_server_msg_sent_total', (each) => labelOf(each, 'grpc_method') === 'Watch'),
    failed: rate('grpc_server_handled_total', isFailure),
  };
}

/** A stream that its client leaves is no failure. */
function isFailure(sample: Sample): boolean {
  return !['OK', 'Canceled'].includes(labelOf(sample, 'grpc_code') ?? '');
}

/** What the gateway alone tells of writes: each makes one revision. */
function revisionsPerSecond(before: Look, after: Look): number | undefined {
  const grown = growth(before.revision, after.revision);
  return grown === undefined ? undefined : (grown * 1000) / (after.atMs - before.atMs);
}

export function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
