import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Mutant } from '../../sim/mutants.ts';
import { applyEdit } from '../../sim/mutate.ts';
import { allTasks, runFleet } from './fleet.ts';

const dist = fileURLToPath(new URL('../../../', import.meta.url));
const seedsMax = 300;

/** Throws where the code is no longer what the list says. */
export function checkDrift(mutant: Mutant): void {
  mutated(mutant, `${dist}operator`);
}

/** The files that change, as they are with the bug. */
function mutated({ name, edits }: Mutant, root: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const edit of edits) {
    const path = `${root}/${edit.file}`;
    const code = files.get(path) ?? readFileSync(path, 'utf8');
    files.set(path, applyEdit(name, code, edit));
  }
  return files;
}

/** A copy of the compiled operator and its simulation with the bug in it. Returns the path of its worker. */
function plant(mutant: Mutant): string {
  const root = `${dist}operator-mutants/${mutant.name}`;
  rmSync(root, { recursive: true, force: true });
  const isCode = (source: string) => !/\.(d\.ts|map|test\.js)$|testdata/.test(source);
  const parts = [
    'operator',
    'server/base',
    'test/operator/sim',
    'test/operator/support',
    'test/sim',
  ];
  for (const part of parts) {
    cpSync(`${dist}${part}`, `${root}/${part}`, { recursive: true, filter: isCode });
  }
  for (const [path, code] of mutated(mutant, `${root}/operator`)) writeFileSync(path, code);
  return `${root}/test/operator/sim/worker.js`;
}

/** The first violation that shows the bug, with the scenario and placement, or the seed; undefined: it survived. */
export async function hunt(mutant: Mutant, jobs: number): Promise<string | undefined> {
  const workerPath = plant(mutant);
  // As they are first: most bugs need nothing to go wrong.
  const tasks = [
    ...allTasks({ first: 1, last: 0, stride: undefined, stopAtFailure: true }),
    ...allTasks({ first: 1, last: seedsMax, stride: 1, stopAtFailure: true }),
  ];
  const { failures } = await runFleet({ tasks, jobs, workerPath, stopAtFailure: true });
  rmSync(`${dist}operator-mutants/${mutant.name}`, { recursive: true, force: true });
  return failures[0];
}
