import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/**
 * Golden cases in text files: `# title`, the input's lines, `----`, the expected output's lines, an empty line.
 * Comments between cases begin with `;`. `REWRITE=1` writes what came out into the files.
 */
export function goldenTests(directory: string, run: (input: readonly string[]) => string[]): void {
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.txt'))) {
    const path = join(directory, file);
    const text = readFileSync(path, 'utf8');
    if (process.env['REWRITE'] === '1') writeFileSync(path, rewrite(text, run));
    for (const { title, input, output } of casesOf(readFileSync(path, 'utf8'))) {
      test(`${file}: ${title}`, () => assert.deepEqual(run(input), output));
    }
  }
}

interface Case {
  readonly title: string;
  readonly input: string[];
  readonly output: string[];
}

function casesOf(text: string): readonly Case[] {
  return paragraphsOf(text)
    .filter((lines) => lines[0]?.startsWith('# '))
    .map((lines) => {
      const [title = '', ...rest] = lines;
      const cut = rest.indexOf('----');
      const input = cut < 0 ? rest : rest.slice(0, cut);
      return { title: title.slice(2), input, output: cut < 0 ? [] : rest.slice(cut + 1) };
    });
}

function rewrite(text: string, run: (input: readonly string[]) => string[]): string {
  const paragraphs = paragraphsOf(text).map((lines) => {
    if (!lines[0]?.startsWith('# ')) return lines.join('\n');
    const [only] = casesOf(lines.join('\n'));
    assert.ok(only);
    return [lines[0], ...only.input, '----', ...run(only.input)].join('\n');
  });
  return `${paragraphs.join('\n\n')}\n`;
}

function paragraphsOf(text: string): string[][] {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.split('\n').filter((line) => line !== ''))
    .filter((lines) => lines.length > 0);
}
