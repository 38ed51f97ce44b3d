import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreRecord } from '../../server/backend/ordered-store.ts';
import { roomForSeal } from '../../server/backend/record.ts';
import { Client } from '../../server/client/client.ts';
import { encodeVersion } from '../../server/mvcc/record-codec.ts';
import { etcdRevisionKey } from '../../server/mvcc/revision.ts';
import { type BoltBucket, encodeBolt, layOutBolt } from '../../server/snapshot/bolt-writer.ts';
import { memoryOf } from '../support/process-memory.ts';
import { programPath } from '../support/programs.ts';
import { TestCluster } from '../support/server-process.ts';
import { isWhole } from '../support/whole.ts';

// A large snapshot is restored, served and saved again: what that takes in memory does not grow with it.

const mebibyte = 1024 * 1024;
const stateBytes = (isWhole ? 2_048 : 120) * mebibyte;
/** Not above it, however large the snapshot. */
const growthBytesMax = 128 * mebibyte;
const valueBytes = 16_000;
const keyCount = 5_000;
const mainstayctlPath = programPath('server/ctl/main');

/** A database of so many versions, as etcd would have it; LevelDB does not get the values any smaller. */
function database(versions: number): BoltBucket[] {
  const noise = Buffer.alloc(1 << 20);
  for (let at = 0; at < noise.length; at += 4) {
    noise.writeUInt32LE(Math.imul(at + 1, 2_654_435_761) >>> 0, at);
  }
  const record = (number: number): StoreRecord => {
    const [main, round] = [number + 2, Math.floor(number / keyCount)];
    const start = (number * 997) % (noise.length - valueBytes);
    const fields = {
      key: `key ${number % keyCount}`,
      modRevision: main,
      version: round + 1,
      lease: 0n,
    };
    const value = noise.subarray(start, start + valueBytes);
    const encoded = encodeVersion({ ...fields, createRevision: (number % keyCount) + 2, value });
    const bytes = encoded.record.subarray(0, encoded.record.length - roomForSeal);
    return [etcdRevisionKey({ main, sub: 0 }, false), bytes];
  };
  const key: BoltBucket = {
    name: 'key',
    async *records() {
      for (let number = 0; number < versions; number += 100) {
        yield Array.from({ length: Math.min(100, versions - number) }, (_, at) =>
          record(number + at),
        );
      }
    },
  };
  return [key];
}

async function writeSnapshot(path: string, versions: number): Promise<void> {
  const buckets = database(versions);
  const hash = createHash('sha256');
  const file = openSync(path, 'wx');
  for await (const chunk of encodeBolt(buckets, await layOutBolt(buckets))) {
    hash.update(chunk);
    writeSync(file, chunk);
  }
  writeSync(file, hash.digest());
  closeSync(file);
}

/** The most that the process has had while `work` went on. */
async function peakBytesOf<T>(pid: number | undefined, work: Promise<T>): Promise<[T, number]> {
  let [peak, isDone] = [0, false];
  const settled = work.finally(() => {
    isDone = true;
  });
  settled.catch(() => undefined);
  while (!isDone) {
    peak = Math.max(peak, memoryOf(pid, 'RssAnon') ?? 0);
    await sleep(20);
  }
  return [await settled, peak];
}

function mainstayctl(...args: readonly string[]): { child: ChildProcess; done: Promise<void> } {
  const child = spawn(process.execPath, [mainstayctlPath, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const done = new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`mainstayctl ${args[1]} ended with ${code}`));
    });
  });
  return { child, done };
}

/** Latencies of small puts, one after the other, while the work goes on. */
async function putsDuring(client: Client, work: Promise<unknown>): Promise<number[]> {
  let isDone = false;
  const end = () => {
    isDone = true;
  };
  work.then(end, end);
  const latencies: number[] = [];
  while (!isDone) {
    const from = performance.now();
    await client.put('small', 'put');
    latencies.push(performance.now() - from);
    await sleep(5);
  }
  return latencies.sort((a, b) => a - b);
}

function shown(latencies: readonly number[]): string {
  const at = (share: number) =>
    (latencies[Math.floor(share * (latencies.length - 1))] ?? 0).toFixed(1);
  return `median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms (${latencies.length} puts)`;
}

test(`${stateBytes / mebibyte} MiB: restored, served and saved in memory that stays flat`, {
  timeout: 30 * 60_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-large-'));
  const cluster = await TestCluster.prepare({
    program: 'mainstay',
    flags: ['--quota-backend-bytes', '8589934592'],
  });
  const member = cluster.member(0);
  try {
    const [source, saved] = [join(directory, 'source.db'), join(directory, 'saved.db')];
    await writeSnapshot(source, Math.ceil(stateBytes / valueBytes));
    const { name, peerUrl, dataDirectory } = member;
    const target = ['--data-dir', dataDirectory, '--name', name];
    const urls = [
      '--initial-cluster',
      `${name}=${peerUrl}`,
      '--initial-advertise-peer-urls',
      peerUrl,
    ];
    const restoring = mainstayctl('snapshot', 'restore', source, ...target, ...urls);
    const [, restorePeak] = await peakBytesOf(restoring.child.pid, restoring.done);
    member.spawn(cluster.flagsFor('new'));
    // It verifies all of the state first.
    await member.logged('ready to serve client requests', 10 * 60_000);
    const client = new Client({ endpoints: [member.clientUrl] });
    const usual = await putsDuring(client, sleep(1_500));
    const before = memoryOf(member.pid, 'RssAnon') ?? 0;
    const from = performance.now();
    const saving = mainstayctl('snapshot', 'save', saved, '--endpoints', member.clientUrl);
    const during = putsDuring(client, saving.done);
    const [[, servePeak], [, savePeak]] = await Promise.all([
      peakBytesOf(member.pid, saving.done),
      peakBytesOf(saving.child.pid, saving.done),
    ]);
    const seconds = (performance.now() - from) / 1000;
    const latencies = await during;
    client.close();
    const size = statSync(saved).size;
    const inMiB = (bytes: number) => `${Math.round(bytes / mebibyte)} MiB`;
    console.log(
      `a snapshot of ${inMiB(size)} in ${seconds.toFixed(1)} s: the member grew by ${inMiB(servePeak - before)}` +
        ` (from ${inMiB(before)}); saving took ${inMiB(savePeak)}, restoring ${inMiB(restorePeak)}`,
    );
    console.log(`puts meanwhile: ${shown(latencies)}; before: ${shown(usual)}`);
    assert.ok(size > stateBytes);
    assert.ok(
      servePeak - before < growthBytesMax,
      `the member grew by ${inMiB(servePeak - before)}`,
    );
    assert.ok(savePeak < 2 * growthBytesMax, `saving took ${inMiB(savePeak)}`);
    assert.ok(restorePeak < 2 * growthBytesMax, `restoring took ${inMiB(restorePeak)}`);
  } finally {
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});
