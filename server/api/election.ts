import { assert } from '../base/assert.ts';
import { equalBytes } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import {
  type CampaignRequest,
  type CampaignResponse,
  Election,
  type LeaderKey,
  type LeaderRequest,
  type LeaderResponse,
  type ProclaimRequest,
  type ResignRequest,
} from '../proto/gen/election.ts';
import { EventType, type KeyValue } from '../proto/gen/kv.ts';
import type { ResponseHeader } from '../proto/gen/rpc.ts';
import type { Call, Responses } from './call.ts';
import { contenderKey, contenders, firstOf, waitForTurn } from './contenders.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import { createdAt, deleteOp, InnerCalls, putOp, rangeOp } from './inner-calls.ts';
import { answersOne, GoneError, type StreamEnd } from './stream-calls.ts';

/** etcd's election service: what its client library does with keys and leases, done here. `calls` are the services below. */
export function electionCalls({ gate, calls }: { gate: Gate; calls: readonly Call[] }): Call[] {
  const { methods } = Election;
  return [
    // Not a unary call: one that waits has to learn that its client is gone.
    gate.stream(methods.campaign, 'refuses', (responses, context) =>
      answersOne(responses, async (request: CampaignRequest, end) => {
        responses.send(await campaign(new InnerCalls(calls, context), request, end));
      }),
    ),
    gate.unary(methods.proclaim, 'refuses', (request, context) =>
      proclaim(new InnerCalls(calls, context), request),
    ),
    gate.unary(methods.leader, 'observes', (request, context) =>
      leader(new InnerCalls(calls, context), request),
    ),
    gate.unary(methods.resign, 'refuses', (request, context) =>
      resign(new InnerCalls(calls, context), request),
    ),
    gate.stream(methods.observe, 'observes', (responses, context) =>
      answersOne(responses, async ({ name }: LeaderRequest, end) => {
        await observe(new InnerCalls(calls, context), name, { responses, end });
      }),
    ),
  ];
}

type Candidate = Pick<LeaderKey, 'key' | 'rev' | 'lease'>;

async function campaign(
  calls: InnerCalls,
  { name, lease: asked, value }: CampaignRequest,
  end: StreamEnd,
): Promise<CampaignResponse> {
  const lease = await calls.session(asked);
  const key = contenderKey(name, lease);
  const { header, succeeded, responses } = await calls.txn({
    compare: [createdAt({ key, createRevision: 0 })],
    success: [putOp(key, value, lease)],
    failure: [rangeOp({ key })],
  });
  const first = responses[0]?.response;
  const before = first?.kind === 'responseRange' ? first.value.kvs[0] : undefined;
  const rev = succeeded ? (header?.revision ?? 0) : (before?.createRevision ?? 0);
  const candidate = { key, rev, lease };
  if (before !== undefined && !equalBytes(before.value, value)) {
    await orWithdraw(calls, candidate, () => announce(calls, candidate, value));
  }
  try {
    await waitForTurn(calls, name, { createRevision: rev, end });
  } catch (error) {
    if (error instanceof GoneError) await withdraw(calls, candidate).catch(ignoreTold);
    throw error;
  }
  return { header, leader: { name, key, rev, lease } };
}

async function orWithdraw(
  calls: InnerCalls,
  candidate: Candidate,
  run: () => Promise<unknown>,
): Promise<void> {
  try {
    await run();
  } catch (error) {
    await withdraw(calls, candidate).catch(ignoreTold);
    throw error;
  }
}

/** The first error is the one to tell; the lease ends the candidacy where withdrawing failed. */
function ignoreTold(error: unknown): void {
  if (!(error instanceof StatusError || error instanceof EtcdError)) throw error;
}

async function announce(
  calls: InnerCalls,
  { key, rev, lease }: Candidate,
  value: Uint8Array,
): Promise<ResponseHeader | undefined> {
  const compare = [createdAt({ key, createRevision: rev })];
  const { header, succeeded } = await calls.txn({ compare, success: [putOp(key, value, lease)] });
  if (!succeeded) throw new StatusError('UNKNOWN', 'election: not leader');
  return header;
}

async function withdraw(
  calls: InnerCalls,
  { key, rev }: Candidate,
): Promise<ResponseHeader | undefined> {
  const compare = [createdAt({ key, createRevision: rev })];
  return (await calls.txn({ compare, success: [deleteOp(key)] })).header;
}

async function proclaim(calls: InnerCalls, { leader, value }: ProclaimRequest) {
  const candidate = await candidateOf(calls, leader);
  return { header: await announce(calls, candidate, value) };
}

async function resign(calls: InnerCalls, { leader }: ResignRequest) {
  return { header: await withdraw(calls, await candidateOf(calls, leader)) };
}

async function candidateOf(calls: InnerCalls, leader: LeaderKey | undefined): Promise<Candidate> {
  if (leader === undefined) throw new StatusError('UNKNOWN', '"leader" field must be provided');
  return { key: leader.key, rev: leader.rev, lease: await calls.session(leader.lease) };
}

async function leader(calls: InnerCalls, { name }: LeaderRequest): Promise<LeaderResponse> {
  const { header, kvs } = await calls.range(firstOf(contenders(name)));
  if (kvs[0] === undefined) throw new StatusError('UNKNOWN', 'election: no leader');
  return { header, kv: kvs[0] };
}

interface Observed {
  readonly responses: Responses<LeaderResponse>;
  readonly end: StreamEnd;
}

/** Every leader from now on, and what it proclaims. As in etcd, an error ends the stream without a word. */
async function observe(calls: InnerCalls, name: Uint8Array, to: Observed): Promise<void> {
  try {
    for (;;) {
      const elected = await findLeader(calls, name, to.end);
      if (!to.responses.send(elected)) to.end.full();
      await follow(calls, elected, to);
    }
  } catch (error) {
    if (!(error instanceof GoneError)) ignoreTold(error);
  }
}

interface Elected {
  readonly header: ResponseHeader | undefined;
  readonly kv: KeyValue;
}

/** Waits for one where there is none. */
async function findLeader(calls: InnerCalls, name: Uint8Array, end: StreamEnd): Promise<Elected> {
  const { header, kvs } = await calls.range(firstOf(contenders(name)));
  if (kvs[0] !== undefined) return { header, kv: kvs[0] };
  let found: Elected | undefined;
  const watched = { ...contenders(name), startRevision: header?.revision ?? 0 };
  await calls.watch(watched, end, (response) => {
    const kv = response.events.find(({ type }) => type === EventType.PUT)?.kv;
    if (kv !== undefined) found = { header: at(response.header, kv.modRevision), kv };
    return found !== undefined;
  });
  assert(found !== undefined, 'the watch ended with a leader');
  return found;
}

function at(header: ResponseHeader | undefined, revision: number): ResponseHeader | undefined {
  return header === undefined ? undefined : { ...header, revision };
}

/** Until its key is deleted. */
async function follow(
  calls: InnerCalls,
  { header, kv: { key } }: Elected,
  { responses, end }: Observed,
): Promise<void> {
  const watched = { key, startRevision: (header?.revision ?? 0) + 1 };
  await calls.watch(watched, end, ({ header, events }) => {
    for (const { type, kv } of events) {
      if (type === EventType.DELETE) return true;
      if (!responses.send({ header, kv })) end.full();
    }
    return false;
  });
}
