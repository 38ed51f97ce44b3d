/** Puts through h2load, on one member without something and on one with it, in turn. Only the ratio means something. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutRequest } from '../server/proto/gen/rpc.ts';
import { grpcMessage } from '../test/faults/support/raw-http2.ts';
import { withCluster } from '../test/support/server-process.ts';
import { toolPath } from '../test/support/tools.ts';

const loads = [
  { name: '1 client', flags: '-c 1 -m 1 -t 1', requests: 3_000 },
  { name: '16x64 streams', flags: '-c 16 -m 64 -t 1', requests: 60_000 },
] as const;
const warmUp = { name: 'warm-up', flags: '-c 4 -m 16 -t 1', requests: 10_000 } as const;
const variants = ['off', 'on'] as const;
type Variant = (typeof variants)[number];

/** Puts that a member has been asked when it is stopped. */
export const putsPerMember = [warmUp, ...loads].reduce((sum, { requests }) => sum + requests, 0);

export interface PutComparison {
  readonly rounds: number;
  readonly names: Readonly<Record<Variant, string>>;
  /** Of a member with it; called once for each, with a place of its own for files. */
  readonly flags: (path: string) => readonly string[];
  /** After such a member has ended. Throws when it did not do what was measured. */
  readonly check?: (path: string) => void;
  /** Where `path` is; the system's directory for temporary files by default. */
  readonly directory?: string | undefined;
}

/** Prints the ratio for a single client, and under full load. */
export async function comparePuts(comparison: PutComparison): Promise<void> {
  const parent = comparison.directory ?? tmpdir();
  const directory = mkdtempSync(join(parent, 'mainstay-bench-puts-'));
  try {
    await compare(comparison, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function compare(comparison: PutComparison, directory: string): Promise<void> {
  const { rounds, names } = comparison;
  const figures = new Map<string, number[]>();
  writeBody(bodyIn(directory));
  for (let round = 0; round < rounds; round++) {
    // The first of two finds the machine otherwise than the second: they change places.
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      await measure({ ...comparison, directory, variant }, figures);
    }
  }
  console.log(
    `\nputs of 256 bytes, one member: medians of ${rounds} rounds in turn, and of their ratios\n`,
  );
  for (const { name } of loads) {
    const [off = [], on = []] = variants.map((variant) => figures.get(`${variant} ${name}`) ?? []);
    const ratio = median(on.map((perSecond, round) => perSecond / (off[round] ?? Number.NaN)));
    console.log(
      `${name.padEnd(16)} ${names.off} ${median(off).toFixed(0)}/s, ${names.on} ${median(on).toFixed(0)}/s, ratio ${ratio.toFixed(2)}`,
    );
  }
}

function bodyIn(directory: string): string {
  return join(directory, 'put.bin');
}

function writeBody(path: string): void {
  const request = PutRequest.create({
    key: Buffer.from('foo12345'),
    value: Buffer.alloc(256, 'v'),
  });
  writeFileSync(path, grpcMessage(PutRequest.encode(request)));
}

async function measure(
  of: PutComparison & { readonly directory: string; readonly variant: Variant },
  figures: Map<string, number[]>,
): Promise<void> {
  const { names, variant, directory, check } = of;
  const path = join(directory, `member-${Date.now()}`);
  const flags = variant === 'on' ? of.flags(path) : [];
  await withCluster({ program: 'mainstay', flags }, async (cluster) => {
    const member = cluster.member(0);
    run(member.clientUrl, directory, warmUp);
    for (const load of loads) {
      const name = `${variant} ${load.name}`;
      const perSecond = run(member.clientUrl, directory, load);
      console.log(`${names[variant]}, ${load.name}: ${perSecond.toFixed(0)}/s`);
      figures.set(name, [...(figures.get(name) ?? []), perSecond]);
    }
    await member.stop('SIGTERM');
    if (variant === 'on') check?.(path);
  });
}

/** Puts per second. */
function run(url: string, directory: string, load: (typeof loads)[number] | typeof warmUp): number {
  const { flags, requests } = load;
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const args = [...flags.split(' '), '-n', String(requests), '-d', bodyIn(directory), ...headers];
  const output = execFileSync(toolPath('h2load'), [...args, `${url}/etcdserverpb.KV/Put`], {
    encoding: 'utf8',
  });
  if (!output.includes(`${requests} succeeded`)) throw new Error(output);
  return Number(/([\d.]+) req\/s/.exec(output)?.[1]);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
