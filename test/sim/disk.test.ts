import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromLatin1, latin1 } from '../../server/base/bytes.ts';
import type { Done } from '../../server/base/file-system.ts';
import { Counters } from './counters.ts';
import { type DiskOptions, quietDisk, SimDisk } from './disk.ts';
import { type CrashMode, sectorBytes } from './inode.ts';
import { DeadProcessError, SimProcess } from './process.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';

interface World {
  scheduler: Scheduler;
  disk: SimDisk;
  counters: Counters;
  process: SimProcess;
}

function world(seed = 1, options: Partial<DiskOptions> = {}): World {
  const random = new SeededRandom(seed);
  const scheduler = new Scheduler(random.fork());
  const counters = new Counters();
  const disk = new SimDisk(
    { scheduler, random: random.fork(), counters },
    { ...quietDisk, ...options },
  );
  disk.provide('/data');
  return { scheduler, disk, counters, process: new SimProcess(scheduler) };
}

async function run(scheduler: Scheduler, start: (done: Done) => void): Promise<Error | null> {
  let result: Error | null | undefined;
  start((error) => {
    result = error;
  });
  await scheduler.runUntil(scheduler.nowMs + 100, () => {});
  assert.notEqual(result, undefined, 'the operation has not ended');
  return result as Error | null;
}

/** Writes `synced`, syncs, writes `unsynced` beside it, and loses power; what is left of the file. */
function afterPowerLoss(mode: CrashMode, seed: number): string {
  const { disk, process } = world(seed, { crashModes: [mode] });
  const files = disk.mount(process);
  const file = files.create('/data/f');
  file.writeSync(fromLatin1('a'.repeat(700)), 0);
  file.datasyncSync();
  files.syncDirectory('/data');
  file.writeSync(fromLatin1('b'.repeat(2000)), 700);
  disk.powerLoss();
  return latin1(disk.mount(new SimProcess(new Scheduler(new SeededRandom(1)))).read('/data/f'));
}

