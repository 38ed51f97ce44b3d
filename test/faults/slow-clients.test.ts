import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../server/client/keys.ts';
import { Health } from '../../server/proto/gen/health.ts';
import { KV, Watch, WatchCreateRequest, WatchRequest } from '../../server/proto/gen/rpc.ts';
import { Flag } from '../../server/transport/http2/frames.ts';
import { frame, RawClient, request } from '../server/transport/http2/raw-client.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { memoryBytes } from '../support/process-memory.ts';
import { type MemberProcess, withCluster } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';
import { grpcMessage } from './support/raw-http2.ts';
import { ok } from './support/view.ts';

// Clients that only hold on: what they cost in memory, and what others notice of them. MAINSTAY_FULL=1 runs more.

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const idleConnections = isWhole ? 9_500 : 1_500;
const idleBytesMax = 32 * kibibyte;
/** What comes and goes, whoever is connected. */
const noiseBytes = 40 * mebibyte;
const watchers = isWhole ? 100 : 20;
/** What a watcher that does not read may cost: what waits in its stream, and in its socket. */
const watcherBytesMax = 2 * mebibyte;

const { END_HEADERS, END_STREAM } = Flag;

function portOf({ clientUrl }: MemberProcess): number {
  return Number(new URL(clientUrl).port);
}

function headers(path: string): Buffer {
  return frame('HEADERS', END_HEADERS, 1, request(path, ['content-type', 'application/grpc']));
}

/** The median time of a put, in milliseconds. */
async function putMs(channel: GrpcChannel): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < 200; at++) {
    const begunMs = performance.now();
    ok(await channel.call(KV.methods.put, { key: bytesOf('other'), value: bytesOf('v') }));
    times.push(performance.now() - begunMs);
  }
  return times.sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;
}

function shown(bytes: number): string {
  return bytes < mebibyte
    ? `${(bytes / kibibyte).toFixed(1)} KiB`
    : `${(bytes / mebibyte).toFixed(0)} MiB`;
}

suite('slow clients', () => {
  test(`${idleConnections} idle connections, each after a call`, async () => {
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      const member = cluster.member(0);
      const channel = new GrpcChannel(member.clientUrl);
      await putMs(channel);
      const normalMs = await putMs(channel);
      const before = memoryBytes(member, 'VmRSS');
      const clients: RawClient[] = [];
      const check = frame('DATA', END_STREAM, 1, grpcMessage(Buffer.alloc(0)));
      for (let at = 0; at < idleConnections; at++) {
        const client = RawClient.begin(portOf(member));
        clients.push(client);
        client.send(headers(Health.methods.check.path), check);
        // No more than the listener's backlog at once.
        if (at % 100 === 99) await ended(clients.slice(-100));
      }
      await ended(clients);
      const idleMs = await putMs(channel);
      const each = (memoryBytes(member, 'VmRSS') - before) / idleConnections;
      console.log(
        `${idleConnections} idle connections: ${shown(each)} each; another client's put takes` +
          ` ${idleMs.toFixed(2)} ms, before them ${normalMs.toFixed(2)} ms`,
      );
      assert(each < idleBytesMax, shown(each));
      for (const client of clients) client.close();
      channel.close();
    });
  });

  test(`${watchers} watchers that do not read, while all is written again and again`, async () => {
    await withCluster({ program: 'mainstay' }, async (cluster) => {
      const member = cluster.member(0);
      const channel = new GrpcChannel(member.clientUrl);
      const key = bytesOf('k');
      const value = new Uint8Array(64 * kibibyte);
      const write = async (): Promise<void> => {
        const puts = Array.from({ length: 16 }, () => channel.call(KV.methods.put, { key, value }));
        for (const put of await Promise.all(puts)) ok(put);
      };
      const writeMuch = async (): Promise<void> => {
        for (let round = 0; round < 60; round++) await write();
        await sleep(300);
      };
      // The store's own memory has its full size after that.
      await writeMuch();
      await writeMuch();
      const before = memoryBytes(member, 'VmRSS');
      const create = WatchCreateRequest.create({ key });
      const watch = WatchRequest.encode({ requestUnion: { kind: 'createRequest', value: create } });
      const clients = Array.from({ length: watchers }, () => RawClient.begin(portOf(member)));
      for (const client of clients) {
        client.send(headers(Watch.methods.watch.path), frame('DATA', 0, 1, grpcMessage(watch)));
        assert.equal((await client.nextOf('DATA'))?.streamId, 1);
        client.socket.pause();
      }
      await writeMuch();
      const growth = memoryBytes(member, 'VmRSS') - before;
      const normalMs = await putMs(channel);
      console.log(
        `60 MiB written past ${watchers} watchers that do not read: ${shown(growth)} more than` +
          ` ${shown(before)}; another client's put takes ${normalMs.toFixed(2)} ms`,
      );
      assert(growth < noiseBytes + watchers * watcherBytesMax, shown(growth));
      for (const client of clients) client.close();
      channel.close();
    });
  });
});

/** Until each has its answer. */
async function ended(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) {
    while (client.ends.size === 0) assert.notEqual(await client.next(), undefined);
  }
}
