/** What encryption at rest costs: `npm run build && node dist/bench/encryption.js [rounds]`. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { comparePuts } from './put-load.ts';

await comparePuts({
  rounds: Number(process.argv[2] ?? 3),
  names: { off: 'in clear', on: 'encrypted' },
  flags: (path) => {
    writeFileSync(path, randomBytes(32));
    return [`--data-encryption-key-file=${path}`];
  },
});
