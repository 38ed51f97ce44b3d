import type { Plan } from '../../../operator/plan/plan.ts';
import { untruths, wrongWith } from './converged.ts';
import { plannerState, worldKey } from './fingerprint.ts';
import { Invariants } from './invariants.ts';
import { Pass, type PassFaults, type PassReport, type Write } from './operator.ts';
import { Violation } from './violation.ts';
import { World } from './world.ts';

/** After faults have stopped, so many passes have to do (O7); then so many must write nothing. */
const passesMax = 200;
const quietPasses = 20;
const requestsPerMinuteMax = 60;
const steadyAfterMs = 3_600_000;
/** A change that a watch reports makes the operator look again; it never sleeps longer than this here. */
const sleepMsMax = 15_000;
const sleepMsMin = 100;
const afterFailureMs = 1_000;

/** One thing that people or the world do, and what is awaited after it. */
export interface Step {
  readonly edit?: (world: World) => void;
  /** Default: until the operator has nothing more to do, or waits for a person. */
  readonly until?: (world: World) => boolean;
}

export interface Scenario {
  readonly name: string;
  /** The scenario at whose end this one begins; without it, in a world without a store. */
  readonly after?: Scenario;
  readonly steps: readonly Step[];
  /** `converged`: as the spec wants it; `gone`: no StoreCluster; else the reason for which the operator waits, `A|B` for one of two. */
  readonly end: string;
  /** What else is expected at the end; throws. */
  readonly check?: (world: World) => void;
}

/** A scenario on its way: it can be copied at any pass, and the copy goes on as the original would. */
export class Run {
  readonly scenario: Scenario;
  readonly world: World;
  readonly invariants: Invariants;
  /** Hashes of what the planner saw and decided, see {@link plannerState}. */
  readonly states: Set<string>;
  /** How many passes, and writes of actions, there were. */
  passes = 0;
  #step = -1;
  #passesInStep = 0;
  #quiet = 0;
  readonly print: ((line: string) => void) | undefined;

  private constructor(scenario: Scenario, world: World, options: RunOptions = {}, from?: Run) {
    this.scenario = scenario;
    this.world = world;
    this.invariants = new Invariants(this.world, from?.invariants);
    this.states = options.states ?? from?.states ?? new Set();
    this.print = options.print ?? from?.print;
    this.passes = from?.passes ?? 0;
    this.#step = from === undefined ? -1 : from.#step;
    this.#passesInStep = from === undefined ? 0 : from.#passesInStep;
    this.#quiet = from === undefined ? 0 : from.#quiet;
  }

  /** At the beginning of a scenario. */
  static async begin(scenario: Scenario, options: RunOptions = {}): Promise<Run> {
    const world = scenario.after === undefined ? new World() : await endOf(scenario.after);
    return new Run(scenario, world, options);
  }

  clone(): Run {
    return new Run(this.scenario, this.world.clone(), {}, this);
  }

