import { CommandError, type Terminal } from '../client/ctl/command.ts';
import { sizeText } from '../client/ctl/text.ts';

const intervalMs = 200;

/** How far long work is, shown where somebody looks; ends the work when that person has had enough. */
export class Progress {
  readonly #terminal: Terminal;
  readonly #what: string;
  readonly #totalBytes: number;
  #doneBytes = 0;
  #shownMs = 0;

  constructor(terminal: Terminal, of: { readonly what: string; readonly totalBytes: number }) {
    this.#terminal = terminal;
    this.#what = of.what;
    this.#totalBytes = of.totalBytes;
  }

  /** Throws {@link CommandError} after Ctrl-C. */
  add(bytes: number): void {
    if (this.#terminal.signal.aborted) {
      this.end();
      throw new CommandError('interrupted');
    }
    this.#doneBytes += bytes;
    const { progress } = this.#terminal;
    if (progress === undefined) return;
    const nowMs = performance.now();
    if (nowMs - this.#shownMs < intervalMs) return;
    this.#shownMs = nowMs;
    const share = this.#totalBytes === 0 ? 1 : Math.min(1, this.#doneBytes / this.#totalBytes);
    progress(`${this.#what}: ${sizeText(this.#doneBytes)}, ${Math.floor(100 * share)} %`);
  }

  end(): void {
    this.#terminal.progress?.('');
  }
}
