import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

/**
 * Golden scripts in text files, after cockroachdb/datadriven: comments begin with `#`; a command line, more lines of
 * input if it wants any, `----`, the output's lines up to an empty line. `REWRITE=1` writes what came out into the files.
 */
export interface Command {
  readonly name: string;
  /** Words without `=`, in order. */
  readonly words: readonly string[];
  /** `key=value` words. */
  readonly options: ReadonlyMap<string, string>;
  /** Lines between the command and `----`. */
  readonly input: readonly string[];
}

/** One command's output, as lines; lines must not be empty. */
export type Run = (command: Command) => readonly string[];

/** One test for each `.txt` file in the directory (relative to the repository), each with a fresh `Run`. */
export function datadrivenTests(directory: string, start: () => Run): void {
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.txt'))) {
    test(`${directory}/${file}`, () => {
      const path = join(directory, file);
      const text = readFileSync(path, 'utf8');
      const actual = play(text, start());
      if (process.env['REWRITE'] === '1') writeFileSync(path, actual);
      else assert.equal(actual, text);
    });
  }
}

/** The script with every output replaced by what the commands print now. */
export function play(text: string, run: Run): string {
  const paragraphs = paragraphsOf(text).map((lines) => {
    const start = lines.findIndex((line) => !line.startsWith('#'));
    if (start < 0) return lines;
    const cut = lines.indexOf('----', start);
    const command = lines.slice(start, cut < 0 ? lines.length : cut);
    return [...lines.slice(0, start), ...command, '----', ...outputOf(command, run)];
  });
  return `${paragraphs.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function outputOf(lines: readonly string[], run: Run): readonly string[] {
  const [line = '', ...input] = lines;
  const [name = '', ...rest] = wordsOf(line);
  const pairs = rest.filter((word) => word.includes('='));
  const options = new Map(pairs.map((pair) => splitOnce(pair, '=')));
  const words = rest.filter((word) => !word.includes('='));
  const output = run({ name, words, options, input });
  return output.length > 0 ? output : ['ok'];
}

/** Words between blanks; double quotes hold blanks together. */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
  return words.map((word) => word.replaceAll('"', ''));
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}

function paragraphsOf(text: string): string[][] {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.split('\n').filter((line) => line !== ''))
    .filter((lines) => lines.length > 0);
}
