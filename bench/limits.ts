/**
 * What a flood of long ranges costs others: one user sorts all keys again and again on many streams, another puts, one
 * after the other. The second one's latency alone, under the flood with every limit off, and with them on, in turn.
 * `npm run build && node dist/bench/limits.js [rounds] [keys]`. Only the ratios mean something.
 */
import { fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { PermissionType } from '../server/proto/gen/auth.ts';
import { Auth, KV, type RequestOp, SortOrder, SortTarget } from '../server/proto/gen/rpc.ts';
import { GrpcChannel, type Outcome, raw } from '../test/support/grpc.ts';
import { withCluster } from '../test/support/server-process.ts';

const [, , first = '3', second = '100000', third = ''] = process.argv;
const isFlood = first === 'flood';
const rounds = Number(first);
const keyCount = Number(second);
const valueBytes = 100;
const floodStreams = 32;
const measureMs = 10_000;
const putsPerTxn = 100;
/** More than the putting user asks; of what the other asks, one at once. */
const limitsOn = ['--limit-user-requests-per-second=200', '--limit-user-in-flight=1'];
const limitsOff = ['--limit-expensive-in-flight=0'];
const variants = ['off', 'on'] as const;
type Variant = (typeof variants)[number];

interface Figure {
  readonly medianMs: number;
  readonly p99Ms: number;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

async function main(): Promise<void> {
  const figures = new Map<string, Figure[]>();
  for (let round = 0; round < rounds; round++) {
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      await measure(variant, figures);
    }
  }
  const shown = (name: string): string =>
    (['medianMs', 'p99Ms'] as const).map((each) => of(figures, name, each).toFixed(2)).join(' / ');
  const ratio = (variant: Variant): string =>
    (['medianMs', 'p99Ms'] as const)
      .map((each) => of(figures, `${variant} flood`, each) / of(figures, `${variant} normal`, each))
      .map((times) => times.toFixed(1))
      .join(' / ');
  console.log(
    `\nputs of one user, median / 99th percentile in ms, while another sorts ${keyCount} keys on ${floodStreams} streams; medians of ${rounds} rounds\n`,
  );
  console.log(`                normal         under the flood   ratio`);
  for (const variant of variants) {
    const [normal, flood] = [shown(`${variant} normal`), shown(`${variant} flood`)];
    console.log(
      `limits ${variant.padEnd(6)}   ${normal.padEnd(14)} ${flood.padEnd(17)} ${ratio(variant)}`,
    );
  }
}

function of(
  figures: ReadonlyMap<string, readonly Figure[]>,
  name: string,
  each: keyof Figure,
): number {
  return quantile(figures.get(name)?.map((figure) => figure[each]) ?? [], 0.5);
}

async function measure(variant: Variant, figures: Map<string, Figure[]>): Promise<void> {
  const flags = ['--bcrypt-cost=4', ...(variant === 'on' ? limitsOn : limitsOff)];
  await withCluster({ program: 'mainstay', flags }, async (cluster) => {
    const url = cluster.member(0).clientUrl;
    const channel = new GrpcChannel(url);
    await fill(channel);
    const tokens = await logIn(channel);
    await puts(channel, tokens.putter, 1_000);
    const normal = await puts(channel, tokens.putter, measureMs);
    const flood = fork(process.argv[1] ?? '', ['flood', url, tokens.flooder]);
    const lists = new Promise<unknown>((resolve) => flood.once('message', resolve));
    await sleep(2_000);
    const flooded = await puts(channel, tokens.putter, measureMs);
    flood.send('stop');
    const counts = await lists;
    flood.kill();
    channel.close();
    console.log(`limits ${variant}: ${JSON.stringify({ normal, flooded, counts })}`);
    for (const [name, figure] of [
      ['normal', normal],
      ['flood', flooded],
    ] as const) {
      const key = `${variant} ${name}`;
      figures.set(key, [...(figures.get(key) ?? []), figure]);
    }
  });
}

async function fill(channel: GrpcChannel): Promise<void> {
  const value = new Uint8Array(valueBytes).fill(0x76);
  for (let first = 0; first < keyCount; first += putsPerTxn) {
    const success = Array.from({ length: putsPerTxn }, (_, at): RequestOp => {
      const key = bytes(`key-${String(first + at).padStart(8, '0')}`);
      return {
        request: { kind: 'requestPut', value: KV.methods.put.request.create({ key, value }) },
      };
    });
    answered(await channel.call(KV.methods.txn, { success }));
  }
}

async function logIn(channel: GrpcChannel): Promise<{ putter: string; flooder: string }> {
  const { methods } = Auth;
  const password = 'pw';
  const perm = { permType: PermissionType.READWRITE, key: bytes('\0'), rangeEnd: bytes('\0') };
  answered(await channel.call(methods.roleAdd, { name: 'all' }));
  answered(await channel.call(methods.roleGrantPermission, { name: 'all', perm }));
  for (const user of ['root', 'putter', 'flooder']) {
    answered(await channel.call(methods.userAdd, { name: user, password }));
    const role = user === 'root' ? 'root' : 'all';
    answered(await channel.call(methods.userGrantRole, { user, role }));
  }
  answered(await channel.call(methods.authEnable, {}));
  const tokenOf = async (name: string): Promise<string> =>
    answered(await channel.call(methods.authenticate, { name, password })).token;
  return { putter: await tokenOf('putter'), flooder: await tokenOf('flooder') };
}

/** One after the other. */
async function puts(channel: GrpcChannel, token: string, forMs: number): Promise<Figure> {
  const times: number[] = [];
  const value = new Uint8Array(valueBytes);
  for (const endMs = performance.now() + forMs; performance.now() < endMs; ) {
    const startedMs = performance.now();
    answered(await channel.call(KV.methods.put, { key: bytes('put'), value }, { token }));
    times.push(performance.now() - startedMs);
    // So that a limit of requests per second is not what is measured.
    await sleep(15);
  }
  return { medianMs: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

/** In a process of its own, behind all others: on a small machine it is not the client's work that is measured. */
async function flood(url: string, token: string): Promise<void> {
  setPriority(19);
  const channel = new GrpcChannel(url);
  const counts = { answered: 0, refused: 0 };
  let isOver = false;
  process.once('message', () => {
    isOver = true;
  });
  // All keys are read and sorted, and few are sent: so it is not the reading of answers that is measured.
  const byValue = { sortTarget: SortTarget.VALUE, sortOrder: SortOrder.DESCEND, limit: 10 };
  const all = { key: bytes('key-'), rangeEnd: bytes('key.'), ...byValue };
  const list = async (): Promise<void> => {
    while (!isOver) {
      const answer = await channel.call({ ...KV.methods.range, response: raw }, all, { token });
      if (answer.kind === 'ok') counts.answered++;
      else {
        counts.refused++;
        // As it is told: otherwise its own asking is what takes the processor.
        await sleep(Number(/retry in (\d+) ms/.exec(answer.message)?.[1] ?? 1_000));
      }
    }
  };
  const lists = Array.from({ length: floodStreams }, list);
  while (!isOver) await sleep(20);
  process.send?.(counts);
  await Promise.all(lists);
}

function answered<T>(outcome: Outcome<T>): T {
  if (outcome.kind === 'ok') return outcome.response;
  throw new Error(`${outcome.code} ${outcome.message}`);
}

function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

if (isFlood) await flood(second, third);
else await main();
