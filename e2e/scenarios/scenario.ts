import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isWhole } from '../../test/support/whole.ts';
import type { Environment, Release } from './environment.ts';
import { openEnvironment } from './open-environment.ts';
import { isReal } from './real-cluster.ts';
import { skipWithoutReleaseBefore } from './release-before.ts';
import { recordRow } from './results.ts';
import { TestedCluster } from './store-cluster.ts';
import { seconds } from './waiting.ts';
import { WriteLoad, type WriteLoadOptions } from './write-load.ts';

export interface ScenarioOptions {
  /** A reason, where it cannot run. */
  readonly skip?: string | false;
  /** Why it may fail yet. */
  readonly todo?: string;
  /** Left out of the sample that `npm test` runs: only for MAINSTAY_FULL=1 or a real cluster. */
  readonly isLong?: boolean;
  /** Needs the release before; see `skipWithoutReleaseBefore`. */
  readonly needsBefore?: boolean;
  /** Which operator looks after it at first, this one by default. */
  readonly operator?: Release;
  /** Kills the operator again and again while it runs, always or never; by default when all scenarios do. */
  readonly killsOperator?: boolean;
}

export interface LoadOptions extends WriteLoadOptions {
  readonly endpoint?: string;
}

const timeoutMs = 900_000;
/** How long an operator works, at most, before it is killed. */
const killMsMax = 4_000;
const pollMs = 100;
const logLengthMax = 8_000;

/** Set by `npm run e2e -- --kill-operator`. */
const killsEverywhere = process.env['MAINSTAY_E2E_KILL_OPERATOR'] === '1';

/** What a scenario plays on: a Kubernetes, clusters and clients that write. */
export class Stage {
  readonly environment: Environment;
  readonly #context: TestContext;
  readonly #loads: WriteLoad[] = [];
  #loadCount = 0;
  readonly #clusters: TestedCluster[] = [];
  /** The longest time without a write, over all that was measured; undefined: nothing was. */
  gapMs: number | undefined;
  /** The longest time from a disturbance until all was well again. */
  repairMs: number | undefined;

  constructor(environment: Environment, context: TestContext) {
    this.environment = environment;
    this.#context = context;
  }

  /** For the log of the run. */
  note(text: string): void {
    this.#context.diagnostic(text);
  }

  cluster(name: string): TestedCluster {
    const cluster = new TestedCluster(this.environment, name);
    this.#clusters.push(cluster);
    return cluster;
  }

  /** Clients that write until the scenario ends; then no write may be lost, repeated or out of order. */
  async load(cluster: TestedCluster, options: LoadOptions = {}): Promise<WriteLoad> {
    const { endpoint = await cluster.endpoint(), ...access } = options;
    const load = new WriteLoad(endpoint, String(this.#loadCount++), access);
    this.#loads.push(load);
    await load.untilMore(20);
    return load;
  }

  /** Measures how long `change` takes until all is well again, and how long nobody could write meanwhile. */
  async measure(what: string, change: () => Promise<void>): Promise<void> {
    const startedMs = performance.now();
    for (const load of this.#loads) load.restartGap();
    await change();
    const tookMs = performance.now() - startedMs;
    this.repairMs = Math.max(this.repairMs ?? 0, tookMs);
    for (const load of this.#loads) this.gapMs = Math.max(this.gapMs ?? 0, load.gapMs);
    const gap = this.#loads.map((load) => `${Math.round(load.gapMs)} ms without a write`);
    this.note([`${what}: ${seconds(tookMs)}`, ...gap].join(', '));
  }

  /** Ends the loads that there are and looks at what became of every write. */
  async verify(): Promise<void> {
    for (const load of this.#loads) {
      await load.stop();
      await load.verify();
      load.close();
      const failed = `${load.failures} attempts failed`;
      this.note(`${load.count} writes, each there once and in order; ${failed}`);
    }
    this.#loads.length = 0;
  }

  /** What helps to understand a failure. */
  async describe(): Promise<string> {
    const parts = [
      `--- the operator's log\n${(await this.environment.operator.log()).slice(-logLengthMax)}`,
    ];
    for (const cluster of this.#clusters) {
      const status = await cluster.get().then((found) => found.status, String);
      parts.push(`--- ${cluster.name}\n${JSON.stringify(status, undefined, 1)}`);
      for (const { metadata, status: pod } of await cluster.pods()) {
        const containers = JSON.stringify(pod?.containerStatuses);
        const log = await this.environment.podLog(metadata.name).catch(String);
        parts.push(`--- pod ${metadata.name}: ${pod?.phase} ${containers}\n${log.slice(-1_500)}`);
      }
    }
    return parts.join('\n');
  }

  async close(): Promise<void> {
    for (const load of this.#loads) load.close();
    for (const cluster of this.#clusters) {
      const exists = (await this.environment.kube.get(cluster.path)) !== undefined;
      if (exists) await cluster.delete();
    }
  }
}

/**
 * One scenario, as a test, on a Kubernetes of its own (or a namespace of the real one). Its row of the table: result,
 * longest gap without a write, longest time to repair.
 */
export function scenario(
  name: string,
  options: ScenarioOptions,
  play: (stage: Stage) => Promise<void>,
): void {
  if (options.isLong === true && !isWhole && !isReal) return;
  const { todo, needsBefore = false, killsOperator = killsEverywhere } = options;
  if (killsEverywhere && !killsOperator) return;
  const skip = options.skip || (needsBefore && skipWithoutReleaseBefore());
  test(
    nameOf(name, options),
    { skip, timeout: timeoutMs, ...(todo === undefined ? {} : { todo }) },
    (context) =>
      perform(
        context,
        { name: nameOf(name, options), options: { ...options, killsOperator } },
        play,
      ),
  );
}

function nameOf(name: string, { killsOperator }: ScenarioOptions): string {
  return killsEverywhere && killsOperator === undefined
    ? `${name}, the operator killed again and again`
    : name;
}

async function perform(
  context: TestContext,
  { name, options }: { readonly name: string; readonly options: ScenarioOptions },
  play: (stage: Stage) => Promise<void>,
): Promise<void> {
  const environment = await openEnvironment({
    hasBefore: options.needsBefore ?? false,
    operator: options.operator ?? 'now',
  });
  const stage = new Stage(environment, context);
  let failure: unknown;
  const end = new AbortController();
  const killing = options.killsOperator === true ? killAgainAndAgain(stage, end.signal) : undefined;
  try {
    await play(stage);
    await stage.verify();
  } catch (error) {
    failure = error;
    console.error(await stage.describe().catch(String));
  }
  end.abort();
  const endings = [() => killing, () => stage.close(), () => environment.close()];
  for (const close of endings) {
    try {
      await close();
    } catch (error) {
      // The first failure is the one to tell; what comes after it may be its consequence.
      failure ??= error;
    }
  }
  const result = failure === undefined ? 'passed' : 'failed';
  const { gapMs, repairMs } = stage;
  recordRow({ name, result, gapMs, repairMs, kubernetesVersion: environment.kubernetesVersion });
  if (failure !== undefined) throw failure;
}

async function killAgainAndAgain(stage: Stage, signal: AbortSignal): Promise<void> {
  let kills = 0;
  while (!signal.aborted) {
    if (!(await stage.environment.operator.isWorking())) {
      await sleep(pollMs);
      continue;
    }
    await sleep(killMsMax * Math.random(), undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    await stage.environment.operator.kill();
    kills += 1;
  }
  stage.note(`the operator was killed ${kills} times`);
}
