import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StateDamagedError } from '../../../server/backend/damage.ts';
import { LevelStore } from '../../../server/backend/leveldb.ts';
import { isWhole } from '../../support/whole.ts';
import { flush, openStore, put } from '../mvcc/support.ts';
import type { Outcome } from './flips-child.ts';
import { show } from './flips-show.ts';
import { temporaryDirectory } from './support.ts';

/** Every n-th byte is flipped: STATE_FLIPS_EVERY=1 for all of them, 5 for more than a thousand. */
const every = Number(process.env['STATE_FLIPS_EVERY'] ?? (isWhole ? 5 : 61));

/** What every revision shows, by the applied index after which it was so. */
type Truth = Map<number, string>;

/** Batches in LevelDB's log and, after a reopening, in a table. */
async function build(directory: string, truth: Truth): Promise<void> {
  let index = 0;
  for (let life = 0; life < 2; life++) {
    const { backend, store } = await openStore(await LevelStore.open({ directory }));
    if (life === 0) truth.set(0, show(store));
    for (let number = 0; number < 40; number++) {
      put(store, `key ${number % 10}`, `value ${life} ${number} ${'x'.repeat(number)}`);
      if (number === 30) store.compact(store.revision - 10);
      backend.setApplied({ index: ++index, term: 1 });
      truth.set(index, show(store));
      if (number % 4 === 3) {
        store.compactionStep();
        await flush(backend);
      }
    }
    await flush(backend);
    await backend.close();
  }
}

/** Opens damaged states in a process of its own: LevelDB ends it now and then. */
class Opener {
  readonly #truth: Truth;
  #child: ChildProcess | undefined;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** Once more in a new process, if LevelDB ended the first: then it has to be a refusal. */
  async outcomeOf(directory: string): Promise<Outcome> {
    const outcome = await this.#try(directory);
    if (outcome !== undefined) return outcome;
    assert.ok(existsSync(join(directory, 'OPENING')));
    const again = await this.#try(directory);
    assert.equal(again, 'refused', 'what LevelDB cannot read is refused the second time');
    return 'refused the second time';
  }

  end(): void {
    this.#child?.disconnect();
  }

  #try(directory: string): Promise<Outcome | undefined> {
    const child = (this.#child ??= this.#fork());
    return new Promise((resolve) => {
      const ended = () => {
        this.#child = undefined;
        resolve(undefined);
      };
      child.once('exit', ended);
      child.once('message', (outcome: Outcome) => {
        child.off('exit', ended);
        resolve(outcome);
      });
      child.send({ directory });
    });
  }

  #fork(): ChildProcess {
    const script = fileURLToPath(new URL('./flips-child.js', import.meta.url));
    const child = fork(script, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.send({ truth: [...this.#truth] });
    return child;
  }
}

test('a flipped byte in any file of LevelDB is noticed or harmless, never a wrong answer', async (context) => {
  const original = temporaryDirectory();
  const copy = temporaryDirectory();
  const truth: Truth = new Map();
  await build(original, truth);
  const opener = new Opener(truth);
  assert.equal(await opener.outcomeOf(copyOf(original, copy)), 'whole');
  const counts = new Map<string, number>();
  for (const name of readdirSync(original)) {
    if (name === 'LOCK' || name.startsWith('LOG')) continue;
    const bytes = readFileSync(join(original, name));
    for (let at = 0; at < bytes.length; at += at < 16 ? 1 : every) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      writeFileSync(join(copyOf(original, copy), name), damaged);
      const outcome = await opener.outcomeOf(copy);
      assert.ok(!outcome.startsWith('WRONG'), `${name} at ${at}: ${outcome}`);
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
  }
  context.diagnostic([...counts].map(([outcome, count]) => `${outcome}: ${count}`).join(', '));
  opener.end();
  rmSync(original, { recursive: true });
  rmSync(copy, { recursive: true });
});

test('a file of LevelDB that is missing or cut is noticed, or an earlier state is left', async (context) => {
  const original = temporaryDirectory();
  const copy = temporaryDirectory();
  const truth: Truth = new Map();
  await build(original, truth);
  const opener = new Opener(truth);
  for (const name of readdirSync(original)) {
    if (name === 'LOCK' || name.startsWith('LOG')) continue;
    const { length } = readFileSync(join(original, name));
    for (const size of [undefined, 0, 1, length >> 1, length - 1]) {
      const file = join(copyOf(original, copy), name);
      if (size === undefined) rmSync(file);
      else writeFileSync(file, readFileSync(file).subarray(0, size));
      const outcome = await opener.outcomeOf(copy);
      assert.ok(!outcome.startsWith('WRONG'), `${name} cut to ${size}: ${outcome}`);
      context.diagnostic(`${name} cut to ${size} of ${length}: ${outcome}`);
    }
  }
  opener.end();
  rmSync(original, { recursive: true });
  rmSync(copy, { recursive: true });
});

test('what cannot be read is not called damage', async () => {
  const directory = temporaryDirectory();
  const first = await LevelStore.open({ directory });
  await assert.rejects(LevelStore.open({ directory }), (error: Error) => {
    assert.ok(!(error instanceof StateDamagedError));
    return /lock/i.test(error.message);
  });
  await first.close();
  rmSync(directory, { recursive: true });
});

test('an empty place where a state should be is damage', async () => {
  const directory = temporaryDirectory();
  const opened = LevelStore.open({ directory, createIfMissing: false });
  await assert.rejects(opened, StateDamagedError);
  rmSync(directory, { recursive: true });
});

function copyOf(original: string, copy: string): string {
  rmSync(copy, { recursive: true, force: true });
  cpSync(original, copy, { recursive: true });
  return copy;
}
