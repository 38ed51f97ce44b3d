/** Randomness, injected so that one seed replays a whole run. */
export interface Random {
  /** A uniform integer in [0, 2^32). */
  uint32(): number;
}

/** A uniform integer in [0, bound). */
export function randomBelow(random: Random, bound: number): number {
  return Math.floor((random.uint32() / 0x1_0000_0000) * bound);
}

/** A random positive int64: what etcd's id generator promises to lease and request ids. */
export function randomId(random: Random): bigint {
  for (;;) {
    const high = BigInt(random.uint32() & 0x7fff_ffff);
    const id = (high << 32n) | BigInt(random.uint32());
    if (id !== 0n) return id;
  }
}
