import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../../server/client/keys.ts';
import { KV } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, withCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { parseTrace, type SystemCall, Tracer } from './support/strace.ts';

// Seen from outside, by strace: no put is acknowledged before a quorum's disks were told to keep it, and have answered.

const calls = 'read,recvmsg,readv,write,writev,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync';
const putsPerMember = 4;

/** A put as the wire and the disk show it: the new value goes in, the old one comes out with the answer. */
interface TracedPut {
  readonly clientPort: string;
  readonly newValue: string;
  readonly oldValue: string;
}

interface Timeline {
  readonly receivedAt: number;
  readonly answeredAt: number;
  /** For each member that did, in order: when a sync that began after the value was written to its log returned. */
  readonly syncedAt: readonly number[];
}

const inPattern = /^(read|recvmsg|readv)$/;
const outPattern = /^(write|writev|sendmsg)$/;
const diskPattern = /^(write|writev|pwrite64|pwritev|pwritev2)$/;

/** `traces`: one for each member, the asked one first. */
function timelineOf(put: TracedPut, traces: ReadonlyArray<readonly SystemCall[]>): Timeline {
  const asked = traces[0] ?? [];
  const received = asked.find(
    ({ name, args }) => inPattern.test(name) && isClient(args, put) && args.includes(put.newValue),
  );
  const answered = asked.find(
    ({ name, args }) => outPattern.test(name) && isClient(args, put) && args.includes(put.oldValue),
  );
  assert(received !== undefined && answered !== undefined, 'the put is not in the trace');
  const syncedAt = traces.flatMap((trace) => syncOf(put, trace) ?? []);
  return {
    receivedAt: received.returnedAt,
    answeredAt: answered.startedAt,
    syncedAt: syncedAt.toSorted((a, b) => a - b),
  };
}

/** When the member's log held the new value durably. */
function syncOf({ newValue }: TracedPut, trace: readonly SystemCall[]): number | undefined {
  const write = trace.find(
    ({ name, args }) => diskPattern.test(name) && isLog(args) && args.includes(newValue),
  );
  if (write === undefined) return undefined;
  const sync = trace.find(
    ({ name, args, result, startedAt }) =>
      /^f(data)?sync$/.test(name) && isLog(args) && result === '0' && startedAt >= write.returnedAt,
  );
  return sync?.returnedAt;
}

function isClient(args: string, { clientPort }: TracedPut): boolean {
  return new RegExp(`^\\d+<TCP:\\[[^>]*:${clientPort}->`).test(args);
}

function isLog(args: string): boolean {
  return /^\d+<[^>]*\/member\/wal\//.test(args);
}

function check({ receivedAt, answeredAt, syncedAt }: Timeline, quorum: number): void {
  assert(receivedAt < answeredAt, 'answered before it was received');
  const inTime = syncedAt.filter((at) => receivedAt < at && at <= answeredAt);
  assert(
    inTime.length >= quorum,
    `${inTime.length} of ${quorum} syncs returned between ${receivedAt} and ${answeredAt}: ${syncedAt}`,
  );
}

function show({ receivedAt, answeredAt, syncedAt }: Timeline): string {
  const ms = (at: number) => `${((at - receivedAt) * 1e3).toFixed(1)} ms`;
  return `synced after ${syncedAt.map(ms).join(', ')}; answered after ${ms(answeredAt)}`;
}

function marker(): string {
  return `value-${randomBytes(8).toString('hex')}`;
}

async function traced(
  members: readonly MemberProcess[],
  asked: MemberProcess,
): Promise<{ puts: TracedPut[]; traces: SystemCall[][] }> {
  const order = [asked, ...members.filter((member) => member !== asked)];
  const channel = new GrpcChannel(asked.clientUrl);
  const values = Array.from({ length: putsPerMember + 1 }, marker);
  const put = async (value: string) => {
    const request = { key: bytesOf('traced'), value: bytesOf(value), prevKv: true };
    const outcome = await channel.call(KV.methods.put, request);
    assert.equal(outcome.kind, 'ok');
  };
  await put(values[0] ?? '');
  const file = (member: MemberProcess) => join(member.dataDirectory, '..', `${member.name}.trace`);
  const tracers = await Promise.all(
    order.map((member) => Tracer.attach(member.pid ?? 0, { calls, file: file(member) })),
  );
  for (const value of values.slice(1)) await put(value);
  // The slowest follower may still be at it.
  await sleep(100);
  const traces = await Promise.all(tracers.map((tracer) => tracer.detach()));
  channel.close();
  const clientPort = new URL(asked.clientUrl).port;
  const puts = values
    .slice(1)
    .map((newValue, at) => ({ clientPort, newValue, oldValue: values[at] ?? '' }));
  return { puts, traces };
}

suite('a put is acknowledged after fdatasync', () => {
  for (const size of [1, 3]) {
    const quorum = Math.floor(size / 2) + 1;
    test(`on ${quorum} of ${size}`, needs('strace'), async () => {
      await withCluster({ program: 'mainstay', size }, async ({ members }) => {
        for (const asked of members) {
          const { puts, traces } = await traced(members, asked);
          for (const put of puts) {
            const timeline = timelineOf(put, traces);
            console.log(`${asked.name} of ${size}: ${show(timeline)}`);
            check(timeline, quorum);
          }
        }
      });
    });
  }

  test('a trace in which the sync comes too late, fails, or is of another file is refused', () => {
    const lines = (sync: string, syncAt: number) => `
10 100.000100 read(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, "new", 65536) = 3 <0.000010>
11 100.000200 pwrite64(21</d/m/member/wal/1.wal>, "new", 3, 0) = 3 <0.000010>
11 ${syncAt}00 ${sync} <unfinished ...>
10 100.000500 write(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, "old", 3) = 3 <0.000010>
`;
    const early = '\n11 100.000450 <... fdatasync resumed>) = 0 <0.000100>';
    const failed =
      '\n11 100.000450 <... fdatasync resumed>) = -1 EIO (Input/output error) <0.0001>';
    const late = '\n11 100.000600 <... fdatasync resumed>) = 0 <0.000250>';
    const log = 'fdatasync(21</d/m/member/wal/1.wal>';
    const other = 'fdatasync(22</d/m/member/state-1/1.log>';
    const verdict = (text: string) => () =>
      check(
        timelineOf({ clientPort: '1', newValue: 'new', oldValue: 'old' }, [parseTrace(text)]),
        1,
      );
    assert.doesNotThrow(verdict(lines(log, 100.0003) + early));
    for (const text of [
      lines(log, 100.0003),
      lines(log, 100.0003) + failed,
      lines(log, 100.0003) + late,
      lines(log, 100.0001) + early,
      lines(other, 100.0003) + early,
    ]) {
      assert.throws(verdict(text), /0 of 1 syncs/);
    }
  });
});
