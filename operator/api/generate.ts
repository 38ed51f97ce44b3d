// [io] Writes crds/: `node dist/operator/api/generate.js`.
import { writeFileSync } from 'node:fs';
import { dump } from 'js-yaml';
import { definitions } from './crd.ts';

const header = '# Generated from operator/api/ by `npm run generate`.\n';

/** File name in `crds/` and its text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map(
    definitions.map((definition) => {
      const text = dump(definition, { lineWidth: 100, noRefs: true });
      return [`${definition.metadata.name}.yaml`, header + text];
    }),
  );
}

if (import.meta.filename === process.argv[1]) {
  for (const [name, text] of generatedFiles()) writeFileSync(`crds/${name}`, text);
}
