import { Buffer } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError } from '../errors.ts';
import { keysUnder } from '../keys.ts';
import { writeForms } from './answer.ts';
import { type Command, CommandError, type CommandSpec, commandOf } from './command.ts';
import { durationOf } from './command-line.ts';
import { UsageError } from './flags.ts';
import { milliseconds } from './text.ts';

/** Puts in a second; the loads are named as etcdctl names them. */
const loads: Readonly<Record<string, number>> = { s: 150, m: 1_000, l: 8_000, xl: 15_000 };
const valueBytes = 1024;
const keyCount = 1_000;
const inFlightMax = 1_000;
/** How much of the load has to be done, and how late its puts may be. */
const shareMin = 0.9;
const p99MsMax = 100;
const slowestMsMax = 500;
const lagMsMax = 50;
const tickMs = 5;

export const perfCommand: CommandSpec = commandOf({
  name: 'check perf',
  chapter: 'Members',
  summary:
    'Put a steady load on the cluster, print throughput and latencies, and say whether it keeps up.',
  flags: [
    {
      name: 'load',
      value: 'LOAD',
      default: 's',
      choices: Object.keys(loads),
      summary: 'puts of 1 KiB in a second: s 150, m 1000, l 8000, xl 15000',
    },
    { name: 'duration', value: 'DURATION', default: '10s', summary: 'for how long' },
    {
      name: 'prefix',
      value: 'PREFIX',
      default: '/mainstayctl-check-perf/',
      summary: 'where its 1000 keys are; nothing may be there before, and nothing is left',
    },
    { name: 'auto-compact', summary: 'compact the history afterwards: of all keys' },
    { name: 'auto-defrag', summary: 'defragment every endpoint afterwards' },
  ],
  examples: [
    { words: 'check perf --duration 2s' },
    { words: 'check perf --load m --duration 5s -w json' },
  ],
  notes: [
    'A put counts from when it was due, also when it had to wait for those before. It passes when 90 % of the load were done,',
    `99 % of the puts took at most ${p99MsMax} ms, none took more than ${slowestMsMax} ms and none failed; else the exit status is 1.`,
  ],
  endsItself: true,
  run: perf,
});

async function perf(command: Command): Promise<boolean> {
  const { line, client } = command;
  const rate = loads[line.choice('load')] ?? 0;
  const durationMs = durationOf(line.text('duration') ?? '10s', '--duration');
  if (durationMs === 0) throw new UsageError('--duration: 0 is too short for any put');
  const prefix = line.text('prefix') ?? '/mainstayctl-check-perf/';
  if (prefix === '') throw new UsageError('--prefix: without one every key would be deleted');
  const { count } = await client.range(keysUnder(prefix), { countOnly: true });
  if (count > 0) {
    throw new CommandError(
      `there are ${count} keys under ${prefix}: name another --prefix, or delete them with mainstayctl del --prefix ${prefix}`,
    );
  }
  let run: LoadRun;
  try {
    run = await putLoad(command, { rate, durationMs, prefix });
  } finally {
    await client.delete(keysUnder(prefix), { timeoutMs: Math.max(line.timeoutMs, 30_000) });
  }
  const isPassed = report(command, run, rate);
  if (line.flag('auto-compact')) await compactAll(command);
  if (line.flag('auto-defrag')) {
    for (const endpoint of line.endpoints) await client.defragment(endpoint);
  }
  return isPassed;
}

interface LoadRun {
  readonly tookMs: number;
  /** Milliseconds of each put that was done, ascending. */
  readonly latencies: readonly number[];
  readonly failures: ReadonlyMap<string, number>;
  /** By how much this program itself was late, at most. */
  readonly lagMs: number;
  readonly isInterrupted: boolean;
}

