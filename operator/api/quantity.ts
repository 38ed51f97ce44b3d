const factors: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Bytes of a Kubernetes quantity such as 512Mi or 1.5G. Throws on any other text; the CRD's pattern refuses those. */
export function bytesOf(quantity: string | number): number {
  const [, digits, unit = ''] = /^([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)$/.exec(String(quantity)) ?? [];
  const factor = factors[unit];
  if (digits === undefined || factor === undefined) throw new Error(`no size: "${quantity}"`);
  return Math.ceil(Number(digits) * factor);
}

/** A size for people, rounded to what is worth reading: 12Mi, 1.5Gi. */
export function describeBytes(sizeBytes: number): string {
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? Math.round(value * 10) / 10 : Math.round(value)}${units[unit]}`;
}
