// [io] Writes docs/REFERENCE.md and docs/CTL.md: `node dist/e2e/reference/main.js`.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ctlText } from './ctl.ts';
import { fieldChapters } from './fields.ts';
import { flagChapters } from './flags.ts';
import { metricChapters } from './metrics.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const introduction = `<!-- Generated from the source by \`npm run generate\`. -->

# Reference

Every field, flag and metric, as the source has them. How they are used is in [OPERATIONS.md](OPERATIONS.md); what can go wrong, in
[FAILURE_MODES.md](FAILURE_MODES.md).

## Kubernetes

1.29 and later: the rules of the definitions use \`quantity()\`, which is in CEL from there on. Nothing else is newer; there are no webhooks, no
cert-manager and no feature gates to switch on. Each member needs a PersistentVolumeClaim (\`ReadWriteOnce\`) of a class that provisions; growing volumes
needs \`allowVolumeExpansion\`. NetworkPolicies need a network that keeps them.`;

export function referenceText(): string {
  const chapters = [introduction, fieldChapters(), flagChapters(), metricChapters(root)];
  return `${chapters.join('\n\n')}\n`;
}

if (import.meta.filename === process.argv[1]) {
  writeFileSync(join(root, 'docs/REFERENCE.md'), referenceText());
  writeFileSync(join(root, 'docs/CTL.md'), ctlText());
}
