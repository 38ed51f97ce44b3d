import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { suite, test } from 'node:test';
import { latin1 } from '../../server/base/bytes.ts';
import { bytesOf } from '../../server/client/keys.ts';
import { KV } from '../../server/proto/gen/rpc.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type Exit, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { ok } from './support/view.ts';

// A disk that fails, and one that is full: the member ends rather than say what it does not know.

const ioError = 74;
const valueBytes = 64 * 1024;
const smallDisk = '3m';
const putsMax = 500;

interface Acknowledged {
  readonly key: string;
  readonly revision: number;
}

async function withMember(body: (member: MemberProcess, flags: string[]) => Promise<void>) {
  // One pool thread: strace counts calls per thread.
  const environment = { UV_THREADPOOL_SIZE: '1' };
  const cluster = await TestCluster.prepare({ program: 'mainstay', environment });
  try {
    await cluster.showLogsOnFailure(() => body(cluster.member(0), cluster.flagsFor('new')));
  } finally {
    await cluster.stop();
  }
}

/** Until one is not acknowledged. */
async function putUntilRefused(member: MemberProcess, name: string): Promise<Acknowledged[]> {
  const channel = new GrpcChannel(member.clientUrl);
  const acknowledged: Acknowledged[] = [];
  const value = new Uint8Array(valueBytes);
  for (let n = 0; n < putsMax; n++) {
    const key = `${name}-${n}`;
    const outcome = await channel.call(KV.methods.put, { key: bytesOf(key), value });
    if (outcome.kind === 'error') break;
    acknowledged.push({ key, revision: outcome.response.header?.revision ?? 0 });
  }
  channel.close();
  return acknowledged;
}

/** All that was acknowledged is there; at most the one put that was not answered as well. */
async function checkHeld(member: MemberProcess, acknowledged: readonly Acknowledged[]) {
  const channel = new GrpcChannel(member.clientUrl);
  const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), keysOnly: true };
  const { kvs } = ok(await channel.call(KV.methods.range, all));
  channel.close();
  const held = new Map(kvs.map(({ key, modRevision }) => [latin1(key), modRevision]));
  for (const { key, revision } of acknowledged) assert.equal(held.get(key), revision, key);
  const more = held.size - acknowledged.length;
  assert(more >= 0 && more <= 1, `${more} keys that nobody was told of`);
}

function failingSync(nth: number, file: string): string[] {
  const inject = `inject=fdatasync:error=EIO:when=${nth}`;
  const options = ['-D', '-f', '-qq', '-o', file, '-e', 'trace=fdatasync', '-e', inject];
  return [toolPath('strace'), ...options];
}

suite('a disk that fails', () => {
  for (const nth of [1, 11, 13]) {
    test(`EIO from the fdatasync number ${nth} ends the process`, needs('strace'), async () => {
      await withMember(async (member, flags) => {
        const wrapper = failingSync(nth, `${member.dataDirectory}.trace`);
        member.spawn(flags, { wrapper });
        const isReady = await member.ready().then(
          () => true,
          () => false,
        );
        const acknowledged = isReady ? await putUntilRefused(member, 'key') : [];
        assert.deepEqual(await member.exited, { code: ioError, signal: null }, member.logTail());
        await member.start();
        await checkHeld(member, acknowledged);
        console.log(
          `EIO at fdatasync ${nth}: status 74 after ${acknowledged.length} puts, all there`,
        );
      });
    });
  }
});

suite('a disk that is full', () => {
  const { skip } = needs('mount');
  const isRoot = process.getuid?.() === 0;
  const options = { skip: skip !== false || isRoot ? skip : 'only root can mount a small disk' };

  test('the member ends; with space again it has all that it acknowledged', options, async () => {
    await withMember(async (member, flags) => {
      mkdirSync(member.dataDirectory);
      mount('-t', 'tmpfs', '-o', `size=${smallDisk}`, 'mainstay-test', member.dataDirectory);
      try {
        await member.start(flags);
        const acknowledged = await putUntilRefused(member, 'key');
        assert(acknowledged.length < putsMax, 'the disk was not filled');
        const exit = await member.stop('SIGTERM');
        assert(exit.code === 0 || exit.code === ioError, `${show(exit)}\n${member.logTail()}`);
        const again = await startOnFullDisk(member);
        mount('-o', 'remount,size=64m', member.dataDirectory);
        if (!member.isRunning) await member.start();
        await checkHeld(member, acknowledged);
        assert((await putUntilRefused(member, 'more')).length > 0);
        const ends = `${show(exit)}, then, still full, ${again}`;
        console.log(
          `full after ${acknowledged.length} puts of 64 KiB: ${ends}; with space all there`,
        );
      } finally {
        await member.stop();
        execFileSync('umount', [member.dataDirectory]);
      }
    });
  });
});

/** It may start or not, but if not it says why. */
async function startOnFullDisk(member: MemberProcess): Promise<string> {
  const isReady = await member.start().then(
    () => true,
    () => false,
  );
  if (isReady) return 'started';
  const exit = await member.exited;
  assert.equal(exit.code, ioError, member.logTail());
  assert.match(member.log, /ENOSPC|no space/i);
  return show(exit);
}

function mount(...args: string[]): void {
  execFileSync(toolPath('mount'), args);
}

function show({ code, signal }: Exit): string {
  return signal ?? `status ${code}`;
}
