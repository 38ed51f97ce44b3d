import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Row {
  readonly name: string;
  readonly result: string;
  /** undefined: nothing was measured. */
  readonly gapMs: number | undefined;
  readonly repairMs: number | undefined;
  readonly kubernetesVersion: string;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** Names a file: test files run in processes of their own, and the table is made of what they leave there. */
const variable = 'MAINSTAY_SCENARIO_ROWS';

export function recordRow(row: Row): void {
  const file = process.env[variable] ?? '';
  if (file !== '') appendFileSync(file, `${JSON.stringify(row)}\n`);
}

/** Has the processes that are started from now on leave their rows in this file, which is empty at first. */
export function collectRows(file: string): void {
  rmSync(file, { force: true });
  process.env[variable] = file;
}

/** A table in Markdown of the scenarios that have run; empty where none has. */
export function scenarioTable(): string {
  const file = process.env[variable] ?? '';
  if (!existsSync(file)) return '';
  const rows = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row)
    .toSorted((a, b) => a.name.localeCompare(b.name));
  const commit = commitOf(root);
  const lines = rows.map(({ name, result, gapMs, repairMs, kubernetesVersion }) => {
    const gap = gapMs === undefined ? '' : String(Math.round(gapMs));
    const repair = repairMs === undefined ? '' : (repairMs / 1000).toFixed(1);
    return `| ${[name, result, gap, repair, kubernetesVersion, commit].join(' | ')} |`;
  });
  return [
    '| scenario | result | gap without writes, ms | time to repair, s | Kubernetes | commit |',
    '|---|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}

function commitOf(directory: string): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown'; // Not a checkout, or no git here.
  }
}
