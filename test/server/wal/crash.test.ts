import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import type { EntryId } from '../../../server/base/ids.ts';
import { recoverLog } from '../../../server/wal/recover.ts';
import { replayWal } from '../../../server/wal/replay.ts';
import { Wal, type WalModules } from '../../../server/wal/wal.ts';
import { MemberClock } from '../../sim/clock.ts';
import { Counters } from '../../sim/counters.ts';
import { quietDisk, SimDisk } from '../../sim/disk.ts';
import { DeadProcessError, SimProcess } from '../../sim/process.ts';
import { SeededRandom } from '../../sim/random.ts';
import { Scheduler } from '../../sim/scheduler.ts';
import { appended, emptyLog, isSameLog, lastOf, type ModelLog, nextAppend } from './model.ts';

const directory = '/data/wal';
const options = { directory, segmentBytes: 2_000, sealAfterMs: 5 };
const appendsPerLife = 8;

/** A disk, what was ever asked of the log on it, and how much of that was acknowledged. */
class World {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly disk: SimDisk;
  /** The log after each append since the last recovery; the first one was found on disk. */
  models: ModelLog[] = [emptyLog];
  acknowledged = -1;
  /** What the state has durably applied. */
  applied: EntryId = { index: 0, term: 0 };

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.scheduler = new Scheduler(this.random.fork());
    const modules = {
      scheduler: this.scheduler,
      random: this.random.fork(),
      counters: new Counters(),
    };
    this.disk = new SimDisk(modules, { ...quietDisk, crashModes: ['prefix', 'subset', 'allLost'] });
    this.disk.provide('/data');
  }

  /**
   * One process: recovers, checks, appends, and is killed at its `killAt`-th write, sync or change of a name.
   * False when it did not come to that.
   */
  async live(killAt: number): Promise<boolean> {
    const process = new SimProcess(this.scheduler);
    let isKilled = false;
    process.killAtEffect(killAt, () => {
      isKilled = true;
      process.kill();
    });
    process.deliver(() => this.#start(process));
    await this.scheduler.runUntil(this.scheduler.nowMs + 200, () => {});
    process.kill();
    return isKilled;
  }

  powerLoss(): void {
    if (this.random.chance(0.2)) this.disk.processKilled();
    else this.disk.powerLoss();
  }

  #start(process: SimProcess): void {
    const { scheduler, random } = this;
    const fileSystem = this.disk.mount(process);
    const clock = new MemberClock(
      { scheduler, process, random: random.fork() },
      { rate: 1, wallOffsetMs: 0 },
    );
    const modules = { fileSystem, clock, random, fatal: () => process.kill() };
    try {
      this.#append(this.#open(modules), appendsPerLife);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EIO') throw error;
      process.kill();
    }
  }

  #open(modules: WalModules): Wal {
    const replay = replayWal(modules.fileSystem, directory);
    if (replay.isEmpty) {
      assert.equal(this.acknowledged, -1, 'the log is gone');
      const { hardState, entries, identity } = emptyLog;
      const first = { hardState, entries, identity: fromLatin1(identity) };
      const wal = Wal.create(modules, options, first);
      this.acknowledged = 0;
      return wal;
    }
    const log = recoverLog(replay, this.applied);
    assert.equal(log.owed, undefined, 'nothing acknowledged is missing');
    const identity = replay.identity ?? assert.fail('no identity');
    const found = this.models.findLastIndex(
      (model) => isSameLog(log, model, this.applied) && latin1(identity) === model.identity,
    );
    assert.ok(found >= Math.max(0, this.acknowledged), this.#difference(found));
    this.#checkVote(replay.hardState, found);
    const commit = Math.max(replay.hardState.commit, this.applied.index);
    const hardState = { ...replay.hardState, commit };
    const wal = Wal.resume(modules, options, { replay, log, hardState, identity });
    this.models = [{ hardState, base: log.base, entries: log.entries, identity: latin1(identity) }];
    this.acknowledged = 0;
    return wal;
  }

  /** The term and vote of what was acknowledged, or of something asked for later. */
  #checkVote({ term, vote }: ModelLog['hardState'], found: number): void {
    const later = this.models.slice(Math.max(this.acknowledged, 0));
    const isKnown = later.some(
      ({ hardState }) => hardState.term === term && hardState.vote === vote,
    );
    const known = JSON.stringify(
      this.models.map(({ hardState }) => `${hardState.term}:${hardState.vote}`),
    );
    assert.ok(
      isKnown,
      `term ${term}, vote ${vote}; found ${found}, acknowledged ${this.acknowledged} of ${known}`,
    );
  }

  #difference(found: number): string {
    const wanted = this.models[this.acknowledged];
    const end = wanted === undefined ? 'none' : JSON.stringify(lastOf(wanted).index);
    return `found append ${found}, acknowledged ${this.acknowledged} of ${this.models.length}: up to ${end}`;
  }

  /** Up to three at a time. */
  #append(wal: Wal, left: number): void {
    if (left === 0) return wal.close(() => {});
    const burst = Math.min(left, 1 + this.random.below(3));
    for (let count = 1; count <= burst; count += 1) {
      const append = nextAppend(this.models.at(-1) ?? emptyLog, this.random);
      if (append.reset !== undefined) this.applied = append.reset;
      this.models.push(appended(this.models.at(-1) ?? emptyLog, append));
      const number = this.models.length - 1;
      wal.append(append, () => {
        this.acknowledged = number;
        if (count === burst) this.#next(wal, left - burst);
      });
    }
  }

  #next(wal: Wal, left: number): void {
    if (this.random.chance(0.3)) this.#release(wal);
    if (this.random.chance(0.05)) this.disk.failSyncs(1);
    this.#append(wal, left);
  }

  /** The state has what is committed and durable. */
  #release(wal: Wal): void {
    const { hardState, entries } = this.models[this.acknowledged] ?? emptyLog;
    const committed = entries.findLast(({ index }) => index <= hardState.commit);
    if (committed === undefined || committed.index <= this.applied.index) return;
    this.applied = { index: committed.index, term: committed.term };
    wal.release(committed.index);
  }
}

const seeds = Number(process.env['WAL_CRASH_SEEDS'] ?? 6);

suite('Wal and crashes', () => {
  test('killed at every operation of a life, and again while it recovers: all that was acknowledged is there', async () => {
    let crashes = 0;
    for (let seed = 1; seed <= seeds; seed += 1) {
      for (let killAt = 1, isKilled = true; isKilled; killAt += 1) {
        const world = new World(seed);
        try {
          isKilled = await world.live(killAt);
          for (let again = 0; again < 3; again += 1) {
            world.powerLoss();
            crashes += 1;
            await world.live(1 + world.random.below(again === 0 ? 8 : 30));
          }
          world.powerLoss();
          await world.live(Number.POSITIVE_INFINITY);
        } catch (error) {
          assert.ok(!(error instanceof DeadProcessError));
          throw new Error(`seed ${seed}, killed at ${killAt}: ${String(error)}`, { cause: error });
        }
      }
    }
    assert.ok(crashes > seeds * 50, `${crashes}`);
  });
});
