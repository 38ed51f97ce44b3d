import { collectionPath } from '../../../operator/kube/paths.ts';
import { SeededRandom } from '../../sim/random.ts';
import { key } from './children.ts';
import { disturbances, healEverything } from './disturbances.ts';
import type { Pass, PassFaults } from './operator.ts';
import { Run, type RunOptions, type Scenario } from './run.ts';
import { beginnings } from './scenarios.ts';

/** How likely what is, in one pass; drawn for each seed, so that each has its own weather. */
interface Weather {
  readonly crash: number;
  readonly timeout: number;
  readonly lag: number;
  readonly late: number;
  readonly away: number;
  readonly event: number;
  /** That the world stands still during a pass, or moves twice. */
  readonly uneven: number;
  readonly passes: number;
  readonly events: readonly string[];
}

function drawWeather(random: SeededRandom): Weather {
  const rate = (most: number) => (random.chance(0.5) ? random.unit() * most : 0);
  const names = Object.keys(disturbances);
  return {
    crash: rate(0.2),
    timeout: rate(0.2),
    lag: rate(0.2),
    late: rate(0.15),
    away: rate(0.05),
    event: 0.03 + random.unit() * 0.12,
    uneven: rate(0.4),
    passes: 40 + random.below(60),
    events: names.filter(() => random.chance(0.4)),
  };
}

/** A store's life as a seed has it: people and faults at random, then calm, in which all must get well. */
export async function liveSeed(seed: number, options: RunOptions = {}): Promise<Run> {
  const random = new SeededRandom(seed, 'operator');
  const weather = drawWeather(random);
  const after = random.pick(beginnings);
  const scenario: Scenario = { name: `seed ${seed}`, after, steps: [{}], end: 'converged' };
  const run = await Run.begin(scenario, options);
  run.print?.(`${scenario.name} after ${after.name}: ${JSON.stringify(weather)}`);
  await chaos(run, weather, random);
  healEverything(run.world);
  run.print?.('-- calm');
  await run.settle();
  if (run.world.cluster !== undefined && random.chance(0.2)) {
    run.world.deleteCluster();
    await run.settle();
    await run.checkEnd('gone');
  } else await run.checkEnd(run.world.cluster === undefined ? 'gone' : 'converged');
  return run;
}

async function chaos(run: Run, weather: Weather, random: SeededRandom): Promise<void> {
  const { world } = run;
  let held: { readonly pass: Pass; readonly uid: string | undefined } | undefined;
  let awayPasses = 0;
  for (let at = 0; at < weather.passes; at += 1) {
    if (weather.events.length > 0 && random.chance(weather.event)) {
      const name = random.pick(weather.events);
      const done = disturbances[name]?.(world, random);
      if (done !== undefined) run.print?.(`-- ${name} ${done}`);
    }
    if (awayPasses === 0 && random.chance(weather.away)) awayPasses = 1 + random.below(8);
    awayPasses = Math.max(0, awayPasses - 1);
    if (held === undefined && random.chance(weather.late)) {
      held = { pass: await run.hold(), uid: world.cluster?.metadata.uid };
      run.print?.('-- another operator has decided, and waits');
    }
    const turns = random.chance(weather.uneven) ? random.pick([0, 2]) : 1;
    await run.pass(drawFaults(weather, random, awayPasses > 0), turns);
    if (held !== undefined && random.chance(0.3)) {
      await run.release(held.pass, held.uid);
      held = undefined;
    }
  }
  if (held !== undefined) await run.release(held.pass, held.uid);
}

function drawFaults(weather: Weather, random: SeededRandom, isApiAway: boolean): PassFaults {
  if (isApiAway) return { isApiAway };
  const lag = random.chance(weather.lag) ? { lag: drawLag(random) } : {};
  const when = random.pick(['before', 'after'] as const);
  const at = random.below(2);
  if (random.chance(weather.crash)) return { ...lag, kind: 'crash', when, at };
  if (random.chance(weather.timeout)) return { ...lag, kind: 'timeout', when, at };
  return lag;
}

/** Two API servers, each behind by its own number of changes of each kind; a request goes to either. */
function drawLag(random: SeededRandom): NonNullable<PassFaults['lag']> {
  const kinds = ['StoreCluster', 'Pod', 'PersistentVolumeClaim', 'PodDisruptionBudget'] as const;
  const server = () =>
    new Map(
      kinds.map((kind) => [
        collectionPath(kind, key.namespace),
        random.chance(0.5) ? random.below(5) : 0,
      ]),
    );
  const servers = [server(), server()];
  const turns = Array.from({ length: 16 }, () => random.below(2));
  return (collection, request) => servers[turns[request % turns.length] ?? 0]?.get(collection) ?? 0;
}
