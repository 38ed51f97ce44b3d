import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { collectRows, scenarioTable } from '../e2e/scenarios/results.ts';
import { bundlePrograms } from './bundle.ts';
import { groupByFolder, sourceOf } from './groups.ts';
import { takeProgramsFrom } from './support/programs.ts';

// Runs every compiled test file, or those whose path contains one of the arguments:
//   node --enable-source-maps dist/test/run.js [server/wal ...]
// The last lines say which tests took longest, and what was skipped and why: nothing passes silently. The files with
// failures are left in dist/test/failed.txt, in the words that run them again.

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Twice the cores of a small machine: files that run members wait for half of their time. */
const concurrency = Number(process.env['MAINSTAY_TEST_FILES_AT_ONCE'] ?? '4');
const longestMax = Number(process.env['MAINSTAY_TEST_LONGEST'] ?? '5');
/** They take ten minutes when they are whole: begun last, they would be waited for alone. */
const begunFirst = ['e2e/scenarios/backup.test.ts', 'e2e/scenarios/security.test.ts'];
const fileTimeoutMs = process.env['MAINSTAY_FULL'] === '1' ? 40 * 60_000 : 10 * 60_000;

/** The compiled form of every test file in the source tree: what was deleted there is not run again. */
function testFiles(filters: readonly string[]): string[] {
  return ['test', 'e2e']
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        join(folder, name),
      ),
    )
    .filter((path) => path.endsWith('.test.ts'))
    .filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
    .toSorted()
    .toSorted((a, b) => Number(begunFirst.includes(b)) - Number(begunFirst.includes(a)))
    .map((path) => join(root, 'dist', path.replace(/\.ts$/, '.js')));
}

function closingLine(skipped: ReadonlyMap<string, number>): string {
  if (skipped.size === 0) return 'Nothing was skipped.';
  const parts = [...skipped].map(
    ([reason, count]) => `${count} ${count === 1 ? 'test' : 'tests'} because ${reason}`,
  );
  return `Skipped: ${parts.join('; ')}.`;
}

/** Where time is to be won. `tookMs`: by the name of a test that is in no other. */
function longestLine(tookMs: ReadonlyMap<string, number>): string {
  const longest = [...tookMs].toSorted(([, a], [, b]) => b - a).slice(0, longestMax);
  return `Longest: ${longest.map(([name, ms]) => `"${name}" ${(ms / 1000).toFixed(1)} s`).join(', ')}.`;
}

async function main(): Promise<void> {
  const files = testFiles(process.argv.slice(2));
  const missing = files.filter((file) => !existsSync(file));
  if (files.length === 0 || missing.length > 0) {
    console.error(
      files.length === 0 ? 'no test file matches' : `not compiled: ${missing.join(' ')}`,
    );
    process.exitCode = 1;
    return;
  }
  collectRows(join(root, `dist/test/scenarios.${process.pid}.jsonl`));
  const programsDirectory = join(root, 'dist/test/programs');
  await bundlePrograms(root, programsDirectory);
  takeProgramsFrom(programsDirectory);
  const skipped = new Map<string, number>();
  const failed = new Set<string>();
  const tookMs = new Map<string, number>();
  const count = (name: string, nesting: number, durationMs: number) => {
    if (nesting === 0) tookMs.set(name, (tookMs.get(name) ?? 0) + durationMs);
  };
  const groups = join(root, `dist/test/groups.${process.pid}`);
  process.on('exit', () => rmSync(groups, { recursive: true, force: true }));
  const entries = groupByFolder(root, files, groups);
  const events = run({ files: [...entries], concurrency, timeout: fileTimeoutMs });
  events.on('test:pass', ({ name, skip, nesting, details }) => {
    count(name, nesting, details.duration_ms);
    if (skip === undefined || skip === false) return;
    const reason = typeof skip === 'string' ? skip : 'its author says so';
    skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  });
  events.on('test:fail', ({ name, todo, file, nesting, details }) => {
    count(name, nesting, details.duration_ms);
    if (todo !== undefined && todo !== false) return;
    process.exitCode = 1;
    // What a folder's process says of a file as a whole, it says under that file's name.
    const source = file?.startsWith(groups) === true ? name : sourceOf(root, file ?? '');
    if (source.endsWith('.test.ts')) failed.add(source);
  });
  const report = events.compose(new spec());
  report.on('end', () => {
    writeFileSync(
      join(root, 'dist/test/failed.txt'),
      [...failed].map((name) => `${name}\n`).join(''),
    );
    const table = scenarioTable();
    if (table !== '') process.stdout.write(`\n${table}\n`);
    process.stdout.write(`\n${longestLine(tookMs)}\n${closingLine(skipped)}\n`);
  });
  report.pipe(process.stdout, { end: false });
}

await main();
