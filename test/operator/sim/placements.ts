import { collectionPath, type Kind } from '../../../operator/kube/paths.ts';
import { key } from './children.ts';
import type { PassFaults, PassReport } from './operator.ts';
import { Run, type RunOptions, type Scenario } from './run.ts';

/**
 * One thing that goes wrong at one action of a scenario. In words, as the command line has them; the number is that of
 * the operator's write, counted from 1 over the whole scenario:
 *
 *   crash-before:17, crash-after:17       the operator ends before or after the 17th write, its answer is lost
 *   timeout-before:17, timeout-after:17   it goes on, but learns nothing of what came of it
 *   stale:17:Pod:2                        the pass of the 17th write sees pods as they were two changes ago
 *   stale:17:all:1                        it sees everything as it was one change of each kind ago
 *   late:17:3                             another operator that has decided the same comes to it three passes later
 */
export type Placement = string;

const kinds: readonly Kind[] = ['StoreCluster', 'Pod', 'PersistentVolumeClaim'].concat([
  'PodDisruptionBudget',
  'Service',
  'Node',
]) as Kind[];
const lagMax = 4;
const latePasses = [1, 2, 4, 9];

export interface Failure {
  readonly scenario: string;
  readonly placement: Placement | undefined;
  readonly error: string;
}

export interface Exploration {
  readonly placements: number;
  readonly passes: number;
  readonly failures: readonly Failure[];
}

export interface ExploreOptions extends RunOptions {
  /** Only this one. */
  readonly only?: Placement | undefined;
  /** Every so manieth; 1: all. */
  readonly stride?: number;
  readonly stopAtFailure?: boolean;
}

/** Runs a scenario as it is, and once more for each placement, from the pass in which it strikes. */
export async function explore(
  scenario: Scenario,
  options: ExploreOptions = {},
): Promise<Exploration> {
  const failures: Failure[] = [];
  const { only, stride = 1 } = options;
  const run = await Run.begin(scenario, { ...options, states: options.states ?? new Set() });
  const attempt = async (placement: Placement | undefined, effort: () => Promise<void>) => {
    try {
      await effort();
    } catch (error) {
      failures.push({ scenario: scenario.name, placement, error: textOf(error) });
    }
  };
  const strikes: Strike[] = [];
  // States from which an end was seen: with the names that are expected, or with any.
  const [exact, rough] = [new Set<string>(), new Set<string>()];
  await attempt(undefined, async () => {
    let written = 0;
    const path: string[] = [];
    while (run.next()) {
      path.push(run.key());
      const before = run.clone();
      const report = await run.pass();
      strikes.push(...strikesAt(before, report, written + 1));
      written += report.writes.length;
    }
    await run.finish();
    for (const state of path) {
      exact.add(state);
      rough.add(state);
    }
  });
  const wanted = strikes.filter(({ placement }, at) =>
    only === undefined ? at % stride === 0 : only === placement,
  );
  let [placements, passes] = [0, run.passes];
  for (const { placement, before, strike } of wanted) {
    if (options.stopAtFailure === true && failures.length > 0) break;
    const copy = before.clone();
    placements += 1;
    if (only !== undefined) options.print?.(`== ${placement}`);
    const isExact = !/^(stale|late)/.test(placement);
    await attempt(placement, async () => {
      await strike(copy);
      await copy.finish(isExact ? exact : rough, isExact);
    });
    passes += copy.passes - before.passes;
  }
  return { placements, passes, failures };
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'Violation' ? error.message : (error.stack ?? String(error));
}

interface Strike {
  readonly placement: Placement;
  /** The run before the pass in which it strikes. */
  readonly before: Run;
  readonly strike: (run: Run) => Promise<void>;
}

/** For a pass that acts: what can go wrong in it. */
function strikesAt(before: Run, report: PassReport, first: number): Strike[] {
  if (report.plan?.kind !== 'act') return [];
  const { world } = before;
  const strikes: Strike[] = [];
  const add = (placement: Placement, strike: Strike['strike']) =>
    strikes.push({ placement, before, strike });
  const fault = (faults: PassFaults) => async (run: Run) => {
    await run.pass(faults);
  };
  for (const at of report.writes.keys()) {
    for (const kind of ['crash', 'timeout'] as const) {
      for (const when of ['before', 'after'] as const) {
        add(`${kind}-${when}:${first + at}`, fault({ kind, when, at }));
      }
    }
  }
  for (const [name, collections] of staleCollections()) {
    const earlier = Math.max(...collections.map((collection) => world.kube.earlierOf(collection)));
    for (let lag = 1; lag <= Math.min(lagMax, earlier); lag += 1) {
      const lagOf = (collection: string) => (collections.includes(collection) ? lag : 0);
      add(`stale:${first}:${name}:${lag}`, fault({ lag: lagOf }));
    }
  }
  for (const passes of latePasses) add(`late:${first}:${passes}`, late(passes));
  return strikes;
}

function staleCollections(): [string, string[]][] {
  const ofKind = (kind: Kind) => collectionPath(kind, kind === 'Node' ? undefined : key.namespace);
  return [
    ...kinds.map((kind): [string, string[]] => [kind, [ofKind(kind)]]),
    ['all', kinds.map(ofKind)],
  ];
}

function late(passes: number): Strike['strike'] {
  return async (run) => {
    const uid = run.world.cluster?.metadata.uid;
    const held = await run.hold();
    for (let pass = 0; pass < passes && run.next(); pass += 1) await run.pass();
    await run.release(held, uid);
  };
}
