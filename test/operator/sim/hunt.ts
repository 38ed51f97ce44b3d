import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutant } from '../../sim/mutants.ts';
import { applyEdit } from '../../sim/mutate.ts';
import { allTasks, runFleet } from './fleet.ts';

const dist = fileURLToPath(new URL('../../../', import.meta.url));
const worker = 'test/operator/sim/worker.js';
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

/** A copy of the compiled simulation, and of all that it runs, with the bug in it. Returns the path of its worker. */
function plant(mutant: Mutant): string {
  const root = `${dist}operator-mutants/${mutant.name}`;
  rmSync(root, { recursive: true, force: true });
  for (const path of importedBy(`${dist}${worker}`)) {
    const copy = `${root}/${relative(dist, path)}`;
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(path, copy);
  }
  for (const [path, code] of mutated(mutant, `${root}/operator`)) writeFileSync(path, code);
  return `${root}/${worker}`;
}

/** The module and all of ours that it imports. */
function importedBy(path: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  const code = readFileSync(path, 'utf8');
  for (const [, target = ''] of code.matchAll(/^(?:import|export) [^'";]*?'(\.[^']+)'/gm)) {
    importedBy(join(dirname(path), target), seen);
  }
  return seen;
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
