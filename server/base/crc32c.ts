/** CRC-32C (Castagnoli), the polynomial reflected. */
const polynomial = 0x82f6_3b78;

/**
 * Slicing-by-8 tables, one after the other: `tables[k * 256 + b]` is the checksum of byte `b` followed by `k` zero bytes.
 * (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation".)
 */
const tables = makeTables();

function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    made[byte] = crc;
  }
  for (let index = 256; index < made.length; index++) {
    const before = made[index - 256] as number;
    made[index] = (before >>> 8) ^ (made[before & 0xff] as number);
  }
  return made;
}

/**
 * The CRC-32C of `bytes`, an unsigned 32-bit integer.
 * `seed` is the checksum of what came before: `crc32c(b, crc32c(a))` is the checksum of a followed by b (as Go's `crc32.Update`).
 * Only the first `length` bytes count, by default all.
 */
export function crc32c(bytes: Uint8Array, seed = 0, length = bytes.length): number {
  const table = tables;
  const end8 = length - (length % 8);
  let crc = ~seed;
  let at = 0;
  while (at < end8) {
    crc ^= word(bytes, at);
    const high = word(bytes, at + 4);
    crc =
      (table[1792 + (crc & 0xff)] as number) ^
      (table[1536 + ((crc >>> 8) & 0xff)] as number) ^
      (table[1280 + ((crc >>> 16) & 0xff)] as number) ^
      (table[1024 + (crc >>> 24)] as number) ^
      (table[768 + (high & 0xff)] as number) ^
      (table[512 + ((high >>> 8) & 0xff)] as number) ^
      (table[256 + ((high >>> 16) & 0xff)] as number) ^
      (table[high >>> 24] as number);
    at += 8;
  }
  while (at < length) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at++] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}

/**
 * Which bit of `length` bytes, counted from the lowest of the first, changes their checksum by `difference` (an exclusive
 * or) when it flips; undefined when no single one does.
 */
export function flippedBit(difference: number, length: number): number | undefined {
  const changes = Int32Array.from({ length: 8 }, (_, bit) => tables[1 << bit] as number);
  for (let at = length - 1; at >= 0; at--) {
    const bit = changes.indexOf(difference | 0);
    if (bit >= 0) return 8 * at + bit;
    // One more byte behind the flipped one.
    for (let each = 0; each < 8; each++) {
      const change = changes[each] as number;
      changes[each] = (change >>> 8) ^ (tables[change & 0xff] as number);
    }
  }
  return undefined;
}

/** Four bytes, little-endian, as an int32. */
function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}