  /** Goes to the next step when the present one is over. Returns false when there is none. */
  next(): boolean {
    const { steps } = this.scenario;
    if (this.#step >= steps.length) return false;
    const step = steps[this.#step];
    const isOver =
      this.#step < 0 || this.#quiet >= 2 || (this.#passesInStep > 0 && step?.until?.(this.world));
    if (!isOver) return true;
    this.#step += 1;
    const next = steps[this.#step];
    if (next === undefined) return false;
    this.print?.(`-- step ${this.#step + 1}`);
    [this.#passesInStep, this.#quiet] = [0, 0];
    next.edit?.(this.world);
    return true;
  }

  /** One pass of the operator, then the world moves on: one turn, or another number of them. */
  async pass(faults: PassFaults = {}, turns = 1): Promise<PassReport> {
    if (this.#passesInStep >= passesMax)
      throw new Violation(`O7: not converged: ${this.explain()}`);
    const isFaulty = Object.keys(faults).length > 0;
    const isStale = faults.lag !== undefined;
    this.invariants.writer = { uid: this.world.cluster?.metadata.uid, isStale };
    const report = await new Pass(this.world, faults).done;
    this.#after(report, isFaulty);
    const { againMs = afterFailureMs } = report;
    this.world.nowMs += Math.min(Math.max(againMs, sleepMsMin), sleepMsMax);
    for (let turn = 0; turn < turns; turn += 1) this.#turn();
    return report;
  }

  /** Until the operator has nothing more to do, or waits for a person. */
  async settle(): Promise<void> {
    // What is wrong with the world shows, then what only time brings: the next round of freeing space.
    for (const elapsedMs of [1_000, 180_000]) {
      this.world.nowMs += elapsedMs;
      for (let turn = 0; turn < 3; turn += 1) this.#turn();
      [this.#passesInStep, this.#quiet] = [0, 0];
      while (this.#quiet < 2) await this.pass();
    }
  }

  #turn(): void {
    this.world.turn();
    this.invariants.turn();
    this.#throwViolation();
  }

  /** A pass that has read and decided, and is held up before its first write. */
  hold(): Promise<Pass> {
    return Pass.hold(this.world);
  }

  async release(pass: Pass, uid: string | undefined): Promise<void> {
    this.invariants.writer = { uid, isStale: true };
    const report = await pass.release();
    this.print?.(`late pass: ${describe(report)}`);
    // The last step is not over when somebody else is still at work.
    this.#step = Math.min(this.#step, this.scenario.steps.length - 1);
    this.#quiet = 0;
    this.#throwViolation();
  }

  /** What the rest of the run depends on; see {@link worldKey}. */
  key(): string {
    return worldKey(this.world, [this.#step, this.#quiet, this.invariants.describe()]);
  }

  /**
   * To the end of the scenario, with everything checked there. `good`: keys of runs from which an end was seen to be
   * right; where this one comes to such a state, it ends too.
   */
  async finish(good: Set<string> = new Set(), isExact = true): Promise<void> {
    const keys: string[] = [];
    while (this.next()) {
      const at = this.key();
      if (good.has(at)) break;
      keys.push(at);
      await this.pass();
    }
    if (!good.has(this.key())) {
      await this.checkEnd(this.scenario.end);
      if (isExact) this.scenario.check?.(this.world);
    }
    for (const at of keys) good.add(at);
  }

  async checkEnd(end: string): Promise<void> {
    const { world } = this;
    for (const store of world.storage.stores.values()) store.entriesPerTurn = 0;
    const wrong = this.#wrongAtEnd(end);
    if (wrong.length > 0) throw new Violation(`${wrong.join('; ')}; ${this.explain()}`);
    if (end === 'gone') return;
    this.#passesInStep = 0;
    // What is remembered of the last change fades, what takes too long is reported as such.
    this.world.nowMs += steadyAfterMs;
    for (let pass = 0; pass < 5; pass += 1) await this.pass();
    const { writes } = world;
    let rate = 0;
    for (let pass = 0; pass < quietPasses; pass += 1) {
      const { requests, againMs = afterFailureMs } = await this.pass();
      rate = (requests * 60_000) / againMs;
    }
    if (world.writes !== writes) {
      throw new Violation(
        `O7: ${world.writes - writes} writes though converged: ${this.explain()}`,
      );
    }
    const observers = world.store()?.members.filter(({ observer }) => observer).length ?? 0;
    // Each is asked too, and so is for their Service.
    const { phase } = world.status?.mirror ?? {};
    // How far a mirror is, is looked at more often.
    const often = phase === undefined || phase === 'Done' ? 1 : 1.5;
    const rateMax = requestsPerMinuteMax * often + (observers === 0 ? 0 : 2 * (observers + 1));
    if (rate > rateMax) {
      throw new Violation(`O9: ${rate} requests a minute though nothing changes`);
    }
  }

  explain(): string {
    const { plan, members } = this.world.status ?? {};
    const store = this.world.store();
    const raft = store?.members.map(({ name, id, learner }) => [name, id, learner ? 'L' : 'V']);
    return JSON.stringify({ plan, members, raft, running: [...(store?.running ?? [])] });
  }

  #wrongAtEnd(end: string): string[] {
    const { world } = this;
    if (end === 'gone') {
      const isGone = world.cluster === undefined && world.pods().length === 0;
      return isGone ? [] : ['O7: the StoreCluster is not gone'];
    }
    if (end === 'converged') return wrongWith(world);
    const { reason } = world.status?.plan ?? {};
    return end.split('|').includes(reason ?? '')
      ? []
      : [`O10: the operator waits for ${reason}, not for ${end}`];
  }

  #after(report: PassReport, isFaulty: boolean): void {
    this.passes += 1;
    this.#passesInStep += 1;
    this.print?.(`${this.passes}: ${describe(report)}`);
    this.#throwViolation();
    const { observation, plan, outcome } = report;
    if (observation !== undefined && plan !== undefined) {
      this.states.add(plannerState(observation, plan));
    }
    const isStill = changesOf(report).length === 0 && isQuiet(this.world);
    const isWaiting = plan?.kind === 'wait' && plan.limitMs === undefined;
    const isDone =
      report.error === undefined && (observation === undefined || plan?.kind === 'idle');
    this.#quiet = isStill && !isFaulty && (isDone || isWaiting) ? this.#quiet + 1 : 0;
    if (isFaulty || observation === undefined || plan === undefined) return;
    this.#explainsItself(report);
    if (plan.kind === 'act' || outcome?.kind !== 'done' || report.error !== undefined) return;
    const [untruth] = untruths(this.world);
    if (untruth !== undefined) throw new Violation(`${untruth}; ${this.explain()}`);
  }

  /** O12: one request, one event, and the same words in the status. */
  #explainsItself(report: PassReport): void {
    const { plan, outcome, events } = report;
    const changes = changesOf(report);
    if (changes.length > 1) throw new Violation(`O12: ${JSON.stringify(changes)} in one pass`);
    if (plan?.kind !== 'act' || outcome?.kind === 'refused') return;
    const event = events.find(({ reason }) => reason === plan.reason);
    if (event === undefined || event.message === '') {
      throw new Violation(`O12: no event says ${plan.reason}: ${plan.message}`);
    }
    const told = this.world.status?.plan;
    if (this.world.cluster !== undefined && told?.reason !== plan.reason) {
      throw new Violation(`O12: ${plan.reason} was done, the status says ${told?.reason}`);
    }
  }

  #throwViolation(): void {
    const { violation } = this.world;
    if (violation !== undefined) throw new Violation(`${violation.message}; ${this.explain()}`);
  }
}

const ends = new Map<Scenario, World>();

/** The world at the end of a scenario in which nothing went wrong. */
async function endOf(scenario: Scenario): Promise<World> {
  const known = ends.get(scenario);
  if (known !== undefined) return known.clone();
  const run = await Run.begin(scenario);
  while (run.next()) await run.pass();
  ends.set(scenario, run.world);
  return run.world.clone();
}

export interface RunOptions {
  readonly states?: Set<string>;
  readonly print?: (line: string) => void;
}

/** Writes of more than the status. */
function changesOf({ writes }: PassReport): readonly Write[] {
  return writes.filter(({ target }) => !target.endsWith('/status'));
}

/** Nothing is on its way that needs no operator. */
/** Nothing is on its way out, and where no load goes on, nobody is still catching up. */
function isQuiet(world: World): boolean {
  const stores = [...world.storage.stores.values()];
  const isCatchingUp = stores.some((store) => store.entriesPerTurn === 0 && store.isCatchingUp);
  return (
    !isCatchingUp &&
    [...world.pods(), ...world.volumes()].every(
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    )
  );
}

function describe({ plan, outcome, error, writes, observation }: PassReport): string {
  const what = plan === undefined ? 'no plan' : `${plan.kind} ${describePlan(plan)}`;
  const came = outcome === undefined || outcome.kind === 'done' ? '' : ` ${outcome.kind}`;
  const failed = error === undefined ? '' : ` (${error.message})`;
  const statuses = [...(observation?.memberStatuses ?? [])].map(([name]) => name).join();
  return `${what}${came}${failed} [${writes.map(({ verb }) => verb).join()}] answering ${statuses}`;
}

function describePlan(plan: Plan): string {
  if (plan.kind === 'idle') return '';
  return `${plan.kind === 'act' ? plan.action.kind : ''} ${plan.reason}: ${plan.message}`;
}
