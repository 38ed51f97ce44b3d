import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type FleetReport, runFleet, seedRange } from './fleet.ts';
import type { Edit, Mutant } from './mutants.ts';

const dist = fileURLToPath(new URL('../../', import.meta.url));

/** Thrown when a mutant's text is not found exactly once: the code has moved on, and the list has to follow. */
export class DriftError extends Error {
  override name = 'DriftError';
}

/** Throws {@link DriftError} where the code is no longer what the list says. */
export function checkDrift(mutant: Mutant): void {
  for (const edit of mutant.edits) {
    applyEdit(mutant.name, readFileSync(`${dist}server/${edit.file}`, 'utf8'), edit);
  }
}

/** The code with the edit; throws {@link DriftError}. */
export function applyEdit(name: string, code: string, { file, find, replace }: Edit): string {
  const count = code.split(find).length - 1;
  if (count !== 1) throw new DriftError(`${name}: ${count} times in ${file}: ${find}`);
  return code.replace(find, () => replace);
}

/** A copy of the compiled store and simulator with the bug in it. Returns the path of its worker. */
export function plantMutant({ name, edits }: Mutant): string {
  const root = `${dist}mutants/${name}`;
  rmSync(root, { recursive: true, force: true });
  const isCode = (source: string): boolean =>
    !/\.(d\.ts|map|test\.js)$/.test(source) && !source.endsWith('testdata');
  for (const part of ['server', 'test/sim']) {
    cpSync(`${dist}${part}`, `${root}/${part}`, { recursive: true, filter: isCode });
  }
  for (const edit of edits) {
    const path = `${root}/server/${edit.file}`;
    writeFileSync(path, applyEdit(name, readFileSync(path, 'utf8'), edit));
  }
  return `${root}/test/sim/worker.js`;
}

export interface Hunt {
  readonly mutant: Mutant;
  /** How many seeds it took; undefined when none of them found it. */
  readonly seedsNeeded: number | undefined;
  readonly report: FleetReport;
}

/** Runs seeds on the mutant until one of them fails. They are the seeds that the shipped code passes. */
export async function huntMutant(
  mutant: Mutant,
  options: { seedsMax: number; seconds: number; jobs: number; stopAfterMs?: number },
): Promise<Hunt> {
  const { seedsMax, ...rest } = options;
  const report = await runFleet({
    ...rest,
    seeds: seedRange(1, seedsMax),
    twiceEvery: 0,
    workerPath: plantMutant(mutant),
    stopAtFailure: true,
  });
  const first = report.failures[0]?.seed;
  return { mutant, seedsNeeded: first, report };
}
