import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../sim/random.ts';
import { GrpcChannel } from '../support/grpc.ts';
import { type MemberProcess, TestCluster } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';
import { type Flip, filesOf, flipBit } from './support/bits.ts';
import type { Outcome, Task } from './support/flip-child.ts';
import { Model, makeScript, play } from './support/script.ts';
import { readView } from './support/view.ts';

// One bit of one file of a member that was stopped is turned over. It starts and answers as before, or it refuses to start
// and says what is damaged, or it is repaired by the others: never a wrong answer.

const seed = Number(process.env['SEED'] ?? 4);
const flips = isWhole
  ? { alone: 600, withLog: 200, ofThree: 200, asProcess: 20 }
  : { alone: 20, withLog: 8, ofThree: 8, asProcess: 1 };
const outcomeTimeoutMs = 30_000;
const script = makeScript(seed, 200);
const expected = Model.after(script).view();
/** Small segments: most of the log was released, and only LevelDB has what was in it. */
const environment = { MAINSTAY_WAL_SEGMENT_BYTES: '8192' };
const childFile = fileURLToPath(new URL('./support/flip-child.js', import.meta.url));

const directory = mkdtempSync(join(tmpdir(), 'mainstay-flips-'));
after(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Data directories after the script; the members were stopped, started again in its middle, and stopped. */
async function prepare(cluster: TestCluster): Promise<void> {
  const flags = cluster.flagsFor('new');
  const half = script.length / 2;
  for (const part of [script.slice(0, half), script.slice(half)]) {
    for (const member of cluster.members) member.spawn(flags);
    await Promise.all(cluster.members.map((member) => member.ready()));
    const channel = new GrpcChannel(cluster.member(0).clientUrl);
    assert.equal((await play(channel, part)).acknowledged, half);
    channel.close();
    await Promise.all(cluster.members.map((member) => member.stop('SIGTERM')));
  }
}

/** Opens damaged directories, in a child that is replaced when LevelDB has ended it. */
class Opener {
  #child: ChildProcess | undefined;
  crashes = 0;

  /** A member whose process LevelDB has ended is started again, as whoever runs it would. */
  async outcomeOf(task: Task): Promise<Outcome> {
    for (let tries = 0; tries < 3; tries++) {
      // LevelDB may have ended it after the outcome before.
      if (this.#child?.connected !== true) this.#child = fork(childFile);
      const outcome = await ask(this.#child, task);
      if (outcome !== undefined) return outcome;
      this.crashes += 1;
    }
    throw new Error(`the process ends each time it opens ${task.damaged}`);
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
  }
}

/** Undefined when the child ended instead. */
function ask(child: ChildProcess, task: Task): Promise<Outcome | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void): void => {
      clearTimeout(timer);
      child.off('message', answered).off('exit', ended);
      run();
    };
    const answered = (outcome: Outcome): void => settle(() => resolve(outcome));
    const ended = (): void => settle(() => resolve(undefined));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      settle(() => reject(new Error(`no outcome in ${outcomeTimeoutMs} ms`)));
    }, outcomeTimeoutMs);
    child.on('message', answered).on('exit', ended);
    child.send(task, (error) => {
      if (error !== null) ended();
    });
  });
}

/** How many flips of each kind of file ended how. */
class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  add(kind: string, end: string): void {
    const ends = this.#counts.get(kind) ?? new Map<string, number>();
    this.#counts.set(kind, ends.set(end, (ends.get(end) ?? 0) + 1));
  }

  print(title: string): void {
    console.log(title);
    for (const [kind, ends] of this.#counts) {
      const parts = [...ends].map(([end, count]) => `${count} ${end}`);
      console.log(`  ${kind}: ${parts.join(', ')}`);
    }
  }
}

let copies = 0;

function copyOf(source: string, name: string): string {
  const copy = join(directory, name);
  cpSync(source, copy, { recursive: true });
  return copy;
}

