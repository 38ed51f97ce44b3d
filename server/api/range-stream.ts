import { rangeStreamFirstKeysMax } from '../config/limits.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import {
  KV,
  RangeRequest,
  RangeResponse,
  type RangeStreamResponse,
  SortOrder,
  SortTarget,
} from '../proto/gen/rpc.ts';
import type { Call, Responses } from './call.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import { headed } from './header.ts';
import type { MemberPort } from './member-port.ts';
import { answersOne, type StreamEnd } from './stream-calls.ts';
import { inSlices } from './turns.ts';
import { checkRange } from './validate.ts';

interface Streamed {
  readonly responses: Responses<RangeStreamResponse>;
  readonly end: StreamEnd;
  /** What a message is to be near to. */
  readonly messageBytes: number;
}

/** A range in parts, which put together are Range's answer: all of the revision at which the first one was read. */
export function rangeStreamCall(
  { port, gate }: { port: MemberPort; gate: Gate },
  { messageBytes }: { messageBytes: number },
): Call {
  const { rangeStream } = KV.methods;
  return gate.stream(
    rangeStream,
    'observes',
    (responses) =>
      answersOne(responses, (request: RangeRequest, end) =>
        stream(port, request, { responses, end, messageBytes }),
      ),
    {
      first: (request) => {
        check(request);
        return request.serializable ? undefined : port.linearizableRead();
      },
    },
  );
}

function check(request: RangeRequest): void {
  checkRange(request);
  const { sortTarget, sortOrder } = request;
  const isByKey = sortTarget === SortTarget.KEY && sortOrder === SortOrder.ASCEND;
  if (sortOrder !== SortOrder.NONE && !isByKey) {
    throw new StatusError('UNIMPLEMENTED', 'RangeStream does not support custom sort orders');
  }
  const filters = [
    request.minModRevision,
    request.maxModRevision,
    request.minCreateRevision,
    request.maxCreateRevision,
  ];
  if (filters.some((revision) => revision !== 0)) {
    throw new StatusError('UNIMPLEMENTED', 'RangeStream does not support revision filters');
  }
}

async function stream(port: MemberPort, asked: RangeRequest, to: Streamed): Promise<void> {
  if (asked.countOnly) {
    to.responses.send({ rangeResponse: headed(port, port.range(asked)) });
    return;
  }
  if (asked.sortTarget !== SortTarget.KEY) return streamSorted(port, asked, to);
  const totalMax = asked.limit > 0 ? asked.limit : Infinity;
  const start = port.revision();
  const revision = asked.revision > 0 ? asked.revision : start;
  const request = { ...asked, revision, sortTarget: SortTarget.KEY };
  request.limit = Math.min(rangeStreamFirstKeysMax, totalMax);
  for (let count = 0; !to.end.isClosed; ) {
    const part = await read(port, request);
    count += part.kvs.length;
    const last = part.kvs.at(-1);
    const isLast = last === undefined || !part.more || count >= totalMax;
    if (isLast) {
      const more = last !== undefined && part.more;
      const rest = more ? restAfter(port, request, last) : 0;
      const rangeResponse = { ...part, more, count: count + rest };
      rangeResponse.header = headed(port, RangeResponse.create()).header;
      if (rangeResponse.header !== undefined) rangeResponse.header.revision = start;
      to.responses.send({ rangeResponse });
      return;
    }
    const sizeBytes = RangeResponse.encode(part).length;
    const rangeResponse = RangeResponse.create({ kvs: part.kvs });
    if (!to.responses.send({ rangeResponse })) await to.end.drained();
    request.key = keyAfter(last);
    request.limit = Math.min(nextLimit(request.limit, sizeBytes, to), totalMax - count);
  }
}

/** What is not in the order of its keys has to be there as a whole before its first part is known. */
async function streamSorted(port: MemberPort, asked: RangeRequest, to: Streamed): Promise<void> {
  const { kvs, ...rest } = headed(port, await read(port, asked, { isCounted: true }));
  let limit = rangeStreamFirstKeysMax;
  for (let at = 0; !to.end.isClosed; ) {
    const part = kvs.slice(at, at + limit);
    at += part.length;
    if (at >= kvs.length) {
      to.responses.send({ rangeResponse: { ...rest, kvs: part } });
      return;
    }
    const rangeResponse = RangeResponse.create({ kvs: part });
    if (!to.responses.send({ rangeResponse })) await to.end.drained();
    limit = nextLimit(limit, RangeResponse.encode(rangeResponse).length, to);
  }
}

/** In steps, with others served in between. What is not counted has a count that means nothing. */
function read(
  port: MemberPort,
  request: RangeRequest,
  options = { isCounted: false },
): Promise<RangeResponse> {
  return inSlices(port.rangeSteps(request, options));
}

function restAfter(port: MemberPort, request: RangeRequest, last: KeyValue): number {
  const key = keyAfter(last);
  return port.range(RangeRequest.create({ ...request, key, limit: 0, countOnly: true })).count;
}

function keyAfter({ key }: KeyValue): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Doubled or halved only where a message was far from what it is to be. */
function nextLimit(limit: number, sizeBytes: number, { messageBytes }: Streamed): number {
  if (sizeBytes < messageBytes / 2) return limit * 2;
  return sizeBytes > messageBytes * 2 ? Math.max(1, Math.floor(limit / 2)) : limit;
}
