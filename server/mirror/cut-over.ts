import type { Revision } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError, CompactedError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import { keysUnder } from '../client/keys.ts';
import { isPassing } from '../client/retry.ts';
import { deleteOp } from '../client/txn.ts';
import { checkpointPlace, type End, endedState, endOf } from './checkpoint.ts';
import { type ComparisonOptions, compareAt, type Difference, revisionsOf } from './difference.ts';
import { OvertakenError } from './failure.ts';
import { GuardedWriter } from './guarded-writer.ts';
import { Patience } from './patience.ts';
import { QuietWatch } from './quiet.ts';
import { Source } from './source.ts';

/** Why a mirror is not ended yet. */
export type NotYet =
  /** It has not begun, has not copied everything, or its sides do not answer. */
  | { readonly kind: 'behind'; readonly why: string }
  /** Something still writes there. */
  | { readonly kind: 'written'; readonly revision: Revision }
  | { readonly kind: 'different'; readonly differences: readonly Difference[] };

export interface CutOverOptions extends ComparisonOptions {
  /** How long nothing may have changed at the source. */
  readonly stillMs: number;
  readonly onNotYet: (why: NotYet) => void;
}

const pauseMs = 1_000;
/** What differs while the source is still, differs because of somebody: everything is not read again at once. */
const differentPauseMs = 10_000;

/**
 * Waits until nothing changes at the source any more and both sides are equal; then ends the mirror in one transaction,
 * which holds only if the mirror has written nothing since they were compared. It may run all the while: from then on its
 * writes are refused, and so is every later mirror. Done again, it says what was done.
 */
export async function cutOver(
  sides: { readonly source: Client; readonly destination: Client },
  options: CutOverOptions,
): Promise<End> {
  const { signal, onNotYet } = options;
  for (;;) {
    const result = await attempt(sides, options);
    if (isEnd(result)) return result;
    onNotYet(result);
    const waiting = new Patience('source', signal);
    await waiting.pause(result.kind === 'different' ? differentPauseMs : pauseMs);
  }
}

function isEnd(result: End | NotYet): result is End {
  return !('kind' in result);
}

async function attempt(
  sides: { readonly source: Client; readonly destination: Client },
  options: CutOverOptions,
): Promise<End | NotYet> {
  try {
    return await new Attempt(sides, options).run();
  } catch (error) {
    options.signal.throwIfAborted();
    const why = passing(error);
    if (why === undefined) throw error;
    return { kind: 'behind', why };
  }
}

/** What goes by; undefined for what a person has to mend. */
function passing(error: unknown): string | undefined {
  if (error instanceof OvertakenError) return 'the mirror has written meanwhile';
  if (error instanceof CompactedError) return `the source: ${error.message}`;
  if (!(error instanceof ClientError)) return undefined;
  const goesBy = isPassing(error) || error.isUncertain || error.text === etcdTexts.compacted;
  return goesBy ? error.message : undefined;
}

class Attempt {
  readonly #source: Source;
  readonly #destination: Client;
  readonly #options: CutOverOptions;
  readonly #writer: GuardedWriter;

  constructor(
    sides: { readonly source: Client; readonly destination: Client },
    options: CutOverOptions,
  ) {
    const { mapping, reserved, signal, patienceMs } = options;
    this.#options = options;
    const patience = new Patience('source', signal, patienceMs);
    this.#source = new Source({ client: sides.source, patience }, mapping.source);
    this.#destination = sides.destination;
    const { checkpoint } = checkpointPlace(reserved, mapping);
    const there = new Patience('destination', signal, patienceMs);
    this.#writer = new GuardedWriter(sides.destination, there, checkpoint);
  }

  async run(): Promise<End | NotYet> {
    const state = await this.#writer.load();
    if (state === undefined) return { kind: 'behind', why: 'the mirror has not begun yet' };
    const end = endOf(state);
    if (end !== undefined) return end;
    const { clusterId, revision: newest } = await this.#source.identity();
    const pair = await revisionsOf(this.#destination, this.#source, this.#options);
    if (typeof pair === 'string') return { kind: 'behind', why: pair };
    const quiet = new QuietWatch(this.#source, this.#options.mapping, pair.revision);
    try {
      const before = await this.#disturbance(() => quiet.lasts(this.#options.stillMs), newest);
      if (before !== undefined) return before;
      const modules = { source: this.#source, destination: this.#destination };
      // Nothing has changed since the checkpoint, by the word of the watch; what is read says so by itself.
      const revision = Math.max(newest, pair.revision);
      const compared = await compareAt({ ...pair, revision }, modules, this.#options);
      const { differences, keys, leases } = compared;
      const meanwhile = await this.#disturbance(() => quiet.upToNow(), newest);
      if (meanwhile !== undefined) return meanwhile;
      if (differences.length > 0) return { kind: 'different', differences };
      const { destinationRevision } = pair;
      return await this.#end(clusterId, { revision, destinationRevision, keys, leases });
    } finally {
      quiet.close();
    }
  }

  /** What has changed up to `newest` was there when this began: the mirror is on its way. */
  async #disturbance(
    watch: () => ReturnType<QuietWatch['upToNow']>,
    newest: Revision,
  ): Promise<NotYet | undefined> {
    const found = await watch();
    switch (found.kind) {
      case 'quiet':
        return undefined;
      case 'silent':
        return { kind: 'behind', why: 'the source does not say how far it is' };
      case 'changed':
        return found.at > newest
          ? { kind: 'written', revision: found.at }
          : { kind: 'behind', why: `the mirror has not copied revision ${found.at} yet` };
    }
  }

  async #end(clusterId: string, end: End): Promise<End> {
    const { mapping, reserved } = this.#options;
    const { leases } = checkpointPlace(reserved, mapping);
    const state = endedState(end, { clusterId, mapping, term: this.#source.term });
    await this.#writer.write([deleteOp(keysUnder(leases))], state);
    return end;
  }
}
