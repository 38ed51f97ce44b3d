/**
 * What writing down every write costs: puts through h2load, on one member without an audit log and on one with, in turn.
 * `npm run build && node dist/bench/audit.js [rounds] [directory]`; the directory of the audit log may be on another disk.
 * Only the ratio means something.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutRequest } from '../server/proto/gen/rpc.ts';
import { withCluster } from '../test/support/server-process.ts';
import { toolPath } from '../test/support/tools.ts';

const rounds = Number(process.argv[2] ?? 3);
const loads = [
  { name: '1 client', flags: '-c 1 -m 1 -t 1', requests: 3_000 },
  { name: '16x64 streams', flags: '-c 16 -m 64 -t 1', requests: 60_000 },
] as const;
const warmUp = { name: 'warm-up', flags: '-c 4 -m 16 -t 1', requests: 10_000 } as const;
const directory = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'mainstay-bench-audit-'));
const body = join(directory, 'put.bin');
const variants = ['off', 'on'] as const;
type Variant = (typeof variants)[number];

async function main(): Promise<void> {
  const request = PutRequest.create({
    key: Buffer.from('foo12345'),
    value: Buffer.alloc(256, 'v'),
  });
  const message = PutRequest.encode(request);
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  writeFileSync(body, frame);
  const figures = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    // The first of two finds the machine otherwise than the second: they change places.
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      await measure(variant, figures);
    }
  }
  console.log(
    `\nputs of 256 bytes, one member: medians of ${rounds} rounds in turn, and of their ratios\n`,
  );
  for (const { name } of loads) {
    const [off = [], on = []] = variants.map((variant) => figures.get(`${variant} ${name}`) ?? []);
    const ratio = median(on.map((perSecond, round) => perSecond / (off[round] ?? Number.NaN)));
    console.log(
      `${name.padEnd(16)} without audit ${median(off).toFixed(0)}/s, every write audited ${median(on).toFixed(0)}/s, ratio ${ratio.toFixed(2)}`,
    );
  }
}

async function measure(variant: Variant, figures: Map<string, number[]>): Promise<void> {
  const path = join(directory, `audit-${Date.now()}.log`);
  const flags =
    variant === 'on'
      ? ['--audit-log-path', path, '--audit-log-rules=write:*', '--audit-log-max-size-mb=1000']
      : [];
  await withCluster({ program: 'mainstay', flags }, async (cluster) => {
    const member = cluster.member(0);
    run(member.clientUrl, warmUp);
    for (const load of loads) {
      const name = `${variant} ${load.name}`;
      const perSecond = run(member.clientUrl, load);
      console.log(`audit ${variant}, ${load.name}: ${perSecond.toFixed(0)}/s`);
      figures.set(name, [...(figures.get(name) ?? []), perSecond]);
    }
    await member.stop('SIGTERM');
    if (variant === 'on') checkWhole(path);
  });
}

/** A fast log that has lost lines proves nothing. */
function checkWhole(path: string): void {
  const puts = readFileSync(path, 'utf8').split('"call":"etcdserverpb.KV/Put"').length - 1;
  const expected = [warmUp, ...loads].reduce((sum, { requests }) => sum + requests, 0);
  if (puts !== expected) throw new Error(`${puts} of ${expected} puts are in the audit log`);
  rmSync(path);
}

/** Puts per second. */
function run(url: string, { flags, requests }: { flags: string; requests: number }): number {
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const args = [...flags.split(' '), '-n', String(requests), '-d', body, ...headers];
  const output = execFileSync(toolPath('h2load'), [...args, `${url}/etcdserverpb.KV/Put`], {
    encoding: 'utf8',
  });
  if (!output.includes(`${requests} succeeded`)) throw new Error(output);
  return Number(/([\d.]+) req\/s/.exec(output)?.[1]);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

try {
  await main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
