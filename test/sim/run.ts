import { Cluster } from './cluster.ts';
import type { Boot } from './member.ts';
import { Nemesis } from './nemesis.ts';
import { SeededRandom } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { drawSwarm, type SwarmConfig } from './swarm.ts';
import { Trace } from './trace.ts';
import { SimClient } from './workload.ts';

export interface RunOptions {
  readonly seed: number;
  /** Simulated seconds; the last third heals and must converge. */
  readonly seconds: number;
  readonly members?: number;
  /** Receives each line of the trace. */
  readonly print?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly error: Error | undefined;
  /** Equal for every run of the same seed and the same code. */
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** A leader, an answer to each member and equal histories: all of it within this many milliseconds of healing. */
const convergenceMsMin = 12_000;

/** Runs one seed: chaos first, in which nothing wrong may happen; then calm, in which everything must get well. */
export async function runSeed(boot: Boot, options: RunOptions): Promise<RunResult> {
  const { seed, seconds } = options;
  const config = drawSwarm(seed, options.members === undefined ? {} : { members: options.members });
  const random = new SeededRandom(seed, 'run');
  const scheduler = new Scheduler(random.fork());
  const trace = new Trace(() => scheduler.nowMs, options.print);
  const world = new World({ boot, scheduler, random, trace }, config);
  options.print?.(`seed ${seed}: ${JSON.stringify(config)}`);
  const rejected = new RejectionWatch();
  let error: Error | undefined;
  try {
    await world.run(seconds * 1000, () => rejected.throwIfAny());
  } catch (caught) {
    error = caught instanceof Error ? caught : new Error(String(caught));
  } finally {
    rejected.close();
  }
  return {
    seed,
    error,
    traceHash: trace.hash,
    simulatedMs: scheduler.nowMs,
    events: scheduler.events,
    counts: world.cluster.counters.toRecord(),
  };
}

interface WorldModules {
  readonly boot: Boot;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly trace: Trace;
}

class World {
  readonly cluster: Cluster;
  readonly #modules: WorldModules;
  readonly #nemesis: Nemesis;
  readonly #clients: SimClient[];

  constructor(modules: WorldModules, config: SwarmConfig) {
    this.#modules = modules;
    const { scheduler, random } = modules;
    this.cluster = new Cluster(modules, config);
    this.#nemesis = new Nemesis(
      { cluster: this.cluster, scheduler, random: random.fork() },
      config,
    );
    this.#clients = Array.from(
      { length: config.clients },
      (_, at) => new SimClient(this.#clientModules(), config, `c${at}`),
    );
  }

  #clientModules(): ConstructorParameters<typeof SimClient>[0] {
    const { cluster } = this;
    const { scheduler, random } = this.#modules;
    return {
      scheduler,
      random: random.fork(),
      counters: cluster.counters,
      history: cluster.history,
      endpoints: (options) => cluster.endpoints(options),
      openWatches: (endpoint, spans, from) => cluster.openWatches(endpoint, spans, from),
    };
  }

  async run(durationMs: number, check: () => void): Promise<void> {
    const { scheduler } = this.#modules;
    const calmMs = Math.max(convergenceMsMin, durationMs / 4);
    const settled = (): void => {
      check();
      this.cluster.settled();
    };
    this.cluster.bootstrap();
    for (const client of this.#clients) client.start();
    this.#nemesis.start();
    await scheduler.runUntil(durationMs - calmMs, settled);
    this.#nemesis.end();
    // The clients go on for a while: they must be answered again.
    await scheduler.runUntil(durationMs - calmMs / 3, settled);
    for (const client of this.#clients) client.stop();
    await scheduler.runUntil(durationMs, settled);
    this.cluster.finish();
  }
}

/** A rejection that nobody waits for is a failure of the run, as it ends a real process. */
class RejectionWatch {
  #error: Error | undefined;
  readonly #listener = (reason: unknown): void => {
    if (reason instanceof Error && reason.name === 'DeadProcessError') return;
    this.#error ??= reason instanceof Error ? reason : new Error(String(reason));
  };

  constructor() {
    process.on('unhandledRejection', this.#listener);
  }

  throwIfAny(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  close(): void {
    process.off('unhandledRejection', this.#listener);
  }
}
