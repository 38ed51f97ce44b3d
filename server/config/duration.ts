const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go writes it: `5m`, `1h30m`, `-1.5s`, `0`. Undefined when it is none. */
export function durationMs(text: string): number | undefined {
  const [, sign, amount = ''] = /^([-+]?)(.+)$/.exec(text) ?? [];
  if (amount === '0') return 0;
  let ms = 0;
  let rest = amount;
  while (rest !== '') {
    const [part, number = '', unit = ''] =
      /^(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/.exec(rest) ?? [];
    if (part === undefined) return undefined;
    ms += Number(number) * (unitMs[unit] ?? 0);
    rest = rest.slice(part.length);
  }
  if (amount === '') return undefined;
  return sign === '-' ? -ms : ms;
}
