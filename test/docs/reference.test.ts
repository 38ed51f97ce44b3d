import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { referenceText } from '../../e2e/reference/main.ts';
import { metricsIn } from '../../e2e/reference/metrics.ts';
import { definitions } from '../../operator/api/crd.ts';
import { help } from '../../operator/flags.ts';
import { helpText } from '../../server/config/flags.ts';

// docs/REFERENCE.md is what the source says, and nothing of the source is missing there.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/REFERENCE.md'), 'utf8');
const rows = new Set([...text.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) => name));

test('it is up to date', () => {
  assert.equal(text, referenceText(), 'run npm run generate');
});

test('every flag of both programs has its row', () => {
  const flags = [help, helpText('mainstay')].flatMap((each) =>
    [...each.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, flag = '']) => flag),
  );
  const named = new Set([...rows].map((row) => row.split(' ')[0]));
  assert.ok(flags.length > 60);
  assert.deepEqual(
    flags.filter((flag) => !named.has(flag) && flag !== '--version'),
    [],
  );
});

test('every metric of a running store and operator has its row, with its type', () => {
  const documents = ['COMPATIBILITY.md', 'METRICS.md'].map((file) =>
    readFileSync(join(root, 'docs', file), 'utf8'),
  );
  const found = documents
    .flatMap((each) => [...each.matchAll(/^\| `(\w+)` \| (gauge|counter|histogram) /gm)])
    .map(([, name, type]) => `${name} ${type}`);
  const registered = ['server', 'operator']
    .flatMap((folder) => metricsIn(root, folder))
    .map(({ name, type }) => `${name} ${type}`);
  assert.ok(found.length > 100);
  assert.deepEqual(
    found.filter((each) => !registered.includes(each)),
    [],
  );
});

test('every field of a definition that may be set has its row', () => {
  let count = 0;
  for (const { spec } of definitions) {
    const start = text.indexOf(`\n## ${spec.names.kind}\n`);
    const chapter = text.slice(start, text.indexOf('\n## ', start + 1));
    const [version] = spec.versions;
    for (const path of pathsIn('', version.schema.openAPIV3Schema)) {
      if (!/^(spec|status)\./.test(path)) continue;
      assert.ok(chapter.includes(`\n| \`${path}\` |`), `${spec.names.kind} ${path}`);
      count += 1;
    }
  }
  assert.ok(count > 200);
});

interface Node {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
}

function pathsIn(path: string, { properties = {}, items }: Node): string[] {
  const below = Object.entries(properties).filter(
    ([, child]) => child.description?.startsWith('Refused: ') !== true,
  );
  return [
    ...below.flatMap(([name, child]) => {
      const own = path === '' ? name : `${path}.${name}`;
      return [own, ...pathsIn(own, child)];
    }),
    ...(items === undefined ? [] : pathsIn(`${path}[]`, items)),
  ];
}