/** One flip in a copy of the pristine directory; fails when the answer is wrong or the refusal says nothing. */
async function tryFlip(
  pristine: string,
  random: SeededRandom,
  outcomeOf: (damaged: string) => Promise<Outcome>,
): Promise<{ flip: Flip; end: string }> {
  // Never the same path: who refused to start still holds LevelDB's lock, until its process ends.
  copies += 1;
  const damaged = copyOf(pristine, `damaged-${copies}`);
  const flip = flipBit(damaged, random);
  const what = `${flip.file} byte ${flip.byte} bit ${flip.bit}`;
  const outcome = await outcomeOf(damaged).catch((error: unknown) => {
    throw new Error(what, { cause: error });
  });
  const isRepaired = filesOf(damaged).some((file) => /\.damaged$|^state-[^1]/.test(file));
  rmSync(damaged, { recursive: true, maxRetries: 3 });
  if (outcome.kind === 'read') {
    assert.deepEqual(outcome.view, expected, `a wrong answer after ${what}`);
    return { flip, end: isRepaired ? 'repaired' : 'harmless' };
  }
  assert.equal(outcome.status, 78, `${what}: ${outcome.message}`);
  assert.match(
    outcome.message,
    /\/(wal|state-\d+|STATE)\b/,
    `does not say what is damaged: ${what}`,
  );
  return { flip, end: 'refused' };
}

async function tryFlips(pristine: string, peers: readonly string[], count: number): Promise<void> {
  const random = new SeededRandom(seed, `flips ${peers.length}`);
  const opener = new Opener();
  const tally = new Tally();
  try {
    for (let n = 0; n < count; n++) {
      const others = peers.map((peer, at) => copyOf(peer, `peer-${n}-${at}`));
      const { flip, end } = await tryFlip(pristine, random, (damaged) =>
        opener.outcomeOf({ damaged, peers: others }),
      );
      for (const other of others) rmSync(other, { recursive: true, maxRetries: 3 });
      tally.add(flip.kind, end);
    }
  } finally {
    opener.stop();
    tally.print(`seed ${seed}: ${count} flips, LevelDB ended the process ${opener.crashes} times`);
  }
}

async function tryAsProcess(member: MemberProcess, pristine: string): Promise<void> {
  const random = new SeededRandom(seed, 'as process');
  const tally = new Tally();
  for (let n = 0; n < flips.asProcess; n++) {
    const { flip, end } = await tryFlip(pristine, random, async (damaged) => {
      rmSync(member.dataDirectory, { recursive: true, force: true });
      cpSync(damaged, member.dataDirectory, { recursive: true });
      return outcomeOfProcess(member);
    });
    tally.add(flip.kind, end);
  }
  tally.print(`seed ${seed}: ${flips.asProcess} flips with a real process`);
}

async function outcomeOfProcess(member: MemberProcess): Promise<Outcome> {
  for (let tries = 0; tries < 3; tries++) {
    member.spawn();
    const isReady = await member.ready().then(
      () => true,
      () => false,
    );
    if (isReady) break;
    const { code } = await member.exited;
    if (code !== null) return { kind: 'refused', status: code, message: member.logTail() };
  }
  const channel = new GrpcChannel(member.clientUrl);
  const view = await readView(channel);
  channel.close();
  await member.stop();
  return { kind: 'read', view };
}

suite('one bit turned over', () => {
  test('in the only member', async () => {
    const cluster = await TestCluster.prepare({ program: 'mainstay', environment });
    try {
      await prepare(cluster);
      const pristine = copyOf(cluster.member(0).dataDirectory, 'alone');
      await tryFlips(pristine, [], flips.alone);
      await tryAsProcess(cluster.member(0), pristine);
    } finally {
      await cluster.stop();
    }
  });

  test('in the only member, whose log still has everything', async () => {
    const cluster = await TestCluster.prepare({ program: 'mainstay' });
    try {
      await prepare(cluster);
      const pristine = copyOf(cluster.member(0).dataDirectory, 'with-log');
      await tryFlips(pristine, [], flips.withLog);
    } finally {
      await cluster.stop();
    }
  });

  test('in one of three members', async () => {
    const cluster = await TestCluster.prepare({ program: 'mainstay', size: 3, environment });
    try {
      await prepare(cluster);
      const [pristine = '', ...peers] = cluster.members.map(({ dataDirectory, name }) =>
        copyOf(dataDirectory, name),
      );
      await tryFlips(pristine, peers, flips.ofThree);
    } finally {
      await cluster.stop();
    }
  });
});
