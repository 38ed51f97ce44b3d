import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

// The README in Chinese says what the other one does: the same commands, chapters, links and words in code.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const english = readFileSync(join(root, 'README.md'), 'utf8');
const chinese = readFileSync(join(root, 'README.zh.md'), 'utf8');

function blocksOf(text: string): string[] {
  return [...text.matchAll(/```.*?```/gs)].map(([block]) => block);
}

function prose(text: string): string {
  return text.replaceAll(/```.*?```/gs, '');
}

function sorted(text: string, pattern: RegExp): string[] {
  return [...prose(text).matchAll(pattern)].map(([, found = '']) => found).toSorted();
}

test('the same blocks of code, in the same order', () => {
  assert.ok(blocksOf(english).length >= 4);
  assert.deepEqual(blocksOf(chinese), blocksOf(english));
});

test('the same words in code', () => {
  const inline = /`([^`]+)`/g;
  assert.deepEqual(sorted(chinese, inline), sorted(english, inline));
});

test('the same links, but for those to each other', () => {
  const links = (text: string) =>
    sorted(text, /\]\(([^)]+)\)/g).filter((link) => !link.startsWith('README'));
  assert.deepEqual(links(chinese), links(english));
});

test('as many chapters, points and rows', () => {
  for (const start of ['## ', '- ', '| ']) {
    const count = (text: string) =>
      prose(text)
        .split('\n')
        .filter((line) => line.startsWith(start)).length;
    assert.equal(count(chinese), count(english), start);
  }
});
