import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Client } from '../../server/client/client.ts';
import { handshakesPendingMax } from '../../server/config/limits.ts';
import { Authority, Files, tlsFlags } from '../support/certificates.ts';
import { memoryBytes } from '../support/process-memory.ts';
import { type MemberProcess, withCluster } from '../support/server-process.ts';

// Handshakes that are begun and not ended: the member keeps so many and no more, and serves those who mean it.

const flood = 3 * handshakesPendingMax;
const growthBytesMax = 200 * 1024 * 1024;
const asked = 25;

/** Milliseconds that a get took, on a connection that is there and on a new one: the median of each. */
async function latency(client: () => Client): Promise<{ lasting: number; fresh: number }> {
  const lasting = client();
  await lasting.get('k');
  const times = { lasting: [] as number[], fresh: [] as number[] };
  for (let n = 0; n < asked; n++) {
    const began = performance.now();
    await lasting.get('k');
    const between = performance.now();
    const fresh = client();
    await fresh.get('k');
    fresh.close();
    times.lasting.push(between - began);
    times.fresh.push(performance.now() - between);
  }
  lasting.close();
  const median = (of: number[]): number => of.toSorted((a, b) => a - b)[asked >> 1] ?? 0;
  return { lasting: median(times.lasting), fresh: median(times.fresh) };
}

/** Says nothing, or begins a handshake. */
async function halfOpen(port: number, begins: boolean): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  if (begins) socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1]));
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}

test('thousands of half-open handshakes', { timeout: 120_000 }, async (context: TestContext) => {
  const files = new Files();
  const authority = await Authority.create('ca');
  const ca = files.write('ca.pem', authority.cert);
  const member = files.writePair('member', await authority.issue());
  const tls = { ca: authority.cert, ...(await authority.issue()) };
  const schemes = { client: 'https', peer: 'https' } as const;
  await withCluster(
    { program: 'mainstay', schemes, flags: tlsFlags(member, ca) },
    async (cluster) => {
      const [only] = cluster.members as [MemberProcess];
      const client = (): Client =>
        new Client({ endpoints: cluster.endpoints, timeoutMs: 20_000, tls });
      const [port, peerPort] = [only.clientUrl, only.peerUrl].map((url) =>
        Number(new URL(url).port),
      );
      const normal = await latency(client);
      const before = memoryBytes(only, 'VmRSS');
      const sockets: Socket[] = [];
      for (let n = 0; n < flood; n += 100) {
        const some = Array.from({ length: 100 }, (_, at) =>
          halfOpen((at % 4 === 0 ? peerPort : port) ?? 0, at % 2 === 0),
        );
        sockets.push(...(await Promise.all(some)));
      }
      const under = await latency(client);
      const grown = memoryBytes(only, 'VmRSS') - before;
      const open = sockets.filter(({ destroyed }) => !destroyed).length;
      context.diagnostic(
        `${open} of ${flood} half-open handshakes kept, memory +${Math.round(grown / 1024 / 1024)} MiB;` +
          ` a get takes ${under.lasting.toFixed(1)} ms (normal ${normal.lasting.toFixed(1)}),` +
          ` with its handshake ${under.fresh.toFixed(1)} ms (normal ${normal.fresh.toFixed(1)})`,
      );
      assert(open <= 2 * handshakesPendingMax, String(open));
      assert(grown < growthBytesMax, String(grown));
      assert(under.lasting < 100 + 10 * normal.lasting);
      assert(under.fresh < 200 + 10 * normal.fresh);
      assert.match(only.log, /too many TLS handshakes at once/);
    },
  );
  files.remove();
});
