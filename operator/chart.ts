// [io] Writes what of the helm chart follows from the source: `node dist/operator/chart.js`.
import { writeFileSync } from 'node:fs';
import { dump } from 'js-yaml';
import { definitions } from './api/crd.ts';
import { leaseRules, nodeRules, type PolicyRule, workRules } from './resources/permissions.ts';

const source = 'by `npm run generate`';

/** Path from the root of the repository, and text. */
export function generatedChartFiles(): ReadonlyMap<string, string> {
  const crds = definitions.map(({ metadata, ...rest }): [string, string] => {
    // Stores go with their definition: nothing that helm does may remove it.
    const annotations = { 'helm.sh/resource-policy': 'keep' };
    const definition = { ...rest, metadata: { ...metadata, annotations } };
    const { apiVersion, kind, metadata: named, spec } = definition;
    return [
      `helm/mainstay/files/crds/${metadata.name}.yaml`,
      `# Generated from operator/api/ ${source}.\n${yaml({ apiVersion, kind, metadata: named, spec })}`,
    ];
  });
  return new Map([...crds, ['helm/mainstay/templates/_rules.tpl', rulesTemplate()]]);
}

function rulesTemplate(): string {
  return [
    `{{/* Generated from operator/resources/permissions.ts ${source}. */}}\n`,
    define('mainstay.workRules', workRules),
    define('mainstay.nodeRules', nodeRules),
    define('mainstay.leaseRules', leaseRules),
  ].join('\n');
}

function define(name: string, rules: readonly PolicyRule[]): string {
  return `{{- define "${name}" -}}\n${yaml(rules)}{{- end }}\n`;
}

function yaml(value: unknown): string {
  return dump(value, { lineWidth: 100, noRefs: true, flowLevel: -1 });
}

if (import.meta.filename === process.argv[1]) {
  for (const [path, text] of generatedChartFiles()) writeFileSync(path, text);
}
