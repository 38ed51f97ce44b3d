// Puts, gets, lists and transactions through h2load, on this store and on a real etcd 3.5 in turn: `npm run bench [-- --members 3]`.
// Only the ratios mean something, and only those of one run; the machine is whatever it is.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  Compare,
  CompareResult,
  CompareTarget,
  KV,
  PutRequest,
  RangeRequest,
  RangeResponse,
  type RequestOp,
  TxnRequest,
} from '../server/proto/gen/rpc.ts';
import { grpcMessage } from '../test/faults/support/raw-http2.ts';
import { type Program, TestCluster, withCluster } from '../test/support/server-process.ts';
import { toolPath } from '../test/support/tools.ts';
import { sharesOf } from './profile.ts';

interface Load {
  readonly name: string;
  readonly clients: number;
  readonly streams: number;
  readonly requests: number;
}

interface Figure {
  readonly perSecond: number;
  readonly meanMs: number;
}

const loads: readonly Load[] = [
  { name: '1 client', clients: 1, streams: 1, requests: 3_000 },
  { name: '16x64 streams', clients: 16, streams: 64, requests: 60_000 },
];
/** Before anything is measured, of each operation: code that is still being compiled is not what is compared. */
const warmUps: readonly Load[] = [
  { name: 'warm-up, many', clients: 4, streams: 16, requests: 10_000 },
  { name: 'warm-up, one', clients: 1, streams: 1, requests: 3_000 },
];
const rounds = 3;
const key = Buffer.from('foo12345');
const value = Buffer.alloc(256, 'v');
const listedKeys = 1_000;
const listPrefix = 'list/';

interface Operation {
  readonly name: string;
  readonly path: string;
  readonly message: Uint8Array;
  /** Revisions that one request makes. */
  readonly writes: 0 | 1;
  /** Requests to one of a put: a list of many keys takes its time. */
  readonly share: number;
}

const put = (name: string | Buffer): PutRequest =>
  PutRequest.create({ key: Buffer.from(name), value });
const putOp = (name: string | Buffer): RequestOp => ({
  request: { kind: 'requestPut', value: put(name) },
});
const list = { key: Buffer.from(listPrefix), rangeEnd: Buffer.from('list0') };
const exists = Compare.create({
  key,
  target: CompareTarget.CREATE,
  result: CompareResult.GREATER,
  targetUnion: { kind: 'createRevision', value: 0 },
});
const puts: Operation = {
  name: 'put',
  path: KV.methods.put.path,
  message: PutRequest.encode(put(key)),
  writes: 1,
  share: 1,
};
const operations: readonly Operation[] = [
  puts,
  {
    name: 'get',
    path: KV.methods.range.path,
    message: RangeRequest.encode(RangeRequest.create({ key })),
    writes: 0,
    share: 1,
  },
  {
    name: 'compare and put',
    path: KV.methods.txn.path,
    message: TxnRequest.encode(
      TxnRequest.create({ compare: [exists], success: [putOp(key)], failure: [putOp(key)] }),
    ),
    writes: 1,
    share: 1,
  },
  {
    name: `list ${listedKeys} keys`,
    path: KV.methods.range.path,
    message: RangeRequest.encode(RangeRequest.create(list)),
    writes: 0,
    share: 0.1,
  },
];

const grpcHeaders = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];

const { values } = parseArgs({ options: { members: { type: 'string', default: '1' } } });
const members = Number(values.members);
const directory = mkdtempSync(join(tmpdir(), 'mainstay-bench-'));
const profileDirectory = join(directory, 'profile');

async function main(): Promise<void> {
  for (const { name, message } of operations) writeBody(name, message);
  const figures = new Map<string, Figure[]>();
  for (let round = 1; round <= rounds; round += 1) {
    for (const program of ['mainstay', 'etcd'] as const) await measure(program, figures);
  }
  print(figures);
  await printShares();
}

/** One cluster of the program through all loads. */
async function measure(program: Program, figures: Map<string, Figure[]>): Promise<void> {
  await withCluster({ program, size: members }, async (cluster) => {
    const url = cluster.member(0).clientUrl;
    fill(url);
    for (const load of loads) {
      for (const operation of operations) {
        for (const warmUp of warmUps) run(url, operation, warmUp);
        const before = revisionOf(url);
        const figure = run(url, operation, load);
        const written = revisionOf(url) - before;
        const expected = operation.writes * operation.share * load.requests;
        // h2load counts a gRPC error as a success: the revision tells the truth.
        if (written !== expected) {
          throw new Error(`${program}: ${written} of ${expected} writes were done`);
        }
        const name = `${program} ${operation.name}, ${load.name}`;
        figures.set(name, [...(figures.get(name) ?? []), figure]);
      }
    }
  });
}