async function putLoad(
  { client, terminal }: Command,
  { rate, durationMs, prefix }: { rate: number; durationMs: number; prefix: string },
): Promise<LoadRun> {
  const latencies: number[] = [];
  const failures = new Map<string, number>();
  const inFlight = new Set<Promise<void>>();
  const value = Buffer.alloc(valueBytes, 'x');
  const startMs = performance.now();
  const count = Math.ceil((rate * durationMs) / 1_000);
  let lagMs = 0;
  const put = async (at: number, dueMs: number): Promise<void> => {
    try {
      await client.put(`${prefix}${at % keyCount}`, value);
      latencies.push(performance.now() - dueMs);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      failures.set(error.text, (failures.get(error.text) ?? 0) + 1);
    }
  };
  for (let at = 0; at < count && !terminal.signal.aborted; ) {
    const wokenMs = performance.now();
    const dueCount = Math.min(count, Math.floor(((wokenMs - startMs) * rate) / 1_000) + 1);
    for (; at < dueCount && inFlight.size < inFlightMax; at++) {
      const putting = put(at, startMs + (1_000 * at) / rate).finally(() =>
        inFlight.delete(putting),
      );
      inFlight.add(putting);
    }
    terminal.progress?.(`${at} of ${count} puts, ${inFlight.size} in flight`);
    if (inFlight.size >= inFlightMax) await Promise.race(inFlight);
    else {
      await sleep(tickMs);
      lagMs = Math.max(lagMs, performance.now() - wokenMs - tickMs);
    }
    if (performance.now() - startMs > 2 * durationMs) break;
  }
  await Promise.all(inFlight);
  terminal.progress?.('');
  latencies.sort((a, b) => a - b);
  const tookMs = performance.now() - startMs;
  return { tookMs, latencies, failures, lagMs, isInterrupted: terminal.signal.aborted };
}

async function compactAll({ client }: Command): Promise<void> {
  const { header } = await client.range(keysUnder('\0'), { countOnly: true, limit: 1 });
  await client.compact(header.revision, { physical: true, timeoutMs: 30_000 });
}

function report(command: Command, run: LoadRun, rate: number): boolean {
  const { latencies, failures, tookMs, lagMs, isInterrupted } = run;
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
  const [p50, p90, p99, slowest] = [at(0.5), at(0.9), at(0.99), at(1)];
  const perSecond = latencies.length / (tookMs / 1_000);
  const failed = [...failures.values()].reduce((sum, n) => sum + n, 0);
  const isPassed = {
    throughput: perSecond >= shareMin * rate,
    p99: p99 <= p99MsMax,
    slowest: slowest <= slowestMsMax,
    errors: failed === 0,
  };
  const whyFailed = [...failures].map(([text, n]) => `${n} times: ${text}`).join('; ');
  const verdicts: readonly (readonly [boolean, string])[] = [
    [isPassed.throughput, `throughput is ${perSecond.toFixed(0)} puts/s of ${rate} puts/s`],
    [isPassed.p99, `99 % of the puts took at most ${milliseconds(p99)} (limit ${p99MsMax} ms)`],
    [isPassed.slowest, `the slowest took ${milliseconds(slowest)} (limit ${slowestMsMax} ms)`],
    [isPassed.errors, failed === 0 ? 'no put failed' : `${failed} puts failed (${whyFailed})`],
  ];
  const all = verdicts.every(([isGood]) => isGood) && !isInterrupted;
  const asides = [
    ...(lagMs > lagMsMax
      ? [`This program was late itself, by up to ${milliseconds(lagMs)}: its machine is busy.\n`]
      : []),
    ...(isInterrupted ? ['Interrupted.\n'] : []),
  ];
  writeForms(command, {
    simple: () => [
      `${latencies.length} puts of ${valueBytes} bytes in ${milliseconds(tookMs)}: ${perSecond.toFixed(1)} puts/s\n`,
      `latency p50 ${milliseconds(p50)}, p90 ${milliseconds(p90)}, p99 ${milliseconds(p99)}, slowest ${milliseconds(slowest)}\n`,
      ...verdicts.map(([isGood, text]) => `${isGood ? 'PASS' : 'FAIL'}: ${text}\n`),
      ...asides,
      `${all ? 'PASS' : 'FAIL'}\n`,
    ],
    json: () =>
      JSON.stringify({
        puts: latencies.length,
        failed,
        tookMs,
        putsPerSecond: perSecond,
        wantedPerSecond: rate,
        latencyMs: { p50, p90, p99, slowest },
        ownLagMs: lagMs,
        isPassed: { ...isPassed, all },
      }),
  });
  return all;
}