suite('SimDisk', () => {
  test('synced bytes survive a power failure in every mode, un-synced ones only sometimes', () => {
    for (const mode of ['prefix', 'subset', 'allLost'] as const) {
      const lengths = new Set<number>();
      for (let seed = 1; seed <= 100; seed++) {
        const left = afterPowerLoss(mode, seed);
        assert.equal(left.slice(0, 700), 'a'.repeat(700));
        lengths.add(left.length);
        if (mode === 'prefix') assert.match(left, /^a{700}b*\0*b*$/s);
      }
      if (mode === 'allLost') assert.deepEqual([...lengths], [700]);
      else assert.ok(lengths.size > 3, `${mode} has more than one outcome`);
    }
  });

  test('an arbitrary subset can lose a sector and keep one behind it', () => {
    const holes = Array.from({ length: 200 }, (_, seed) => afterPowerLoss('subset', seed)).filter(
      (left) => /\0{100}.*b{100}/s.test(left),
    );
    assert.ok(holes.length > 0);
  });

  test('a name is durable only once its directory is synced', () => {
    let kept = 0;
    for (let seed = 0; seed < 50; seed++) {
      const { disk, process } = world(seed);
      const files = disk.mount(process);
      const file = files.create('/data/tmp');
      file.writeSync(fromLatin1('x'), 0);
      file.datasyncSync();
      files.syncDirectory('/data');
      files.rename('/data/tmp', '/data/final');
      disk.powerLoss();
      assert.equal(disk.exists('/data/final'), !disk.exists('/data/tmp'));
      if (disk.exists('/data/final')) kept++;
    }
    assert.ok(kept > 0 && kept < 50);
  });

  test('a rename can survive the loss of the contents it publishes', () => {
    const outcomes = new Set<number>();
    for (let seed = 0; seed < 50; seed++) {
      const { disk, process } = world(seed);
      const files = disk.mount(process);
      files.create('/data/tmp').writeSync(fromLatin1('x'.repeat(600)), 0);
      files.rename('/data/tmp', '/data/final');
      files.syncDirectory('/data');
      disk.powerLoss();
      outcomes.add(disk.file('/data/final').sizeBytes);
    }
    assert.ok(outcomes.has(0) && outcomes.has(600));
  });

  test('a new directory is durable with its parents, a file in it only once it was synced', () => {
    const { disk, process } = world(1, { crashModes: ['allLost'] });
    const files = disk.mount(process);
    files.makeDirectory('/data/wal');
    const file = files.create('/data/wal/0');
    file.writeSync(fromLatin1('x'), 0);
    file.datasyncSync();
    files.syncDirectory('/data/wal');
    const lost = files.create('/data/wal/1');
    lost.datasyncSync();
    disk.powerLoss();
    assert.equal(disk.exists('/data/wal/0'), true);
    assert.equal(disk.exists('/data/wal/1'), false);
  });

  test('a write under way when a sync starts is not covered by it', async () => {
    const { disk, process, scheduler } = world(1, { crashModes: ['allLost'], writeMs: 10 });
    const files = disk.mount(process);
    const file = files.create('/data/f');
    files.syncDirectory('/data');
    file.write([fromLatin1('lost')], 0, () => {});
    assert.equal(await run(scheduler, (done) => file.datasync(done)), null);
    disk.powerLoss();
    assert.equal(disk.file('/data/f').sizeBytes, 0);
  });

  test('after a failed sync the next one succeeds and the data is gone all the same', async () => {
    const { disk, process, scheduler } = world(1, { crashModes: ['allLost'] });
    const files = disk.mount(process);
    const file = files.create('/data/f');
    files.syncDirectory('/data');
    await run(scheduler, (done) => file.write([fromLatin1('gone')], 0, done));
    disk.failSyncs(1);
    assert.match(String(await run(scheduler, (done) => file.datasync(done))), /EIO/);
    assert.equal(await run(scheduler, (done) => file.datasync(done)), null);
    assert.equal(latin1(files.read('/data/f')), 'gone');
    disk.powerLoss();
    assert.equal(disk.file('/data/f').sizeBytes, 0);
  });

  test('a killed process reaches the disk no more, and leaves the page cache behind', async () => {
    const { disk, process, scheduler } = world(1);
    const files = disk.mount(process);
    const file = files.create('/data/f');
    await run(scheduler, (done) => file.write([fromLatin1('cached')], 0, done));
    process.kill();
    disk.processKilled();
    assert.throws(() => files.create('/data/g'), DeadProcessError);
    file.write([fromLatin1('ignored')], 0, () => assert.fail('completed'));
    assert.equal(latin1(disk.mount(new SimProcess(scheduler)).read('/data/f')), 'cached');
    assert.equal(disk.durableCopy().exists('/data/f'), false);
  });

  test('a process killed at its n-th effect does not live to do it', () => {
    const { disk, process } = world();
    const files = disk.mount(process);
    process.killAtEffect(2, () => process.kill());
    files.create('/data/f');
    assert.throws(() => files.syncDirectory('/data'), DeadProcessError);
    assert.equal(process.alive, false);
    assert.equal(disk.durableCopy().exists('/data/f'), false);
  });

  test('a full disk refuses writes', async () => {
    const { disk, process, scheduler, counters } = world();
    const file = disk.mount(process).create('/data/f');
    disk.setFreeBytes(3);
    const failure = await run(scheduler, (done) => file.write([fromLatin1('four')], 0, done));
    assert.match(String(failure), /ENOSPC/);
    assert.equal(counters.get('disk.noSpace'), 1);
  });

  test('a flipped bit is there for good', () => {
    const { disk, process } = world();
    const file = disk.mount(process).create('/data/f');
    file.writeSync(fromLatin1('same'), 0);
    file.datasyncSync();
    assert.equal(disk.damage('bitFlip'), '/data/f');
    assert.notEqual(latin1(disk.file('/data/f').read()), 'same');
    assert.deepEqual(disk.file('/data/f').read(), disk.file('/data/f').readDurable());
  });

  test('damage at rest does not look like a torn last write', () => {
    const { disk, process } = world();
    const file = disk.mount(process).create('/data/f');
    const sector = (byte: number): Uint8Array => {
      return Uint8Array.from({ length: sectorBytes }, (_, at) => (at % 511 === 0 ? byte : 0));
    };
    for (const at of [0, 1, 2]) {
      file.writeSync(sector(1), at * sectorBytes);
      file.datasyncSync();
    }
    const before = disk.file('/data/f').read();
    for (let round = 0; round < 50; round++) disk.damage('zeroedSector');
    const zeroed = disk.file('/data/f').read();
    const last = 2 * sectorBytes;
    assert.deepEqual(zeroed.subarray(last), before.subarray(last));
    assert.ok(zeroed.subarray(0, last).every((byte) => byte === 0));
    for (let round = 0; round < 5000; round++) disk.damage('bitFlip');
    const flipped = disk.file('/data/f').read().subarray(last);
    assert.notDeepEqual(flipped, before.subarray(last));
    assert.notEqual(flipped[0], 0);
    assert.notEqual(flipped.at(-1), 0);
  });
});
