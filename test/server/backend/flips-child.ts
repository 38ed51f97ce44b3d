import { StateDamagedError } from '../../../server/backend/damage.ts';
import { LevelStore } from '../../../server/backend/leveldb.ts';
import { type Opened, openStore } from '../mvcc/support.ts';
import { show } from './flips-show.ts';

/** How the opening of a damaged state ended. */
export type Outcome =
  | 'refused'
  | 'refused the second time'
  | 'whole'
  | 'an earlier state'
  | `WRONG: ${string}`;

/** What is right by applied index. */
let truth = new Map<number, string>();

process.on('message', (message: { truth?: [number, string][]; directory?: string }) => {
  if (message.truth !== undefined) truth = new Map(message.truth);
  if (message.directory === undefined) return;
  outcomeOf(message.directory).then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => process.send?.(`WRONG: ${String(error)}`),
  );
});

async function outcomeOf(directory: string): Promise<Outcome> {
  let opened: Opened;
  try {
    opened = await openAt(directory);
  } catch (error) {
    if (error instanceof StateDamagedError) return 'refused';
    throw error;
  }
  const { backend, store } = opened;
  try {
    // A state is right if it is the whole state after some applied entry.
    const { index } = backend.applied;
    if (truth.get(index) !== show(store)) return `WRONG: the state after ${index}`;
    return index === Math.max(...truth.keys()) ? 'whole' : 'an earlier state';
  } finally {
    await backend.close();
  }
}

async function openAt(directory: string): Promise<Opened> {
  const level = await LevelStore.open({ directory, createIfMissing: false });
  try {
    return await openStore(level);
  } catch (error) {
    await level.close();
    throw error;
  }
}
