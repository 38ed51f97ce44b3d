import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { load } from 'js-yaml';

// docs/FAILURE_MODES.md knows every reason to wait or to be unwell, and every alert; and no word of it is made up.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const text = readFileSync(join(root, 'docs/FAILURE_MODES.md'), 'utf8');
const words = new Set([...text.matchAll(/`([A-Z][A-Za-z]+)`/g)].map(([, word = '']) => word));

/** What is well, or comes before all is. */
const notFailures =
  'AllWell Archiving BackupThere Converged Equal Failed NotWanted NotYet Scheduled Serving Suspended'.split(
    ' ',
  );

function sourceOf(folder: string): string {
  return readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(root, folder, file), 'utf8'))
    .join('\n');
}

/** Of waits, and of conditions. */
function reasons(): string[] {
  const waits = sourceOf('operator/plan').matchAll(/\b(?:waitFor|stopUntil)\(\s*'([A-Za-z]+)'/g);
  const conditions = sourceOf('operator/status').matchAll(/\breason: '([A-Za-z]+)'/g);
  const found = [...waits, ...conditions].map(([, reason = '']) => reason);
  return [...new Set(found)].filter((reason) => !notFailures.includes(reason)).toSorted();
}

function alerts(): string[] {
  const file = readFileSync(join(root, 'helm/mainstay/files/alerts.yaml'), 'utf8');
  const { groups } = load(file) as { groups: { rules: { alert: string }[] }[] };
  return groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
}

test('every reason and every alert has its row', () => {
  assert.ok(reasons().length > 30);
  const missing = [...reasons(), ...alerts()].filter((word) => !words.has(word));
  assert.deepEqual(missing, [], 'these are not in docs/FAILURE_MODES.md');
});

test('no reason and no alert is made up', () => {
  const known = [...reasons(), ...alerts()];
  assert.deepEqual(
    [...words].filter((word) => !known.includes(word)),
    [],
  );
});

test('every link leads to a heading', () => {
  for (const document of ['docs/FAILURE_MODES.md', 'docs/OPERATIONS.md', 'README.md']) {
    const source = readFileSync(join(root, document), 'utf8');
    for (const [, path = '', anchor = ''] of source.matchAll(/\]\(([\w/.]*\.md)#([^)]+)\)/g)) {
      const target = readFileSync(join(root, document, '..', path), 'utf8');
      const anchors = [...target.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replaceAll(/[^a-z0-9 -]/g, '')
          .replaceAll(' ', '-'),
      );
      assert.ok(anchors.includes(anchor), `${document}: ${path}#${anchor}`);
    }
  }
});
