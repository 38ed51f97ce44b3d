/**
 * What happened, in order: a running hash that two runs of one seed must share, and the lines themselves when somebody
 * wants to read them.
 */
export class Trace {
  readonly #print: ((line: string) => void) | undefined;
  readonly #nowMs: () => number;
  #low = 0x811c_9dc5;
  #high = 0x1234_5678;

  constructor(nowMs: () => number, print?: (line: string) => void) {
    this.#nowMs = nowMs;
    this.#print = print;
  }

  /** `numbers` go into the hash; `detail` only into the printed line. */
  add(what: string, numbers: readonly number[], detail?: () => string): void {
    const nowMs = this.#nowMs();
    this.#mix(Math.floor(nowMs * 1000));
    for (let at = 0; at < what.length; at++) this.#mix(what.charCodeAt(at));
    for (const number of numbers) this.#mix(number);
    this.#print?.(`${nowMs.toFixed(3).padStart(10)} ${what} ${detail?.() ?? numbers.join(' ')}`);
  }

  get hash(): string {
    const hex = (half: number): string => (half >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  #mix(number: number): void {
    const folded = (number ^ Math.floor(number / 0x1_0000_0000)) | 0;
    this.#low = Math.imul(this.#low ^ folded, 0x0100_0193);
    this.#high = Math.imul(this.#high ^ this.#low, 0x85eb_ca6b) ^ (this.#high >>> 13);
  }
}
