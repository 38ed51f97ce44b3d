import assert from 'node:assert/strict';
import { Client } from '../../server/client/client.ts';
import { type Stage, scenario } from './scenario.ts';
import type { TestedCluster } from './store-cluster.ts';
import { runOnVolume } from './volume-tool.ts';
import { until } from './waiting.ts';

/** In every value; no line may have it. */
const canary = 'CANARY-7d1c';
const writtenMsMax = 30_000;

interface Line {
  readonly seq: number;
  readonly call: string;
  readonly outcome?: string;
  readonly ranges?: readonly Readonly<Record<string, string>>[];
}

scenario(
  'an audit log switched on, moved to the volume and off again',
  { isLong: true },
  async (stage) => {
    const cluster = stage.cluster('audited');
    await cluster.create({ replicas: 3 });
    await cluster.untilSettled(3);
    const load = await stage.load(cluster);
    await stage.measure('to standard output', async () => {
      await cluster.edit({ audit: { rules: ['write:/secrets/'] } });
      await cluster.untilSettled(3);
    });
    await isWritten(cluster, 1, () => ofOutput(stage, cluster));
    await stage.measure('to the volume', async () => {
      const audit = {
        target: 'Volume',
        rules: ['write:/secrets/'],
        maxFiles: 2,
        whenFull: 'Block',
      };
      await cluster.edit({ audit });
      await cluster.untilSettled(3);
    });
    await isWritten(cluster, 2, () => ofVolumes(stage, cluster));
    await stage.measure('off', async () => {
      await cluster.edit({ audit: null });
      await cluster.untilSettled(3);
    });
    for (const { metadata } of await cluster.pods()) {
      const log = await stage.environment.podLog(metadata.name);
      assert.doesNotMatch(log, /"kind":"audit"/, `${metadata.name} writes nothing down any more`);
    }
    await load.untilMore(20);
  },
);

/** Puts a secret; whichever member was asked has it in its log, with its outcome and without its value. */
async function isWritten(
  cluster: TestedCluster,
  number: number,
  read: () => Promise<ReadonlyMap<string, string>>,
): Promise<void> {
  const key = `/secrets/${number}`;
  const client = new Client({ endpoints: [await cluster.endpoint()], timeoutMs: 30_000 });
  try {
    await client.put(key, canary);
    await client.put(`/open/${number}`, canary);
  } finally {
    client.close();
  }
  let lines: Line[] = [];
  await until(`the put of ${key} is in an audit log`, writtenMsMax, async () => {
    const texts = await read();
    for (const [member, text] of texts) {
      assert.match(text, /"kind":"audit","call":"begin"/, `${member} has begun its log`);
      assert.doesNotMatch(text, new RegExp(canary), `${member} tells no value`);
    }
    lines = [...texts.values()].flatMap(linesOf);
    return lines.some(({ ranges }) => ranges?.[0]?.['key'] === key);
  });
  const written = lines.filter(({ call }) => call === 'etcdserverpb.KV/Put');
  assert.deepEqual(
    written.map(({ outcome, ranges }) => [outcome, ranges?.[0]?.['key']]).slice(-1),
    [['OK', key]],
  );
  const keys = lines.flatMap(({ ranges = [] }) => ranges.map((range) => range['key'] ?? ''));
  assert.ok(
    keys.every((each) => each.startsWith('/secrets/')),
    'only what a rule asks for',
  );
}

/** The log of a member goes to standard error, and a pod's log has both. */
function linesOf(text: string): Line[] {
  const lines = text.split('\n').filter((line) => /^\{"time":"[^"]+","seq":/.test(line));
  return lines.map((line) => JSON.parse(line) as Line);
}

async function ofOutput(
  { environment }: Stage,
  cluster: TestedCluster,
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const { metadata } of await cluster.pods())
    texts.set(metadata.name, await environment.podLog(metadata.name));
  return texts;
}

async function ofVolumes(
  { environment }: Stage,
  cluster: TestedCluster,
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  const program = `process.stdout.write(require('node:fs').readFileSync('/volume/audit/audit.log'))`;
  for (const { metadata } of await cluster.pods())
    texts.set(metadata.name, await runOnVolume(environment, metadata.name, program));
  return texts;
}
