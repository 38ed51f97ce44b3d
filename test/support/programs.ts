import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// The programs of this project that tests run as processes. Most of what they cost is the start: two hundred modules to
// find, read and link, which takes half of the time when they are one file. `npm test` makes such files from what is
// compiled; a test file that is run by itself, and everything that people run, takes the modules.

/** Names a directory in which `dist/` holds the programs. */
const variable = 'MAINSTAY_TEST_PROGRAMS';

/** Below `dist/`. */
export const programs = [
  'server/main',
  'server/ctl/main',
  'operator/main',
  'operator/cli/main',
  'examples/application/application',
] as const;

/** Holds the programs below `dist/`, and can stand for this checkout where no more than they is run. */
export const programsRoot =
  process.env[variable] ?? fileURLToPath(new URL('../../../', import.meta.url));

export function programPath(program: (typeof programs)[number]): string {
  return join(programsRoot, 'dist', `${program}.js`);
}

/** Has the processes that are started from now on take the programs from there. */
export function takeProgramsFrom(directory: string): void {
  process.env[variable] = directory;
}
