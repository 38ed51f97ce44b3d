/** Steps on the terminal: what is being done, and how long it took. */
export class Progress {
  #sinceMs = 0;

  begin(what: string): void {
    this.#sinceMs = performance.now();
    process.stdout.write(`Starting ${what} ...\n`);
  }

  note(text: string): void {
    process.stdout.write(`  ${this.#seconds()}  ${text}\n`);
  }

  done(detail = ''): void {
    process.stdout.write(`  ${this.#seconds()}  done${detail === '' ? '' : `: ${detail}`}\n`);
  }

  #seconds(): string {
    const seconds = (performance.now() - this.#sinceMs) / 1000;
    return `${seconds.toFixed(1).padStart(5)} s`;
  }
}
