import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Addresses } from '../../e2e/localkube/kubelet/addresses.ts';
import type { KubeList } from '../../operator/api/objects.ts';
import type { StoreCluster } from '../../operator/api/types.ts';
import { collectionPath } from '../../operator/kube/paths.ts';
import { isWhole } from '../support/whole.ts';
import { type BareKube, journalOf, withBareKube } from './support/bare-kube.ts';
import { OperatorProcess, until } from './support/operator-process.ts';
import {
  convergedTemplate,
  type Place,
  placeCluster,
  serveMembers,
  type Template,
} from './support/paper-fleet.ts';

// One operator, 200 stores (fewer by default) of three members that are well: memory and requests that this takes. The
// members are on paper, but they are asked over gRPC, so that the connections are counted too.

const clusterCount = isWhole ? 200 : 10;
const replicas = 3;
const nodeCount = 20;
/** Longer than a store that is well is left alone. */
const windowMs = isWhole ? 60_000 : 12_000;
const residentBytesMax = 256 * 1024 ** 2;
/** O9 of reference/reliability.md. */
const requestsPerMinuteMax = 60;

test(`${clusterCount} StoreClusters: memory and requests stay bounded, nothing is written`, (context) =>
  withBareKube(async (setting) => {
    const fleet = await Fleet.start(setting);
    const operator = await OperatorProcess.start(setting.localKube.kubeconfigPath);
    try {
      await until(
        'each was looked at',
        async () => (await passesOf(operator)) >= clusterCount,
        300_000,
      );
      await until('all are well', () => fleet.isIdle(), 300_000).catch(async (error: Error) => {
        throw new Error(`${error.message}: ${await fleet.doings()}`);
      });
      await until('nothing is written at first sight any more', () => isStill(setting), 60_000);
      const failed = await metricOf(operator, 'mainstay_operator_reconcile_errors_total');
      assert.equal(failed, 0, operator.log.slice(-2_000));
      const journal = journalOf(setting.localKube);
      const passes = await passesOf(operator);
      const cpu = await metricOf(operator, 'process_cpu_seconds_total');
      await sleep(windowMs);
      const writes = writesIn(journal);
      const asked = journal.filter(({ isWatch }) => !isWatch).length;
      const perMinute = (asked / clusterCount) * (60_000 / windowMs);
      const cpuAfter = await metricOf(operator, 'process_cpu_seconds_total');
      const residentBytes = await metricOf(operator, 'process_resident_memory_bytes');
      context.diagnostic(
        `${Math.round(residentBytes / 1024 ** 2)} MiB resident; ${perMinute.toFixed(1)} requests per minute and cluster; ` +
          `${(await passesOf(operator)) - passes} passes and ${(cpuAfter - cpu).toFixed(1)} s of CPU in ${windowMs / 1000} s`,
      );
      assert.deepEqual(
        writes.map(({ method, path }) => `${method} ${path}`),
        [],
      );
      assert.ok(perMinute <= requestsPerMinuteMax, `${perMinute} requests per minute`);
      assert.ok(residentBytes <= residentBytesMax, `${residentBytes} bytes`);
    } finally {
      await operator.stop();
      await fleet.stop();
    }
  }));

const writesIn = (journal: ReturnType<typeof journalOf>) =>
  journal.filter(({ method }) => method !== 'GET');

async function isStill({ localKube }: BareKube): Promise<boolean> {
  const journal = journalOf(localKube);
  await sleep(3_000);
  return writesIn(journal).length === 0;
}

const passesOf = (operator: OperatorProcess) =>
  metricOf(operator, 'mainstay_operator_reconcile_duration_seconds_count');

async function metricOf(operator: OperatorProcess, name: string): Promise<number> {
  const { text } = await operator.get('/metrics');
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}

class Fleet {
  readonly #setting: BareKube;
  readonly #stops: (() => Promise<unknown>)[] = [];

  private constructor(setting: BareKube) {
    this.#setting = setting;
  }

  static async start(setting: BareKube): Promise<Fleet> {
    const fleet = new Fleet(setting);
    const template = await convergedTemplate(replicas);
    const addresses = await Addresses.claim();
    fleet.#stops.push(() => addresses.close());
    for (let at = 0; at < nodeCount; at += 1) {
      await setting.kube.create(collectionPath('Node', undefined), nodeNamed(`node-${at}`));
    }
    const places = Array.from({ length: clusterCount }, (_, at): Place => {
      const numbers = Array.from({ length: replicas }, (_member, member) => at * replicas + member);
      return {
        name: `store-${at}`,
        addresses: numbers.map(() => addresses.takePod()),
        nodes: numbers.map((number) => `node-${number % nodeCount}`),
      };
    });
    for (let at = 0; at < places.length; at += 10) {
      await Promise.all(places.slice(at, at + 10).map((place) => fleet.#place(template, place)));
    }
    return fleet;
  }

  async #place(template: Template, place: Place): Promise<void> {
    const listeners = await serveMembers(template, place);
    this.#stops.push(() => Promise.all(listeners.map((listener) => listener.stop())));
    await placeCluster(this.#setting.kube, template, place);
  }

  async isIdle(): Promise<boolean> {
    const { kube } = this.#setting;
    const path = collectionPath('StoreCluster', 'default');
    const { items } = await kube.list<KubeList<StoreCluster>>(path);
    return items.every(({ status }) => status?.plan?.decision === 'Idle' && status.ready === '3/3');
  }

  /** Which plans there are, and how often. */
  async doings(): Promise<string> {
    const { kube } = this.#setting;
    const path = collectionPath('StoreCluster', 'default');
    const { items } = await kube.list<KubeList<StoreCluster>>(path);
    const counts = new Map<string, number>();
    for (const { status } of items) {
      const doing = `${status?.plan?.reason} (${status?.ready})`;
      counts.set(doing, (counts.get(doing) ?? 0) + 1);
    }
    return [...counts].map(([doing, count]) => `${count} ${doing}`).join(', ');
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.toReversed()) await stop();
  }
}

function nodeNamed(name: string) {
  const conditions = [{ type: 'Ready', status: 'True' }];
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, status: { conditions } };
}
