// [io] Writes crds/: `node dist/operator/api/generate.js`.
import { writeFileSync } from 'node:fs';
import { dump } from 'js-yaml';
import { storeClusterDefinition } from './crd.ts';

const header = '# Generated from operator/api/schema.ts by `npm run generate`.\n';

/** File name in `crds/` and its text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const name = `${storeClusterDefinition.metadata.name}.yaml`;
  return new Map([[name, header + dump(storeClusterDefinition, { lineWidth: 100, noRefs: true })]]);
}

if (import.meta.filename === process.argv[1]) {
  for (const [name, text] of generatedFiles()) writeFileSync(`crds/${name}`, text);
}
