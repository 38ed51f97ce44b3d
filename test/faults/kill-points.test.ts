import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { GrpcChannel } from '../support/grpc.ts';
import { type Exit, type MemberProcess, TestCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { isWhole } from '../support/whole.ts';
import { Model, makeScript, type Op, play } from './support/script.ts';
import { parseTrace, type SystemCall } from './support/strace.ts';
import { readView, type View } from './support/view.ts';

// One member, killed just before its N-th system call of a kind, while a client plays a fixed script. It must come back
// with everything that it acknowledged and at most the one operation that was under way.

const seed = 20_261;
const scriptLength = 200;
const everyNth = 10;
const sampleSize = 3;

const callNames = [
  ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2'],
  ['fsync', 'fdatasync'],
  ['rename', 'renameat', 'renameat2'],
  ['unlink', 'unlinkat'],
].flat();

/** Small segments, so that the script cuts and releases many; one pool thread, since strace counts calls per thread. */
const environment = { MAINSTAY_WAL_SEGMENT_BYTES: '8192', UV_THREADPOOL_SIZE: '1' };

interface KillPoint {
  readonly name: string;
  readonly nth: number;
}

function strace(...args: string[]): string[] {
  // -D: the member stays our child, and strace its grandchild. No --seccomp-bpf: with it nothing is injected.
  return [toolPath('strace'), '-D', '-f', '-qq', ...args];
}

async function withMember<T>(body: (member: MemberProcess, flags: string[]) => Promise<T>) {
  const cluster = await TestCluster.prepare({ program: 'mainstay', environment });
  try {
    return await cluster.showLogsOnFailure(() => body(cluster.member(0), cluster.flagsFor('new')));
  } finally {
    await cluster.stop();
  }
}

/** The whole script under strace: which calls go to files of the data directory, as the N-th of their thread and name. */
async function findKillPoints(script: readonly Op[]): Promise<KillPoint[]> {
  return withMember(async (member, flags) => {
    const file = `${member.dataDirectory}.trace`;
    const wrapper = strace('-ttt', '-y', '-s', '0', '-o', file, '-e', `trace=${callNames.join()}`);
    member.spawn(flags, { wrapper });
    await member.ready();
    const channel = new GrpcChannel(member.clientUrl);
    const { acknowledged } = await play(channel, script);
    assert.equal(acknowledged, script.length);
    assert.deepEqual(await readView(channel), Model.after(script).view());
    channel.close();
    await member.stop('SIGTERM');
    return pointsOf(parseTrace(readFileSync(file, 'latin1')), member.dataDirectory);
  });
}

function pointsOf(calls: readonly SystemCall[], directory: string): KillPoint[] {
  const counts = new Map<string, number>();
  const points: KillPoint[] = [];
  for (const { thread, name, args } of calls) {
    const nth = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    counts.set(`${thread} ${name}`, nth);
    if (args.includes(directory)) points.push({ name, nth });
  }
  return points;
}

/** Each tenth call, of all kinds together; by default a sample of these. */
function chosen(points: readonly KillPoint[]): KillPoint[] {
  const tenths = points.filter((_, at) => at % everyNth === everyNth - 1);
  if (isWhole) return tenths;
  const step = tenths.length / sampleSize;
  return Array.from(
    { length: sampleSize },
    (_, at) => tenths[Math.floor((at + 0.5) * step)],
  ).filter((point) => point !== undefined);
}

interface Outcome {
  readonly acknowledged: number;
  readonly exit: Exit;
}

/** Plays the script until the member is killed, if it is. */
async function playUntilKilled(
  member: MemberProcess,
  flags: string[],
  { script, point: { name, nth } }: { script: readonly Op[]; point: KillPoint },
): Promise<Outcome> {
  const inject = `inject=${name}:signal=SIGKILL:when=${nth}`;
  const file = `${member.dataDirectory}.trace`;
  member.spawn(flags, { wrapper: strace('-o', file, '-e', `trace=${name}`, '-e', inject) });
  const isReady = await member.ready().then(
    () => true,
    () => false,
  );
  if (!isReady && member.isRunning) throw new Error('neither killed nor ready');
  if (!isReady) return { acknowledged: 0, exit: await member.exited };
  const channel = new GrpcChannel(member.clientUrl);
  const { acknowledged } = await play(channel, script);
  channel.close();
  const exit = await member.stop('SIGTERM');
  return { acknowledged, exit };
}

/** After the restart: what was acknowledged is there, and nothing else but the operation that was under way. */
async function checkRestarted(member: MemberProcess, script: readonly Op[], acknowledged: number) {
  await member.start();
  const channel = new GrpcChannel(member.clientUrl);
  const found = await readView(channel);
  const played = isEqual(found, script.slice(0, acknowledged + 1))
    ? acknowledged + 1
    : acknowledged;
  assert.deepEqual(found, Model.after(script.slice(0, played)).view());
  // And the script goes on as if nothing had happened.
  const rest = script.slice(played);
  assert.equal((await play(channel, rest)).acknowledged, rest.length);
  assert.deepEqual(await readView(channel), Model.after(script).view());
  channel.close();
  await member.stop('SIGTERM');
  checkDirectory(member.dataDirectory);
}

function isEqual(found: View, played: readonly Op[]): boolean {
  return JSON.stringify(found) === JSON.stringify(Model.after(played).view());
}

/** Nothing half-made is left over. */
function checkDirectory(dataDirectory: string): void {
  const names = readdirSync(join(dataDirectory, 'member')).toSorted();
  assert.equal(names.length, 3, `in the data directory: ${names}`);
  assert.equal(names[0], 'STATE');
  assert.match(names[1] ?? '', /^state-\d+$/);
  assert.equal(names[2], 'wal');
  for (const name of readdirSync(join(dataDirectory, 'member/wal'))) assert.match(name, /\.wal$/);
}

suite('a member killed at a system call', () => {
  test('comes back with all that it acknowledged', needs('strace'), async () => {
    const script = makeScript(seed, scriptLength);
    const points = await findKillPoints(script);
    const tried = chosen(points);
    console.log(`seed ${seed}: ${points.length} calls, killed at ${tried.length} of them`);
    let kills = 0;
    for (const point of tried) {
      await withMember(async (member, flags) => {
        const { acknowledged, exit } = await playUntilKilled(member, flags, { script, point });
        if (exit.signal === 'SIGKILL') kills += 1;
        console.log(`${point.name} ${point.nth}: ${acknowledged} acknowledged, ${show(exit)}`);
        await checkRestarted(member, script, acknowledged);
      });
    }
    assert(kills >= tried.length * 0.8, `only ${kills} of ${tried.length} were killed`);
  });
});

function show({ code, signal }: Exit): string {
  return signal ?? `ended with ${code}`;
}
