import type { Sample } from '../../server/base/exposition.ts';

/** Sums by labels. As many as there are combinations of their values: those have to be few. */
export class Tally {
  readonly #labels: readonly string[];
  readonly #sums = new Map<string, { readonly values: readonly string[]; sum: number }>();

  constructor(...labels: readonly string[]) {
    this.#labels = labels;
  }

  /** `values` in the order of the labels. */
  add(amount: number, ...values: readonly string[]): void {
    const key = values.join('\n');
    const known = this.#sums.get(key);
    if (known === undefined) this.#sums.set(key, { values, sum: amount });
    else known.sum += amount;
  }

  samples(): readonly Sample[] {
    return [...this.#sums.values()].map(({ values, sum }) => ({
      labels: Object.fromEntries(this.#labels.map((label, at) => [label, values[at] ?? ''])),
      value: sum,
    }));
  }
}
