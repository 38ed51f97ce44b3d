import { createHash } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { equalBytes } from '../base/bytes.ts';
import { Maintenance, type SnapshotResponse } from '../proto/gen/rpc.ts';
import type { Calls } from './calls.ts';
import type { Endpoint } from './endpoint.ts';
import { ClientError } from './errors.ts';

/**
 * A member's whole state as etcd's database file, in the pieces in which it comes; the last one is the SHA-256 over all
 * others. Whoever reads slowly makes the member wait. Fails when the stream is cut: what came until then is no snapshot.
 */
export async function* snapshotParts(
  calls: Calls,
  endpoint: Endpoint,
  { signal }: { signal?: AbortSignal | undefined },
): AsyncGenerator<SnapshotResponse, void, void> {
  const how = { timeoutMs: calls.timeoutMs, signal };
  const asked = { request: {}, endpoint };
  const stream = await calls.serverStream(Maintenance.methods.snapshot, asked, how);
  try {
    for await (const part of stream) yield part as SnapshotResponse;
  } catch (error) {
    signal?.throwIfAborted();
    calls.closed.throwIfAborted();
    throw endpoint.failure(error);
  } finally {
    stream.cancel();
  }
}

/** The bytes of all pieces. The hash is checked: it fails in the end when it is not that of the bytes. */
export async function* checkedBytes(
  parts: AsyncIterable<SnapshotResponse>,
  endpoint: Endpoint,
): AsyncGenerator<Uint8Array, void, void> {
  const hash = createHash('sha256');
  let former: Uint8Array | undefined;
  for await (const { blob } of parts) {
    if (former !== undefined) hash.update(former);
    former = blob;
    yield blob;
  }
  if (former === undefined || !equalBytes(hash.digest(), former)) throw damaged(endpoint);
}

function damaged({ url }: Endpoint): ClientError {
  const text = 'the snapshot is incomplete or damaged: its hash is not that of its bytes';
  return new ClientError({ code: status.DATA_LOSS, text, endpoint: url, isUncertain: false });
}
