import { Lease, type LeaseKeepAliveResponse } from '../proto/gen/rpc.ts';
import type { Endpoint, SendOptions } from './endpoint.ts';

/** One keep-alive on a stream of its own. */
export async function renewOnce(
  endpoint: Endpoint,
  id: bigint,
  how: SendOptions,
): Promise<LeaseKeepAliveResponse> {
  const deadline = Date.now() + how.timeoutMs;
  const stream = await endpoint.stream(Lease.methods.leaseKeepAlive, { ...how, deadline });
  try {
    return await new Promise((resolve, reject) => {
      stream.on('data', resolve);
      stream.on('error', reject);
      stream.on('end', () => {
        reject(new Error('the stream ended without an answer'));
      });
      stream.write({ ID: id });
      stream.end();
    });
  } catch (error) {
    throw endpoint.failure(error);
  }
}
