import { fromLatin1 } from '../../server/base/bytes.ts';
import {
  KV,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../server/proto/gen/rpc.ts';
import type { GrpcChannel, GrpcStream } from '../support/grpc.ts';
import { type Operation, perform, type RevisionRef, resolve } from './operations.ts';
import { comparable } from './store-under-test.ts';

// Watchers beside a sequence of operations, so that what each of them sees is determined: a watcher is there before the
// next operation begins, and has seen all there is before it is cancelled and before history is compacted.

export interface WatchOp {
  readonly kind: 'watch';
  readonly stream: number;
  /** 0: the store chooses. */
  readonly id?: number;
  readonly key: string;
  readonly rangeEnd?: string;
  readonly start?: RevisionRef;
  readonly prevKv?: boolean;
  readonly progressNotify?: boolean;
  readonly fragment?: boolean;
  readonly filters?: readonly number[];
}

export type WatchStep =
  | Operation
  | WatchOp
  | { readonly kind: 'cancel'; readonly stream: number; readonly id: number }
  /** Everything written so far has to arrive on the stream. */
  | { readonly kind: 'settle'; readonly stream: number }
  /** A request that asks for nothing. */
  | { readonly kind: 'empty'; readonly stream: number };

/** What two stores must agree on: the answer to each operation, and what each watcher of each stream saw. */
export interface Seen {
  readonly answers: readonly unknown[];
  readonly streams: readonly Readonly<Record<string, readonly unknown[]>>[];
}

export async function watchSequence(
  channel: GrpcChannel,
  steps: readonly WatchStep[],
  base: number,
): Promise<Seen> {
  const run = new WatchRun(channel, base);
  try {
    for (const step of steps) await run.take(step);
    return await run.finish();
  } finally {
    run.close();
  }
}

/** No watcher of a sequence has this id, and no operation this key. */
const sentinel = { id: 1_000_000n, key: fromLatin1('sentinel') };
const progressRetryMs = 40;

class WatchRun {
  readonly #channel: GrpcChannel;
  readonly #base: number;
  readonly #streams = new Map<number, WatchStreamRun>();
  readonly #answers: unknown[] = [];
  /** Streams of watchers that begin in compacted history, one each. */
  readonly #refused: WatchStreamRun[] = [];
  #compactRevision: number;

  constructor(channel: GrpcChannel, base: number) {
    this.#channel = channel;
    this.#base = base;
    this.#compactRevision = base;
  }

  async take(step: WatchStep): Promise<void> {
    switch (step.kind) {
      case 'watch':
        return this.#watch(step);
      case 'cancel':
        await this.#settle(await this.#stream(step.stream));
        return (await this.#stream(step.stream)).cancel(BigInt(step.id));
      case 'settle':
        return this.#settle(await this.#stream(step.stream));
      case 'empty':
        return (await this.#stream(step.stream)).sendNothing();
      case 'compact':
        for (const stream of this.#streams.values()) await this.#settle(stream);
        break;
      default:
        break;
    }
    const answer = await perform(this.#channel, step, this.#base);
    this.#answers.push(comparable(answer, this.#base));
    if (step.kind === 'compact' && answer.kind === 'ok') {
      this.#compactRevision = resolve(step.revision, this.#base);
    }
  }

  async #watch(op: WatchOp): Promise<void> {
    const startRevision = resolve(op.start, this.#base);
    if (startRevision <= 0 || startRevision >= this.#compactRevision) {
      return (await this.#stream(op.stream)).watch(op, startRevision);
    }
    // etcd never again reports progress on a stream that had such a watcher, not even when it has cancelled it.
    const stream = await WatchStreamRun.open(this.#channel);
    this.#refused.push(stream);
    await stream.watch(op, startRevision);
    await stream.canceled();
  }

  async finish(): Promise<Seen> {
    for (const stream of this.#streams.values()) await this.#settle(stream);
    return {
      answers: this.#answers,
      streams: this.#allStreams().map((stream) => stream.seen(this.#base)),
    };
  }

  close(): void {
    for (const stream of this.#allStreams()) stream.close();
  }

  #allStreams(): WatchStreamRun[] {
    return [...this.#streams.values(), ...this.#refused];
  }

  async #stream(place: number): Promise<WatchStreamRun> {
    const known = this.#streams.get(place);
    if (known !== undefined) return known;
    const stream = await WatchStreamRun.open(this.#channel);
    this.#streams.set(place, stream);
    return stream;
  }

  async #settle(stream: WatchStreamRun): Promise<void> {
    // A store reports no progress while a watcher waits for a revision to come.
    let revision = 0;
    do {
      const written = await this.#channel.call(KV.methods.put, { key: sentinel.key });
      if (written.kind === 'error') throw new Error(written.message);
      revision = written.response.header?.revision ?? 0;
    } while (revision < stream.startMax);
    await stream.settle(revision);
  }
}

class WatchStreamRun {
  readonly #stream: GrpcStream<WatchRequest, WatchResponse>;
  /** Place after the last response that was `created`: those come in the order of the requests. */
  #created = 0;
  #settledRevision = Infinity;
  /** The highest revision from which a watcher starts. */
  startMax = 0;

  static async open(channel: GrpcChannel): Promise<WatchStreamRun> {
    const stream = new WatchStreamRun(channel.stream(Watch.methods.watch));
    // Some stores report progress only where there is a watcher.
    await stream.#create({ key: sentinel.key, watchId: sentinel.id });
    return stream;
  }

  private constructor(stream: GrpcStream<WatchRequest, WatchResponse>) {
    this.#stream = stream;
  }

  async watch(op: WatchOp, startRevision: number): Promise<void> {
    this.startMax = Math.max(this.startMax, startRevision);
    await this.#create({
      key: fromLatin1(op.key),
      rangeEnd: fromLatin1(op.rangeEnd ?? ''),
      startRevision,
      watchId: BigInt(op.id ?? 0),
      prevKv: op.prevKv ?? false,
      progressNotify: op.progressNotify ?? false,
      fragment: op.fragment ?? false,
      filters: (op.filters ?? []) as WatchCreateRequest['filters'],
    });
  }

  async #create(request: Partial<WatchCreateRequest>): Promise<void> {
    const value = WatchCreateRequest.create(request);
    this.#stream.send({ requestUnion: { kind: 'createRequest', value } });
    const { next } = await this.#stream.find(this.#created, ({ created }) => created);
    this.#created = next;
  }

  sendNothing(): void {
    this.#stream.send({});
  }

  /** Resolves when a watcher of this stream has been cancelled. */
  async canceled(): Promise<void> {
    await this.#stream.find(0, ({ canceled }) => canceled);
  }

  /** The stream is settled. A watcher that is not there gets no answer. */
  async cancel(watchId: bigint): Promise<void> {
    const isActive = this.#isActive(watchId);
    const place = this.#stream.responses.length;
    this.#stream.send({ requestUnion: { kind: 'cancelRequest', value: { watchId } } });
    if (!isActive) return;
    await this.#stream.find(place, (response) => response.canceled && response.watchId === watchId);
  }

  /** Asks for progress until the store says that everything up to this revision has been sent: what comes later is not looked at. */
  async settle(revision: number): Promise<void> {
    this.#settledRevision = revision;
    const place = this.#stream.responses.length;
    const timer = setInterval(() => this.#askForProgress(), progressRetryMs);
    this.#askForProgress();
    try {
      await this.#stream.find(place, (response) => progressOf(response) >= revision);
    } finally {
      clearInterval(timer);
    }
  }

  #askForProgress(): void {
    this.#stream.send({ requestUnion: { kind: 'progressRequest', value: {} } });
  }

  /**
   * What each watcher saw, by its id: what happened to it, with its events joined, because a store is free to send
   * several revisions at once. Refusals have the id -1, but so may a watcher.
   */
  seen(base: number): Record<string, unknown[]> {
    const seen: Record<string, unknown[]> = {};
    const previous = new Map<bigint, WatchResponse>();
    for (const response of this.#stream.responses) {
      if (progressOf(response) > 0) continue;
      const isRefusal = response.created && response.canceled;
      const log = (seen[isRefusal ? 'refused' : String(response.watchId)] ??= []);
      const { events, ...rest } = response;
      if (response.created || response.canceled) log.push(comparable(rest, base));
      if (splitsRevision(previous.get(response.watchId), response)) log.push('SPLIT REVISION');
      const settled = events.filter(({ kv }) => (kv?.modRevision ?? 0) <= this.#settledRevision);
      log.push(...settled.map((event) => comparable(event, base)));
      previous.set(response.watchId, response);
    }
    return seen;
  }

  #isActive(watchId: bigint): boolean {
    const last = this.#stream.responses.findLast(
      (response) => response.watchId === watchId && (response.created || response.canceled),
    );
    return last !== undefined && !last.canceled;
  }

  close(): void {
    this.#stream.cancel();
  }
}

/** The revision of a response that reports progress of a whole stream; 0 when it is another. */
function progressOf({ watchId, created, canceled, events, header }: WatchResponse): number {
  const isProgress = watchId === -1n && !created && !canceled && events.length === 0;
  return isProgress ? (header?.revision ?? 0) : 0;
}

function splitsRevision(previous: WatchResponse | undefined, response: WatchResponse): boolean {
  const last = previous?.events.at(-1)?.kv?.modRevision;
  const first = response.events[0]?.kv?.modRevision;
  return last !== undefined && last === first && previous?.fragment === false;
}
