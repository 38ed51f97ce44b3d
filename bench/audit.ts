/**
 * What writing down every write costs: `npm run build && node dist/bench/audit.js [rounds] [directory]`; the directory of
 * the audit log may be on another disk.
 */
import { readFileSync, rmSync } from 'node:fs';
import { comparePuts, putsPerMember } from './put-load.ts';

/** A fast log that has lost lines proves nothing. */
function checkWhole(path: string): void {
  const puts = readFileSync(path, 'utf8').split('"call":"etcdserverpb.KV/Put"').length - 1;
  if (puts !== putsPerMember) {
    throw new Error(`${puts} of ${putsPerMember} puts are in the audit log`);
  }
  rmSync(path);
}

await comparePuts({
  rounds: Number(process.argv[2] ?? 3),
  names: { off: 'without audit', on: 'every write audited' },
  flags: (path) => [
    '--audit-log-path',
    path,
    '--audit-log-rules=write:*',
    '--audit-log-max-size-mb=1000',
  ],
  check: checkWhole,
  directory: process.argv[3],
});
