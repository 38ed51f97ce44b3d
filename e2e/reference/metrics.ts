import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cell, table } from './table.ts';

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

/** As the source registers them: a name, and beside it what `/metrics` says of it. */
const registration =
  /\b(\w+)\(\s*'((?:etcd|grpc|mainstay|process|nodejs|os|promhttp)_[a-z0-9_]+)',\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\w+),)/g;
/** Named by whoever registers them; everything else that does so makes histograms. */
const plainTypes = new Map([
  ['gauge', 'gauge'],
  ['info', 'gauge'],
  ['counter', 'counter'],
  ['histogram', 'histogram'],
]);

/** Every metric that files below a folder register, by name. */
export function metricsIn(root: string, folder: string): readonly DocumentedMetric[] {
  const found = new Map<string, DocumentedMetric>();
  for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const source = readFileSync(join(root, folder, file), 'utf8');
    for (const [, by = '', name = '', single, double, template, constant] of source.matchAll(
      registration,
    )) {
      if (constant !== undefined && !plainTypes.has(by)) continue;
      const help = single ?? double ?? template ?? `\${${constant}}`;
      const type = plainTypes.get(by) ?? 'histogram';
      found.set(name, { name, type, help: filled(help, source) });
    }
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function filled(help: string, source: string): string {
  return help
    .replaceAll(/\$\{(\w+)\}/g, (_, constant: string) => textOf(source, constant))
    .replaceAll("\\'", "'");
}

/** Of a constant that two metrics share. */
function textOf(source: string, constant: string): string {
  const [, text] = new RegExp(`const ${constant} =\\s*'((?:[^'\\\\]|\\\\.)*)'`).exec(source) ?? [];
  if (text === undefined) throw new Error(`the text of ${constant} is not beside the metric`);
  return text;
}

export function metricChapters(root: string): string {
  const rows = (metrics: readonly DocumentedMetric[]) =>
    table(
      ['metric', 'type', 'what it says'],
      metrics.map(({ name, type, help }) => [`\`${name}\``, type, cell(help)]),
    );
  const ofOperator = metricsIn(root, 'operator').filter(({ name }) => name.startsWith('mainstay_'));
  return [
    '## Metrics of the store',
    "Under `/metrics` of the client port, and of port 2381 of a StoreCluster's members. A metric of which there is nothing to tell is left out until there is.",
    rows(metricsIn(root, 'server')),
    '## Metrics of the operator',
    'Under `/metrics` of `--health-port`. Their labels are in [METRICS.md](METRICS.md); `process_*` and `nodejs_*` are those of the store.',
    rows(ofOperator),
  ].join('\n\n');
}
