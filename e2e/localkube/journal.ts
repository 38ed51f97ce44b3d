import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { KubeObject } from './objects.ts';

/** One change on disk: an object written, or (without one) removed. */
export interface JournalEntry {
  readonly revision: number;
  readonly storage: string;
  readonly key: string;
  readonly object?: KubeObject;
}

/** Lines after which the journal is worth rewriting. */
const linesMin = 2000;

/**
 * The objects as JSON lines, appended at every change and rewritten when mostly outdated. Not synced to disk: it survives
 * the process, not the machine, which is what a double needs.
 */
export class Journal {
  readonly #file: string;
  #descriptor: number | undefined;
  #lines = 0;
  #liveLines = 0;

  constructor(file: string) {
    this.#file = file;
    mkdirSync(dirname(file), { recursive: true });
  }

  get isOversized(): boolean {
    return this.#lines > linesMin + 4 * this.#liveLines;
  }

  /** All entries in order. What follows the last line end was cut off by a crash, and is left out. */
  replay(): JournalEntry[] {
    if (!existsSync(this.#file)) return [];
    const lines = readFileSync(this.#file, 'utf8').split('\n');
    lines.pop();
    return lines.map(parse);
  }

  append(entry: JournalEntry): void {
    if (this.#descriptor === undefined) return;
    writeSync(this.#descriptor, `${JSON.stringify(entry)}\n`);
    this.#lines += 1;
  }

  /** Replaces the file by these entries and a first line that keeps the revision. */
  rewrite(revision: number, entries: readonly JournalEntry[]): void {
    this.close();
    const first: JournalEntry = { revision, storage: '', key: '' };
    const lines = [first, ...entries].map((entry) => `${JSON.stringify(entry)}\n`);
    writeFileSync(`${this.#file}.new`, lines.join(''));
    renameSync(`${this.#file}.new`, this.#file);
    this.#descriptor = openSync(this.#file, 'a');
    this.#lines = lines.length;
    this.#liveLines = lines.length;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function parse(line: string): JournalEntry {
  return JSON.parse(line) as JournalEntry;
}
