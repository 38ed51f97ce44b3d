/**
 * What the live keys with each of some prefixes take: bytes of keys and values, of the newest versions alone. Kept as keys
 * are written; every prefix of a key counts it, the longer ones too.
 */
export class PrefixUsage {
  readonly prefixes: readonly string[];
  readonly #bytes: Map<string, number>;
  /** Of the prefixes, each once. */
  readonly #lengths: readonly number[];

  /** Latin-1, as keys are. */
  constructor(prefixes: readonly string[]) {
    this.prefixes = prefixes;
    this.#bytes = new Map(prefixes.map((prefix) => [prefix, 0]));
    this.#lengths = [...new Set(prefixes.map(({ length }) => length))].toSorted((a, b) => a - b);
  }

  /** Those of the prefixes that the key begins with. */
  prefixesOf(key: string): string[] {
    const found: string[] = [];
    for (const length of this.#lengths) {
      if (length > key.length) break;
      const prefix = key.slice(0, length);
      if (this.#bytes.has(prefix)) found.push(prefix);
    }
    return found;
  }

  add(key: string, bytes: number): void {
    for (const length of this.#lengths) {
      if (length > key.length) break;
      const prefix = key.slice(0, length);
      const used = this.#bytes.get(prefix);
      if (used !== undefined) this.#bytes.set(prefix, used + bytes);
    }
  }

  /** 0 for what is none of the prefixes. */
  bytesOf(prefix: string): number {
    return this.#bytes.get(prefix) ?? 0;
  }
}
