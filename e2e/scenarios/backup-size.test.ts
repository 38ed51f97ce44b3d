import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../server/client/client.ts';
import { putOp } from '../../server/client/txn.ts';
import { openPlace } from './backup-place.ts';
import { ProcessMemory } from './process-memory.ts';
import { isReal } from './real-cluster.ts';
import { type Stage, scenario } from './scenario.ts';
import { TestedBackups } from './tested-backups.ts';

const mebibyte = 1024 * 1024;
const dataBytes = (isReal ? 2_048 : 512) * mebibyte;
const valueBytes = 16 * 1024;
const opsPerTxn = 32;
const txnsAtOnce = 4;
const lookMs = 100;
const progressMs = 500;
const putEveryMs = 5;
const normalMs = 5_000;
/** Restoring it to prove it is part of it. */
const backupMsMax = 800_000;

/** Of the operator, and of a pod that works on the backup. */
const processBytesMax = 256 * mebibyte;
const growthBytesMax = 128 * mebibyte;

scenario(
  'a large backup: memory, progress, and how long others wait',
  { isLong: true },
  async (stage) => {
    const place = await openPlace(stage.environment, 'volume');
    try {
      const cluster = stage.cluster('large');
      const { target } = place;
      const backups = new TestedBackups(stage.environment, { cluster: cluster.name, target });
      await cluster.create({ replicas: 3, storage: { size: '8Gi' }, options: { quota: '4Gi' } });
      await cluster.untilSettled(3);
      const client = new Client({ endpoints: [await cluster.endpoint()] });
      try {
        await stage.measure(`${mib(dataBytes)} MiB written`, () => fill(client));
        await backUp(stage, { backups, client });
      } finally {
        client.close();
      }
    } finally {
      await place.close();
    }
  },
);

async function fill(client: Client): Promise<void> {
  let left = Math.ceil(dataBytes / valueBytes / opsPerTxn);
  const write = async (): Promise<void> => {
    while (left-- > 0) {
      const value = randomBytes(valueBytes);
      const puts = Array.from({ length: opsPerTxn }, (_, at) =>
        putOp(`large/${left}/${at}`, value),
      );
      await client
        .when()
        .do(...puts)
        .commit({ mayRepeat: true });
    }
  };
  await Promise.all(Array.from({ length: txnsAtOnce }, write));
}

interface Setting {
  readonly backups: TestedBackups;
  readonly client: Client;
}

async function backUp(stage: Stage, { backups, client }: Setting): Promise<void> {
  const normal = await latencies(client, sleep(normalMs));
  const watched: Watched = {
    operator: new ProcessMemory(/operator(\/main\.js)?$/),
    member: new ProcessMemory(/server\/main\.js$/, /=large-\d/),
    pod: new ProcessMemory(/ctl\/main\.js$/, /^backup$/),
  };
  const said = new Set<string>();
  await backups.make('large');
  const over = backups.untilOver('large', backupMsMax);
  const [during, { status }] = await Promise.all([
    latencies(client, over),
    over,
    look(watched, over),
    followProgress(backups, { over, said }),
  ]);
  assert.ok(status?.verifiedAt !== undefined, `${status?.phase}: ${status?.message}`);
  assert.ok(Number(status.sizeBytes) > dataBytes, `${status.sizeBytes} bytes`);
  stage.note(`${status.message}`);
  stage.note(`another client's put: ${shown(normal)}; meanwhile ${shown(during)}`);
  stage.note(`progress in its status: ${[...said].join(', ')}`);
  assert.ok(said.size > 0, 'its status says how far it is');
  checkMemory(stage, watched);
}

interface Watched {
  readonly operator: ProcessMemory;
  /** The store's; of one of them is read. */
  readonly member: ProcessMemory;
  readonly pod: ProcessMemory;
}

async function look(watched: Watched, over: Promise<unknown>): Promise<void> {
  await whileNot(over, async () => {
    for (const memory of Object.values(watched)) memory.look();
    await sleep(lookMs);
  });
}

async function followProgress(
  backups: TestedBackups,
  { over, said }: { readonly over: Promise<unknown>; readonly said: Set<string> },
): Promise<void> {
  await whileNot(over, async () => {
    const { progress } = (await backups.get('large'))?.status ?? {};
    if (progress !== undefined) said.add(progress.step);
    await sleep(progressMs);
  });
}

/** On a cluster whose nodes are elsewhere nothing is seen of its processes. */
function checkMemory(stage: Stage, { operator, member, pod }: Watched): void {
  if (!pod.isSeen && isReal) {
    stage.note('memory: not measured, its pods are no processes of this machine');
    return;
  }
  stage.note(
    `memory: the operator at most ${mib(operator.peakBytes)} MiB, the backup's pods ${mib(pod.peakBytes)} MiB, a member grew by ${mib(member.growthBytes)} MiB`,
  );
  assert.ok(operator.isSeen && member.isSeen && pod.isSeen, 'all are processes of this machine');
  assert.ok(operator.peakBytes < processBytesMax, 'the operator');
  assert.ok(pod.peakBytes < processBytesMax, "the backup's pods");
  assert.ok(member.growthBytes < growthBytesMax, 'the member that is read');
}

/** How long single puts take, in milliseconds, in ascending order. */
async function latencies(client: Client, over: Promise<unknown>): Promise<readonly number[]> {
  const tookMs: number[] = [];
  await whileNot(over, async () => {
    const startedMs = performance.now();
    await client.put('other', 'value');
    tookMs.push(performance.now() - startedMs);
    await sleep(putEveryMs);
  });
  return tookMs.toSorted((a, b) => a - b);
}

async function whileNot(over: Promise<unknown>, work: () => Promise<void>): Promise<void> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  over.then(end, end);
  while (!isOver) await work();
}

function shown(tookMs: readonly number[]): string {
  const at = (share: number): string => (tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(1);
  return `median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms of ${tookMs.length}`;
}

function mib(bytes: number): number {
  return Math.round(bytes / mebibyte);
}