/** The keys that are listed. */
function fill(url: string): void {
  for (let first = 0; first < listedKeys; first += 100) {
    const success = Array.from({ length: 100 }, (_, at) => putOp(`${listPrefix}${first + at}`));
    writeBody('fill', TxnRequest.encode(TxnRequest.create({ success })));
    ask(url, KV.methods.txn.path, 'fill');
  }
}

function writeBody(name: string, message: Uint8Array): void {
  writeFileSync(join(directory, `${name}.bin`), grpcMessage(message));
}

function run(url: string, { name, path, share }: Operation, load: Load): Figure {
  const { clients, streams, requests } = load;
  const flags = `-c ${clients} -m ${streams} -t 1 -n ${requests * share}`.split(' ');
  const body = join(directory, `${name}.bin`);
  const command = [...flags, '-d', body, ...grpcHeaders, `${url}${path}`];
  const output = execFileSync(toolPath('h2load'), command, { encoding: 'utf8' });
  const perSecond = Number(/([\d.]+) req\/s/.exec(output)?.[1]);
  const [, mean = '', unit = ''] =
    /time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)/.exec(output) ?? [];
  const scale = { us: 0.001, ms: 1, s: 1000 }[unit] ?? Number.NaN;
  return { perSecond, meanMs: Number(mean) * scale };
}

function revisionOf(url: string): number {
  const answer = ask(url, KV.methods.range.path, 'get');
  return RangeResponse.decode(answer.subarray(5)).header?.revision ?? 0;
}

/** By curl's HTTP/2, so that what is measured is not also what measures. */
function ask(url: string, path: string, body: string): Buffer {
  const data = `@${join(directory, `${body}.bin`)}`;
  const flags = ['-s', '--http2-prior-knowledge', ...grpcHeaders, '--data-binary', data];
  return execFileSync(toolPath('curl'), [...flags, `${url}${path}`]);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

function print(figures: ReadonlyMap<string, readonly Figure[]>): void {
  console.log(
    `\n${members} member(s), medians of ${rounds} rounds in turn; a ratio above 1 is in our favour\n`,
  );
  console.log(`${' '.repeat(34)}mainstay        etcd       ratio      mean ms (mainstay, etcd)`);
  for (const operation of operations) {
    for (const { name } of loads) {
      const label = `${operation.name}, ${name}`;
      const ours = figures.get(`mainstay ${label}`) ?? [];
      const theirs = figures.get(`etcd ${label}`) ?? [];
      const perSecond = [ours, theirs].map((all) => median(all.map((one) => one.perSecond)));
      const meanMs = [ours, theirs].map((all) => median(all.map((one) => one.meanMs)).toFixed(2));
      const [a = 0, b = 1] = perSecond;
      const cells = [`${a.toFixed(0)}/s`, `${b.toFixed(0)}/s`, (a / b).toFixed(2)];
      console.log(
        `${label.padEnd(32)}${cells.map((cell) => cell.padStart(12)).join('')}      ${meanMs.join(', ')}`,
      );
    }
  }
}

/** Where the time of one member goes while it takes puts. */
async function printShares(): Promise<void> {
  const profiled = `exec "$0" --cpu-prof --cpu-prof-dir='${profileDirectory}' "$@"`;
  const cluster = await TestCluster.prepare({ program: 'mainstay' });
  try {
    const member = cluster.member(0);
    member.spawn(cluster.flagsFor('new'), { wrapper: ['sh', '-c', profiled] });
    await member.ready();
    const load = loads.at(-1);
    if (load !== undefined) run(member.clientUrl, puts, load);
    await member.stop('SIGTERM');
  } finally {
    await cluster.stop();
  }
  const [file = ''] = readdirSync(profileDirectory);
  console.log("\nShares of one member's busy time under puts of 16x64 streams, by folder:\n");
  for (const [name, share] of sharesOf(readFileSync(join(profileDirectory, file), 'utf8'))) {
    console.log(`  ${name.padEnd(34)}${(100 * share).toFixed(1).padStart(5)} %`);
  }
}

try {
  await main();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
