import assert from 'node:assert/strict';
import { latin1 } from '../../../server/base/bytes.ts';
import { EventType, type KeyValue } from '../../../server/proto/gen/kv.ts';
import {
  KV,
  Lease,
  Watch,
  WatchCreateRequest,
  type WatchRequest,
} from '../../../server/proto/gen/rpc.ts';
import type { GrpcChannel, Outcome } from '../../support/grpc.ts';

/** Everything that a client can read, as lines that can be compared. */
export interface View {
  readonly revision: number;
  /** -1: never compacted. */
  readonly compactRevision: number;
  readonly keys: readonly string[];
  /** All that happened after the compaction. */
  readonly events: readonly string[];
  readonly leases: readonly string[];
}

const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** Reads everything through the API of one member. */
export async function readView(channel: GrpcChannel): Promise<View> {
  const range = ok(await channel.call(KV.methods.range, everything));
  const revision = range.header?.revision ?? 0;
  const { compactRevision, events } = await readHistory(channel, revision);
  const keys = range.kvs.map(keyText);
  return { revision, compactRevision, keys, events, leases: await readLeases(channel) };
}

export function keyText(kv: KeyValue): string {
  const { key, value, createRevision, modRevision, version, lease } = kv;
  const revisions = `create ${createRevision} mod ${modRevision} version ${version}`;
  return `${latin1(key)}=${latin1(value)} ${revisions} lease ${lease}`;
}

export function eventText(isPut: boolean, kv: KeyValue): string {
  return isPut
    ? `${kv.modRevision} put ${keyText(kv)}`
    : `${kv.modRevision} delete ${latin1(kv.key)}`;
}

/** Every event up to a revision that is known to be there, from the oldest that can be watched. */
export async function readHistory(
  channel: GrpcChannel,
  revision: number,
): Promise<{ compactRevision: number; events: string[] }> {
  const fromFirst = await readEvents(channel, 1, revision);
  if (typeof fromFirst === 'object') return { compactRevision: -1, events: fromFirst };
  const events = await readEvents(channel, fromFirst + 1, revision);
  assert(typeof events === 'object', `compacted at ${fromFirst}, and more: ${events}`);
  return { compactRevision: fromFirst, events };
}

/** The revision of the compaction, where it hides some of the events. */
async function readEvents(
  channel: GrpcChannel,
  from: number,
  to: number,
): Promise<string[] | number> {
  if (Math.max(from, 2) > to) return [];
  const stream = channel.stream(Watch.methods.watch);
  stream.send(watchRequest(from));
  const events: string[] = [];
  for (let place = 0, seen = 0; seen < to; ) {
    const { response, next } = await stream.find(place, () => true);
    place = next;
    if (response.canceled) {
      assert(response.compactRevision > 0, `the watch was cancelled: ${response.cancelReason}`);
      return response.compactRevision;
    }
    for (const { type, kv } of response.events) {
      assert(kv !== undefined);
      seen = kv.modRevision;
      if (seen <= to) events.push(eventText(type === EventType.PUT, kv));
    }
  }
  stream.cancel();
  return events;
}

export function watchRequest(startRevision: number): WatchRequest {
  const value = WatchCreateRequest.create({ ...everything, startRevision });
  return { requestUnion: { kind: 'createRequest', value } };
}

async function readLeases(channel: GrpcChannel): Promise<string[]> {
  const { leases } = ok(await channel.call(Lease.methods.leaseLeases, {}));
  const texts = leases
    .toSorted((a, b) => (a.ID < b.ID ? -1 : 1))
    .map(async ({ ID }) => {
      const request = { ID, keys: true };
      const lease = ok(await channel.call(Lease.methods.leaseTimeToLive, request));
      return leaseText(ID, lease.grantedTTL, lease.keys.map(latin1));
    });
  return Promise.all(texts);
}

export function leaseText(id: bigint, ttl: number, keys: readonly string[]): string {
  return `${id} ttl ${ttl} ${keys.toSorted().join()}`;
}

export function ok<Response>(outcome: Outcome<Response>): Response {
  if (outcome.kind === 'ok') return outcome.response;
  assert.fail(`${outcome.code} ${outcome.message}`);
}
