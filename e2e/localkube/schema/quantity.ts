/** Kubernetes quantities (`10Gi`, `500m`, `1e3`), exact in units of 10^-9. */
export class Quantity {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }

  compareTo(other: Quantity): number {
    if (this.nanos === other.nanos) return 0;
    return this.nanos < other.nanos ? -1 : 1;
  }
}

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/;
const nano = 1_000_000_000n;
const binary: Record<string, bigint> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const decimalExponent: Record<string, number> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

/** Parses a quantity; undefined where the text is none. Smaller than 10^-9 rounds up, as upstream does. */
export function parseQuantity(text: string): Quantity | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', suffix = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const digits = BigInt(`${whole}${fraction}` || '0');
  const scaled = binary[suffix];
  const exponent =
    scaled === undefined ? (decimalExponent[suffix] ?? Number(suffix.slice(1) || '0')) : 0;
  const magnitude = scale(digits * (scaled ?? 1n) * nano, exponent - fraction.length);
  return new Quantity(sign === '-' ? -magnitude : magnitude);
}

function scale(value: bigint, exponent: number): bigint {
  if (exponent >= 0) return value * 10n ** BigInt(Math.min(exponent, 60));
  const divisor = 10n ** BigInt(Math.min(-exponent, 60));
  return (value + divisor - 1n) / divisor;
}

/** Whole units (bytes for a storage size), rounded up. */
export function quantityValue(text: string): number | undefined {
  const quantity = parseQuantity(text);
  return quantity === undefined ? undefined : Number((quantity.nanos + nano - 1n) / nano);
}
